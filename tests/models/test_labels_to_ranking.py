"""The README's four lines with the packaged model: calibrated on labels, applied, blended, ranked."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd

from lib.scoring.metrics import log_loss
from lib.types import PROBABILITIES
from tests.running import Job

LABELLED = 30  # of 40 battles, each about another question
WINNERS = ["winner_model_a", "winner_model_b", "winner_tie"]


def _write(path: Path, reviews: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "prompt", "response_a", "response_b", "model_a", "model_b", "score"])
        for review in reviews:
            texts = (review["question_text"], review["answer1"], review["answer2"])
            names = (review["model1_id"], review["model2_id"])
            writer.writerow([review["review_id"], *texts, *names, review["score"]])


def test_from_labels_to_a_ranking(shared: Path, smollm2: object, quick_job: Job, tmp_path: Path) -> None:
    lines = (shared / "rakuda" / "reviews_gpt4_2023-07-14.jsonl").read_text(encoding="utf-8").splitlines()
    by_length = sorted(map(json.loads, lines), key=lambda review: -len(review["answer1"] + review["answer2"]))
    reviews = list({review["question_id"]: review for review in by_length}.values())  # the shortest of each
    assert len(reviews) == 40
    _write(tmp_path / "labelled.csv", reviews[:LABELLED])
    _write(tmp_path / "unlabelled.csv", reviews[LABELLED:])
    line = ["data=arena", "data.turns=text", "engine=smollm2_135m", "engine.max_model_len=224", "store.dir=null"]
    labels = ["data.columns.label=score", "data.label_values=[1,2,3]"]
    for name, more in (("labelled", labels), ("unlabelled", [])):
        path = f"data.path={tmp_path}/{name}.csv"
        quick_job("judge", *line, *more, path, "executor=inline", f"run.dir={tmp_path}/{name}")

    calibration, calibrated, blended = (tmp_path / name for name in ("calibration.json", "calibrated.csv", "blend.csv"))
    method = ["calibrate.method=temperature_tie", "calibrate.force=true"]  # so few labels prove nothing
    quick_job("calibrate", f"run.dir={tmp_path}/labelled", f"out={calibration}", *method)
    quick_job("merge", f"run.dir={tmp_path}/unlabelled", f"merge.calibration={calibration}", f"merge.out={calibrated}")
    both = f"merge.submissions=[{calibrated},{tmp_path}/unlabelled/submission.csv]"
    quick_job("merge", both, "merge.weights=[0.6,0.4]", f"merge.out={blended}")
    runs = f"runs=[{tmp_path}/labelled,{tmp_path}/unlabelled]"
    quick_job("leaderboard", runs, f"out={tmp_path}/leaderboard")

    raw = pd.read_parquet(tmp_path / "unlabelled" / "result.parquet")[list(PROBABILITIES)].to_numpy()
    submitted, tuned, mixed = (
        pd.read_csv(path, index_col="id")[WINNERS].to_numpy()
        for path in (tmp_path / "unlabelled" / "submission.csv", calibrated, blended)
    )
    parameters = json.loads(calibration.read_text())["parameters"]
    logits = np.log(raw) / parameters["temperature"] + [0, 0, parameters["tie_offset"]]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(tuned, expected, atol=1.1e-6)
    np.testing.assert_allclose(mixed, 0.6 * tuned + 0.4 * submitted, atol=1.1e-6)
    known = np.array([int(review["score"]) - 1 for review in reviews[LABELLED:]])
    assert log_loss(tuned, known) < log_loss(raw, known)  # ties are rare there, and the model does not know
    board = json.loads((tmp_path / "leaderboard" / "leaderboard.json").read_text())
    names = {review[side] for review in reviews for side in ("model1_id", "model2_id")}
    assert {entry["model"] for entry in board} == names
    assert sum(entry["votes"] for entry in board) == 2 * len(reviews)
    assert all(entry["low"] < entry["rating"] < entry["high"] for entry in board)
