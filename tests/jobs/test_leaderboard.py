"""jobs.leaderboard as it is run: votes and runs in, a ranking and its page out."""

import csv
import json
import shutil
from pathlib import Path

import evalica
import numpy as np
import pandas as pd
import pytest

from tests.running import in_process


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of a judge about three models; `all` has all battles, `first` a part, `nameless` names no models."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    columns = ["id", "model_a", "model_b", "prompt", "response_a", "response_b"]
    for name, kept in (("named", columns), ("nameless", ["id", *columns[3:]])):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, kept, extrasaction="ignore")
            writer.writeheader()
            for n in range(36):
                a, b = ("x", "y", "z")[n % 3], ("y", "z", "x")[n % 3]
                texts = ["word " * rng.integers(1, 40) + "**bold**" * rng.integers(0, 3) for _ in range(2)]
                cells = [json.dumps([text]) for text in (f"Question {n // 3}?", *texts)]
                writer.writerow(dict(zip(columns, [n, a, b, *cells], strict=True)))
    dummy = ["data=arena", "engine=dummy", "executor=inline", "store.dir=null"]
    in_process("judge", *dummy, f"data.path={folder}/named.csv", f"run.dir={folder}/judged-all")
    in_process("judge", *dummy, f"data.path={folder}/named.csv", f"run.dir={folder}/judged-first", "data.limit=12")
    in_process("judge", *dummy, f"data.path={folder}/nameless.csv", f"run.dir={folder}/nameless")
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Votes of four models, with questions, kinds and ties."""
    rng = np.random.default_rng(1)
    with (tmp_path / "votes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model_a", "model_b", "winner", "question", "kind"])
        for n in range(400):
            a, b = rng.choice(4, 2, replace=False)
            winner = rng.choice(
                ["model_a", "model_b", "tie"], p=[0.4 + 0.1 * (b - a) / 2, 0.4 - 0.1 * (b - a) / 2, 0.2]
            )
            writer.writerow([f"m{a}", f"m{b}", winner, f"q{n % 25}", ["math", "a/b"][n % 2] if n % 10 else ""])
        writer.writerow(["m0", "new", "both_bad", "q0", "alone"])
        writer.writerow(["new", "m1", "tie (bothbad)", "q1", "alone"])
    return tmp_path / "votes.csv"


def read(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_votes_in_ranking_out(table, tmp_path):
    out = tmp_path / "out"
    done = in_process("leaderboard", f"data.path={table}", f"out={out}", "leaderboard.category=kind")
    board, metrics = read(out / "leaderboard.json"), read(out / "metrics.json")
    votes = pd.read_csv(table)
    winners = [
        {"model_a": evalica.Winner.X, "model_b": evalica.Winner.Y}.get(w, evalica.Winner.Draw) for w in votes.winner
    ]
    found = evalica.bradley_terry(votes.model_a, votes.model_b, winners, tolerance=1e-14, limit=100_000)
    points = 400 * np.log10(found.scores)
    points += 1000 - points.mean()
    assert {row["model"]: row["rating"] for row in board} == pytest.approx(points.to_dict())
    assert [row["rating"] for row in board] == sorted((row["rating"] for row in board), reverse=True)
    for row in board:
        assert row["low"] < row["rating"] < row["high"]
        assert 1 <= row["rank_low"] <= row["rank_high"] <= 5
    assert {row["model"]: row["votes"] for row in board}["new"] == 2
    assert (metrics["votes"], metrics["questions"], metrics["ties"]) == (
        402,
        25,
        int((votes.winner != "model_a").sum() - (votes.winner == "model_b").sum()),
    )
    math = votes[votes.kind == "math"]
    assert sum(row["votes"] for row in read(out / "leaderboard-math.json")) == 2 * len(math)
    assert metrics["categories"]["a/b"]["file"] == "leaderboard-a_b.json"
    assert "votes between" in done.stdout
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Categories" in page
    assert "How to read it" in page


def test_models_anchor_baseline_and_what_both_bad_is(table, tmp_path):
    line = [
        "leaderboard.model=davidson",
        "leaderboard.anchor=m1:1200",
        "leaderboard.baseline=m1",
        "leaderboard.scale=100",
    ]
    in_process("leaderboard", f"data.path={table}", f"out={tmp_path}/out", *line, "leaderboard.both_bad=drop")
    board, metrics = read(tmp_path / "out" / "leaderboard.json"), read(tmp_path / "out" / "metrics.json")
    anchor = next(row for row in board if row["model"] == "m1")
    assert anchor["rating"] == anchor["low"] == anchor["high"] == 1200
    assert {row["model"] for row in board} == {"m0", "m1", "m2", "m3"}
    assert metrics["left_out"] == {"votes that both are bad": 2}
    assert metrics["win_rates"]["m1"] is None
    assert metrics["tie_parameter"]["name"] == "nu"


def test_runs_count_by_their_probabilities_and_share_questions(runs, tmp_path):
    both = f"runs=[{runs}/judged-all,{runs}/judged-first]"
    line = ["leaderboard.style=[length,bold]", "leaderboard.position=true"]
    in_process("leaderboard", both, f"out={tmp_path}/list", *line)
    metrics = read(tmp_path / "list" / "metrics.json")
    assert (metrics["votes"], metrics["questions"]) == (48, 12)
    assert set(metrics["style"]) == {"length", "bold"}
    assert metrics["position_bias"]["low"] < metrics["position_bias"]["value"] < metrics["position_bias"]["high"]
    in_process("leaderboard", f"runs={runs}/judged-*", f"out={tmp_path}/glob", *line)
    assert read(tmp_path / "glob" / "leaderboard.json") == read(tmp_path / "list" / "leaderboard.json")


def test_style_is_that_of_a_runs_own_rows_though_files_came_since(runs, tmp_path):
    nights = tmp_path / "nights"
    nights.mkdir()
    shutil.copy(runs / "named.csv", nights / "b.csv")
    dummy = ["data=arena", "engine=dummy", "executor=inline", f"store.dir={tmp_path}/store", f"data.path={nights}"]
    for name in ("computed", "remembered"):
        in_process("judge", *dummy, f"run.dir={tmp_path}/{name}")
    lines = (runs / "named.csv").read_text().splitlines(keepends=True)
    (nights / "a.csv").write_text("".join([lines[0], *lines[5:20]]).replace("word ", "**longer** "))
    for name in ("computed", "remembered"):
        in_process("leaderboard", f"runs=[{tmp_path}/{name}]", f"out={tmp_path}/of-{name}", "leaderboard.style=true")
    in_process("leaderboard", f"runs=[{runs}/judged-all]", f"out={tmp_path}/before", "leaderboard.style=true")
    for name in ("computed", "remembered"):
        assert (
            read(tmp_path / f"of-{name}" / "metrics.json")["style"]
            == read(tmp_path / "before" / "metrics.json")["style"]
        )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "give data.path=FILE, or runs=[DIR,DIR]"),
        (["data.path=x.csv", "runs=[a]"], "give data.path=FILE, or runs=[DIR,DIR]"),
        (["runs=[]"], "must be a run folder, a glob in quotes, or a list of these"),
        (["runs=nowhere-*"], "runs=nowhere-*: matches no folder of a finished run"),
        (["runs={runs}/nameless"], "rows without model_a, so it is unknown who won"),
        (["runs={runs}/judged-all", "data.limit=3"], "data.limit=3: has no effect with runs"),
        (["runs={runs}/judged-all", "leaderboard.both_bad=drop"], "has no effect with runs"),
        (["runs={runs}/judged-all", "leaderboard.category=kind"], "has no such column; it has file, row"),
        (["data.path={table}", "leaderboard.style=[bald]"], "must be true, false or a list of some of"),
        (["data.path={table}", "leaderboard.style=true"], "column 'response_a' is missing"),
        (["data.path={table}", "leaderboard.anchor=m1"], "must be NAME:POINTS, as in leaderboard.anchor=gpt-4:1000"),
        (["data.path={table}", "leaderboard.anchor=m9:1"], "leaderboard.anchor=m9: no such system; there are m"),
        (["data.path={table}", "leaderboard.model=elo", "leaderboard.bootstrap=9"], "has no effect on model=elo"),
        (["data.path={table}", "leaderboard.bootstrap=1"], "must be 0, or from 2 to 100,000 refits"),
        (["data.path={table}", "leaderboard.scale=0"], "must be above 0"),
        (["data.path={table}", "data.limit=2", "data.verify=full"], "data.verify=full: has no effect"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(runs, table, tmp_path, line, message):
    given = [word.format(runs=runs, table=table) for word in line]
    done = in_process("leaderboard", *given, f"out={tmp_path}/out", code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
