import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lib.data.reading.input_file import read_rows
from lib.data.shards import Footer, unfinished
from lib.engines.byte_tokenizer import ByteTokenizer
from lib.engines.dummy import DummyConfig
from lib.engines.sizing import hardware
from lib.engines.sizing.model_size import Sizing
from lib.pipeline import meter as module
from lib.pipeline.executors.inline import InlineConfig
from lib.pipeline.meter import Meter, RunUsage, ShardUsage, peak_seconds
from lib.pipeline.worker import Worker
from lib.types import Usage
from tests.pipeline.conftest import Plan

Battles = Callable[..., Path]

MODEL = Sizing(
    settings={"num_attention_heads": 4, "num_hidden_layers": 2, "hidden_size": 64, "head_dim": 16},
    parameters=1_000_000,
    weights=2_000_000,
    cache_per_token=512,
    max_model_len=512,
    dtype="float16",
    gpus=2,
)


def footer(**changes: float | None) -> Footer:
    plain = Footer(
        fingerprint="f",
        shard=0,
        input=0,
        start=0,
        rows=10,
        failed=0,
        tokens=100,
        seconds=1.0,
        cached_tokens=0,
        queued=0.0,
        gpu_utilization=None,
        peak_seconds=None,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_work_at_the_peak_takes_what_was_computed() -> None:
    work = ShardUsage()
    work.add([[1] * 60, [1] * 40], Usage(cached_tokens=25, queued=3))
    work.add([[1] * 100], Usage(cached_tokens=25, queued=2))
    assert (work.lengths, work.cached_tokens, work.queued) == ([60, 40, 100], 50, 3)
    assert peak_seconds(8e12, work, peak=10e12) == pytest.approx(0.75 * 8 / 10)
    assert peak_seconds(0.0, ShardUsage(), peak=1e12) == 0


def test_without_a_gpu_only_the_clock_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "visible", list)
    monkeypatch.setattr(DummyConfig, "sizing", lambda _: pytest.fail("costs seconds, and nobody needs it"))
    gauge = Meter(DummyConfig())
    seconds, busy, share = gauge.read(ShardUsage(lengths=[5]))
    assert seconds > 0
    assert (busy, share) == (None, None)


@pytest.mark.parametrize(
    ("device", "gpus", "shown"), [("auto", 2, ["a", "b"]), ("cuda:1", 1, ["b"]), ("cuda:1", 2, ["b", "c"])]
)
def test_a_worker_reads_its_own_gpus(device: str, gpus: int, shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(hardware, "visible", lambda: ["a", "b", "c"])
    monkeypatch.setattr(hardware, "detect", lambda: hardware.GPUS["L4"])
    monkeypatch.setattr(hardware, "utilization", lambda handles: seen.append(handles) or 0.5)
    monkeypatch.setattr(DummyConfig, "sizing", lambda _: replace(MODEL, device=device, gpus=gpus))
    times = iter([100.0, 102.0, 105.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(times))
    gauge = Meter(DummyConfig())
    for seconds in (2.0, 3.0):  # since the reading before
        read = gauge.read(ShardUsage([60, 40], cached_tokens=25))
        flops = 2 * 1_000_000 * 100 + 2 * 2 * 64 * (60**2 + 40**2)
        assert read == (seconds, 0.5, pytest.approx(0.75 * flops / (121e12 * gpus)))
    assert seen == [shown, shown]


def test_a_gpu_that_we_do_not_know_has_a_utilisation_but_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "visible", lambda: ["a"])
    monkeypatch.setattr(hardware, "detect", lambda: None)
    monkeypatch.setattr(hardware, "utilization", lambda handles: 0.5)
    monkeypatch.setattr(DummyConfig, "sizing", lambda _: MODEL)
    assert Meter(DummyConfig()).read(ShardUsage([5]))[1:] == (0.5, None)
    monkeypatch.setattr(DummyConfig, "sizing", lambda _: None)
    assert Meter(DummyConfig(num_gpus=1)).read(ShardUsage([5]))[1:] == (0.5, None)


def test_an_engine_on_the_cpu_has_none_of_the_machines_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "visible", lambda: ["a"])
    for model in (None, replace(MODEL, device="cpu")):
        monkeypatch.setattr(DummyConfig, "sizing", lambda _, model=model: model)
        assert Meter(DummyConfig()).read(ShardUsage([5]))[1:] == (None, None)


def test_totals_are_means_over_time() -> None:
    totals = RunUsage(
        [footer(tokens=100, cached_tokens=20, queued=10.0, seconds=1.0, gpu_utilization=0.9, peak_seconds=0.5)]
    )
    totals.add(footer(tokens=300, cached_tokens=180, queued=30.0, seconds=3.0, gpu_utilization=0.5, peak_seconds=0.9))
    totals.add(footer(tokens=0, seconds=4.0, queued=0.0))  # of a worker without a GPU
    assert totals.content() == {
        "tokens": 400,
        "seconds": 8.0,
        "tokens_per_s": 50.0,
        "cached_share": 0.5,
        "queued": 12.5,
        "gpu_utilization": 0.6,
        "mfu": 0.35,
    }
    assert totals.line() == ", 50% cached, 12 queued, GPU 60%, MFU 35%"


def test_nothing_known_is_not_shown() -> None:
    assert RunUsage().line() == RunUsage([footer()]).line() == ""
    assert set(RunUsage().content().values()) == {0, None}


def test_what_an_engine_says_of_itself_reaches_footers_and_totals(battles: Battles, plan: Plan) -> None:
    spec = plan(battles(25))
    worker = Worker(spec)
    footers = [worker.process(shard) for shard in spec.manifest.shards()]
    assert [found.queued for found in footers] == [20, 20, 10]  # requests: two for each row
    rows = read_rows(spec.manifest.inputs[0], spec.folder, 0, 10, spec.data)
    prompts = spec.task.prepare(rows, ByteTokenizer(), 512).requests
    common = next(i for i in range(512) if len({prompt[i] for prompt in prompts}) > 1)
    assert footers[0].cached_tokens == common * 19 > 0
    assert all(found.seconds > 0 and found.gpu_utilization is found.peak_seconds is None for found in footers)
    _, read = unfinished(spec.manifest, spec.folder, retry_failed=False)
    assert read == footers


def test_a_resumed_run_adds_up_all_its_shards(battles: Battles, plan: Plan) -> None:
    spec, other = plan(battles(25)), plan(battles(25), name="other")
    Worker(spec).process(spec.manifest.shards()[1])
    contents = []
    for each in (spec, other):
        each.work(InlineConfig())
        each.merge()
        contents.append(RunUsage(unfinished(each.manifest, each.folder, retry_failed=False)[1]).content())
    assert contents[0]["tokens"] == contents[1]["tokens"]
    assert contents[0]["cached_share"] == contents[1]["cached_share"]
    progress = json.loads((spec.folder / "progress.json").read_text())
    assert progress["cached_share"] > 0
    assert progress["gpu_utilization"] is progress["mfu"] is None
