"""jobs.generate in this process: what is refused, previewed, merged and compared."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.conftest import Job

DRAWS = ["generate.temperature=0.9", "generate.top_p=0.95", "generate.n=3", "generate.max_new_tokens=10"]


def line(prompts: Path, run: Path, *more: str) -> list[str]:
    return ["data=table", f"data.path={prompts}", "engine=smollm2_135m", *DRAWS, f"run.dir={run}", *more]


def texts(run: Path) -> list[list[str]]:
    found: list[list[str]] = pq.read_table(run / "result.parquet")["text"].to_pylist()
    return found


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
    prompts: Path, quick_job: Job, tmp_path: Path, overrides: list[str], message: str
) -> None:
    done = quick_job("generate", *line(prompts, tmp_path / "run", "executor=inline", *overrides), code=2)
    assert message in done.stderr
    assert "the worker is ready" not in done.stderr


def test_the_preview_shows_what_the_model_gets(prompts: Path, quick_job: Job, tmp_path: Path) -> None:
    done = quick_job("generate", *line(prompts, tmp_path / "run", "prompt.preview=2", "executor=inline"))
    assert done.stdout.count("<|im_start|>assistant") == 2
    assert "Write a line about the sea." in done.stdout
    assert not (tmp_path / "run" / "result.parquet").exists()


def test_elements_that_are_merged_leave_what_one_process_does(prompts: Path, quick_job: Job, tmp_path: Path) -> None:
    common = ["data=table", f"data.path={prompts}", "engine=dummy", "executor=inline", "run.shard_rows=2"]
    quick_job("generate", *common, f"run.dir={tmp_path / 'whole'}")
    for part in range(2):
        quick_job("generate", *common, f"run.dir={tmp_path / 'parts'}", f"array.element={part}/2")
    quick_job("merge", f"run.dir={tmp_path / 'parts'}")
    assert texts(tmp_path / "parts") == texts(tmp_path / "whole")
    for name in ("metrics.json", "report.html"):
        assert (tmp_path / "parts" / name).exists()
        assert (tmp_path / "whole" / name).exists()


def test_several_runs_side_by_side(prompts: Path, quick_job: Job, tmp_path: Path) -> None:
    common: list[Any] = ["data=table", f"data.path={prompts}", "engine=dummy", "executor=inline", "generate.n=4"]
    sweep = ["generate.temperature=0.5,1.5", "generate.top_p=0.5,1.0", f"run.root={tmp_path}"]
    quick_job("generate", "--multirun", *common, *sweep)
    done = quick_job("evaluate", f"runs={tmp_path}/generate-*", f"out={tmp_path}/sweep")
    assert done.stdout.splitlines()[0].split() == [
        "temperature", "top_p", "self-bleu", "distinct-1", "distinct-2", "ead-1", "ead-2",
        "rarefied-1", "rarefied-2", "duplicates", "new", "tokens",
    ]  # fmt: skip
    page = (tmp_path / "sweep" / "report.html").read_text()
    assert "<svg" in page
    done = quick_job("evaluate", f"runs={tmp_path}/nothing-*", code=2)
    assert "matches no folder" in done.stderr
