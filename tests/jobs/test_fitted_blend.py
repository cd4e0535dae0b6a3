"""A blend of submissions by weights that are fitted on labels."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

from lib.data.submission import read_submission
from lib.scoring.metrics import log_loss, normalise
from tests.running import Job
from tests.scoring.calibrating.drawing import draw, softmax

NAMES = ["winner_model_a", "winner_model_b", "winner_tie"]


def submission(path: Path, ids: list[str], p: np.ndarray) -> Path:
    whole = np.floor(p * 1e6) / 1e6
    whole[:, 2] = 1 - whole[:, :2].sum(axis=1)
    table = pd.DataFrame(whole.round(6), columns=NAMES)
    table.insert(0, "id", ids)
    table.to_csv(path, index=False)
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two submissions of 900 rows in different orders, and labels of the first 600 (and of 5 that are in neither)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (900, 3))
    ids = [f"x{n}" for n in range(900)]
    labels = draw(softmax(logits), rng)
    for name, noise in (("a", 0.7), ("b", 0.9)):
        order = rng.permutation(900)
        p = softmax(logits + rng.normal(0, noise, logits.shape))
        submission(tmp_path / f"{name}.csv", [ids[n] for n in order], p[order])
    table = pd.DataFrame({"winner": [("model_a", "model_b", "tie")[label] for label in labels[:600]], "id": ids[:600]})
    more = pd.DataFrame({"winner": ["tie"] * 5, "id": [f"y{n}" for n in range(5)]})
    pd.concat([table, more]).to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path


def parts(files: Path, *ids: str) -> tuple[np.ndarray, np.ndarray]:
    """Both submissions' rows of ids, in the order of the ids."""
    tables = [pd.read_csv(files / f"{name}.csv").set_index("id").loc[list(ids)].to_numpy() for name in "ab"]
    return tables[0], tables[1]


def test_weights_are_fitted_on_the_labelled_rows_and_all_are_blended(
    files: Path, quick_job: Job, tmp_path: Path
) -> None:
    line = [f"merge.submissions=[{files}/a.csv,{files}/b.csv]", f"merge.fit={files}/labels.csv"]
    said = quick_job("merge", *line, f"merge.out={tmp_path}/out/blend.csv")
    assert "labels.csv: 5 ids of it are not in" in said.stderr
    assert "600 labelled rows, 5 folds of whole questions." in said.stdout
    fit = json.loads((tmp_path / "out" / "blend-fit.json").read_text())
    truth = pd.read_csv(files / "labels.csv").iloc[:600]
    labels = truth["winner"].map({"model_a": 0, "model_b": 1, "tie": 2}).to_numpy()
    a, b = parts(files, *truth["id"])
    best = minimize_scalar(
        lambda w: log_loss(w * a + (1 - w) * b, labels), bounds=(0, 1), method="bounded", options={"xatol": 1e-10}
    )
    weights = [member["weight"] for member in fit["members"]]
    assert weights == pytest.approx([best.x, 1 - best.x], abs=1e-5)
    assert [member["log_loss"]["mean"] for member in fit["members"]] == pytest.approx(
        [log_loss(a, labels), log_loss(b, labels)], abs=1e-9
    )
    assert fit["blend"]["log_loss"]["mean"] == pytest.approx(best.fun, abs=1e-2)
    assert fit["blend"]["log_loss"]["mean"] > best.fun
    assert fit["blend"]["to_best"]["high"] < 0
    assert (fit["rows"], fit["questions"], fit["written"]) == (600, 600, "blend")
    written = pd.read_csv(tmp_path / "out" / "blend.csv")
    assert written["id"].tolist() == pd.read_csv(files / "a.csv")["id"].tolist()
    a, b = parts(files, *written["id"])
    np.testing.assert_allclose(written[NAMES].to_numpy(), weights[0] * a + weights[1] * b, atol=2e-6)


def test_labelled_rows_may_be_in_files_of_their_own_and_a_stack_takes_over(
    files: Path, quick_job: Job, tmp_path: Path
) -> None:
    tests = []
    for name in "ab":
        found = read_submission(files / f"{name}.csv")
        dull = normalise(found.probabilities**0.3)
        submission(files / f"oof_{name}.csv", found.ids.to_pylist(), dull)
        tests.append(submission(tmp_path / f"test_{name}.csv", ["t0", "t1"], dull[:2]))
    line = [
        f"merge.submissions=[{tests[0]},{tests[1]}]", f"merge.fit={files}/labels.csv", "merge.stack=true",
        f"merge.fit_submissions=[{files}/oof_a.csv,{files}/oof_b.csv]", f"merge.out={tmp_path}/new.csv",
    ]  # fmt: skip
    said = quick_job("merge", *line)
    assert "it is taken." in said.stdout
    fit = json.loads((tmp_path / "new-fit.json").read_text())
    assert fit["written"] == "stack"
    assert fit["stack"]["log_loss"]["mean"] < fit["blend"]["log_loss"]["mean"] - 0.03
    assert [Path(member["fitted_on"]).name for member in fit["members"]] == ["oof_a.csv", "oof_b.csv"]
    logs = [np.log(read_submission(path).probabilities) for path in tests]
    weights, biases = (np.array(fit["stack"]["parameters"][name]) for name in ("weights", "biases"))
    expected = softmax(logs[0] @ weights[0].T + logs[1] @ weights[1].T + biases)
    np.testing.assert_allclose(read_submission(tmp_path / "new.csv").probabilities, expected, atol=1e-6)


def test_real_predictions_and_what_is_worse(shared: Path, quick_job: Job, tmp_path: Path) -> None:
    labels = shared / "lmsys_oof" / "oof_predictions.csv"
    table = pd.read_csv(labels)
    p = normalise(table[["A", "B", "tie"]].to_numpy())
    worse = softmax(np.log(p) + np.random.default_rng(1).normal(0, 1, p.shape))
    ids = table["id"].astype(str).tolist()
    files = [submission(tmp_path / "real.csv", ids, p), submission(tmp_path / "worse.csv", ids, worse)]
    line = [f"merge.submissions=[{files[1]},{files[0]}]", f"merge.fit={labels}", f"merge.out={tmp_path}/new.csv"]
    said = quick_job("merge", *line).stdout
    fit = json.loads((tmp_path / "new-fit.json").read_text())
    assert [member["weight"] for member in fit["members"]] == pytest.approx([0, 1], abs=0.01)
    assert fit["members"][1]["log_loss"]["mean"] == pytest.approx(0.948844, abs=1e-5)
    assert fit["blend"]["to_best"]["mean"] == pytest.approx(0, abs=1e-4)
    assert Path(fit["blend"]["best"]).name == "real.csv"
    assert "to real.csv [95 %]" in said


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (["{ab}", "{fit}", "merge.weights=[0.5,0.5]"], "/labels.csv: has no effect with merge.weights=[0.5, 0.5]"),
        (["{ab}", "merge.stack=true", "merge.weights=[0.5,0.5]"], "merge.stack=true: has no effect without merge.fit"),
        (["{ab}", "merge.fit_submissions=[a,b]"], "merge.fit_submissions=['a', 'b']: has no effect without merge.fit"),
        (["{ab}", "{fit}", "merge.fit_submissions=[a]"], "merge.fit_submissions: 1 files, and 2 in merge.submissions"),
        (["run.dir=x", "{fit}"], "/labels.csv: has no effect on a run"),
        (["{ab}", "merge.fit={files}/a.csv"], "exactly one of winner_model_a"),
        (["{ab}", "merge.fit={files}/none.csv"], "none.csv: no such file"),
        (["{ab}", "merge.fit={files}/foreign.csv"], "have no id in common"),
        (["{ab}", "merge.fit={files}/few.csv"], "20 labelled rows about 20 questions"),
    ],
)  # fmt: skip
def test_refusals(line: list[str], why: str, files: Path, quick_job: Job) -> None:
    labels = (files / "labels.csv").read_text().splitlines()
    (files / "few.csv").write_text("\n".join(labels[:21]) + "\n")
    (files / "foreign.csv").write_text("\n".join([labels[0], *labels[-5:]]) + "\n")
    before = sorted(files.iterdir())
    short = {"{ab}": "merge.submissions=[{files}/a.csv,{files}/b.csv]", "{fit}": "merge.fit={files}/labels.csv"}
    words = [short.get(word, word).format(files=files) for word in line]
    out = [] if "run.dir=x" in line else [f"merge.out={files}/new.csv"]
    assert why in quick_job("merge", *words, *out, code=2).stderr
    assert sorted(files.iterdir()) == before


def test_labels_are_not_overwritten(files: Path, quick_job: Job) -> None:
    line = [f"merge.submissions=[{files}/a.csv,{files}/b.csv]", f"merge.fit={files}/labels.csv"]
    assert "is one of merge.submissions" in quick_job("merge", *line, f"merge.out={files}/a.csv", code=2).stderr
    refused = quick_job("merge", *line, f"merge.out={files}/labels.csv", code=2).stderr
    assert "would be lost; choose another file" in refused
