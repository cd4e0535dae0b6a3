"""A partial merge of every kind of run: what is there, marked as a part of it, and without a trace in the end."""

import json
import shutil
from pathlib import Path

import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from lib.data.manifest import read_manifest
from tests.running import Job, in_process

DUMMY = ["engine=dummy", "engine.max_model_len=4096", "executor=inline", "run.shard_rows=2"]
MADE = ("result.parquet", "failures.parquet", "submission.csv", "metrics.json", "report.html", "finished.json")
THERE = (2, 3, 6, 7)
RUN = {"computed", "remembered", "engine", "cost", "partial"}
HEAD = "id,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n"


def battles(path: Path, rows: range | tuple[int, ...]) -> str:
    """A file of battles with these numbers, as an override."""
    cells = (f'r{n},"[""Why {n}?""]","[""{"so " * n}""]","[""since *{n}*""]",{n % 2},{1 - n % 2},0\n' for n in rows)
    path.write_text(HEAD + "".join(cells))
    return f"data.path={path}"


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The line of a finished run of each kind, of eight rows in four shards, below the folder that is named."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "asked.csv").write_text("id,question,answer\n" + "".join(f"q{n},why {n}?,so {n}\n" for n in range(8)))
    asked = f"data.path={folder}/asked.csv"
    answers = ["data=table", asked, "prompt=answer_ja"]
    pair = f"tournament.answers={{one: {folder}/generate, other: {folder}/other}}"
    found = {
        "judge": ["data=arena", battles(folder / "battles.csv", range(8))],
        "generate": answers,
        "grade": [asked, "prompt=nejumi_ja"],
        "embed": [asked, "embed.text='{question}'"],
        "tournament": [pair],
    }
    in_process("generate", *DUMMY, *answers, "prompt.system=other", f"run.dir={folder}/other")
    for name, line in found.items():
        in_process(name, *DUMMY, *line, f"run.dir={folder / name}")
    return {**found, "folder": [str(folder)]}


def part_of(run: Path, folder: Path) -> Path:
    """A copy of a finished run as it was when every second shard was done."""
    shutil.copytree(run, folder)
    for name in MADE:
        (folder / name).unlink(missing_ok=True)
    for shard in read_manifest(folder).shards()[::2]:
        (folder / shard.path).unlink()
    return folder


@pytest.mark.parametrize("name", ["judge", "generate", "grade", "embed", "tournament"])
def test_a_part_is_marked_and_leaves_no_trace(
    name: str, lines: dict[str, list[str]], quick_job: Job, tmp_path: Path
) -> None:
    whole = Path(lines["folder"][0]) / name
    run = part_of(whole, tmp_path / "run")
    for _ in range(2):
        said = quick_job("merge", f"run.dir={run}", "partial=true").stdout
    assert "partial.parquet (4 of 8 rows are there, 4 are not yet computed)" in said
    assert ("submission: none while rows are missing" in said) is (name == "judge")
    assert "failed" not in said.replace("0 failed", "").replace("on_failed", "")
    part, end = pq.read_table(run / "partial.parquet"), pq.read_table(whole / "result.parquet")
    assert part["row"].to_pylist() == list(range(8))
    assert part["error"].to_pylist() == [None if row in THERE else "not yet computed" for row in range(8)]
    assert part.take(THERE).equals(end.take(THERE))
    assert pq.read_table(run / "partial-failures.parquet").num_rows == 0
    if name != "embed":
        page = (run / "partial-report.html").read_text()
        assert page.count(f"{name}: run, PARTIAL (4 of 8 rows, 4 not yet computed)") == 2
        assert "Why rows failed" not in page
        metrics = json.loads((run / "partial-metrics.json").read_text())
        assert metrics["partial"] == {"rows": 8, "there": 4, "not_yet_computed": 4}
    assert not list(run.glob("merge-*"))
    quick_job(name, *DUMMY, *lines[name], f"run.dir={run}")
    assert {path.name for path in run.iterdir()} == {path.name for path in whole.iterdir()}
    assert pq.read_table(run / "result.parquet").drop(["file"]).equals(end.drop(["file"]))


def test_its_figures_are_those_of_a_run_of_the_rows_that_are_there(
    lines: dict[str, list[str]], quick_job: Job, tmp_path: Path
) -> None:
    """Those about the rows' texts, too."""
    run = part_of(Path(lines["folder"][0]) / "judge", tmp_path / "run")
    quick_job("merge", f"run.dir={run}", "partial=true")
    line = ["data=arena", battles(tmp_path / "four.csv", THERE), f"run.dir={tmp_path}/four"]
    quick_job("judge", *DUMMY, *line)
    found, own = (
        json.loads(path.read_text()) for path in (run / "partial-metrics.json", tmp_path / "four" / "metrics.json")
    )
    assert found["bias"]["length"]["rows"] == found["rows"] == found["computed"] == 4
    assert {key: found[key] for key in found.keys() - RUN} == {key: own[key] for key in own.keys() - RUN}


def test_rows_that_failed_are_told_from_those_that_are_not_there(
    lines: dict[str, list[str]], quick_job: Job, tmp_path: Path
) -> None:
    line = [*DUMMY, *lines["generate"], "engine.fail_on='why 3'", "run.max_error_rate=1", f"run.dir={tmp_path}/whole"]
    quick_job("generate", *line)
    run = part_of(tmp_path / "whole", tmp_path / "run")
    assert "\n4 rows, 1 failed; " in quick_job("merge", f"run.dir={run}", "partial=true").stdout
    assert pq.read_table(run / "partial-failures.parquet")["row"].to_pylist() == [3]
    page = (run / "partial-report.html").read_text()
    assert "Why rows failed" in page
    assert "why 6?" in page  # beside its text
    assert "why 4?" not in page


@pytest.mark.parametrize("in_place", [False, True])
def test_a_partial_submission_has_all_ids(
    in_place: bool, lines: dict[str, list[str]], quick_job: Job, tmp_path: Path
) -> None:
    """Also those of Parquet that is read where it lies."""
    whole = Path(lines["folder"][0]) / "judge"
    if in_place:
        pq.write_table(pc.read_csv(Path(lines["folder"][0]) / "battles.csv"), tmp_path / "battles.parquet")
        whole = tmp_path / "whole"
        quick_job("judge", *DUMMY, f"data.path={tmp_path}/battles.parquet", "data=arena", f"run.dir={whole}")
        assert not (whole / "input").exists()
    run = part_of(whole, tmp_path / "run")
    said = quick_job("merge", f"run.dir={run}", "partial=true", "merge.on_failed=uniform")
    assert "partial-submission.csv (8 rows, checked)\n" in said.stdout
    assert " 4 of them are not yet computed, and filled: merge.on_failed=uniform\n" in said.stdout
    found = (run / "partial-submission.csv").read_text().splitlines()
    end = (whole / "submission.csv").read_text().splitlines()
    filled = [f"r{row},0.333334,0.333333,0.333333" for row in range(8)]
    assert found == [end[0], *(end[row + 1] if row in THERE else filled[row] for row in range(8))]


def test_a_part_of_a_batch_answers_the_lines_that_are_there(quick_job: Job, tmp_path: Path) -> None:
    body = {"messages": [{"role": "user", "content": "Why?"}], "max_tokens": 8}
    asked = [{"custom_id": f"c{n}", "method": "POST", "url": "/v1/chat/completions", "body": body} for n in range(8)]
    for n, line in enumerate(asked):
        line["body"] = {**body, "seed": n}
    (tmp_path / "batch.jsonl").write_text("".join(json.dumps(line) + "\n" for line in asked))
    line = ["data=openai_batch", f"data.path={tmp_path}/batch.jsonl", "merge.format=openai_batch"]
    quick_job("generate", *DUMMY, *line, f"run.dir={tmp_path}/whole")
    run = part_of(tmp_path / "whole", tmp_path / "run")
    said = quick_job("merge", f"run.dir={run}", "partial=true", "merge.format=openai_batch").stdout
    assert "partial-openai_output.jsonl (4 lines)" in said
    assert "partial-openai_errors.jsonl (0 lines)" in said
    output = (run / "partial-openai_output.jsonl").read_text().splitlines()
    assert [json.loads(answer)["custom_id"] for answer in output] == [f"c{row}" for row in THERE]


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("none", "no shard is done yet; look again later"),
        ("all", "are done; leave it out"),
        ("file", "no run folder"),
    ],
)
def test_where_there_is_no_part(
    folder: str, said: str, lines: dict[str, list[str]], quick_job: Job, tmp_path: Path
) -> None:
    whole = Path(lines["folder"][0]) / "embed"
    run = {"none": tmp_path / "run", "all": whole, "file": whole / "result.parquet"}[folder]
    if folder == "none":
        shutil.rmtree(part_of(whole, run) / "shards")
    assert said in quick_job("merge", f"run.dir={run}", "partial=true", code=None).stderr
