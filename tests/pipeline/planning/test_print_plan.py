"""What a plan says of a model that is not there: sizes and a sample are given, lines are read."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib.engines.dummy import DummyConfig
from lib.engines.sizing.model_size import Sizing
from lib.errors import ConfigError
from lib.pipeline.executors.inline import InlineConfig
from lib.pipeline.executors.ray_executor import RayConfig
from lib.pipeline.planning.estimate import EstimateConfig
from lib.pipeline.planning.print_plan import print_plan
from tests.pipeline.conftest import Plan

Battles = Callable[..., Path]
Lines = Callable[..., dict[str, str]]

MODEL = Sizing(  # of a 34B model in 4 bits
    settings={"num_attention_heads": 56, "num_hidden_layers": 60, "hidden_size": 7168, "head_dim": 128},
    parameters=33_471_413_248,
    weights=19_200_000_000,
    cache_per_token=245_760,
    max_model_len=1024,
    dtype="float16",
    gpus=2,
    memory_share=0.95,
    block=16,
    most_at_once=256,
)


@pytest.fixture
def lines(battles: Battles, plan: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lines:
    """The printed plan by first word: of 100 battles, with an engine on `num_gpus` GPUs."""

    def run(model: Sizing | None, num_gpus: float = 2, executor: Any = None, **config: Any) -> dict[str, str]:
        monkeypatch.setattr(DummyConfig, "sizing", lambda _: model)
        spec = replace(plan(battles(100)), engine=DummyConfig(max_model_len=512, num_gpus=num_gpus))
        print_plan(spec, executor or InlineConfig(), EstimateConfig(**config))
        words: Sequence[tuple[str, str, str]] = [line.partition(" ") for line in capsys.readouterr().out.splitlines()]
        return {first: rest.strip() for first, _, rest in words}

    return run


def test_a_model_that_fits_its_gpus(lines: Lines) -> None:
    said = lines(MODEL, gpu="t4")
    assert said["memory"] == (
        "19.2 GB of weights + 252 MB of cache for a request of 1,024 tokens: needs 2 x T4 of 16 GB"
    )
    # 2 x (15.2 GB - 1 GiB) - 19.2 GB of 240 KiB each
    assert said["cache"].startswith("9.1 GB for 36,834 tokens of 240 KiB: 35 requests of 1,024 tokens at once, 256 of")


def test_time_cost_and_workers_follow_from_tokens_and_the_data_sheet(lines: Lines) -> None:
    large = replace(MODEL, parameters=10**15, block=None)
    said = lines(large, gpu="T4", deadline="9h")
    tokens = float(said["tokens"].partition(" a row, ")[2].split()[0].replace(",", ""))
    hours = tokens * 2 * 1e15 / (2 * 65e12) / 3600  # at the peak of two GPUs
    assert said["time"] == (
        f"{hours / 0.55:.1f} h to {hours / 0.25:.1f} h with 1 worker(s) of 2 x T4, computed; "
        "plan.measure=true measures it"
    )
    assert said["cost"] == f"{2 * hours / 0.55:,.1f} to {2 * hours / 0.25:,.1f} GPU-hours, loading not counted"
    most = math.ceil(hours / 0.25 / 9)
    assert said["workers"] == (
        f"{most} ({2 * most} GPUs) are done within 9h at worst, {math.ceil(hours / 0.55 / 9)} at best; "
        "loading not counted"
    )
    assert "several times as long" in lines(replace(large, dtype="float32"), gpu="T4")["time"]


def test_time_is_shared_among_workers_and_their_gpus_are_paid(lines: Lines) -> None:
    large = replace(MODEL, parameters=10_000 * MODEL.parameters)
    alone = lines(large, gpu="T4")
    shared = lines(large, gpu="T4", executor=RayConfig(workers=10))
    best, worst = (float(alone["time"].split()[index]) for index in (0, 3))
    assert [float(shared["time"].split()[index]) for index in (0, 3)] == pytest.approx([best / 10, worst / 10], abs=0.1)
    assert [float(shared["cost"].split()[index]) for index in (0, 2)] == pytest.approx([2 * best, 2 * worst], abs=0.2)
    assert shared["cost"] == alone["cost"]


def test_prefixes_that_a_cache_spares_take_no_time(lines: Lines) -> None:
    cached, plain = lines(MODEL, gpu="T4"), lines(replace(MODEL, block=None), gpu="T4")
    assert "prefix" not in plain
    share = float(cached["prefix"].split("%")[0])
    assert 5 < share < 95
    assert "in whole blocks of 16" in cached["prefix"]
    large = replace(MODEL, parameters=10_000 * MODEL.parameters)
    with_cache, without = (lines(m, gpu="T4")["time"].split() for m in (large, replace(large, block=None)))
    assert float(with_cache[0]) == pytest.approx(float(without[0]) * (1 - share / 100), rel=0.02)


def test_a_model_that_needs_more_gpus_than_a_worker_has(lines: Lines) -> None:
    said = lines(replace(MODEL, gpus=1), num_gpus=1, gpu="L4")
    assert said["memory"].endswith("needs 1 x L4 of 24 GB")
    said = lines(replace(MODEL, gpus=1, weights=69_000_000_000), num_gpus=1, gpu="L4")
    assert "needs 4 x L4 of 24 GB, but a worker uses 1; raise engine.num_gpus" in said["memory"]
    assert "cache" not in said
    assert "too much for any number of L4" in lines(replace(MODEL, weights=10**13), gpu="L4")["memory"]


def test_an_engine_without_a_model(lines: Lines) -> None:
    said = lines(None, num_gpus=0, deadline="9h")
    assert said["time"] == "unknown for this engine; plan.measure=true measures it"
    assert not {"memory", "cache", "prefix", "cost", "workers"} & said.keys()


def test_a_measured_time_tells_workers_too(lines: Lines) -> None:
    said = lines(None, num_gpus=0, measure=True, rows=50, deadline="9h")
    assert "measured" in said["time"]
    assert said["workers"] == "1 are done within 9h at worst, 1 at best; loading not counted"


def test_contradictions_are_refused(lines: Lines) -> None:
    with pytest.raises(ConfigError, match=r"plan\.gpu=L4: engine\.num_gpus=0"):
        lines(MODEL, num_gpus=0, gpu="L4")
    with pytest.raises(ConfigError, match=r"set executor\.workers"):
        lines(MODEL, executor=RayConfig(), measure=True, deadline="9h")
