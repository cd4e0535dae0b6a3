from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lib.data.rows.base import OnBadRow
from lib.data.shards import unfinished
from lib.engines.sizing.hardware import GPUS
from lib.engines.sizing.model_size import Sizing
from lib.errors import ConfigError, RunFailed
from lib.pipeline.executors.inline import InlineConfig
from lib.pipeline.planning import estimate
from lib.pipeline.planning.estimate import EstimateConfig, computed_seconds, measured_seconds
from lib.pipeline.planning.sample import Estimate, Tokens, sample_tokens
from tests.pipeline.conftest import Plan

Battles = Callable[..., Path]


def lengths(rows: int, first: int = 0) -> dict[int, str]:
    """Prompts that are as many bytes long as eight times their row's number."""
    return {row: "x" * (8 * (first + row)) for row in range(rows)}


def test_interval_is_that_of_students_t() -> None:
    values = [3.0, 4.5, 1.0, 7.25, 2.0]
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    found = Estimate.of(values)
    assert (found.mean - found.error, found.mean + found.error) == pytest.approx((low, high))


def test_interval_covers_the_mean_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    samples = generator.exponential(3.0, (4000, 40))
    hits = [abs(found.mean - 3.0) <= found.error for found in map(Estimate.of, samples.tolist())]
    assert 0.92 < np.mean(hits) < 0.96


def test_a_sample_of_a_small_population_knows_more() -> None:
    values = [3.0, 4.5, 1.0, 7.25, 2.0]
    plain = Estimate.of(values).error
    assert Estimate.of(values, 20).error == pytest.approx(plain * (1 - 5 / 20) ** 0.5)
    assert Estimate.of(values, 5).error == 0
    assert Estimate.of(values, 10**9).error == pytest.approx(plain)


def test_one_value_has_no_interval() -> None:
    assert Estimate.of([2.0]) == Estimate(2.0, float("inf"))


def test_times_changes_the_unit() -> None:
    assert Estimate(2.0, 0.5).times(60) == Estimate(120.0, 30.0)


def test_sampled_rows_are_spread_over_all_files(battles: Battles, plan: Plan, tmp_path: Path) -> None:
    battles(30, lengths(30), name="part-0.csv")
    second = battles(20, lengths(20, first=30), name="part-1.csv")
    second.write_text("".join(line.replace("10", "20", 1) for line in second.read_text().splitlines(True)))
    tokens = sample_tokens(plan(tmp_path / "part-*.csv", shard_rows=7), 8)
    assert tokens.sampled == 8
    assert len(tokens.lengths) == 16  # both orders
    fixed = sample_tokens(plan(tmp_path / "part-*.csv", shard_rows=7, limit=1, name="first"), 8).lengths[0]
    steps = np.diff([(length - fixed) / 8 for length in tokens.lengths[::2]])
    assert steps == pytest.approx([7] * 7, abs=1.0)  # from row 0 to row 49; the responses differ in a few bytes


def test_a_sample_of_all_rows_is_exact(battles: Battles, plan: Plan) -> None:
    path = battles(23, lengths(23))
    tokens = sample_tokens(plan(path), 100)
    assert tokens.sampled == 23
    assert tokens.tokens.mean == pytest.approx(sum(tokens.lengths) / 23)
    assert tokens.tokens.error == 0
    assert (tokens.texts.mean, tokens.texts.error) == (3.0, 0)
    assert (tokens.share_cut.mean, tokens.cut_tokens) == (0, 0)


def test_cuts_are_counted(battles: Battles, plan: Plan) -> None:
    tokens = sample_tokens(plan(battles(20, dict.fromkeys(range(5), "y" * 1000))), 100)
    assert tokens.share_cut.mean == 0.25
    assert 500 < tokens.cut_tokens < 600  # engine.max_model_len=512
    assert max(tokens.lengths) <= 512


def test_bad_rows_are_left_out(battles: Battles, plan: Plan) -> None:
    path = battles(20, dict.fromkeys((0, 7), "UNREADABLE"))
    path.write_text(path.read_text().replace('"[""UNREADABLE""]"', "[oops"))
    spec = plan(path, on_bad_row=OnBadRow.record)
    assert sample_tokens(spec, 100).sampled == 18
    with pytest.raises(RunFailed, match="all sampled rows are bad"):
        sample_tokens(plan(path, on_bad_row=OnBadRow.record, limit=1, name="bad"), 100)


def test_warm_up_is_spread_over_the_run_and_its_shards_count(battles: Battles, plan: Plan) -> None:
    spec = plan(battles(200))
    seconds, start, _ = measured_seconds(spec, InlineConfig(), 60)
    assert seconds is not None
    todo, done = unfinished(spec.manifest, spec.folder, retry_failed=False)
    assert sorted(footer.shard for footer in done) == [0, 3, 6, 10, 13, 16]
    assert len(todo) == 14
    assert 0 < seconds.mean < float("inf")
    assert 0 < seconds.error < float("inf")
    assert start > 0


@pytest.mark.parametrize("shard_rows", [10, 5])
def test_where_nothing_is_left_the_work_that_was_done_is_the_measure(
    shard_rows: int, battles: Battles, plan: Plan
) -> None:
    spec = plan(battles(10), shard_rows=shard_rows)
    spec = replace(spec, engine=replace(spec.engine, seconds_per_request=0.01))  # two for each row; shards overlap
    for start in (0.1, 0.0):  # the second time all is done already
        measured = measured_seconds(spec, InlineConfig(), 10)
        assert measured.left is None
        assert 0.1 <= measured.worked < 5
        assert measured.start >= start


SIZE = Sizing(
    settings={"num_attention_heads": 1, "num_hidden_layers": 1, "hidden_size": 1},
    parameters=10**9,
    weights=2 * 10**9,
    cache_per_token=1000,
    max_model_len=512,
    dtype="float32",
    device="cpu",
)
READ = Tokens(
    sampled=2,
    tokens=Estimate(200, 0),
    texts=Estimate(3, 0),
    share_cut=Estimate(0, 0),
    cut_tokens=0,
    lengths=[250, 150],
    reused=[0, 100],
    new_tokens=0,
)


def test_time_on_a_gpu_is_that_of_its_data_sheet() -> None:
    assert SIZE.flops([100]) == pytest.approx(2e9 * 100, rel=1e-6)
    best, worst = computed_seconds(SIZE, READ, 1000, GPUS["T4"]) or (0, 0)
    at_peak = 500 * 2e9 * 300 / 65e12  # 300 tokens are computed of each 2 rows
    assert (best, worst) == pytest.approx((at_peak / 0.55, at_peak / 0.25), rel=1e-3)
    more = replace(READ, new_tokens=10)
    assert (computed_seconds(SIZE, more, 1000, GPUS["T4"]) or (0, 0))[0] > best


def test_time_here_is_that_of_a_measured_matrix_product(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(estimate, "peak_flops", lambda *where: asked.append(where) or 1e12)
    best, worst = computed_seconds(SIZE, READ, 1000, None) or (0, 0)
    assert asked == [("cpu", "float32")]
    assert (best, worst) == pytest.approx((300 / 0.7, 300 / 0.3), rel=1e-3)
    assert computed_seconds(SIZE, replace(READ, new_tokens=10), 1000, None) is None


def test_beginnings_are_found_in_token_ids(battles: Battles, plan: Plan) -> None:
    spec = plan(battles(20))
    plain, cached = sample_tokens(spec, 100), sample_tokens(spec, 100, block=4)
    assert set(plain.reused) == {0}
    assert cached.lengths == plain.lengths
    assert cached.reused[0] == 0
    assert all(0 < reused < length for reused, length in zip(cached.reused[1:], cached.lengths[1:], strict=True))


@pytest.mark.parametrize(("key", "value"), [("sample", 1), ("rows", 0), ("gpu", "Voodoo2"), ("deadline", "soon")])
def test_refusals(key: str, value: int | str) -> None:
    with pytest.raises(ConfigError, match=rf"plan\.{key}={value}"):
        EstimateConfig(**{key: value})
