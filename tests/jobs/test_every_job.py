"""Every job about rows is planned, submitted, and known by what becomes of its runs."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from jobs._outcomes import OUTCOMES
from jobs.plan import JOBS
from jobs.view import open_viewer
from lib.pipeline.job import Job as RowJob
from lib.report.viewer.selection import read_query
from tests.running import Job, in_process

DUMMY = ["engine=dummy", "executor=inline"]
RAG = ["engine@embedder=dummy", "engine@generator=dummy", "generator.max_model_len=4096"]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """For each job the line of a small run, with all that it reads."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "questions.csv").write_text("id,question\na,推論とは？\nb,訓練とは？\n", encoding="utf-8")
    (folder / "graded.csv").write_text("id,question,answer\na,why?,so\nb,why?,since\n")
    (folder / "talk.txt").write_text("推論の話。訓練の話。\n\n例の話。最後の話。", encoding="utf-8")
    questions, talk = f"data.path={folder}/questions.csv", f"{folder}/talk.txt"
    vectors = ["embed.text='{question}'", "embed.role=query"]
    carry = "data.carry=[document,start,stop,after]"
    answers = ["data=table", questions, "prompt=answer_ja", "data.carry=[question]"]
    found = {
        "judge": DUMMY,
        "arena": DUMMY,
        "chunk": [f"data.path={talk}"],
        "embed": [*DUMMY, f"data.path={folder}/chunk/result.parquet", carry],
        "retrieve": [f"data.path={folder}/asked/result.parquet", f"retriever.corpus={folder}/embed"],
        "rerank": [*DUMMY, f"data.path={folder}/retrieve/result.parquet", "engine.max_model_len=4096"],
        "generate": [*DUMMY, *answers],
        "grade": [*DUMMY, f"data.path={folder}/graded.csv", "prompt=nejumi_ja", "engine.max_model_len=4096"],
        "tournament": [*DUMMY, "engine.max_model_len=4096",
                       f"tournament.answers={{one: {folder}/generate, other: {folder}/other}}"],
        "rag": [*RAG, questions, f"documents.path={talk}"],
    }  # fmt: skip
    for name in ("chunk", "embed"):
        in_process(name, *found[name], f"run.dir={folder / name}")
    in_process("embed", *DUMMY, questions, *vectors, f"run.dir={folder}/asked")
    for name in ("retrieve", "rerank", "generate", "tournament", "judge", "arena", "grade"):
        if name == "tournament":
            in_process("generate", *found["generate"], "prompt.system=other", f"run.dir={folder}/other")
        in_process(name, *found[name], f"run.dir={folder / name}")
    return {name: [*line, f"run.root={folder}/planned"] for name, line in found.items()} | {"folder": [str(folder)]}


def test_every_job_about_rows_has_an_outcome() -> None:
    assert {name for name, job in JOBS.items() if isinstance(job, RowJob)} == OUTCOMES.keys() - {"questions"}
    for name, job in JOBS.items():
        assert job.name == name
        if isinstance(job, RowJob):
            assert type(job.outcome) is type(OUTCOMES[name])


@pytest.mark.parametrize("name", JOBS)
def test_it_is_planned(name: str, lines: dict[str, list[str]], quick_job: Job) -> None:
    said = quick_job("plan", f"plan.job={name}", *lines[name]).stdout
    assert "rows    " in said
    assert re.search(r" shards? of \d", said)


@pytest.mark.parametrize("name", JOBS)
def test_it_is_submitted(name: str, lines: dict[str, list[str]], quick_job: Job) -> None:
    line = [override for override in lines[name] if not override.startswith("executor=")]
    said = quick_job("submit", "cluster=slurm", f"job={name}", *line, "--dry-run").stdout
    assert f"/slurm/ray.sbatch {name} " in said


def test_stages_are_planned_one_after_another(lines: dict[str, list[str]], quick_job: Job, tmp_path: Path) -> None:
    line = [*lines["rag"][:-1], f"run.root={tmp_path}"]
    first = quick_job("plan", "plan.job=rag", *line).stdout
    assert "stage   chunk\n" in first
    assert "the stages behind chunk are planned when it is done" in first
    quick_job("rag", *line)
    assert "all stages are done" in quick_job("plan", "plan.job=rag", *line).stdout
    other = quick_job("plan", "plan.job=rag", *line, "prompt.joint=' / '").stdout
    assert "stage   generate\n" in other


def test_a_job_in_stages_is_no_array(lines: dict[str, list[str]], quick_job: Job) -> None:
    done = quick_job("submit", "cluster=slurm_array", "job=rag", *lines["rag"], "--dry-run", code=2)
    assert "jobs.rag has stages that wait for each other; use cluster=slurm" in done.stderr


@pytest.mark.parametrize("key", ["plan.job", "job"])
def test_an_unknown_job_is_refused_with_those_that_are_known(key: str, quick_job: Job) -> None:
    done = quick_job("plan" if key == "plan.job" else "submit", f"{key}=status", code=2)
    assert f"{key}=status: must be one of judge, arena, generate" in done.stderr


@pytest.mark.parametrize(
    ("name", "run", "setting"),
    [
        ("evaluate", "judge", "qrels=x"),
        ("evaluate", "arena", "cutoff=3"),
        ("evaluate", "tournament", "tokenizer=words"),
        ("evaluate", "generate", "partial=true"),
        ("evaluate", "retrieve", "normalise=true"),
        ("evaluate", "grade", "tokenizer=words"),
        ("merge", "judge", "merge.format=openai_batch"),
        ("merge", "generate", "merge.on_failed=uniform"),
        ("merge", "retrieve", "merge.sample=x"),
    ],
)
def test_what_has_no_effect_on_a_run_of_a_kind_is_refused(
    name: str, run: str, setting: str, lines: dict[str, list[str]], quick_job: Job, tmp_path: Path
) -> None:
    (tmp_path / "x").touch()
    setting = setting.replace("sample=x", f"sample={tmp_path / 'x'}")
    said = quick_job(name, f"run.dir={lines['folder'][0]}/{run}", setting, code=2).stderr
    assert f"{setting}: has no effect on a run of jobs.{run}; leave it out" in said


@pytest.mark.parametrize(
    ("file", "content", "name"),
    [
        ("progress.json", "{", "status"),
        ("progress.json", '{"state": "running", "updated": "x"}', "status"),
        ("metrics.json", "[]", "status"),
        ("submit/x/submission.json", '{"ids": 3}', "status"),
        ("config.yaml", ": {", "evaluate"),
    ],
)
def test_a_damaged_file_of_a_run_folder_is_named(
    file: str, content: str, name: str, lines: dict[str, list[str]], quick_job: Job, tmp_path: Path
) -> None:
    shutil.copytree(Path(lines["folder"][0]) / "generate", tmp_path / "run")
    (tmp_path / "run" / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "run" / file).write_text(content)
    said = quick_job(name, f"run.dir={tmp_path / 'run'}", code=2).stderr
    assert f"ERROR {tmp_path / 'run' / file}: " in said
    assert "delete it" in said
    assert "Traceback" not in said


def test_a_column_vector_that_holds_none_is_refused_where_vectors_are_compared(
    lines: dict[str, list[str]], quick_job: Job, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text("id,text,vector\na,one,x\nb,two,y\n")
    line = [f"data.path={tmp_path}/x*.csv", lines["retrieve"][1], f"run.dir={tmp_path / 'run'}"]
    said = quick_job("retrieve", *line, "retriever=exact", code=2).stderr
    assert "x*.csv, column vector: is of type string, but must be vectors as jobs.embed writes them" in said
    assert not (tmp_path / "run").exists()
    quick_job("retrieve", *line, "retriever=bm25_en")


def test_what_reranking_cuts_is_said_at_the_end(lines: dict[str, list[str]], quick_job: Job, tmp_path: Path) -> None:
    line = [word for word in lines["rerank"] if not word.startswith(("run.", "engine.max"))]
    (tmp_path / "x.jsonl").write_text(json.dumps({"question": "why?", "passages": ["word " * 900, "short"]}))
    line = [*line, f"data.path={tmp_path / 'x.jsonl'}", f"run.dir={tmp_path / 'run'}"]
    assert "cut:        1 of 1 rows, by " in quick_job("rerank", *line).stdout


@pytest.mark.parametrize("name", ["judge", "arena", "tournament"])
def test_a_battles_verdict_is_its_likeliest_end_in_words(name: str, lines: dict[str, list[str]]) -> None:
    table = pq.read_table(Path(lines["folder"][0]) / name / "result.parquet")
    likeliest = np.column_stack([table[column].to_numpy() for column in ("p_a", "p_b", "p_tie")]).argmax(axis=1)
    assert table["verdict"].to_pylist() == [("A", "B", "tie")[place] for place in likeliest]
    assert set(table["label"].to_pylist()) <= {"A", "B", "tie", None}


@pytest.mark.parametrize(("name", "key"), [("arena", "arena.bias"), ("rerank", "rerank.threshold")])
def test_numbers_that_are_none_are_refused(name: str, key: str, lines: dict[str, list[str]], quick_job: Job) -> None:
    said = quick_job(name, *lines[name], f"{key}=nan", code=2).stderr
    assert f"{key}=nan: must be a finite number" in said


def test_a_tournament_without_verdicts_says_why_its_battles_failed(
    lines: dict[str, list[str]], quick_job: Job, tmp_path: Path
) -> None:
    line = [*lines["tournament"][:-1], f"run.dir={tmp_path / 'run'}"]
    said = quick_job("tournament", *line, "engine.fail_on=e", code=1).stderr.splitlines()[-1]
    assert "2 of 2 rows failed, more than run.max_error_rate=0 allows; the first:" in said
    said = quick_job("tournament", *line, "engine.fail_on=e", "run.max_error_rate=1", code=2).stderr.splitlines()[-1]
    assert "these groups of systems never met in a vote that counts" in said


def test_a_tournament_is_evaluated_and_merged_again(lines: dict[str, list[str]], quick_job: Job) -> None:
    folder = Path(lines["folder"][0]) / "tournament"
    before = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").unlink()
    assert "one" in quick_job("evaluate", f"run.dir={folder}").stdout
    assert json.loads((folder / "metrics.json").read_text()) == before
    (folder / "metrics.json").unlink()
    quick_job("merge", f"run.dir={folder}")
    assert json.loads((folder / "metrics.json").read_text()) == before


@pytest.mark.parametrize("name", [name for name in OUTCOMES if name != "questions"])
def test_its_rows_are_shown(name: str, lines: dict[str, list[str]]) -> None:
    viewer = open_viewer(Path(lines["folder"][0]) / name, None)
    assert "No row is like that" not in viewer.list_page(read_query(""))
    page = viewer.row_page(read_query("row=0&prompt=1"))
    asks = name not in ("chunk", "retrieve")  # no model
    assert ("Prompt, as the model got it" in page) is asks
    assert ("No model was asked" in page) is not asks
