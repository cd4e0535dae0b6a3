import math
from typing import Any

import numpy as np
import pytest

from lib.engines.endpoint import reply_reading
from lib.engines.endpoint.reply_reading import BadReply, Counts, Text
from lib.engines.endpoint.tries import Refused


def chat(*contents: Any, reason: str = "stop") -> dict[str, Any]:
    return {
        "choices": [
            {"index": n, "message": {"content": content}, "finish_reason": reason} for n, content in enumerate(contents)
        ]
    }


def told(pairs: list[tuple[str, float]], drawn: tuple[str, float] | None = None) -> dict[str, Any]:
    token, value = drawn or pairs[0]
    entries = [{"token": t, "logprob": v} for t, v in pairs]
    reply = chat("x")
    reply["choices"][0]["logprobs"] = {"content": [{"token": token, "logprob": value, "top_logprobs": entries}]}
    return reply


def test_texts() -> None:
    assert reply_reading.texts(chat("a", None, reason="length"), 2) == [Text("a", "length"), Text("", "length")]
    reply = chat("first", "second")
    reply["choices"].reverse()
    assert reply_reading.texts(reply, 2) == [Text("first", "stop"), Text("second", "stop")]
    assert reply_reading.texts({"choices": [{"text": "a", "finish_reason": "stop"}]}, 1) == [Text("a", "stop")]


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"choices": None},
        {"choices": []},
        {"choices": ["a"]},
        chat("a", "b"),
        {"choices": chat("a")["choices"] * 2},
        chat(["a"]),
        chat("a", reason="tool_calls"),
        {"choices": [{"index": "x", "message": {"content": "a"}, "finish_reason": "stop"}]},
    ],
)
def test_other_shapes_are_no_answer(reply: dict[str, Any]) -> None:
    with pytest.raises(BadReply):
        reply_reading.texts(reply, 1)


def test_a_filter_and_a_refusal_are_of_the_row() -> None:
    filtered = reply_reading.texts(chat("a", reason="content_filter"), 1)
    assert isinstance(filtered, Refused)
    assert "content filter" in filtered.why
    refusal = {"choices": [{"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}]}
    refused = reply_reading.texts(refusal, 1)
    assert isinstance(refused, Refused)
    assert "No." in refused.why


def test_tokens_with_their_probabilities() -> None:
    found = reply_reading.top(told([("A", math.log(0.5)), ("B", math.log(0.3))]))
    assert isinstance(found, reply_reading.Top)
    assert found.lost == pytest.approx(0.2)
    assert found.floor == math.log(0.3)
    drawn = reply_reading.top(told([("A", math.log(0.5))], ("C", math.log(0.1))))
    assert isinstance(drawn, reply_reading.Top)
    assert set(drawn.logprobs) == {"A", "C"}
    same = reply_reading.top(told([("A", math.log(0.5)), ("A", math.log(0.25))]))  # two tokens that read the same
    assert isinstance(same, reply_reading.Top)
    assert same.logprobs["A"] == pytest.approx(math.log(0.75))
    text = {"choices": [{"text": "A", "finish_reason": "length", "logprobs": {"top_logprobs": [{"A": -1.0}]}}]}
    assert isinstance(reply_reading.top(text), reply_reading.Top)


@pytest.mark.parametrize("value", [float("nan"), 3.0, "x", None])
def test_what_is_no_log_probability_is_no_answer(value: Any) -> None:
    with pytest.raises(BadReply):
        reply_reading.top(told([("A", value)]))


@pytest.mark.parametrize("logprobs", [None, {}, {"content": []}, {"content": None}, {"top_logprobs": [None]}])
def test_an_answer_without_probabilities_is_none(logprobs: Any) -> None:
    reply = chat("A")
    reply["choices"][0]["logprobs"] = logprobs
    with pytest.raises(BadReply, match="no log-probabilities"):
        reply_reading.top(reply)


def test_vectors_have_length_one() -> None:
    found = reply_reading.vector({"data": [{"embedding": [3, 4]}]}, 2)
    np.testing.assert_allclose(found, [0.6, 0.8], rtol=1e-6)
    for bad in ({}, {"data": []}, {"data": [{"embedding": [1]}]}, {"data": [{"embedding": [0, 0]}]}):
        with pytest.raises(BadReply):
            reply_reading.vector(bad, 2)


def test_scores() -> None:
    assert reply_reading.score({"data": [{"score": 0.5}]}) == 0.5
    assert reply_reading.score({"results": [{"index": 0, "relevance_score": 2}]}) == 2
    for bad in ({}, {"data": []}, {"data": [{"score": "x"}]}, {"data": [{"score": float("nan")}]}):
        with pytest.raises(BadReply):
            reply_reading.score(bad)


def test_what_an_answer_took() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 5}}
    assert reply_reading.counts({"usage": usage}) == Counts(7, 2, 5)
    assert reply_reading.counts({"usage": {"prompt_tokens": 7, "prompt_tokens_details": None}}) == Counts(7, 0, 0)
    assert reply_reading.counts({"usage": {"total_tokens": 7}}) == Counts(7, 0, 0)
    assert reply_reading.counts({"usage": None}) == reply_reading.counts({}) == Counts()
