"""Runs of `jobs.judge` with judge.mode=text, as a user runs them."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs import judge, tournament
from lib.engines.dummy import DummyConfig
from lib.engines.vllm.vllm_config import VllmConfig
from lib.errors import ConfigError
from lib.tasks.judging import judging_task, written
from lib.tasks.pairwise import Mode, Pairwise, PairwiseConfig
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.sampling import SamplingConfig
from lib.tasks.written.written_verdict import WrittenVerdict
from tests.conftest import Job

Battles = Callable[..., Path]
LINE = ["data=sample", "engine=dummy", "engine.max_model_len=4096", "executor=inline", "judge.mode=text"]
LINE += ["prompt=reasoned_en", "generate.n=4", "generate.temperature=1"]
CHOICE = "generate.choice=[Verdict: A,A is no better than B. Verdict: B,so it is a tie]"
PROMPT = PromptConfig(template="{prompt} {response_a} {response_b}", labels=["A", "B", "tie"])


def test_a_run_gives_a_distribution_a_report_and_a_submission(quick_job: Job, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = quick_job("judge", *LINE, CHOICE, f"run.dir={run}")
    assert "submission.csv (20 rows, checked)" in done.stdout
    assert "Position bias" in done.stdout
    assert "Label mass" not in done.stdout
    rows = pq.read_table(run / "result.parquet").to_pylist()
    assert len(rows) == 20
    for row in rows:
        assert len(row["texts"]) == len(row["verdicts"]) == 8
        assert row["ab_p_a"] == row["verdicts"][:4].count("A") / 4
        assert row["ba_p_a"] == row["verdicts"][4:].count("B") / 4
        assert row["p_a"] == (row["ab_p_a"] + row["ba_p_a"]) / 2
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["coverage"], metrics["position_bias"]["rows"]) == (1.0, 20)
    assert "label_mass" not in metrics
    (run / "metrics.json").unlink()
    quick_job("evaluate", f"run.dir={run}")
    assert json.loads((run / "metrics.json").read_text()) == metrics


def test_shards_do_not_change_the_samples(quick_job: Job, tmp_path: Path) -> None:
    for rows in (20, 3):
        quick_job("judge", *LINE, CHOICE, f"run.dir={tmp_path / str(rows)}", f"run.shard_rows={rows}")
    one, other = (pq.read_table(tmp_path / name / "result.parquet") for name in ("20", "3"))
    assert one.equals(other)


def test_rows_without_a_verdict_fail_and_say_why(quick_job: Job, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = quick_job("judge", *LINE, f"run.dir={run}", "generate.max_new_tokens=60", code=1)  # words that name no label
    assert "20 of 20 rows failed" in done.stderr
    errors = pq.read_table(run / "failures.parquet")["error"].to_pylist()
    assert all(error.startswith("no verdict: with A first the answer ") for error in errors)
    assert any("names none of A, B, tie" in error for error in errors)
    assert any("cut off after 60 tokens, so raise generate.max_new_tokens" in error for error in errors)
    assert pq.read_table(run / "result.parquet")["p_tie"].null_count == 20
    assert "no verdict" in (run / "report.html").read_text()


def test_a_plan_and_a_submission_know_what_is_written(quick_job: Job, tmp_path: Path) -> None:
    line = [option for option in LINE if not option.startswith("executor=")]
    planned = quick_job("plan", *line, f"run.dir={tmp_path / 'plan'}")
    assert "20 in " in planned.stdout
    manifest = json.loads((tmp_path / "plan" / "manifest.json").read_text())
    assert manifest["identity"]["task.generate.max_new_tokens"] == 512
    assert manifest["identity"]["task.judge.mode"] == "text"
    preview = quick_job("judge", *LINE, "prompt.preview=1", f"run.dir={tmp_path / 'shown'}")
    assert "Then give your verdict in a line of its own" in preview.stdout


def test_the_mode_chooses_the_task() -> None:
    text, labels = PairwiseConfig(mode=Mode.text), PairwiseConfig()
    assert isinstance(
        judging_task(labels, written(), PROMPT, DummyConfig().check_sampling, DummyConfig().class_names), Pairwise
    )
    task = judging_task(text, written(), PROMPT, DummyConfig().check_sampling, DummyConfig().class_names)
    assert isinstance(task, WrittenVerdict)
    assert task.generate.max_new_tokens == 512
    assert judge.Config.__dataclass_fields__["generate"].default_factory is written
    assert tournament.Config.__dataclass_fields__["generate"].default_factory is written


@pytest.mark.parametrize(
    ("change", "key"), [({"n": 4, "temperature": 1.0}, "temperature=1.0"), ({"max_new_tokens": 9}, "max_new_tokens=9")]
)
def test_sampling_is_refused_where_nothing_is_written(change: dict[str, float], key: str) -> None:
    config = SamplingConfig(**{"max_new_tokens": 512, **change})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=rf"^generate\.{key}: has no effect without judge\.mode=text"):
        judging_task(PairwiseConfig(), config, PROMPT, DummyConfig().check_sampling, DummyConfig().class_names)


def test_sampling_that_the_engine_lacks_is_refused() -> None:
    config = SamplingConfig(temperature=1.0, epsilon_cutoff=0.1)
    with pytest.raises(ConfigError, match=r"^generate\.epsilon_cutoff=0\.1"):
        judging_task(PairwiseConfig(mode=Mode.text), config, PROMPT, VllmConfig(model="x").check_sampling, list)


def test_a_tournament_is_judged_in_writing(quick_job: Job, tmp_path: Path) -> None:
    questions = tmp_path / "questions.csv"
    questions.write_text("id,question\n" + "".join(f"q{n},Why {n}?\n" for n in range(4)))
    answers = []
    for seed in (1, 2):
        run = tmp_path / f"system{seed}"
        line = ["data=table", f"data.path={questions}", "data.columns={instruction: question}"]
        line += ["engine=dummy", f"engine.seed={seed}", "executor=inline", f"run.dir={run}"]
        quick_job("generate", *line)
        answers.append(f"s{seed}: {run}")
    line = [option for option in LINE if not option.startswith("data=")]
    quick_job(
        "tournament", f"tournament.answers={{{', '.join(answers)}}}", *line, CHOICE, f"run.dir={tmp_path / 'all'}"
    )
    (result,) = (tmp_path / "all").rglob("result.parquet")
    rows = pq.read_table(result).to_pylist()
    assert len(rows) == 4
    assert all(len(row["verdicts"]) == 8 for row in rows)
