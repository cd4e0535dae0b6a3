import evalica
import numpy as np
import pytest
from scipy.optimize import minimize

from lib.errors import InputError
from lib.scoring.pairings import pairings
from lib.scoring.ratings import ELO, Battles, bradley_terry, davidson, wins

FEW = 50
A, B, TIE = 0, 1, 2


def battles(rows, s, question=None):
    """rows: (first, second, outcome as a class or three probabilities)."""
    first, second, outcomes = zip(*rows, strict=True)
    outcomes = [np.eye(3)[o] if isinstance(o, int) else np.asarray(o, dtype=float) for o in outcomes]
    return Battles(
        names=tuple("abcdefghij"[:s]),
        first=np.array(first),
        second=np.array(second),
        outcomes=np.array(outcomes),
        question=np.arange(len(rows)) if question is None else np.array(question),
    )


def drawn(s, questions, rng, *, pairs=None, spread=0.0, nu=0.6):
    """Battles of s systems rated from 1 to -1; a question favours some systems, by a normal with that spread."""
    who = pairings(s, questions, pairs=pairs, seed=int(rng.integers(1 << 30)))
    strength = np.linspace(1, -1, s) + rng.normal(0, spread, (questions, s))
    d = strength[who[:, 0], who[:, 1]] - strength[who[:, 0], who[:, 2]]
    p = np.stack([np.exp(d / 2), np.exp(-d / 2), np.full(len(d), nu)], axis=1)
    p /= p.sum(axis=1, keepdims=True)
    outcome = (rng.random((len(d), 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=2)
    return battles(list(zip(who[:, 1], who[:, 2], outcome.tolist(), strict=True)), s, who[:, 0])


def by_evalica(method, data):
    """Log of evalica's strengths, with mean 0; and the whole result."""
    winners = [(evalica.Winner.X, evalica.Winner.Y, evalica.Winner.Draw)[k] for k in data.outcomes.argmax(axis=1)]
    names = np.array(data.names)
    result = method(names[data.first], names[data.second], winners, tolerance=1e-14, limit=100_000)
    logs = np.log(result.scores[list(data.names)].to_numpy())
    return logs - logs.mean(), result


def outcome_probabilities(ratings, nu, data):
    half = (ratings[data.first] - ratings[data.second]) / 2
    p = np.stack([np.exp(half), np.exp(-half), np.full(len(half), nu)], axis=1)
    return p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("s", "questions", "pairs"), [(6, 40, None), (3, 8, None), (10, 60, 4), (2, 30, None)])
def test_ratings_are_evalicas(s, questions, pairs):
    data = drawn(s, questions, np.random.default_rng(s), pairs=pairs)
    ours = bradley_terry(data, resamples=FEW)
    assert not ours.regularised
    np.testing.assert_allclose(ours.ratings, by_evalica(evalica.bradley_terry, data)[0], rtol=0, atol=1e-9)
    with_ties = davidson(data, resamples=FEW)
    # Newman (2023) iterates to the maximum of Davidson's likelihood, with nu / 2 as its parameter.
    oracle, result = by_evalica(evalica.newman, data)
    assert not with_ties.regularised
    np.testing.assert_allclose(with_ties.ratings, oracle, rtol=0, atol=1e-8)
    assert with_ties.nu == pytest.approx(2 * result.v, abs=1e-8)


def test_two_systems_have_closed_forms():
    data = battles([(0, 1, A)] * 6 + [(1, 0, A)] * 2 + [(1, 0, TIE)] * 4, 2)
    difference = np.subtract(*bradley_terry(data, resamples=FEW).ratings)
    assert difference == pytest.approx(np.log((6 + 2) / (2 + 2)))
    fit = davidson(data, resamples=FEW)
    assert np.subtract(*fit.ratings) == pytest.approx(np.log(6 / 2))
    assert fit.nu == pytest.approx(4 / np.sqrt(6 * 2))
    assert fit.ratings.sum() == pytest.approx(0)


def test_probabilities_count_in_part_and_another_maximiser_agrees():
    rng = np.random.default_rng(5)
    who = pairings(4, 20, pairs=None)
    data = battles([(i, j, p) for (_, i, j), p in zip(who, rng.dirichlet([1, 2, 3], len(who)), strict=True)], 4)

    def loss(x):
        return -(data.outcomes * np.log(outcome_probabilities(np.append(x[:3], 0), np.exp(x[3]), data))).sum()

    other = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-7}).x
    fit = davidson(data, resamples=FEW)
    np.testing.assert_allclose(fit.ratings - fit.ratings[3], np.append(other[:3], 0), atol=1e-5)
    assert fit.nu == pytest.approx(np.exp(other[3]), abs=1e-5)


def test_an_undefeated_and_a_winless_system_stay_finite():
    rows = [(0, j, A) for j in (1, 2, 3) for _ in range(9)] + [(1, 2, A), (1, 2, B), (2, 1, TIE)] * 5
    rows += [(j, 3, A) for j in (1, 2) for _ in range(9)]
    for rate in (bradley_terry, davidson):
        fit = rate(battles(rows, 4), resamples=FEW)
        assert fit.regularised
        for values in (fit.ratings, fit.sandwich.low, fit.sandwich.high, fit.bootstrap.low, fit.bootstrap.high):
            assert np.isfinite(values).all()
        assert np.abs(fit.ratings).max() < 10
        assert fit.order[0] == 0
        assert fit.order[-1] == 3
        assert fit.ratings.sum() == pytest.approx(0, abs=1e-9)


def test_all_of_twenty_won_is_rated_as_81_of_82():
    fit = bradley_terry(battles([(0, 1, A)] * 20, 2), resamples=FEW)
    chance = 1 / (1 + np.exp(fit.ratings[1] - fit.ratings[0]))
    assert 80.5 / 81.5 < chance < 81.5 / 82.5


@pytest.mark.parametrize("p", [1e-5, 1e-9, 1e-30, 0.0])
def test_a_judge_that_is_all_but_certain_proves_no_loss(p):
    certain = bradley_terry(battles([(0, 1, A)] * 20, 2), resamples=FEW)
    nearly = bradley_terry(battles([(0, 1, [1 - p, p, 0])] * 20, 2), resamples=FEW)
    assert nearly.regularised
    np.testing.assert_allclose(nearly.ratings, certain.ratings, atol=1e-3)


@pytest.mark.parametrize(
    ("rows", "regularised"),
    [
        ([(0, 1, A), (1, 2, A), (2, 0, A), (0, 1, TIE)], False),
        ([(0, 1, A), (1, 2, A), (2, 0, A)], True),  # no tie: nu would be 0
        ([(0, 1, TIE), (1, 2, TIE), (2, 0, TIE)], True),  # nothing but ties: nu would be infinite
        ([(0, 1, A), (0, 1, TIE)], True),  # wins of one side only: nu and the difference would both be infinite
        ([(0, 1, A), (1, 0, A), (1, 2, A), (1, 2, TIE)], False),  # a tie holds the winless system
    ],
)
def test_davidson_has_a_prior_just_where_its_likelihood_has_no_maximum(rows, regularised):
    data = battles(rows, 1 + max(max(i, j) for i, j, _ in rows))
    fit = davidson(data, resamples=FEW)
    assert fit.regularised is regularised
    assert np.isfinite(fit.ratings).all()
    assert 0 < fit.nu < 100
    if not regularised:
        p = outcome_probabilities(fit.ratings, fit.nu, data)
        assert (data.outcomes - p)[:, 2].sum() == pytest.approx(0, abs=1e-9)  # the likelihood's own equation for nu


def test_systems_that_never_met_are_named():
    rows = [(0, 1, A), (2, 3, B), (3, 2, TIE), (1, 2, [np.nan] * 3)]
    with pytest.raises(InputError, match=r"never met in a scored battle: a, b \| c, d \| e;"):
        bradley_terry(battles(rows, 5))


def test_battles_without_an_outcome_count_for_nothing():
    rows = [(0, 1, A), (1, 0, A), (0, 1, TIE)] * 3
    unscored = [(0, 1, [np.nan] * 3)] * 4
    data, more = battles(rows, 2), battles(rows + unscored, 2)
    assert davidson(more, resamples=FEW).battles == len(rows)
    assert davidson(more, resamples=FEW).questions == len(rows)
    np.testing.assert_array_equal(davidson(more, resamples=FEW).ratings, davidson(data, resamples=FEW).ratings)
    np.testing.assert_array_equal(wins(more), wins(data))


def test_which_is_shown_first_does_not_matter():
    data = drawn(5, 20, np.random.default_rng(3))
    turned = Battles(
        names=data.names,
        first=data.second,
        second=data.first,
        outcomes=data.outcomes[:, [1, 0, 2]],
        question=data.question,
    )
    np.testing.assert_allclose(davidson(turned, resamples=FEW).ratings, davidson(data, resamples=FEW).ratings)
    np.testing.assert_array_equal(wins(turned), wins(data))


def test_wins_go_to_the_most_probable_outcome_and_ties_to_nobody():
    rows = [
        (0, 1, [0.5, 0.2, 0.3]),
        (1, 0, [0.1, 0.5, 0.4]),
        (0, 1, [0.3, 0.3, 0.4]),
        (0, 1, [0.4, 0.4, 0.2]),  # no verdict: the order of classes decides nothing
        (2, 0, [0.34, 0.33, 0.33]),
    ]
    assert wins(battles(rows, 3)).tolist() == [[0, 2, 0], [0, 0, 0], [1, 0, 0]]


def test_the_sandwich_of_two_systems_is_worked_by_hand():
    # question -> battles won by the first of two systems, and all
    won, all_of = np.array([3, 1, 2, 4, 0]), np.array([4, 4, 3, 5, 2])
    rows = [(0, 1, A if n < w else B) for w, of in zip(won, all_of, strict=True) for n in range(of)]
    fit = bradley_terry(battles(rows, 2, np.repeat(np.arange(5), all_of)), resamples=FEW)
    p = won.sum() / all_of.sum()
    variance = ((won - all_of * p) ** 2).sum() / (all_of.sum() * p * (1 - p)) ** 2 * 5 / 4
    half = 2.776445 * np.sqrt(variance) / 2  # Student's t with 4 degrees of freedom; a rating is half the difference
    np.testing.assert_allclose(fit.sandwich.high - fit.ratings, [half, half], rtol=1e-6)
    np.testing.assert_allclose(fit.ratings - fit.sandwich.low, [half, half], rtol=1e-6)


def test_intervals_cover_the_truth_and_a_question_is_a_cluster():
    spread, runs = 1.0, 60
    truth = davidson(drawn(4, 20_000, np.random.default_rng(99), spread=spread), resamples=FEW).ratings
    inside = np.zeros((2, 4))
    for run in range(runs):
        data = drawn(4, 30, np.random.default_rng(run), spread=spread)
        fit = davidson(data, resamples=200, seed=run)
        for row, interval in enumerate((fit.sandwich, fit.bootstrap)):
            inside[row] += (interval.low <= truth) & (truth <= interval.high)
    shares = inside.mean(axis=1) / runs
    assert (shares > 0.88).all()
    assert (shares < 0.99).all()


def test_asking_the_same_again_does_not_narrow_the_intervals():
    once = drawn(4, 20, np.random.default_rng(0))
    thrice = battles(
        [(i, j, o) for i, j, o in zip(once.first, once.second, once.outcomes, strict=True) for _ in range(3)],
        4,
        np.repeat(once.question, 3),
    )
    for a, b in zip(
        (davidson(once).sandwich, davidson(once).bootstrap),
        (davidson(thrice).sandwich, davidson(thrice).bootstrap),
        strict=True,
    ):
        np.testing.assert_allclose(a.low, b.low, atol=1e-7)
        np.testing.assert_allclose(a.high, b.high, atol=1e-7)


def test_one_question_has_ratings_but_no_intervals():
    data = drawn(6, 1, np.random.default_rng(2))
    fit = bradley_terry(data)
    assert np.isfinite(fit.ratings).all()
    assert np.isnan([*fit.sandwich.low, *fit.sandwich.high, *fit.bootstrap.low, *fit.bootstrap.high]).all()
    assert fit.questions == 1


def test_the_seed_decides_the_bootstrap():
    data = drawn(4, 20, np.random.default_rng(0))
    first, again, other = (bradley_terry(data, resamples=FEW, seed=seed).bootstrap for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.low, again.low)
    assert (first.low != other.low).all()


def test_a_difference_of_400_elo_is_odds_of_ten():
    fit = bradley_terry(battles([(0, 1, A)] * 10 + [(0, 1, B)], 2), resamples=FEW)
    assert np.subtract(*fit.ratings) * ELO == pytest.approx(400)
