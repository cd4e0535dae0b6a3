import json
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lib.report.battles.battle_measures import measure
from lib.report.battles.battles_page import summary, write_report
from lib.report.predictions import Failure, Predictions
from lib.scoring import row_sample
from lib.scoring.calibrating.temperature import HOTTEST
from lib.scoring.inference.estimates import row_keys
from lib.scoring.metrics import log_loss
from lib.scoring.probabilities import davidson, swap_ab
from tests.scoring import oof


def draw(p, rng):
    return (rng.random((len(p), 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=2).astype(np.int8)


@pytest.fixture
def judged():
    """A judge's 300 rows, two of them failed, with a preference for what it sees first."""
    rng = np.random.default_rng(0)
    truth = rng.dirichlet([2, 2, 2], 300)
    labels = draw(truth, rng)
    first = np.array([1.3, 1.0, 1.0])
    ab, ba = truth * first, swap_ab(swap_ab(truth) * first)
    ab, ba = ab / ab.sum(axis=1, keepdims=True), ba / ba.sum(axis=1, keepdims=True)
    p = (ab + ba) / 2
    p[[7, 8]] = ab[[7, 8]] = ba[[7, 8]] = np.nan
    mass = np.where(np.isnan(p[:, 0]), np.nan, 0.8)
    reason = "<b>killed</b> the worker"
    return Predictions(
        probabilities=p,
        labels=labels,
        ab=ab,
        ba=ba,
        label_mass=mass,
        reasons=Counter({reason: 2}),
        failures=(Failure("data/a.csv", 7, "30192", reason), Failure("data/a.csv", 8, None, reason)),
    )


def test_a_report_is_metrics_and_a_page(judged, tmp_path):
    metrics = write_report([judged], tmp_path / "new", title="Night & day", details={"model": "<tiny>"})
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["metrics.json", "report.html"]
    written = json.loads((tmp_path / "new" / "metrics.json").read_text())
    assert written == metrics.to_dict()
    keys = {"log_loss", "accuracy", "brier", "ece", "kappa", "coverage", "rows", "failed"}
    assert keys <= set(written)
    assert keys == set(written["uniform"])
    assert (written["rows"], written["failed"], written["measured"]) == (300, 2, 298)
    html = (tmp_path / "new" / "report.html").read_text()
    assert html.count("<svg") == 2
    assert "<h1>Night &amp; day</h1>" in html
    assert f"<td>{written['log_loss']:.4f}</td><td>1.0986</td>" in html
    for text in ("&lt;tiny&gt;", "&lt;b&gt;killed&lt;/b&gt; the worker", "<td>30192</td>", "coverage 99.33%"):
        assert text in html
    assert "<b>" not in html


def test_a_judge_gets_position_bias_and_a_temperature(judged):
    metrics = measure([judged]).metrics
    assert metrics.label_mass == pytest.approx(0.8)
    assert metrics.position_bias.rows == 298
    assert metrics.position_bias.first_minus_second > 0.03
    assert set(metrics.temperature_fit) == {"temperature", "tie_offset", "log_loss"}
    assert metrics.temperature_fit["temperature"] == pytest.approx(1, abs=0.35)
    assert metrics.davidson_fit is None


def test_rewards_get_a_davidson_fit_with_its_held_out_loss():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 2, (2, 3_000))
    truth = davidson(a, b, scale=0.9, bias=0.2, log_nu=-0.5)
    labels = draw(truth, rng)
    fit = measure([Predictions(probabilities=truth, labels=labels, score_a=a, score_b=b)]).metrics.to_dict()[
        "davidson_fit"
    ]
    assert fit["scale"] == pytest.approx(0.9, abs=0.1)
    assert fit["bias"] == pytest.approx(0.2, abs=0.15)
    assert fit["log_nu"] == pytest.approx(-0.5, abs=0.15)
    assert fit["log_loss"] == pytest.approx(log_loss(truth, labels), abs=0.01)


@pytest.mark.parametrize(("n", "fitted"), [(49, False), (50, True)])
def test_a_handful_of_labels_is_not_fitted(n, fitted):
    rng = np.random.default_rng(2)
    p = rng.dirichlet([1, 1, 1], 100)
    labels = np.where(np.arange(100) < n, draw(p, rng), -1).astype(np.int8)
    assert (
        "temperature_fit" in measure([Predictions(probabilities=p, labels=labels, ab=p)]).metrics.to_dict()
    ) is fitted


def test_summary_sets_the_uniform_prior_beside_each_score(judged):
    lines = summary(measure([judged]).metrics).splitlines()
    assert lines[0].split() == ["this", "run", "uniform", "95", "%"]
    table = {line[:8].strip(): line[8:].split() for line in lines[1:6]}
    assert list(table) == ["log loss", "accuracy", "Brier", "ECE", "kappa"]
    assert table["log loss"][1] == "1.0986"
    assert table["accuracy"][1] == "0.3333"
    assert table["kappa"][1] == "0.0000"
    text = "\n".join(lines[6:])
    assert "300 rows: 298 scored (coverage 99.33%), 2 failed; 300 with labels, 298 measured." in text
    assert table["log loss"][3] == "to"
    assert "Intervals: 95 %, as if no two rows were about one question." in text
    assert "Position bias: the first response shown is favoured by 0." in text
    assert "no better" not in text
    assert "where a row failed it is" in text


@pytest.mark.parametrize("power", [0, -1])
def test_summary_says_when_the_run_is_no_better_than_the_uniform_prior(judged, power):
    p = judged.probabilities**power
    lines = summary(measure([Predictions(probabilities=p, labels=judged.labels)]).metrics)
    assert "is no better than the 1.0986 of always answering" in lines
    assert "worth no more than a guess" in lines


def test_a_figure_whose_interval_holds_the_guess_is_no_finding() -> None:
    """Probabilities that know nothing, of 60 rows: neither better nor worse than a guess, and no favour for a place."""
    rng = np.random.default_rng(3)
    ab, ba, labels = rng.dirichlet([9, 9, 9], 60), rng.dirichlet([9, 9, 9], 60), rng.integers(0, 3, 60).astype(np.int8)
    metrics = measure([Predictions(probabilities=(ab + ba) / 2, labels=labels, ab=ab, ba=ba)]).metrics
    found = metrics.intervals.found
    assert found["log_loss"].low < np.log(3) < found["log_loss"].high
    text = summary(metrics)
    assert "is not shown to differ from the 1.0986 of always answering 1/3, 1/3, 1/3, a guess." in text
    assert "Position bias: no favour for either place is shown" in text
    assert "no better" not in text


def test_rows_about_one_question_widen_the_intervals(judged: Predictions) -> None:
    four = {"labels": np.tile(judged.labels, 4), "probabilities": np.tile(judged.probabilities, (4, 1))}
    by_row = measure([Predictions(**four)]).metrics
    by_question = measure([Predictions(**four, questions=np.tile(row_keys(0, 300), 4))]).metrics
    alone = measure([judged]).metrics
    for name in ("log_loss", "accuracy", "brier", "kappa"):
        width, by_rows, once = (
            m.intervals.found[name].high - m.intervals.found[name].low for m in (by_question, by_row, alone)
        )
        assert width == pytest.approx(once)
        assert width > 1.9 * by_rows
    assert by_question.to_dict()["intervals"]["by"] == "question"
    assert by_question.to_dict()["intervals"]["clusters"] == 298
    assert "rows about one question depend on each other (298 questions)." in summary(by_question)


def test_one_question_has_no_intervals(judged: Predictions, tmp_path: Path) -> None:
    one = replace(judged, questions=np.ones(300, np.uint64))
    metrics = write_report([one], tmp_path, title="One", details={})
    assert json.loads((tmp_path / "metrics.json").read_text())["intervals"] == {"by": "question", "clusters": 1}
    assert "There are no intervals: one question tells nothing about others." in summary(metrics)
    assert "is not shown to differ from the 1.0986" in summary(metrics)


def test_a_run_without_labels_has_a_report_too(judged, tmp_path):
    unknown = Predictions(probabilities=judged.probabilities, labels=np.full(300, -1, dtype=np.int8))
    metrics = write_report([unknown], tmp_path, title="Unlabelled", details={})
    assert json.loads((tmp_path / "metrics.json").read_text())["log_loss"] is None
    html = (tmp_path / "report.html").read_text()
    assert "<svg" not in html
    assert "nothing was measured" in html
    assert "nothing was measured" in summary(metrics)
    assert "300 rows: 298 scored" in summary(metrics)


def test_a_report_of_real_predictions(tmp_path):
    p, labels = oof.read()
    metrics = write_report([Predictions(probabilities=p, labels=labels)], tmp_path, title="oof", details={})
    lines = summary(metrics)
    assert "log loss    0.9488   1.0986" in lines
    assert "accuracy    0.5447   0.3333" in lines
    assert (tmp_path / "report.html").stat().st_size < 200_000


def test_parameters_are_fitted_on_what_the_engine_answered_and_say_how_they_are_used() -> None:
    p, labels = oof.read()
    plain, ruled, once = (
        measure([Predictions(probabilities=mine, labels=labels, ab=p, ba=other)]).metrics
        for mine, other in ((p, p), (p**2 / (p**2).sum(axis=1, keepdims=True), p), (p, np.full_like(p, np.nan)))
    )
    assert plain.temperature_fit == ruled.temperature_fit == once.temperature_fit
    fit = plain.temperature_fit
    assert fit is not None
    settings = f"judge.temperature={fit['temperature']:.4g} judge.tie_offset={fit['tie_offset']:.4g}"
    assert f"jobs.merge run.dir=DIR merge.out=FILE {settings}" in summary(plain)
    scores = {"score_a": np.log(p[:, 0]), "score_b": np.log(p[:, 1])}
    rewarded = measure([Predictions(probabilities=p, labels=labels, **scores)]).metrics
    assert "merge.out=FILE arena.rule=davidson arena.scale=" in summary(rewarded)
    upside_down = Predictions(probabilities=p, labels=labels, score_a=np.log(p[:, 1]), score_b=np.log(p[:, 0]))
    assert "No rule is made of it: the higher scores are those of the worse" in summary(measure([upside_down]).metrics)
    assert "jobs.merge" not in summary(measure([upside_down]).metrics)


def test_no_rule_is_made_of_probabilities_that_tell_nothing() -> None:
    p, labels = oof.read()
    backwards = measure([Predictions(probabilities=p, labels=labels, ab=p[:, [1, 0, 2]])]).metrics
    assert backwards.temperature_fit is not None
    assert backwards.temperature_fit["temperature"] == HOTTEST
    assert "No rule is made of it: the probabilities tell nothing of the labels here." in summary(backwards)
    assert "jobs.merge" not in summary(backwards)


def test_hard_verdicts_have_no_log_loss() -> None:
    hard = np.eye(3)[[0, 1, 2, 0]]
    metrics = measure([Predictions(probabilities=hard, labels=np.array([0, 1, 2, 1], np.int8))]).metrics
    assert (metrics.scores.log_loss, metrics.scores.accuracy) == (None, 0.75)
    assert "agree with the labels in 75.0% (0.0% to 100.0%) of the rows" in summary(metrics)
    assert metrics.to_dict()["log_loss"] is None


@pytest.mark.parametrize(("mass", "warns"), [(0.49, True), (0.51, False)])
def test_little_label_mass_is_warned_of(mass: float, warns: bool) -> None:
    p = np.full((4, 3), 1 / 3)
    metrics = measure([Predictions(probabilities=p, labels=np.zeros(4, np.int8), label_mass=np.full(4, mass))]).metrics
    assert ("WARNING: most of the judge's probability" in summary(metrics)) is warns


def test_rows_in_blocks_are_measured_as_the_whole(judged: Predictions, tmp_path: Path) -> None:
    def part(rows: slice) -> Predictions:
        names = ("probabilities", "labels", "ab", "ba", "label_mass")
        return Predictions(**{name: getattr(judged, name)[rows] for name in names})

    whole, parts = measure([judged]), measure([part(slice(n, n + 70)) for n in range(0, 300, 70)])
    one, other = (json.loads(json.dumps(found.metrics.to_dict())) for found in (whole, parts))
    assert one.keys() == other.keys()
    assert other["temperature_fit"] == one["temperature_fit"]
    for key in ("log_loss", "accuracy", "brier", "ece", "kappa", "label_mass", "log_loss_with_fallback"):
        assert other[key] == pytest.approx(one[key], rel=1e-12)
    assert other["position_bias"] == pytest.approx(one["position_bias"], rel=1e-12)
    np.testing.assert_allclose(other["confusion"], one["confusion"], rtol=1e-12)
    np.testing.assert_allclose(parts.reliability.accuracy, whole.reliability.accuracy, rtol=1e-12)


def test_fits_of_more_rows_than_are_held_are_of_a_sample_which_the_page_says(
    judged: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_sample, "_MOST_ROWS", 100)
    metrics = measure([judged] * 3).metrics
    assert metrics.temperature_fit is not None
    assert metrics.temperature_fit["sample"] == 56  # every 16th of 894
    assert "on rows held out (5 folds), of a sample of 56 rows" in summary(metrics)
    assert metrics.measured == 894


def test_however_many_blocks_take_the_memory_of_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_sample, "_MOST_ROWS", 1000)

    def peak(blocks: int) -> int:
        rng = np.random.default_rng(4)
        draws = (rng.dirichlet([1, 1, 1], 20_000) for _ in range(blocks))
        tracemalloc.start()
        measure(Predictions(probabilities=p, labels=draw(p, rng), ab=p) for p in draws)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(40) < 1.5 * peak(5)
