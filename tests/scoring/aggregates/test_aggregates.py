"""The published aggregates on cases that are computed by hand, and against independent fits."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from lib.errors import InputError
from lib.scoring.aggregates.alpaca_eval import alpaca_eval, length_controlled
from lib.scoring.aggregates.arena_hard import arena_hard
from lib.scoring.aggregates.both_orders import both_orders
from lib.scoring.aggregates.judgements import Judgements, against, baseline_of
from lib.scoring.aggregates.llmbar import llmbar

THREE = np.eye(3)
TWO = np.eye(3)[:2]
FIVE = np.eye(3)[[0, 0, 2, 1, 1]]  # A>>B, A>B, A=B, B>A, B>>A
NONE = math.nan


def judged(
    ab: Sequence[Sequence[float]], ba: Sequence[Sequence[float]] | None = None, outcomes: Any = THREE, **given: Any
) -> Judgements:
    first = np.array(ab, np.float64)
    settings = {
        "outcomes": outcomes,
        "weights": np.ones(len(outcomes)),
        "systems": None,
        "labels": np.full(len(first), -1),
        "clusters": range(len(first)),
        "ids": [str(n) for n in range(len(first))],
    }
    second = np.full_like(first, NONE) if ba is None else np.array(ba, np.float64)
    return Judgements(ab=first, ba=second, **{**settings, **given})


def one_hot(places: Sequence[int], k: int = 3) -> Any:
    return np.eye(k)[list(places)]


FIRST, SECOND, TIE = 0, 1, 2


def test_who_wins_in_both_orders_wins() -> None:
    # What A is in the second order is shown second: (first, second) in ab and ba are opposite systems.
    ab = one_hot([FIRST, FIRST, SECOND, TIE, FIRST, TIE])
    ba = one_hot([SECOND, FIRST, FIRST, TIE, TIE, SECOND])
    found = both_orders(judged(ab, ba))
    assert found["battles"] == 6
    assert found["orders_agree"] == pytest.approx(3 / 6)  # rows 0 (A, A), 2 (B, B), 3 (tie, tie)
    a, b = found["systems"]["A"], found["systems"]["B"]
    assert (a["wins"], a["losses"], a["ties"]) == (1, 1, 4)
    assert (b["wins"], b["losses"], b["ties"]) == (1, 1, 4)
    assert a["win_rate"]["mean"] == pytest.approx(0.5)


def test_one_order_alone_counts_and_equal_shares_are_a_tie() -> None:
    found = both_orders(judged([[0.6, 0.3, 0.1], [0.5, 0.5, 0.0], [NONE] * 3]))
    assert found["orders_agree"] is None
    assert found["battles"] == 2
    assert (found["systems"]["A"]["wins"], found["systems"]["A"]["ties"]) == (1, 1)


def test_systems_are_counted_wherever_they_stand() -> None:
    systems = [("x", "y"), ("y", "x"), ("y", "z")]
    found = both_orders(judged(one_hot([FIRST, SECOND, TIE]), systems=systems))["systems"]
    assert (found["x"]["wins"], found["y"]["losses"], found["y"]["ties"], found["z"]["ties"]) == (2, 2, 1, 1)
    assert found["y"]["win_rate"]["mean"] == pytest.approx(0.5 / 3)


def test_a_strong_verdict_is_three_games() -> None:
    # B is the system, A the baseline. First order: B>>A, A=B, A>B; second order (B first): A>>B, A>B, A=B.
    ab, ba = one_hot([4, 2, 1], 5), one_hot([0, 1, 2], 5)
    found = arena_hard(judged(ab, ba, FIVE, weights=np.array([3.0, 1, 1, 1, 3])), None)
    assert found["baseline"] == "A"
    own = found["systems"]["B"]
    assert own["games"] == 6
    # games of B: win x3, half, loss; win x3, win, half
    assert own["weighted_win_rate"]["mean"] == pytest.approx((3 + 0.5 + 0 + 3 + 1 + 0.5) / 10)
    assert own["win_rate"]["mean"] == pytest.approx((1 + 0.5 + 0 + 1 + 1 + 0.5) / 6)
    assert own["weighted_win_rate"]["clusters"] == 3
    assert own["rating"] == pytest.approx(1000 + 400 * math.log10(0.8 / 0.2))


def test_the_rating_is_that_of_a_bradley_terry_fit_of_all_games() -> None:
    rng = np.random.default_rng(0)
    systems = [("base", "x") if n % 2 else ("y", "base") for n in range(60)]
    ab, ba = (one_hot(rng.integers(0, 5, 60), 5) for _ in range(2))
    weights = np.array([3.0, 1, 1, 1, 3])
    found = arena_hard(judged(ab, ba, FIVE, systems=systems, weights=weights), "base")["systems"]
    names = ["base", "x", "y"]
    games = []  # first, second, score of the first, weight: as the published script lists them
    for shares, swap in ((ab, False), (ba, True)):
        for row, label in enumerate(shares.argmax(axis=1)):
            pair = systems[row][::-1] if swap else systems[row]
            score = (1.0, 1.0, 0.5, 0.0, 0.0)[label]
            games.append((names.index(pair[0]), names.index(pair[1]), score, weights[label]))
    first, second, score, weight = (np.array(column) for column in zip(*games, strict=True))

    def loss(strengths: Any) -> float:
        z = np.concatenate([[0.0], strengths])
        d = z[first.astype(int)] - z[second.astype(int)]
        return float((weight * (np.logaddexp(0, d) - score * d)).sum())

    fitted = minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-10}).x * 400 / math.log(10) + 1000
    assert [found["x"]["rating"], found["y"]["rating"]] == pytest.approx(fitted.tolist(), abs=1e-2)


def test_a_system_that_wins_all_has_no_rating() -> None:
    found = arena_hard(judged(one_hot([3, 4], 5), outcomes=FIVE), None)["systems"]["B"]
    assert (found["win_rate"]["mean"], found["rating"]) == (1, None)


def test_the_win_rate_is_the_mean_probability() -> None:
    ab = [[0.2, 0.8], [0.7, 0.3], [0.5, 0.5], [NONE, NONE]]
    ba = [[0.6, 0.4], [0.5, 0.5], [0.5, 0.5], [NONE, NONE]]
    found = alpaca_eval(judged(ab, ba, TWO), None, None)["systems"]["B"]
    assert found["win_rate"]["mean"] == pytest.approx((0.7 + 0.4 + 0.5) / 3)
    assert found["discrete_win_rate"]["mean"] == pytest.approx((1 + 0 + 0.5) / 3)
    assert found["length_controlled"] is None


def test_at_equal_length_what_length_alone_did_is_gone() -> None:
    rng = np.random.default_rng(1)
    difference = rng.normal(scale=300, size=4000)
    z = 0.4 + 1.5 * np.tanh(difference / difference.std(ddof=1))
    found = length_controlled(1 / (1 + np.exp(-z)), difference, None)
    assert found["win_rate"] == pytest.approx(1 / (1 + math.exp(-0.4)), abs=1e-5)
    assert found["terms"] == pytest.approx({"intercept": 0.4, "tanh(length difference)": 1.5}, abs=1e-4)


def test_the_fit_is_that_of_another_library() -> None:
    sklearn = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(2)
    n = 300
    p, difference, difficulty = rng.uniform(size=n), rng.normal(size=n), rng.normal(size=n)
    features = np.column_stack([np.tanh(difference / difference.std(ddof=1)), difficulty])
    model = sklearn.LogisticRegression(C=1e9, tol=1e-10, max_iter=1000)
    both = np.concatenate([np.ones(n), np.zeros(n)])
    model.fit(np.concatenate([features, features]), both, sample_weight=np.concatenate([p, 1 - p]))
    found = length_controlled(p, difference, difficulty)
    wanted = [*model.intercept_, *model.coef_[0]]
    assert list(found["terms"].values()) == pytest.approx(wanted, abs=1e-4)
    at_equal = 1 / (1 + np.exp(-(wanted[0] + wanted[2] * difficulty)))
    assert found["win_rate"] == pytest.approx(at_equal.mean(), abs=1e-4)


def test_lengths_of_the_system_and_the_baseline_are_told_apart() -> None:
    lengths = np.array([[100.0, 200.0], [100.0, 400.0], [300.0, 100.0], [200.0, 200.0]])
    longer = [[0.2, 0.8], [0.1, 0.9], [0.8, 0.2], [0.5, 0.5]]  # B is preferred where it is longer
    found = alpaca_eval(judged(longer, outcomes=TWO, lengths=lengths), None, None)["systems"]["B"]
    assert found["mean_length"] == 225
    assert found["length_controlled"]["terms"]["tanh(length difference)"] < -1  # d is the baseline's minus the system's


def test_difficulties_are_looked_up_by_id() -> None:
    lengths = np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 5.0]])
    j = judged([[0.2, 0.8], [0.6, 0.4], [0.5, 0.5]], outcomes=TWO, lengths=lengths)
    found = alpaca_eval(j, None, {"0": 1.0, "1": -1.0, "2": 0.0})["systems"]["B"]["length_controlled"]
    assert list(found["terms"]) == ["intercept", "tanh(length difference)", "instruction difficulty"]
    with pytest.raises(KeyError):
        alpaca_eval(j, None, {"0": 1.0})


def test_all_for_one_side_and_equal_lengths_are_no_trouble() -> None:
    found = length_controlled(np.ones(5), np.zeros(5), None)
    assert list(found["terms"]) == ["intercept"]
    assert 0.99 < found["win_rate"] <= 1


def test_accuracy_is_that_of_both_orders_and_agreement_is_apart() -> None:
    labels = np.array([0, 1, 0, 1, -1])
    ab = [[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.5, 0.5], [0.9, 0.1]]  # A, A, A, tied, A
    ba = [[0.1, 0.9], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1]]  # A, B, B, B, B
    found = llmbar(judged(ab, ba, TWO, labels=labels))
    assert found["accuracy_ab"]["mean"] == pytest.approx((1 + 0 + 1 + 0.5) / 4)
    assert found["accuracy_ba"]["mean"] == pytest.approx((1 + 1 + 0 + 1) / 4)
    assert found["accuracy"]["mean"] == pytest.approx(5.5 / 8)
    assert found["positional_agreement"]["mean"] == pytest.approx(1 / 5)


def test_the_baseline_is_the_system_that_is_always_there() -> None:
    def of(*systems: tuple[str, str]) -> Judgements:
        return judged(one_hot([0] * len(systems)), systems=systems or None)

    assert baseline_of(judged(one_hot([0])), None) == "A"
    assert baseline_of(of(("x", "y"), ("x", "z")), None) == "x"
    assert baseline_of(of(("y", "x"), ("x", "z")), None) == "x"
    assert baseline_of(of(("x", "y"), ("y", "x")), "y") == "y"
    with pytest.raises(InputError, match="name one with baseline=NAME, of x, y"):
        baseline_of(of(("x", "y"), ("y", "x")), None)
    with pytest.raises(InputError, match="baseline=w: is none of the systems, which are x, y"):
        baseline_of(of(("x", "y")), "w")


def test_battles_without_the_baseline_and_with_itself_are_left_out() -> None:
    found = against(judged(one_hot([0] * 4), systems=[("b", "x"), ("x", "b"), ("x", "y"), ("b", "b")]), "b")
    assert found.keys() == {"x"}
    assert found["x"].rows.tolist() == [0, 1]
    assert found["x"].is_b.tolist() == [True, False]
