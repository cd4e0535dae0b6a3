"""Every command in README.md works: make's targets are there, and each job is run on small real files."""

import csv
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.data.run_folder import JOURNALS, REMEMBERED, REPEATED, SERVER_LOG
from tests.conftest import ROOT, Job
from tests.engines.endpoint.misbehaving import serving
from tests.jobs.test_configs import make
from tests.pictures import picture

PYTHON = ".venv/bin/python -m jobs."
BEFORE, _, REST = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## On a cluster\n")
CLUSTER, _, AFTER = REST.partition("\n## ")  # its commands are run by tests/slurm/test_chapter.py
README = BEFORE + AFTER
BLOCKS = re.findall(r"^```\w*\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
IN_TEXT = re.findall(r"`((?:make |\.venv/bin/)[^`]+)`", README.replace("\n", " "))
COMMANDS = list(dict.fromkeys([line for block in BLOCKS for line in block.splitlines() if line.strip()] + IN_TEXT))
MAKE = [command for command in COMMANDS if command.startswith("make ")]
JOBS = [command for command in COMMANDS if command.startswith(PYTHON)]
BY_NAME = [command for command in COMMANDS if command.startswith(".venv/bin/overnight")]
OVERRIDES = [
    override
    for line in README.partition("\n| override |")[2].partition("\n\n")[0].splitlines()
    for override in re.findall(r"`([^`]+)`", line.split("|")[1] if line.startswith("| `") else "")
]

# What the README says -> what is run here. The test fails for an argument that is not in this table.
ARGUMENTS = {
    "data=arena": "data=arena",
    "data.path=train.csv": "data.path={files}/train.csv",
    "data.path=test.csv": "data.path={files}/test.csv",
    "merge.sample=sample_submission.csv": "merge.sample={files}/sample_submission.csv",
    "engine=smollm2_135m": "engine=dummy",  # a model takes too long here; the engines have tests of their own
    "engine=mine": "engine=dummy",
    "engine=qwen3_8b": "engine=dummy",
    "engine@generator=qwen3_8b": "engine@generator=dummy",
    "fetch.job=rag": "fetch.job=rag",
    "engine=smollm2_135m_vllm": "engine=dummy",
    "executor=server": "executor=inline",  # as it is in tests/vllm
    "run.dir=DIR": "run.dir={files}/run",
    "submission=submission.csv": "submission={files}/submission.csv",
    "labels=train.csv": "labels={files}/train.csv",
    "submission=a.csv": "submission={files}/a.csv",
    "labels=labels.csv": "labels={files}/labels.csv",
    "merge.submissions=[a.csv,b.csv]": "merge.submissions=[{files}/a.csv,{files}/b.csv]",
    "merge.weights=[0.6,0.4]": "merge.weights=[0.6,0.4]",
    "merge.out=blend.csv": "merge.out={files}/blend.csv",
    "merge.out=cooler.csv": "merge.out={files}/cooler.csv",
    "merge.out=calibrated.csv": "merge.out={files}/calibrated.csv",
    "merge.out=fitted.csv": "merge.out={files}/fitted.csv",
    "merge.fit=labels.csv": "merge.fit={files}/labels.csv",
    "merge.calibration=calibration.json": "merge.calibration={files}/calibration.json",
    "export.to=lm_eval": "export.to=lm_eval",
    "export.out=logs": "export.out={files}/logs",
    "out=calibration.json": "out={files}/calibration.json",
    "run.dir=runs/labelled": "run.dir={files}/labelled",
    "run.dir=runs/unlabelled": "run.dir={files}/judged",
    "merge.submissions=[calibrated.csv,other.csv]": (
        "merge.submissions=[{files}/judged/submission.csv,{files}/judged/submission.csv]"
    ),
    "merge.out=blended.csv": "merge.out={files}/blended.csv",
    "runs=[runs/labelled,runs/unlabelled]": "runs=[{files}/judged,{files}/judged]",
    "out=runs/leaderboard": "out={files}/ranking",
    "--cfg": "--cfg",
    "--multirun": "--multirun",
    "job": "job",
    "engine=endpoint": "engine=endpoint",
    "engine.server=vllm": "engine.server=vllm",
    "engine.url=http://127.0.0.1:8000/v1": "engine.url={url}",
    "engine.model=NAME": "engine.model=model",
    "data=table": "data=table",
    "data=openai_batch": "data=openai_batch",
    "data.path=prompts.csv": "data.path={files}/prompts.csv",
    "data.path=photos.csv": "data.path={files}/photos.csv",
    "data.path=answers.csv": "data.path={files}/answers.csv",
    "data.path=batch.jsonl": "data.path={files}/batch.jsonl",
    "data.path=questions.csv": "data.path={files}/questions.csv",
    "data.path=talk.txt": "data.path={files}/talk.txt",
    "documents.path=talk.txt": "documents.path={files}/talk.txt",
    "data.path=runs/chunks/result.parquet": "data.path={files}/chunks/result.parquet",
    "data.path=runs/questions/result.parquet": "data.path={files}/questions/result.parquet",
    "data.path=runs/found/result.parquet": "data.path={files}/found/result.parquet",
    "engine=multilingual_e5_small_packaged": "engine=dummy",
    "engine@generator=smollm2_135m": "engine@generator=dummy",
    "experiment=lecture/all": "experiment=lecture/all",
    "aggregate=both_orders": "aggregate=both_orders",
    "qrels=qrels.tsv": "qrels={files}/qrels.tsv",
    "store.dir=runs/store": "store.dir={files}/store",
    "retriever.corpus=runs/corpus": "retriever.corpus={files}/corpus",
    "run.dir=runs/found": "run.dir={files}/found",
    "runs=[a.csv,b.csv]": "runs=[{files}/a.csv,{files}/b.csv]",
    "annotations=annotations.csv": "annotations={files}/annotations.csv",
    "data.path=votes.csv": "data.path={files}/votes.csv",
    "out=DIR": "out={files}/board",
    "view.export=pages": "view.export={files}/pages",
    "runs=[DIR,DIR]": "runs=[{files}/judged,{files}/judged]",
    "leaderboard.anchor=gpt-4:1000": "leaderboard.anchor=gpt-4:1000",
    "runs=runs/generate-*": "runs={files}/generate-*",
    "tournament.answers={one: runs/one, other: runs/other}": (
        "tournament.answers={{one: {files}/one, other: {files}/other}}"
    ),
}
AS_IT_IS = [
    "prompt=", "prompt.preview=", "prompt.images=", "generate.", "data.carry=", "embed.", "retriever=", "merge.format=",
    "judge.", "store.prune_days=", "store.compact=", "leaderboard.model=", "grade.", "quantize.to=",
]  # fmt: skip
DUMMIES = [
    "engine@embedder=dummy", "engine@generator=dummy", "engine@reranker=dummy", "generator.max_model_len=4096",
    "embedder.max_model_len=512", "reranker.max_model_len=4096",
]  # fmt: skip
_RUN = ["executor=inline", "run.dir={run}"]
MORE = {  # so that a command is quick and leaves its run in a folder of the test
    "judge": _RUN,
    "plan": _RUN,
    "chunk": ["run.dir={run}"],
    "embed": _RUN,
    "retrieve": _RUN,
    "rerank": [*_RUN, "engine.max_model_len=4096"],
    "generate": ["executor=inline", "run.root={run}"],
    "grade": ["executor=inline", "run.root={run}", "engine.max_model_len=4096"],
    "rag": [*DUMMIES, "run.root={run}"],
    "tournament": ["run.root={run}", "engine.max_model_len=4096"],
    "calibrate": ["calibrate.force=true"],  # the dummy engine knows nothing of the labels
    "view": ["view.export={run}"],  # in place of serving, which tests/report/viewer does
    "memory": ["memory.measure=false", "engine=smollm2_135m", "out={run}"],
    "quantize": ["engine=smollm2_135m", "out={run}"],
}  # fmt: skip
CONTEST = {"experiment=lecture/all": "rag.tournament=['engine=dummy','engine.max_model_len=4096','prompt=pairwise_ja']"}
WINNERS = ["winner_model_a", "winner_model_b", "winner_tie"]


def copy_csv(source: Path, target: Path, columns: list[str]) -> None:
    with source.open(encoding="utf-8", newline="") as rows, target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(csv.DictReader(rows))


@pytest.fixture(scope="module")
def files(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the README's commands name, and a finished run."""
    folder = tmp_path_factory.mktemp("files")
    train = folder / "train.csv"
    shutil.copy(ROOT / "conf" / "samples" / "battles.csv", train)
    copy_csv(train, folder / "test.csv", ["id", "prompt", "response_a", "response_b"])
    copy_csv(train, folder / "sample_submission.csv", ["id", *WINNERS])
    line = ["data=arena", f"data.path={train}", "engine=dummy", "executor=inline", f"store.dir={folder / 'store'}"]
    job("judge", *line, f"run.dir={folder / 'run'}")
    _votes(folder)
    job(
        "judge",
        f"data.path={folder}/named.csv",
        *[word for word in line if "path" not in word],
        f"run.dir={folder}/judged",
    )
    shutil.copy(folder / "run" / "submission.csv", folder)
    _labelled(folder, job)
    ids = [row["id"] for row in csv.DictReader(train.open(encoding="utf-8", newline=""))]
    ratings = [f"{key},A,{('A', 'tie')[n % 2]}" for n, key in enumerate(ids)]
    (folder / "annotations.csv").write_text("\n".join(["id,label_ann,label_ben", *ratings]) + "\n")
    _texts(folder)
    dummy = ["engine=dummy", "executor=inline"]
    job("chunk", f"data.path={folder}/talk.txt", f"run.dir={folder}/chunks")
    carry = "data.carry=[document,start,stop,after]"
    job("embed", *dummy, f"data.path={folder}/chunks/result.parquet", carry, f"run.dir={folder}/corpus")
    query = ["embed.text='{question}'", "embed.role=query"]
    job("embed", *dummy, f"data.path={folder}/questions.csv", *query, f"run.dir={folder}/questions")
    search = ["retriever=exact", f"retriever.corpus={folder}/corpus"]
    job("retrieve", f"data.path={folder}/questions/result.parquet", *search, f"run.dir={folder}/found")
    for name in ("one", "other"):
        given = ["prompt=answer_ja", f"data.path={folder}/questions.csv", "data.carry=[question]"]
        job("generate", *dummy, "data=table", *given, f"prompt.system={name}", f"run.dir={folder}/{name}")
    for temperature in (0.5, 1.0):
        draws = ["generate.n=2", f"generate.temperature={temperature}", f"run.root={folder}"]
        job("generate", *dummy, "data=table", f"data.path={folder}/prompts.csv", *draws)
    return folder


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of a server."""
    with serving() as server:
        yield server.url


def _votes(folder: Path) -> None:
    """Votes, and battles that name their models."""
    votes = [
        ("gpt-4", "llama", "model_a"),
        ("llama", "gpt-4", "A"),
        ("gpt-4", "llama", "tie"),
        ("llama", "gpt-4", "both_bad"),
    ]
    (folder / "votes.csv").write_text("model_a,model_b,winner\n" + "".join(",".join(vote) + "\n" for vote in votes))
    battles = "".join(f'{n},gpt-4,llama,"[""Q{n}?""]","[""a{n}""]","[""b""]"\n' for n in range(6))
    (folder / "named.csv").write_text(f"id,model_a,model_b,prompt,response_a,response_b\n{battles}")


def _labelled(folder: Path, job: Job) -> None:
    """A run on enough labelled rows to fit a calibration on, its submission, and the calibration."""
    with (folder / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "id": f"{copy}-{n}", "prompt": json.dumps([f"{copy} {n}"])}
                         for copy in range(3) for n, row in enumerate(rows))  # fmt: skip
    labelled = folder / "labelled"
    job("judge", "data=arena", f"data.path={folder}/labels.csv", "engine=dummy", "executor=inline", "store.dir=null",
        f"run.dir={labelled}")  # fmt: skip
    for name in ("a.csv", "b.csv"):
        shutil.copy(labelled / "submission.csv", folder / name)
    job("calibrate", f"run.dir={labelled}", f"out={folder}/calibration.json", "calibrate.force=true")


def _texts(folder: Path) -> None:
    """Prompts, questions, documents, judgements, and an OpenAI batch file."""
    (folder / "prompts.csv").write_text("id,instruction\n1,Tell me a story.\n2,Say hello.\n")
    (folder / "photos.csv").write_text("id,photo,instruction\n1,a.png,What is it?\n")
    (folder / "a.png").write_bytes(picture(1))
    (folder / "answers.csv").write_text("id,question,answer,model\n1,How many legs has a spider?,Eight.,small\n")
    (folder / "questions.csv").write_text("id,question\na,推論とは？\nb,訓練とは？\n", encoding="utf-8")
    for name in ("talk.txt", "LLM2024_day4.txt", "LLM2024_day4_raw.txt"):
        (folder / name).write_text("推論の話。訓練の話。\n\n例の話。最後の話。", encoding="utf-8")
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\na\ttalk.txt:0-4\t1\n")
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
    request = {"custom_id": "one", "method": "POST", "url": "/v1/chat/completions", "body": body}
    (folder / "batch.jsonl").write_text(json.dumps(request) + "\n")


def test_every_command_is_one_that_is_tested() -> None:
    assert len(MAKE) >= 4
    assert len(JOBS) >= 20
    assert len(OVERRIDES) >= 10
    assert CLUSTER
    assert set(COMMANDS) == {*MAKE, *JOBS, *BY_NAME}


@pytest.mark.parametrize("command", MAKE)
def test_make_has_the_target_and_what_it_runs(command: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for module in re.findall(r"/python -m ([\w.]+)", done.stdout):
        assert importlib.util.find_spec(module) is not None, module


@pytest.mark.parametrize("command", JOBS, ids=lambda command: command.removeprefix(PYTHON))
def test_job_runs(command: str, files: Path, url: str, job: Job, tmp_path: Path) -> None:
    name, *arguments = shlex.split(command.removeprefix(PYTHON))
    contest = [CONTEST[argument] for argument in arguments if argument in CONTEST]
    if "run.dir={run}" in MORE.get(name, []):  # a folder of the test in place of the README's
        arguments = [argument for argument in arguments if not argument.startswith("run.dir=runs/")]
    given = [_here(argument, files, url) for argument in arguments]
    done = job(name, *given, *_more(name, tmp_path), *contest, LECTURE=str(files))
    assert done.stdout


def test_the_command_of_all_jobs_runs(tmp_path: Path) -> None:
    assert len(BY_NAME) >= 3
    for command in BY_NAME:
        line = [str(Path(sys.executable).with_name("overnight")), *shlex.split(command)[1:]]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout


def _here(argument: str, files: Path, url: str) -> str:
    """What an argument of the README stands for here."""
    if argument in ARGUMENTS:
        return ARGUMENTS[argument].format(files=files, url=url)
    assert argument.startswith(tuple(AS_IT_IS)), f"new in the README: say in ARGUMENTS what {argument} stands for"
    return argument


def _more(name: str, folder: Path) -> list[str]:
    return [argument.format(run=folder / "run") for argument in MORE.get(name, [])]


@pytest.mark.parametrize("override", OVERRIDES)
def test_override_is_one_that_jobs_judge_takes(override: str) -> None:
    plain, changed = make("judge"), make("judge", *shlex.split(override))
    assert changed != plain


def test_the_run_folder_holds_what_the_table_says(files: Path) -> None:
    _, _, section = README.partition("\n## The run folder\n")
    cells = [line.split("|")[1] for line in section.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    named = {name.rstrip("/") for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    elsewhere = {JOURNALS, REMEMBERED, REPEATED, SERVER_LOG}  # all of it was asked, and of no server
    assert named - elsewhere == {path.name for path in (files / "run").iterdir()}


def test_the_engines_that_are_named_are_there() -> None:
    table = README.partition("\n| for | engine= |\n")[2].partition("\n\n")[0]
    named = []
    for line in table.splitlines()[1:]:
        first, *others = (name for name in re.findall(r"`([^`]+)`", line) if not name.startswith("prompt="))
        named += [first, *(first + name if name.startswith("_") else name for name in others)]
    assert len(named) >= 15
    assert not set(named) - {path.stem for path in (ROOT / "conf" / "engine").glob("*.yaml")}
