"""Words that Hydra's grammar has no place for arrive whole; what is refused is answered with what would work."""

import random
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from lib.command_line import as_value, readable
from tests.conftest import Job
from tests.running import ROOT


def _read(argument: str) -> object:
    return OverridesParser.create().parse_override(argument).value()


NAMES = """質問.csv|q (1).csv|[1] a.csv|a=b.csv|a{b}.csv|it's.csv|say "a".csv| a.csv |a,質.csv|a\\|質\\'|a b.csv
runs/x-1.csv|#1.csv|a;b&c.csv|é.csv|{質|全角 空白.csv|*.csv|a?.csv|a:b.csv|[質|'質|"""


@pytest.mark.parametrize("name", [name for line in NAMES.splitlines() for name in line.split("|") if name])
def test_a_name_arrives_as_it_was_typed(name: str) -> None:
    assert _read(readable(f"data.path={name}")) == name
    assert _read(f"data.path={as_value(name)}") == name


def test_any_text_can_be_a_value() -> None:
    draw = random.Random(0)
    for _ in range(300):
        text = "".join(draw.choices("ab1 .,:=()[]{}'\"\\質#%~+-/", k=draw.randint(1, 8)))
        assert _read(f"data.path={as_value(text)}") == text


@pytest.mark.parametrize(
    "argument", ["--cfg", "data.limit=3", "a=[1,2]", "a={b: c}", "a='質問 x'", "engine=a,b", "a=${b}"]
)
def test_what_hydra_reads_stays(argument: str) -> None:
    assert readable(argument) == argument


def test_words_of_lists_mappings_and_sweeps_are_quoted_one_by_one() -> None:
    assert _read(readable("data.carry=[質問,答え (1),'a,b']")) == ["質問", "答え (1)", "a,b"]
    assert _read(readable("data.columns={question: 質問}")) == {"question": "質問"}
    assert [_read(readable(f"a={word}")) for word in ("12_3", "1_2.5", "1.5", "a_1")] == ["12_3", "1_2.5", 1.5, "a_1"]
    assert readable("data.path=質問.csv,b.csv", sweeps=True) == "data.path='質問.csv',b.csv"


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("judge", ["+data.limt=6"], "data.limt: no such key; did you mean data.limit?"),
        ("judge", ["data.limt=6"], "data.limt: no such key; did you mean data.limit?"),
        ("judge", ["++run.nmae=x", "engine=dummy"], "run.nmae: no such key; did you mean run.name?"),
        ("judge", ["+foo=1"], "foo: no such key"),
        ("judge", ["engin=dummy"], "engin: no such key; did you mean engine?"),
        ("generate", ["engine=dummy", "prompt=xyz"], ", translate_few_shot, translate_few_shot_base\n"),
        ("judge", ["engine=dumy"], "did you mean engine=dummy?"),
        ("judge", ["judge.swap=bth"], "judge.swap=bth: Invalid value 'bth', expected one of [both, none]"),
        ("judge", ["data.limit=abc"], "data.limit=abc: Value 'abc' of type 'str' could not be converted to Integer"),
        ("judge", ["judge.mode=txt"], "[labels, text, classes]; did you mean judge.mode=text?"),
        ("judge", ["data.on_bad_row=recrd"], "did you mean data.on_bad_row=record?"),
        ("judge", ["run.retry_failed=ture"], "did you mean run.retry_failed=true?"),
        ("judge", ["--mulitrun"], "--mulitrun: no such option; did you mean --multirun?"),
        ("status", ["--wach"], "--wach: no such option; did you mean --watch?"),
        ("status", ["run=runs/x"], "run=runs/x: run is a group of keys, of which one can be set: run.dir\n"),
        ("judge", ["~data.limit"], "~data.limit: a key can't be taken away"),
        ("judge", ["dummy"], "dummy: must be key=value"),
        ("judge", ["=3"], "=3: must be key=value"),
        (
            "judge",
            ["data=table", "data.path=x"],
            "data=table: is of another kind than this job reads; there are arena, ",
        ),
        ("arena", ["data=documents", "data.path=x"], "data=documents: is of another kind"),
        ("generate", ["data=arena", "data.path=x"], "use data=table or data=openai_batch"),
        ("generate", ["++data.columns.質問=a", "data=table"], "++data.columns.質問=a: can't be read"),
        ("judge", ["data=arena", "data.path=質 (1).csv"], "data.path=質 (1).csv: no such file"),
        ("judge", ["data=arena", "data.path=${oops}"], "data.path: Interpolation key 'oops' not found"),
        ("judge", ["data=arena", "data.path=質.csv,二.csv", "engine=dummy", "-m"], "data.path=二.csv: no such file"),
        ("plan", ["plan.sampl=3"], "plan.sampl: no such key; did you mean plan.sample?"),
        ("plan", ["+data.limt=6"], "data.limt: no such key; did you mean data.limit?"),
        ("plan", ["data=arena", "data.path=質.csv,二.csv", "-m"], "data.path=二.csv: no such file"),
        ("submit", ["data=table", "data.path=x"], "data=table: is of another kind"),
        ("submit", ["data=arena", "data.path=質 (1).csv"], "data.path=質 (1).csv: no such file"),
        ("judge", ["engine=dummy", "publish=hub"], "publish.repo=: must be OWNER/NAME of a data set on the hub"),
        ("merge", ["run.dir=x", "publish=hub"], "publish.repo=: must be OWNER/NAME of a data set on the hub"),
        ("status", ["run.dir=x", "summary=true", "notify=mail"], "notify.to: must be given, as in notify.to=you@"),
        ("judge", ["data.carry=a,b"], """is "data.carry='a,b'"\n"""),
        ("judge", ["data.carry=a"], "data.carry=a: takes a list, data.carry=[…], with commas between its parts\n"),
        ("judge", ["limit=6"], "limit: no such key; did you mean data.limit?"),
        ("judge", ["oops.limits=6"], "oops: no such key; there are executor, run, "),
    ],
)
def test_what_is_refused_says_what_would_work(name: str, line: list[str], said: str, quick_job: Job) -> None:
    done = quick_job(name, *line, code=2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "defect of ours" not in done.stderr


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("plan", ["engin=dummy"], "engin: no such key; did you mean engine?\n"),
        ("plan", ["data=sample_test", "engine=dummy"], "data=sample_test: no such config, "),
        ("plan", ["plna.job=rag"], "plna.job: no such key; did you mean plan.job?\n"),
        ("plan", ["job=rag"], "job: no such key; did you mean plan.job?\n"),
        ("plan", ["oops=3"], "oops: no such key; there are plan, and those of jobs.judge: executor, run, "),
        ("plan", ["+oops=3"], "oops: no such key; there are plan, and those of jobs.judge: executor, run, "),
        ("plan", ["data=table", "data.path=x"], "data=table: is of another kind than jobs.judge reads; there are "),
        ("plan", ["engine=dummy", "engine.seconds_per_request=-1"], "engine.seconds_per_request=-1.0: must not be "),
        ("plan", ["engine=dummy", "prompt.preview=3"], "prompt.preview=3: has no effect but in python -m jobs.judge"),
        ("submit", ["clutser=slurm"], "clutser: no such key; did you mean cluster?\n"),
        ("submit", ["nodes=2"], "nodes: no such key; did you mean cluster.nodes?\n"),
        ("submit", ["plan.job=rag"], "plan.job: no such key; did you mean job?\n"),
        ("fetch", ["fecth.job=rag"], "fecth.job: no such key; did you mean fetch.job?\n"),
        ("fetch", ["oops=3"], "oops: no such key; there are fetch, and those of jobs.judge: executor, run, "),
    ],
)
def test_a_line_about_a_job_is_refused_as_that_of_the_job(
    name: str, line: list[str], said: str, quick_job: Job
) -> None:
    """At once, with the keys of both that may have been meant."""
    assert quick_job(name, *line, code=2).stderr.startswith(said)


def test_a_japanese_file_name_is_read(quick_job: Job, tmp_path: Path) -> None:
    path = tmp_path / "質問 (1).csv"
    path.write_text("id,instruction\n1,こんにちは\n", encoding="utf-8")
    line = ["data=table", "prompt=instruct", "engine=dummy", "executor=inline", f"data.path={path}"]
    quick_job("generate", *line, f"run.dir={tmp_path / '実行 {1}'}", "prompt.joint=夜")
    assert (tmp_path / "実行 {1}" / "result.parquet").exists()


def test_an_argument_that_is_not_utf8_is_refused(quick_job: Job) -> None:
    said = quick_job("generate", "data.path=/b\udcff.csv", code=2).stderr
    assert said.startswith(r""""data.path='/b\udcff.csv'": is not UTF-8; rename what is called so""")


def test_closed_output_keeps_no_run_from_its_end(prompts: Path, tmp_path: Path) -> None:
    words = ["data=table", "engine=dummy", "executor=inline", f"data.path={prompts}", f"run.dir={tmp_path}/run"]
    line = shlex.join([sys.executable, "-m", "jobs.generate", *words])
    done = subprocess.run(f"{line} >&- 2>&-", shell=True, cwd=ROOT, check=False, timeout=60)
    assert done.returncode == 0
    assert pq.read_table(tmp_path / "run" / "result.parquet").num_rows == 8
