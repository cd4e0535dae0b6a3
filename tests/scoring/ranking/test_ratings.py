import evalica
import numpy as np
import pytest
from scipy.optimize import minimize

from lib.errors import ConfigError, InputError
from lib.scoring.ranking import covariance
from lib.scoring.ranking.outcomes import RatingModel
from lib.scoring.ranking.ratings import rate
from lib.scoring.ranking.votes import Votes, wins
from tests.scoring.ranking.drawing import TIE, A, B, drawn, outcome_probabilities, votes

BT, DAVIDSON, RAO_KUPPER, ELO = RatingModel
FITTED = [BT, DAVIDSON, RAO_KUPPER]
TIES = {BT: 0.6, DAVIDSON: 0.6, RAO_KUPPER: 1.7}


def some(model, s, questions, seed=0, **options):
    return drawn(model, np.linspace(1, -1, s), questions, np.random.default_rng(seed), tie=TIES[model], **options)


def by_evalica(method, data, **options):
    """evalica's scores, in the order of the systems; and the whole result."""
    winners = [(evalica.Winner.X, evalica.Winner.Y, evalica.Winner.Draw)[k] for k in data.outcomes.argmax(axis=1)]
    names = np.array(data.names)
    result = method(names[data.first], names[data.second], winners, **options)
    return result.scores[list(data.names)].to_numpy(), result


def by_scipy(model, data):
    """Ratings with mean 0, nu or theta, and the coefficients, by another maximiser of the papers' own formulas."""
    s, c = len(data.names), len(data.covariates)

    def loss(x):
        z = x[data.first] - x[data.second] + sum(x[s + i] * column for i, column in enumerate(data.covariates.values()))
        if model is BT:
            won = data.outcomes[:, 0] + data.outcomes[:, 2] / 2
            return (won * np.log1p(np.exp(-z)) + (1 - won) * np.log1p(np.exp(z))).sum() + x[:s].sum() ** 2
        p = outcome_probabilities(model, z, np.exp(x[-1]))
        return -(data.outcomes * np.log(np.maximum(p, 1e-300))).sum() + x[:s].sum() ** 2

    x = minimize(loss, np.append(np.zeros(s + c), 0.5), method="BFGS", options={"gtol": 1e-6}).x
    return x[:s], np.exp(x[-1]), x[s : s + c]


@pytest.mark.parametrize(("s", "questions", "pairs"), [(6, 40, None), (3, 20, None), (10, 60, 4), (2, 30, None)])
def test_ratings_are_evalicas(s, questions, pairs):
    data = some(DAVIDSON, s, questions, pairs=pairs)
    ours = rate(data, BT)
    assert not ours.regularised
    logs = np.log(by_evalica(evalica.bradley_terry, data, tolerance=1e-14, limit=100_000)[0])
    np.testing.assert_allclose(ours.ratings, logs - logs.mean(), rtol=0, atol=1e-9)
    with_ties = rate(data, DAVIDSON)
    # Newman (2023) iterates to the maximum of Davidson's likelihood, with nu / 2 as its parameter.
    scores, result = by_evalica(evalica.newman, data, tolerance=1e-14, limit=100_000)
    assert not with_ties.regularised
    np.testing.assert_allclose(with_ties.ratings, np.log(scores) - np.log(scores).mean(), rtol=0, atol=1e-8)
    assert with_ties.tie_parameter.value == pytest.approx(2 * result.v, abs=1e-8)


def test_elo_is_evalicas():
    data = some(DAVIDSON, 6, 40)
    scores, _ = by_evalica(evalica.elo, data, initial=1000, base=10, scale=400, k=4)
    points = 400 / np.log(10)
    np.testing.assert_allclose(rate(data, ELO).ratings * points, scores - scores.mean(), atol=1e-9)
    assert np.isnan([rate(data, ELO).low, rate(data, ELO).high, rate(data, ELO).rank_low]).all()


@pytest.mark.parametrize("model", FITTED)
@pytest.mark.parametrize("position", [0.0, 0.4])
def test_another_maximiser_of_the_papers_formulas_agrees(model, position):
    data = some(model, 5, 30, position=position)
    fit = rate(data, model)
    ratings, tie, coefficients = by_scipy(model, data)
    np.testing.assert_allclose(fit.ratings, ratings, atol=1e-4)
    np.testing.assert_allclose([c.value for c in fit.coefficients.values()], coefficients, atol=1e-4)
    if model is not BT:
        assert fit.tie_parameter.value == pytest.approx(tie, abs=1e-3)


def test_two_systems_have_closed_forms():
    data = votes([(0, 1, A)] * 6 + [(1, 0, A)] * 2 + [(1, 0, TIE)] * 4, 2)
    assert np.subtract(*rate(data, BT).ratings) == pytest.approx(np.log((6 + 2) / (2 + 2)))
    fit = rate(data, DAVIDSON)
    assert np.subtract(*fit.ratings) == pytest.approx(np.log(6 / 2))
    assert fit.tie_parameter.value == pytest.approx(4 / np.sqrt(6 * 2))
    fit = rate(data, RAO_KUPPER)
    won, lost = np.log([6 / 6, 2 / 10])  # both log-odds are met: z - ln theta, and -z - ln theta
    assert np.subtract(*fit.ratings) == pytest.approx((won - lost) / 2)
    assert fit.tie_parameter.value == pytest.approx(np.exp(-(won + lost) / 2))
    for each in (data, Votes(names=data.names, first=data.first, second=data.second, outcomes=data.outcomes)):
        np.testing.assert_allclose(rate(each, DAVIDSON).outcomes[0, 1], np.array([6, 2, 4]) / 12)
        np.testing.assert_allclose(rate(each, RAO_KUPPER).win_rates[1, 0], (2 + 4 / 2) / 12)


@pytest.mark.parametrize("model", FITTED)
def test_probabilities_count_in_part(model):
    rng = np.random.default_rng(5)
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j] * 3
    data = votes([(i, j, p) for (i, j), p in zip(pairs, rng.dirichlet([1, 2, 3], len(pairs)), strict=True)], 4)
    np.testing.assert_allclose(rate(data, model).ratings, by_scipy(model, data)[0], atol=1e-4)


@pytest.mark.parametrize("model", FITTED)
def test_a_weight_is_as_many_votes(model):
    data = some(model, 4, 20)
    weight = np.random.default_rng(1).integers(0, 4, len(data.first))
    weighted = rate(Votes(**{**vars(data), "weight": weight / 2}), model)
    again = np.repeat(np.arange(len(weight)), weight)
    columns = {name: getattr(data, name)[again] for name in ("first", "second", "outcomes", "question")}
    repeated = rate(Votes(names=data.names, **columns), model)
    for name in ("ratings", "low", "high"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), atol=1e-9)
    assert weighted.votes == (weight > 0).sum()
    assert weighted.counts.sum() == 2 * weighted.votes


@pytest.mark.parametrize("model", FITTED)
def test_which_is_shown_first_matters_only_to_the_position(model):
    data = some(model, 5, 20, position=0.5)
    turned = Votes(
        names=data.names,
        first=data.second,
        second=data.first,
        outcomes=data.outcomes[:, [1, 0, 2]],
        question=data.question,
        covariates={"position": -np.ones(len(data.first))},
    )
    fit, other = rate(data, model), rate(turned, model)
    np.testing.assert_allclose(fit.ratings, other.ratings, atol=1e-9)
    assert fit.coefficients["position"].value == pytest.approx(other.coefficients["position"].value)
    np.testing.assert_array_equal(wins(turned), wins(data))


@pytest.mark.parametrize("model", FITTED)
def test_an_undefeated_and_a_winless_system_stay_finite_and_are_named(model):
    rows = [(0, j, A) for j in (1, 2, 3) for _ in range(9)] + [(1, 2, A), (1, 2, B), (2, 1, TIE)] * 5
    rows += [(j, 3, A) for j in (1, 2) for _ in range(9)]
    fit = rate(votes(rows, 4), model)
    assert fit.regularised
    assert (fit.extremes.undefeated, fit.extremes.winless) == ((0,), (3,))
    for values in (fit.ratings, fit.low, fit.high):
        assert np.isfinite(values).all()
    assert np.abs(fit.ratings).max() < 10
    assert fit.order.tolist()[::3] == [0, 3]
    assert fit.ratings.sum() == pytest.approx(0, abs=1e-9)
    assert (fit.high - fit.low)[[0, 3]].min() > 1.5 * (fit.high - fit.low)[[1, 2]].max()  # little is known of these


def test_all_of_twenty_won_is_rated_as_81_of_82():
    fit = rate(votes([(0, 1, A)] * 20, 2), BT)
    assert 80.5 / 81.5 < fit.win_rates[0, 1] < 81.5 / 82.5
    low = 1 / (1 + np.exp(-2 * fit.low[0]))
    assert low < 0.832  # Clopper and Pearson's lower bound of 20 in 20: nothing is claimed beyond it


@pytest.mark.parametrize("p", [1e-5, 1e-9, 1e-30, 0.0])
def test_a_judge_that_is_all_but_certain_proves_no_loss(p):
    certain = rate(votes([(0, 1, A)] * 20, 2), BT)
    nearly = rate(votes([(0, 1, [1 - p, p, 0])] * 20, 2), BT)
    assert nearly.regularised
    np.testing.assert_allclose(nearly.ratings, certain.ratings, atol=1e-3)


@pytest.mark.parametrize(
    ("rows", "regularised"),
    [
        ([(0, 1, A), (1, 2, A), (2, 0, A), (0, 1, TIE)], False),
        ([(0, 1, TIE), (1, 2, TIE), (2, 0, TIE)], True),  # nothing but ties: nu would be infinite
        ([(0, 1, A), (0, 1, TIE)], True),  # wins of one side only: nu and the difference would both be infinite
        ([(0, 1, A), (1, 2, A), (0, 2, TIE)], False),  # 0 is ahead of 2 by two wins, and of one they are the same
        ([(0, 1, A), (1, 2, TIE), (2, 0, TIE)], True),  # 0, 2 and 1 could stand half a win apart
        ([(0, 1, A), (1, 0, A), (1, 2, A), (1, 2, TIE)], False),  # a tie holds the winless system
    ],
)
@pytest.mark.parametrize("model", [DAVIDSON, RAO_KUPPER])
def test_there_is_a_prior_just_where_a_likelihood_with_ties_has_no_maximum(rows, regularised, model):
    data = votes(rows, 1 + max(max(i, j) for i, j, _ in rows))
    fit = rate(data, model)
    assert fit.regularised is regularised
    assert np.isfinite(fit.ratings).all()
    assert 0 < fit.tie_parameter.value < 100
    if not regularised:
        np.testing.assert_allclose(fit.ratings, by_scipy(model, data)[0], atol=1e-3)


@pytest.mark.parametrize("model", [DAVIDSON, RAO_KUPPER])
def test_without_ties_all_models_are_one(model):
    data = votes([(0, 1, A), (1, 2, A), (2, 0, A), (0, 1, A)], 3)
    fit = rate(data, model)
    assert fit.tie_parameter is None
    assert not fit.regularised
    np.testing.assert_array_equal(fit.ratings, rate(data, BT).ratings)
    np.testing.assert_array_equal(fit.outcomes, rate(data, BT).outcomes)


def test_systems_that_never_met_are_named():
    rows = [(0, 1, A), (2, 3, B), (3, 2, TIE), (1, 2, [np.nan] * 3)]
    for model in RatingModel:
        with pytest.raises(InputError, match=r"never met in a vote that counts: a, b \| c, d \| e;"):
            rate(votes(rows, 5), model)


def test_votes_without_an_outcome_count_for_nothing():
    rows = [(0, 1, A), (1, 0, A), (0, 1, TIE)] * 3
    data, more = votes(rows, 2, range(9)), votes([*rows, *[(0, 1, [np.nan] * 3)] * 4], 2, range(13))
    assert rate(more, DAVIDSON).votes == rate(more, DAVIDSON).questions == len(rows)
    np.testing.assert_array_equal(rate(more, DAVIDSON).ratings, rate(data, DAVIDSON).ratings)
    np.testing.assert_array_equal(wins(more), wins(data))


def test_wins_go_to_the_most_probable_outcome_and_ties_to_nobody():
    rows = [
        (0, 1, [0.5, 0.2, 0.3]),
        (1, 0, [0.1, 0.5, 0.4]),
        (0, 1, [0.3, 0.3, 0.4]),
        (0, 1, [0.4, 0.4, 0.2]),  # no verdict: the order of classes decides nothing
        (2, 0, [0.34, 0.33, 0.33]),
    ]
    assert wins(votes(rows, 3)).tolist() == [[0, 2, 0], [0, 0, 0], [1, 0, 0]]


def test_the_interval_of_two_systems_is_worked_by_hand():
    # question -> votes won by the first of two systems, and all
    won, all_of = np.array([3, 1, 2, 4, 0]), np.array([4, 4, 3, 5, 2])
    rows = [(0, 1, A if n < w else B) for w, of in zip(won, all_of, strict=True) for n in range(of)]
    fit = rate(votes(rows, 2, np.repeat(np.arange(5), all_of)), BT)
    p = won.sum() / all_of.sum()
    moved = (won - all_of * p) / ((all_of.sum() - all_of) * p * (1 - p))  # by leaving out one question each
    variance = (moved**2).sum() * 4 / 5
    half = 2.776445 * np.sqrt(variance) / 2  # Student's t with 4 degrees of freedom; a rating is half the difference
    np.testing.assert_allclose(fit.high - fit.ratings, [half, half], rtol=1e-6)
    np.testing.assert_allclose(fit.ratings - fit.low, [half, half], rtol=1e-6)


@pytest.mark.parametrize("model", FITTED)
def test_scores_are_the_same_however_many_votes_are_looked_at_together(model, monkeypatch):
    data = some(model, 5, 20, position=0.3)
    shuffled = np.random.default_rng(0).permutation(len(data.first))
    columns = {name: getattr(data, name)[shuffled] for name in ("first", "second", "outcomes", "question")}
    data = Votes(names=data.names, **columns, covariates=data.covariates)
    whole = rate(data, model)
    monkeypatch.setattr(covariance, "_VOTES", 7)
    np.testing.assert_allclose(rate(data, model).low, whole.low, rtol=1e-12)


def test_an_anchor_stands_still_and_the_others_are_told_from_it():
    data = some(DAVIDSON, 5, 40)
    free, held = rate(data, DAVIDSON), rate(data, DAVIDSON, anchor="m2")
    np.testing.assert_allclose(held.ratings, free.ratings - free.ratings[2])
    assert held.low[2] == held.high[2] == held.ratings[2] == 0
    np.testing.assert_array_equal(held.rank_low, free.rank_low)
    pair = Votes(names=data.names, first=data.first, second=data.second, outcomes=data.outcomes, question=data.question)
    np.testing.assert_array_equal(rate(pair, DAVIDSON, anchor="m2").high, held.high)
    with pytest.raises(ConfigError, match=r"anchor=gpt: no such system; there are m0, m1"):
        rate(data, BT, anchor="gpt")


def test_ranks_are_ranges_where_differences_are_not_told():
    rows = [(0, 1, A)] * 52 + [(0, 1, B)] * 48 + [(i, 2, A) for i in (0, 1)] * 95 + [(i, 2, B) for i in (0, 1)] * 5
    fit = rate(votes(rows, 3), BT)
    assert fit.rank_low.tolist() == [1, 1, 3]
    assert fit.rank_high.tolist() == [2, 2, 3]


def test_asking_the_same_again_does_not_narrow_the_intervals():
    once = some(DAVIDSON, 4, 20)
    columns = {name: np.repeat(getattr(once, name), 3, axis=0) for name in ("first", "second", "outcomes", "question")}
    thrice = Votes(names=once.names, **columns)
    for resamples in (0, 40):
        one, other = (rate(data, DAVIDSON, resamples=resamples) for data in (once, thrice))
        np.testing.assert_allclose(one.low, other.low, atol=1e-7)


def test_one_question_has_ratings_but_no_intervals():
    fit = rate(some(BT, 8, 1, seed=2), BT)
    assert np.isfinite(fit.ratings).all()
    assert np.isnan([*fit.low, *fit.high, *fit.rank_low, *fit.rank_high]).all()
    assert fit.questions == 1


def test_the_bootstrap_is_as_wide_as_the_sandwich_and_its_seed_decides():
    data = some(DAVIDSON, 4, 60)
    resampled = rate(data, DAVIDSON, resamples=200)
    formula = rate(data, DAVIDSON)
    np.testing.assert_allclose(resampled.high - resampled.low, formula.high - formula.low, rtol=0.2)
    first, again, other = (rate(data, BT, resamples=20, seed=seed).low for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_a_position_that_is_always_the_same_can_not_be_told():
    data = votes([(0, 1, A), (0, 1, B), (0, 1, TIE)], 2, position=np.ones(3))
    with pytest.raises(InputError, match="the effect of position can't be told from the ratings"):
        rate(data, BT)


@pytest.mark.parametrize("model", FITTED)
def test_a_covariate_that_decides_all_votes_is_held_finite(model):
    rows = [(i, j, A) for i in range(3) for j in range(3) if i != j] * 4  # whoever is first
    fit = rate(votes(rows, 3, position=np.ones(len(rows))), model)
    assert fit.regularised
    assert 1 < fit.coefficients["position"].value < 10
    np.testing.assert_allclose(fit.ratings, 0, atol=1e-9)


@pytest.mark.parametrize(("resamples", "runs"), [(0, 60), (10, 30)])
@pytest.mark.parametrize("model", FITTED)
def test_intervals_cover_the_truth(model, resamples, runs):
    """The small version of tests/bench/coverage.py: 95 % of the intervals, give or take what so few tell."""
    truth = np.linspace(1, -1, 12)
    inside = []
    for seed in range(runs):
        data = drawn(model, truth, 40, np.random.default_rng(seed), pairs=30, tie=TIES[model], position=0.3)
        fit = rate(data, model, resamples=resamples)
        position = fit.coefficients["position"]
        inside += [*((fit.low <= truth) & (truth <= fit.high)), position.low <= 0.3 <= position.high]
    assert 0.92 < np.mean(inside) < 0.98


def test_a_question_is_a_cluster():
    """Where questions favour systems, intervals without questions are too narrow, and those with them are not."""
    runs = 60
    truth = rate(some(DAVIDSON, 4, 20_000, seed=99, spread=1.0), DAVIDSON).ratings
    inside = {True: 0.0, False: 0.0}
    for seed in range(runs):
        data = some(DAVIDSON, 4, 30, seed=seed, spread=1.0, voters=4)
        for clustered in inside:
            fit = rate(data if clustered else Votes(**{**vars(data), "question": None}), DAVIDSON)
            inside[clustered] += ((fit.low <= truth) & (truth <= fit.high)).mean() / runs
    assert 0.89 < inside[True] < 0.99
    assert inside[False] < inside[True] - 0.15
