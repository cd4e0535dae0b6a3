"""jobs.rag and jobs.tournament as a user runs them, with dummy engines and small documents."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import Job

DUMMIES = [
    "engine@embedder=dummy",
    "engine@generator=dummy",
    "engine@reranker=dummy",
    "generator.max_model_len=4096",
    "embedder.max_model_len=512",
    "reranker.max_model_len=4096",
]


def line(lecture: Path, experiment: str, *more: str) -> list[str]:
    return [f"experiment=lecture/{experiment}", f"data.path={lecture}/questions.csv", f"run.root={lecture}/runs", *more]


def answers(lecture: Path) -> dict[str, list[dict[str, object]]]:
    """The rows of each way of answering, by its name."""
    found = {}
    for path in sorted((lecture / "runs" / "rag-lecture").glob("generate-*/result.parquet")):
        found[path.parent.name.split("-")[1]] = pq.read_table(path).to_pylist()
    return found


def test_one_way_of_answering(lecture: Path, quick_job: Job) -> None:
    done = quick_job("rag", *line(lecture, "window", *DUMMIES), LECTURE=str(lecture))
    (rows,) = answers(lecture).values()
    document = (lecture / "LLM2024_day4.txt").read_text(encoding="utf-8")
    assert [row["id"] for row in rows] == ["a", "b"]
    for row in rows:
        assert row["text"]
        assert 1 <= len(row["passages"]) <= 5
        for passage, start, stop in zip(row["passages"], row["starts"], row["stops"], strict=True):
            assert document[start:stop] == passage
    page = Path(done.stdout.partition("report:")[2].strip()).read_text(encoding="utf-8")
    assert "推論とは？" in page
    assert "LLM2024_day4.txt, " in page


def test_the_answers_are_copied_and_no_other_stage(lecture: Path, quick_job: Job) -> None:
    out = lecture / "out"
    done = quick_job("rag", *line(lecture, "baseline", *DUMMIES, f"run.out={out}"), LECTURE=str(lecture))
    assert f"copy:       {out} (" in done.stdout
    (folder,) = (lecture / "runs" / "rag-lecture").glob("generate-*")
    for name in ("result.parquet", "report.html", "stages.json"):
        assert (out / name).read_bytes() == (folder / name).read_bytes()
    assert "generate" in (out / "COMPLETE.json").read_text()


def test_all_ways_and_the_tournament(lecture: Path, quick_job: Job) -> None:
    contest = "rag.tournament=['engine=dummy','engine.max_model_len=4096','prompt=pairwise_ja']"
    done = quick_job("rag", *line(lecture, "all", *DUMMIES, contest, "rerank.threshold=null"), LECTURE=str(lecture))
    names = {"baseline", "raw", "corrected", "window", "window_rerank", "paragraphs"}
    assert set(answers(lecture)) == names
    assert {row.split()[0] for row in done.stdout.splitlines() if "+" in row or "-0" in row} >= names
    assert "30 of 30 battles about 2 questions were scored, by Dummy." in done.stdout
    folder = Path(done.stdout.partition("report:")[2].strip()).parent
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {system["name"] for system in metrics["systems"]} == names
    assert sum(system["won"] + system["lost"] + system["tied"] for system in metrics["systems"]) == 60
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert all(name in page for name in names)
    for row in answers(lecture)["window_rerank"]:
        assert sorted(row["scores"], reverse=True) == row["scores"]

    # Another prompt of the generator leaves all stages but the last as they are.
    again = quick_job("rag", *line(lecture, "corrected", *DUMMIES, "prompt.joint=' / '"), LECTURE=str(lecture))
    stages = [text.rpartition("INFO stage ")[2] for text in again.stderr.splitlines() if "INFO stage" in text]
    assert [stage.endswith("reused") for stage in stages] == [True] * (len(stages) - 1) + [False]
    assert [stage.partition(":")[0] for stage in stages] == [
        "questions", "chunk", "embed documents", "embed questions", "retrieve", "generate",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["documents.path={lecture}/empty.txt"], "no chunk"),
        (["documents.path={lecture}/missing.txt"], "no such file"),
        (["data.path={lecture}/LLM2024_day4.txt"], "column 'question' is missing"),
        (["data.path={lecture}/none.csv"], "the file has no rows"),
        (["rerank_prompt.template='{question}'"], r"missing: {passage}"),
        (["prompt.template='{question} {pasages}'"], "column 'pasages' is missing"),
        (["engine@generator=smollm2_135m", "generator.model={lecture}/none"], "generator: engine.model="),
        (["engine@reranker=smollm2_135m", "reranker.model={lecture}/none"], "reranker: engine.model="),
        (["generate.n=2", "generate.temperature=1"], "generate.n=2: jobs.rag compares one answer to each question"),
        (["experiment=lecture/all", "rag.tournament=[engine=dumy]"], "did you mean engine=dummy?"),
    ],
)
def test_bad_input_is_refused(lecture: Path, quick_job: Job, overrides: list[str], message: str) -> None:
    (lecture / "empty.txt").write_text("。\n。", encoding="utf-8")
    (lecture / "none.csv").write_text("id,question\n", encoding="utf-8")
    given = [override.format(lecture=lecture) if "{lecture}" in override else override for override in overrides]
    done = quick_job("rag", *line(lecture, "window_rerank", *DUMMIES), *given, code=2, LECTURE=str(lecture))
    assert message in done.stderr
    assert "the worker is ready" not in done.stderr or "template" in overrides[0]


def test_a_stage_with_failed_rows_is_not_taken_for_a_good_one_the_next_time(lecture: Path, quick_job: Job) -> None:
    failing = line(lecture, "baseline", *DUMMIES, "generator.fail_on='スケール則'")
    for _ in range(2):
        done = quick_job("rag", *failing, code=1, LECTURE=str(lecture))
        assert "1 of 2 rows failed, more than run.max_error_rate=0 allows" in done.stderr
    quick_job("rag", *failing, "run.max_error_rate=0.5", LECTURE=str(lecture))
    assert [row["text"] is None for row in answers(lecture)["baseline"]] == [False, True]


def test_a_result_older_than_a_shard_is_merged_again(lecture: Path, quick_job: Job) -> None:
    command = line(lecture, "baseline", *DUMMIES)
    quick_job("rag", *command, LECTURE=str(lecture))
    (shard,) = (lecture / "runs").glob("rag-lecture/generate-*/shards/*/*.parquet")
    shard.touch()
    for ending in ("s", "reused"):
        done = quick_job("rag", *command, LECTURE=str(lecture))
        assert done.stderr.splitlines()[-1].endswith(ending)
        assert "INFO stage generate: 2 rows" in done.stderr.splitlines()[-1]


def test_more_passages_than_there_are(lecture: Path, quick_job: Job) -> None:
    done = quick_job("rag", *line(lecture, "corrected", *DUMMIES, "retrieve.k=50"), LECTURE=str(lecture))
    assert "k=50, but the corpus has only 15 passages" in done.stderr
    assert [len(row["passages"]) for row in answers(lecture)["corrected"]] == [15, 15]


def test_systems_that_answered_other_questions(lecture: Path, quick_job: Job) -> None:
    quick_job("rag", *line(lecture, "baseline", *DUMMIES), LECTURE=str(lecture))
    (lecture / "questions.csv").write_text("id,question\na,推論とは何か？\nb,スケール則とは？\n", encoding="utf-8")
    quick_job("rag", *line(lecture, "baseline", *DUMMIES), LECTURE=str(lecture))
    one, other = sorted(str(path) for path in (lecture / "runs" / "rag-lecture").glob("generate-*"))
    two = [f"++tournament.answers.one={one}", f"++tournament.answers.other={other}"]
    done = quick_job("tournament", *two, "engine=dummy", f"run.root={lecture}/runs", code=2)
    assert "question 'a' is another one" in done.stderr
    done = quick_job("tournament", two[0], "engine=dummy", f"run.root={lecture}/runs", code=2)
    assert "needs two systems" in done.stderr
