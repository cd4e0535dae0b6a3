"""jobs.generate as a user runs it, with a real model: the same samples whatever happens."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT, Job

DRAWS = ["generate.temperature=0.9", "generate.top_p=0.95", "generate.n=3", "generate.max_new_tokens=10"]


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.csv"
    words = ["dragons", "the sea", "a long train", "bread", "snow", "a small dog", "tea", "the night"]
    path.write_text("id,instruction\n" + "".join(f"{n},Write a line about {word}.\n" for n, word in enumerate(words)))
    return path


def line(prompts: Path, run: Path, *more: str) -> list[str]:
    return ["data=table", f"data.path={prompts}", "engine=smollm2_135m", *DRAWS, f"run.dir={run}", *more]


def texts(run: Path) -> list[list[str]]:
    found: list[list[str]] = pq.read_table(run / "result.parquet")["text"].to_pylist()
    return found


@pytest.fixture(scope="module")
def whole(prompts: Path, job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples of a run in one shard, undisturbed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    job("generate", *line(prompts, run, "executor=inline"))
    return run


def test_rows_differ_and_so_do_their_samples(whole: Path) -> None:
    rows = texts(whole)
    assert [len(row) for row in rows] == [3] * 8
    assert len({text for row in rows for text in row}) > 20
    table = pq.read_table(whole / "result.parquet")
    for reasons, counts in zip(table["finish_reason"].to_pylist(), table["new_tokens"].to_pylist(), strict=True):
        assert all(count <= 10 for count in counts)
        assert [reason == "length" for reason in reasons] == [count == 10 for count in counts]
    assert "self-bleu" not in (whole / "metrics.json").read_text()  # JSON has its own names
    assert '"self_bleu"' in (whole / "metrics.json").read_text()


@pytest.mark.parametrize(
    "other",
    [["executor=inline", "engine.batch_tokens=64", "run.shard_rows=3"], ["executor.workers=2", "run.shard_rows=2"]],
)
def test_the_same_samples_with_other_batches_and_workers(
    prompts: Path, whole: Path, job: Job, tmp_path: Path, other: list[str]
) -> None:
    job("generate", *line(prompts, tmp_path / "run", *other))
    assert texts(tmp_path / "run") == texts(whole)


def test_the_same_samples_after_a_kill(prompts: Path, whole: Path, job: Job, tmp_path: Path) -> None:
    command = line(prompts, tmp_path / "run", "executor=inline", "run.shard_rows=2", "engine.batch_tokens=64")
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.generate", *command],
        cwd=ROOT,
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while not list((tmp_path / "run" / "shards").glob("*.parquet")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    job("generate", *command)
    assert texts(tmp_path / "run") == texts(whole)


def test_another_seed_gives_other_samples(prompts: Path, whole: Path, job: Job, tmp_path: Path) -> None:
    job("generate", *line(prompts, tmp_path / "run", "executor=inline", "generate.seed=1", "data.limit=2"))
    assert texts(tmp_path / "run") != texts(whole)[:2]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["generate.temperature=-1"], "generate.temperature=-1"),
        (["generate.top_p=1.5"], "generate.top_p=1.5: must be in (0, 1]"),
        (["generate.temperature=0", "generate.top_p=1.0"], "generate.n=3: greedy texts"),
        (["generate.num_beams=2"], "a beam search draws nothing"),
        (["engine=smollm2_135m_vllm", "generate.epsilon_cutoff=0.01"], "epsilon_cutoff"),
        (["prompt.template='{instruction} {tone}'"], "column 'tone' is missing"),
        (["prompt.examples=[{instruction: a}]"], "prompt.examples, example 1"),
        (['generate.json_schema=\'{"type": "objekt"}\''], "is no JSON schema"),
        (["engine.max_model_len=16"], "engine.max_model_len=16"),
        (["data.carry=[text]"], "is also a column of this job's result"),
    ],
)
def test_bad_settings_are_refused_before_a_model_is_loaded(
    prompts: Path, job: Job, tmp_path: Path, overrides: list[str], message: str
) -> None:
    done = job("generate", *line(prompts, tmp_path / "run", "executor=inline", *overrides), code=2)
    assert message in done.stderr
    assert "the worker is ready" not in done.stderr


def test_the_preview_shows_what_the_model_gets(prompts: Path, job: Job, tmp_path: Path) -> None:
    done = job("generate", *line(prompts, tmp_path / "run", "prompt.preview=2", "executor=inline"))
    assert done.stdout.count("<|im_start|>assistant") == 2
    assert "Write a line about the sea." in done.stdout
    assert not (tmp_path / "run" / "result.parquet").exists()


def test_parts_that_are_merged_leave_what_one_process_does(prompts: Path, job: Job, tmp_path: Path) -> None:
    common = ["data=table", f"data.path={prompts}", "engine=dummy", "executor=inline", "run.shard_rows=2"]
    job("generate", *common, f"run.dir={tmp_path / 'whole'}")
    for part in range(2):
        job("generate", *common, f"run.dir={tmp_path / 'parts'}", f"shards.part={part}/2")
    job("merge", f"run.dir={tmp_path / 'parts'}")
    assert texts(tmp_path / "parts") == texts(tmp_path / "whole")
    for name in ("metrics.json", "report.html"):
        assert (tmp_path / "parts" / name).exists()
        assert (tmp_path / "whole" / name).exists()


def test_several_runs_side_by_side(prompts: Path, job: Job, tmp_path: Path) -> None:
    common: list[Any] = ["data=table", f"data.path={prompts}", "engine=dummy", "executor=inline", "generate.n=4"]
    sweep = ["generate.temperature=0.5,1.5", "generate.top_p=0.5,1.0", f"run.root={tmp_path}"]
    job("generate", "--multirun", *common, *sweep)
    done = job("evaluate", f"runs={tmp_path}/generate-*", f"out={tmp_path}/sweep")
    assert done.stdout.splitlines()[0].split() == [
        "temperature", "top_p", "self-bleu", "distinct-1", "distinct-2", "duplicates", "new", "tokens",
    ]  # fmt: skip
    page = (tmp_path / "sweep" / "report.html").read_text()
    assert "<svg" in page
    done = job("evaluate", f"runs={tmp_path}/nothing-*", code=2)
    assert "matches no folder" in done.stderr
