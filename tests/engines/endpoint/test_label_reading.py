import math

import pytest

from lib.engines.endpoint.label_reading import Reading, Spelling
from lib.engines.endpoint.label_reading import read as read_spelled
from lib.engines.endpoint.label_reading import to_ask as to_ask_spelled
from lib.engines.endpoint.reply_reading import Top


def top(**tokens: float) -> Top:
    """Probabilities by token, with _ for a blank."""
    logprobs = {name.replace("_", " "): math.log(p) for name, p in tokens.items()}
    return Top(logprobs, max(1 - sum(tokens.values()), 0), min(logprobs.values()))


def read(texts: list[str], tops: dict[str, Top]) -> Reading | str:
    return read_spelled(list(map(Spelling, texts)), tops)


def to_ask(labels: list[list[str]], tops: dict[str, Top]) -> list[str]:
    return to_ask_spelled([list(map(Spelling, texts)) for texts in labels], tops)


def test_texts_that_are_told_of_are_summed() -> None:
    tops = {"": top(A=0.5, _A=0.2, B=0.1)}
    assert read(["A", " A"], tops) == Reading(pytest.approx(math.log(0.7)))
    assert read(["B", " B"], tops) == Reading(pytest.approx(math.log(0.1)))


def test_what_is_not_told_of_is_bounded() -> None:
    tops = {"": top(A=0.9, B=0.05)}
    found = read(["tie", " tie"], tops)
    assert isinstance(found, Reading)
    assert found.bounded
    assert math.exp(found.logprob) == pytest.approx(2 * 0.05)  # each no likelier than the least likely that is told of
    found = read(["tie", " tie"], {"": top(A=0.94, B=0.05)})
    assert isinstance(found, Reading)
    assert math.exp(found.logprob) == pytest.approx(2 * 0.01)  # nor than what is left


def test_a_label_of_several_tokens_is_asked_on() -> None:
    labels = [["A", " A"], ["tie", " tie"]]
    tops = {"": top(A=0.6, t=0.25, ti=0.05)}
    assert to_ask(labels, tops) == ["t"]  # the likeliest
    tops["t"] = top(ie=0.8, o=0.1)
    assert to_ask(labels, tops) == []
    assert read(labels[1], tops) == Reading(pytest.approx(math.log(0.25 * 0.8)))


def test_three_tokens() -> None:
    labels = [["draw"]]
    tops = {"": top(d=0.5, e=0.5)}
    assert to_ask(labels, tops) == ["d"]
    tops["d"] = top(ra=0.5, o=0.5)
    assert to_ask(labels, tops) == ["dra"]
    tops["dra"] = top(w=0.5, x=0.5)
    assert to_ask(labels, tops) == []
    assert read(labels[0], tops) == Reading(pytest.approx(math.log(0.125)))


def test_what_begins_a_label_next_to_the_whole_is_not_asked_on() -> None:
    assert to_ask([["tie", " tie"]], {"": top(tie=0.5, t=0.1, _=0.1)}) == []


def test_what_is_negligible_is_not_asked_on() -> None:
    tops = {"": top(A=0.9, t=0.00001)}
    assert to_ask([["tie"]], tops) == []
    found = read(["tie"], tops)
    assert isinstance(found, Reading)
    assert found.bounded
    assert found.logprob <= math.log(2.1e-5)


def test_what_can_not_be_asked_on_is_refused_where_it_matters() -> None:
    found = read(["tie"], {"": top(A=0.5, t=0.4)})
    assert isinstance(found, str)
    assert "the label 'tie' takes the server several tokens, of which 't' comes next with 40%" in found
    assert isinstance(read(["tie"], {"": top(A=0.9, t=0.005)}), Reading)


def test_known_tokens_are_the_only_way() -> None:
    whole, apart = Spelling("tie", frozenset()), Spelling("draw", frozenset({"dr"}))
    tops = {"": top(A=0.5, t=0.2, d=0.1, dr=0.05)}
    assert to_ask_spelled([[whole], [apart]], tops) == ["dr"]  # though "d" is likelier
    found = read_spelled([whole], tops)
    assert isinstance(found, Reading)
    assert found.bounded
    tops["dr"] = top(aw=0.5)
    assert read_spelled([apart], tops) == Reading(pytest.approx(math.log(0.025)))
