import json

import numpy as np
import pytest

from lib.report.battles.bias_measures import BiasRows, measure_bias
from lib.report.battles.bias_page import bias_lines, bias_sections
from lib.scoring.inference.estimates import row_keys
from lib.scoring.metrics import accuracy, log_loss

N = 400


def rows(start=0, stop=N, *, taste=1.5, labelled=True, counts=True, hard=False):
    """A judge that likes longer answers by `taste`, and those of gpt-4; the labels like neither."""
    rng = np.random.default_rng(0)
    long_a, long_b = rng.integers(10, 2_000, (2, N)).astype(float)
    labels = rng.integers(0, 3, N).astype(np.int8) if labelled else np.full(N, -1, np.int8)
    mine = rng.integers(0, 3, N)
    names = np.array(["gpt-4", "claude-2", None], object)
    a, b = names[mine], names[rng.integers(1, 3, N)]
    z = taste * np.log((long_a + 1) / (long_b + 1)) + 1.0 * (mine == 0) + rng.normal(0, 0.5, N)
    p = np.column_stack([np.exp(z / 2), np.exp(-z / 2), np.full(N, 0.5)])
    p /= p.sum(axis=1, keepdims=True)
    p = np.eye(3)[p.argmax(axis=1)] if hard else p
    p[5] = np.nan
    zero = np.zeros(N)
    text = {"length": (long_a, long_b), "headers": (zero, zero), "lists": (zero, zero), "bold": (zero, zero)}
    some = slice(start, stop)
    return BiasRows(
        probabilities=p[some],
        labels=labels[some],
        keys=row_keys(0, N)[some],
        counts={name: (one[some], other[some]) for name, (one, other) in text.items()} if counts else None,
        models=(a[some], b[some]),
        groups={"language": np.array([("en", "ja", None)[n % 3] for n in range(N)], object)[some]},
    )


def test_a_taste_for_length_and_for_its_own_family_is_found():
    found = measure_bias([rows()], "openai/gpt-4o")
    assert found.rows == N - 1
    assert found.length.more.low > 0.3
    assert found.markdown is None  # there is none in any
    family, preferred = found.own_family
    assert family == "gpt"
    assert preferred.more.low > 0
    text = "\n".join(bias_lines(found))
    assert "Preference for longer answers: correlation 0." in text
    assert "; the judge's is higher: 0." in text
    assert "Preference for answers of its own family (gpt), 1" in text
    content = json.loads(json.dumps(found.content(), allow_nan=False))
    assert content["length"]["more"]["low"] == found.length.more.low
    assert content["self_preference"]["family"] == "gpt"


def test_no_taste_is_no_finding():
    found = measure_bias([rows(taste=0)], None)
    assert found.length.more.holds(0)
    assert found.own_family is None
    assert "no difference shown (" in bias_lines(found)[0]
    assert "higher" not in bias_lines(found)[0]


def test_blocks_are_as_the_whole():
    whole = measure_bias([rows()], "gpt-4")
    parts = measure_bias([rows(0, 150), rows(150, 151), rows(151, 400)], "gpt-4")
    assert parts.content() == whole.content()


def test_scores_by_length_and_by_value_are_those_of_the_rows():
    block = rows()
    found = measure_bias([block], None)
    known = ~np.isnan(block.probabilities[:, 0])
    length = (block.counts["length"][0] + block.counts["length"][1])[known]
    assert [part.rows for part in found.by_length] == pytest.approx([80] * 5, abs=1)
    shortest = np.argsort(length, kind="stable")[: found.by_length[0].rows]
    p, labels = block.probabilities[known][shortest], block.labels[known][shortest]
    assert found.by_length[0].scores["log_loss"].value == pytest.approx(log_loss(p, labels))
    japanese = known & (block.groups["language"] == "ja")
    part = next(part for part in found.groups["language"] if part.name == "ja")
    assert part.scores["accuracy"].value == pytest.approx(
        accuracy(block.probabilities[japanese], block.labels[japanese])
    )
    assert part.scores["accuracy"].low < part.scores["accuracy"].value < part.scores["accuracy"].high
    assert {part.name for part in found.groups["language"]} == {"en", "ja", "–"}
    headings = [section.heading for section in bias_sections(found)]
    assert headings == ["Win rates", "Bias", "By length", "By language"]


def test_win_rates_are_those_of_a_models_battles_on_either_side():
    block = rows()
    found = measure_bias([block], None)
    assert [rate.model for rate in found.win_rates] == ["gpt-4", "claude-2"]  # the judge's favourite first
    known = ~np.isnan(block.probabilities[:, 0])
    p, (first, second) = block.probabilities[known], [names[known] for names in block.models]
    won = [*(p[first == "claude-2"] @ [1, 0, 0.5]), *(p[second == "claude-2"] @ [0, 1, 0.5])]
    labels = np.eye(3)[block.labels[known]]
    told = [*(labels[first == "claude-2"] @ [1, 0, 0.5]), *(labels[second == "claude-2"] @ [0, 1, 0.5])]
    rate = found.win_rates[1]
    assert (rate.battles, rate.judge.value) == (len(won), pytest.approx(np.mean(won)))
    assert rate.labels.value == pytest.approx(np.mean(told))
    assert found.content()["win_rates"][1]["judge"]["value"] == rate.judge.value
    alone = measure_bias([rows(labelled=False, counts=False)], None)
    assert alone.win_rates[0].labels is None
    assert [section.heading for section in bias_sections(alone)] == ["Win rates"]


def test_what_is_not_at_hand_is_not_shown():
    found = measure_bias([rows(0, 200), rows(200, 400, counts=False)], None)
    assert (found.length, found.markdown, list(found.by_length)) == (None, None, [])
    assert found.groups
    unlabelled = measure_bias([rows(labelled=False)], "gpt-4")
    assert unlabelled.length.labels is None
    assert (list(unlabelled.by_length), dict(unlabelled.groups)) == ([], {})
    assert "Without labels it may be worth." in bias_lines(unlabelled)[0]
    assert not measure_bias([], "gpt-4")
    assert not measure_bias([rows(5, 6)], "gpt-4")  # the row that failed


def test_hard_verdicts_have_no_log_loss():
    found = measure_bias([rows(hard=True)], None)
    assert set(found.by_length[0].scores) == {"accuracy"}


def test_rare_values_are_put_together():
    block = rows()
    many = np.array([f"v{min(n // 4, 60)}" for n in range(N)], object)
    found = measure_bias([BiasRows(**{**vars(block), "groups": {"topic": many}})], None)
    parts = found.groups["topic"]
    assert len(parts) == 21
    assert parts[0].name == "v60"
    assert parts[-1].name == "41 others"
    assert sum(part.rows for part in parts) == N - 1
