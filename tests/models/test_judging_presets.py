"""Judging presets asked of the packaged model, about real rows: it must want to answer where they ask it to."""

import csv
import json
from pathlib import Path

import pytest

from tests.running import Job

MODEL = ["engine=smollm2_135m", "executor=inline", "store.dir=null", "data.limit=2"]
GRADED = ("mt_bench_single", "prometheus_absolute", "nejumi_ja")
JUDGED = ("arena_hard", "alpaca_eval_2", "llmbar")


@pytest.mark.parametrize("name", GRADED)
def test_answers_are_graded(name: str, shared: Path, smollm2: object, quick_job: Job, tmp_path: Path) -> None:
    reviews = (shared / "rakuda" / "reviews_gpt4_2023-07-14.jsonl").read_text(encoding="utf-8").splitlines()
    with (tmp_path / "answers.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer", "reference", "criterion"])
        for review in map(json.loads, reviews[:2]):
            writer.writerow([review["question_text"], review["answer1"], review["answer2"], "Is it correct?"])
    line = [f"data.path={tmp_path / 'answers.csv'}", f"prompt={name}", *MODEL, f"run.dir={tmp_path / 'run'}"]
    quick_job("grade", *line)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["graded"] == 2
    assert metrics["label_mass"] > 0.1


@pytest.mark.parametrize("name", JUDGED)
def test_battles_are_judged(name: str, shared: Path, smollm2: object, quick_job: Job, tmp_path: Path) -> None:
    path = shared / "arena_kaggle" / "train_first100.csv"
    quick_job("judge", "data=arena", f"data.path={path}", f"prompt={name}", *MODEL, f"run.dir={tmp_path / 'run'}")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["coverage"] == 1
    assert metrics["label_mass"] > 0.1
    assert "aggregate" in metrics
