"""The field's judging presets on real battles: each is asked, read and summed up as its benchmark does it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.running import Job

DUMMY = ["engine=dummy", "engine.max_model_len=16384", "executor=inline", "store.dir=null"]
PRESETS = {
    "mt_bench_pairwise": "both_orders",
    "mt_bench_pairwise_multi_turn": "both_orders",
    "mt_bench_pairwise_reference": "both_orders",
    "mt_bench_pairwise_reference_multi_turn": "both_orders",
    "arena_hard": "arena_hard",
    "alpaca_eval_2": "alpaca_eval",
    "llmbar": "llmbar",
}


@pytest.fixture(scope="module")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten real battles without names of models, so that A is the baseline; with a reference beside."""
    source = shared / "arena_kaggle" / "train_first100.csv"
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:10]
    path = tmp_path_factory.mktemp("battles") / "battles.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        names = [name for name in rows[0] if name not in ("model_a", "model_b")]
        writer = csv.DictWriter(file, [*names, "right"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows({**row, "right": row["response_a"]} for row in rows)
    return path


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_asked_and_summed_up(name: str, real: Path, quick_job: Job, tmp_path: Path) -> None:
    run = tmp_path / "run"
    reference = ["data.columns.reference=right"] if "reference" in name else []
    line = ["data=arena", f"data.path={real}", f"prompt={name}", *DUMMY, *reference, f"run.dir={run}"]
    said = quick_job("judge", *line).stdout
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["aggregate"]["rule"] == PRESETS[name]
    assert metrics["coverage"] == 1
    assert "<h2>Aggregate</h2>" in (run / "report.html").read_text()
    assert " counts: " in said
    (run / "metrics.json").unlink()
    quick_job("evaluate", f"run.dir={run}")
    assert json.loads((run / "metrics.json").read_text()) == metrics


def test_the_baseline_is_the_system_in_every_battle_or_the_one_that_is_named(quick_job: Job, tmp_path: Path) -> None:
    path, run = tmp_path / "named.csv", tmp_path / "run"
    pairs = [("base", "one"), ("two", "base"), ("one", "base"), ("base", "two"), ("base", "one"), ("two", "base")]
    rows = "".join(f"{n},{a},{b},q {n},good {a} {n},bad {b} {n}\n" for n, (a, b) in enumerate(pairs))
    path.write_text(f"id,model_a,model_b,prompt,response_a,response_b\n{rows}")
    line = ["data=arena", "data.turns=text", f"data.path={path}", "prompt=arena_hard", *DUMMY, f"run.dir={run}"]
    quick_job("judge", *line)
    found = json.loads((run / "metrics.json").read_text())["aggregate"]
    assert found["baseline"] == "base"
    assert set(found["systems"]) == {"one", "two"}
    assert (
        "baseline=three: is none of the systems"
        in quick_job("evaluate", f"run.dir={run}", "baseline=three", code=2).stderr
    )


def test_rakuda_is_judged_in_writing(shared: Path, quick_job: Job, tmp_path: Path) -> None:
    path = shared / "rakuda" / "reviews_gpt4_2023-07-14.jsonl"
    choice = "generate.choice=['理由。\\n判定：A','理由。\\n判定：引き分け']"
    line = ["data=rakuda", f"data.path={path}", "data.limit=8", "prompt=rakuda", "judge.mode=text", choice, *DUMMY]
    quick_job("judge", *line, f"run.dir={tmp_path / 'run'}")
    rows = pq.read_table(tmp_path / "run" / "result.parquet").to_pylist()
    assert {verdict for row in rows for verdict in row["verdicts"]} <= {"A", "引き分け"}
    systems = json.loads((tmp_path / "run" / "metrics.json").read_text())["aggregate"]["systems"]
    assert all(own["wins"] + own["losses"] + own["ties"] == own["win_rate"]["rows"] for own in systems.values())


@pytest.fixture(scope="module")
def alpaca(real: Path, job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.running import in_process

    run = tmp_path_factory.mktemp("runs") / "alpaca"
    in_process("judge", "data=arena", f"data.path={real}", "prompt=alpaca_eval_2", *DUMMY, f"run.dir={run}")
    return run


def test_lengths_are_those_of_the_responses(alpaca: Path, real: Path) -> None:
    with real.open(encoding="utf-8", newline="") as file:
        wanted = [sum(len(turn or "") for turn in json.loads(row["response_a"])) for row in csv.DictReader(file)]
    assert pq.read_table(alpaca / "result.parquet")["length_a"].to_pylist() == wanted


def test_instruction_difficulties_come_from_a_file(alpaca: Path, quick_job: Job, tmp_path: Path) -> None:
    ids = pq.read_table(alpaca / "result.parquet")["id"].to_pylist()
    lines = [f"{name},{n / 10}\n" for n, name in enumerate(ids)]
    path = tmp_path / "difficulty.csv"
    path.write_text("id,instruction_difficulty\n" + "".join(lines))
    quick_job("evaluate", f"run.dir={alpaca}", f"difficulty={path}")
    own = json.loads((alpaca / "metrics.json").read_text())["aggregate"]["systems"]["B"]["length_controlled"]
    assert list(own["terms"]) == ["intercept", "tanh(length difference)", "instruction difficulty"]
    path.write_text("id,instruction_difficulty\n" + "".join(lines[1:]))
    said = quick_job("evaluate", f"run.dir={alpaca}", f"difficulty={path}", code=2).stderr
    assert f"has no difficulty for id {ids[0]}" in said


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["baseline=gpt"], "baseline=gpt: is none of the systems, which are A, B"),
        (["aggregate=llmbar", "baseline=A"], "has no effect but with aggregate=arena_hard or aggregate=alpaca_eval"),
        (["aggregate=arena_hard", "difficulty=x"], "has no effect but with aggregate=alpaca_eval"),
        (["difficulty=missing.csv"], "missing.csv: cannot be read as CSV"),
    ],
)
def test_settings_that_can_not_be_are_refused(settings: list[str], message: str, alpaca: Path, quick_job: Job) -> None:
    said = quick_job("evaluate", f"run.dir={alpaca}", *settings, code=2).stderr
    assert message in said
    assert "Traceback" not in said


def test_another_aggregate_asks_nothing(alpaca: Path, real: Path, quick_job: Job, tmp_path: Path) -> None:
    quick_job("evaluate", f"run.dir={alpaca}", "aggregate=both_orders")
    assert json.loads((alpaca / "metrics.json").read_text())["aggregate"]["rule"] == "both_orders"
    store = f"store.dir={tmp_path / 'store'}"
    line = ["data=arena", f"data.path={real}", "prompt=arena_hard", *DUMMY[:-1], store]
    quick_job("judge", *line, f"run.dir={tmp_path / 'one'}")
    quick_job("judge", *line, "prompt.aggregate=alpaca_eval", f"run.dir={tmp_path / 'other'}")
    metrics = json.loads((tmp_path / "other" / "metrics.json").read_text())
    assert (metrics["computed"], metrics["aggregate"]["rule"]) == (0, "alpaca_eval")
    assert metrics["aggregate"]["systems"]["B"]["length_controlled"] is not None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["prompt=mt_bench_pairwise_reference"], "data.columns.reference=NAME"),
        (["data.columns.reference=right"], "data.columns.reference: has no effect"),
        (["prompt=alpaca_eval_2", "judge.mode=text"], "can't be told from another of them"),
    ],
)
def test_presets_that_can_not_be_asked_are_refused(
    more: list[str], message: str, real: Path, quick_job: Job, tmp_path: Path
) -> None:
    said = quick_job("judge", "data=arena", f"data.path={real}", *DUMMY, *more, f"run.dir={tmp_path}", code=2).stderr
    assert message in said


def test_a_run_of_rewards_has_no_verdicts_to_sum_up(
    battles: Callable[..., Path], quick_job: Job, tmp_path: Path
) -> None:
    line = ["data=arena", f"data.path={battles(4)}", *DUMMY, f"run.dir={tmp_path / 'run'}"]
    quick_job("arena", *line)
    said = quick_job("evaluate", f"run.dir={tmp_path / 'run'}", "aggregate=llmbar", code=2).stderr
    assert "aggregate=llmbar is of runs of jobs.judge, whose verdicts are labels" in said
