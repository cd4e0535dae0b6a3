"""A store on S3: runs on machines that share nothing else compute no row twice, and none ends when the store does."""

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from lib.data.run_folder import STORED
from tests.conftest import ROOT, Job
from tests.data.conftest import Store as ObjectStore
from tests.data.test_delivery import deny, keys

READY = "the worker is ready"
Judge = Callable[..., dict[str, Any]]


@pytest.fixture
def bucket() -> str:
    """The name of a bucket of this test alone."""
    return f"ours-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def url(bucket: str) -> str:
    return f"s3://{bucket}/some/store"


@pytest.fixture
def judge(battles: Callable[..., Path], quick_job: Job, url: str, tmp_path: Path) -> Judge:
    """Judge battles in a run folder on a machine, which has a cache of its own: what it says, and its metrics."""

    def run(run: str, machine: str, rows: int = 20, place: str = url, code: int = 0) -> dict[str, Any]:
        done = quick_job("judge", *line(battles(rows), tmp_path / run, place), code=code, XDG_CACHE_HOME=cache(machine))
        metrics = tmp_path / run / "metrics.json"
        return {"said": done.stdout + done.stderr, **(json.loads(metrics.read_text()) if metrics.exists() else {})}

    def cache(machine: str) -> str:
        return str(tmp_path / "caches" / machine)

    return run


def line(path: Path, run: Path, url: str) -> list[str]:
    return ["data=arena", f"data.path={path}", "engine=dummy", "executor=inline", f"run.dir={run}", f"store.dir={url}"]


def counts(found: dict[str, Any]) -> tuple[int, int]:
    return found["computed"], found["remembered"]


def test_machines_remember_what_others_computed(
    judge: Judge, quick_job: Job, object_store: ObjectStore, bucket: str, url: str, tmp_path: Path
) -> None:
    client = object_store(bucket)

    def store(*words: str) -> str:
        return quick_job("store", f"store.dir={url}", *words, XDG_CACHE_HOME=str(tmp_path / "caches" / "third")).stdout

    assert counts(judge("first", "one")) == (20, 0)
    found = judge("second", "other")
    assert counts(found) == (0, 20)
    assert READY not in found["said"]
    assert (tmp_path / "first" / "submission.csv").read_bytes() == (tmp_path / "second" / "submission.csv").read_bytes()
    assert counts(judge("grown", "other", rows=30)) == (10, 20)
    assert counts(judge("again", "one", rows=30)) == (0, 30)
    assert json.loads((tmp_path / "first" / STORED).read_text())["store"].startswith(f"{url}/")

    said = store()
    assert f"store:     {url} (30 answers to 1 questions, " in said
    assert said.splitlines()[2].split()[6:8] == ["70", "4"]
    assert "2 segments into 1" in store("store.compact=true")
    segments = [key for key in keys(client, bucket) if key.endswith(".parquet")]
    assert len(segments) == 1
    assert counts(judge("compacted", "one", rows=30)) == (0, 30)
    assert "30 answers" in store("store.prune_engine=dummy")
    assert counts(judge("pruned", "one", rows=5)) == (5, 0)


def test_two_machines_at_once(
    battles: Callable[..., Path], judge: Judge, object_store: ObjectStore, bucket: str, url: str, tmp_path: Path
) -> None:
    object_store(bucket)
    path = battles(40)
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "jobs.judge", *line(path, tmp_path / name, url), "run.shard_rows=5"],
            cwd=ROOT,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "caches" / name)},
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for name in ("left", "right")
    ]
    assert [run.wait(120) for run in runs] == [0, 0]
    left, right = ((tmp_path / name / "submission.csv").read_bytes() for name in ("left", "right"))
    assert left == right
    assert counts(judge("later", "third", rows=40)) == (0, 40)


@pytest.mark.parametrize(
    ("where", "why"), [("s3://nobodys/x", "bucket does not exist"), ("s3://closed/x", "Access Denied|Forbidden")]
)
def test_a_store_that_cannot_be_used_is_refused_before_the_run(
    where: str, why: str, judge: Judge, quick_job: Job, object_store: ObjectStore, tmp_path: Path
) -> None:
    client = object_store("closed")
    deny(client, "closed", "s3:*", "*")
    said = judge("run", "one", place=where, code=2)["said"]
    assert re.search(rf"store\.dir={where}: cannot be written \(.*({why}).*store\.dir=null to do without", said)
    assert READY not in said
    assert not (tmp_path / "run").exists()
    assert "nobodys" not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    said = quick_job("store", f"store.dir={where}", code=2).stderr
    assert re.search(r"there is no store|cannot be read", said)
    client.delete_bucket_policy(Bucket="closed")


def test_a_store_that_may_be_read_only_is_refused_before_an_engine_is_loaded(
    judge: Judge, object_store: ObjectStore, bucket: str, url: str
) -> None:
    client = object_store(bucket)
    judge("first", "one")
    deny(client, bucket, "s3:PutObject", "*")
    said = judge("second", "other", code=2)["said"]
    client.delete_bucket_policy(Bucket=bucket)
    assert re.search(rf"store\.dir={url}: cannot be written \(.*(Access Denied|Forbidden)", said)
    assert READY not in said


def test_a_server_that_dies_meanwhile_ends_no_run_and_the_same_line_puts_the_answers_there(
    judge: Judge, object_store: ObjectStore, bucket: str, url: str, tmp_path: Path
) -> None:
    object_store(bucket, puts=5)  # store.json, the probe, question.json, the use, and the probe before the answers
    found = judge("run", "one")
    assert counts(found) == (20, 0)
    assert re.search(rf"{url}/[\w-]+: answers cannot be kept \(.*run the same line again: that puts", found["said"])
    assert "Traceback" not in found["said"]
    assert (tmp_path / "run" / "submission.csv").exists()
    client = object_store(bucket)
    judge("run", "one")
    assert sum(key.endswith(".parquet") for key in keys(client, bucket)) == 1
    assert counts(judge("second", "other")) == (0, 20)


def test_a_server_that_is_gone_refuses_the_run(
    judge: Judge, monkeypatch: pytest.MonkeyPatch, object_store: ObjectStore, bucket: str, url: str
) -> None:
    object_store(bucket)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    said = judge("run", "one", code=2)["said"]
    assert re.search(rf"store\.dir={url}: cannot be written \(.*connect.*store\.dir=null to do without", said)
    assert READY not in said


def test_damage_there_is_named_and_computed_again(judge: Judge, object_store: ObjectStore, bucket: str) -> None:
    client = object_store(bucket)
    judge("first", "one")
    (segment,) = [key for key in keys(client, bucket) if key.endswith(".parquet")]
    content = bytearray(client.get_object(Bucket=bucket, Key=segment)["Body"].read())
    content[-20] ^= 1
    client.put_object(Bucket=bucket, Key=segment, Body=bytes(content))
    found = judge("second", "other")
    assert counts(found) == (20, 0)
    assert f"s3://{bucket}/{segment}: damaged (" in found["said"]
    found = judge("third", "other")
    assert counts(found) == (0, 20)
    assert f"s3://{bucket}/{segment}: damaged (" in found["said"]


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()


def test_a_secret_of_the_place_stands_nowhere(
    judge: Judge, quick_job: Job, memory: MemoryFileSystem, tmp_path: Path
) -> None:
    url = "memory://user:s3cret@host/x"
    said = [judge(run, machine, place=url)["said"] for run, machine in (("first", "one"), ("second", "other"))]
    assert "20 of 20 rows are remembered" in said[1]
    done = quick_job("store", f"store.dir={url}", XDG_CACHE_HOME=str(tmp_path / "caches" / "one"))
    assert "store:     memory://host/x (20 answers" in done.stdout
    assert all("s3cret" not in text for text in (*said, done.stdout, done.stderr))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(path.name == "config.yaml" for path in files) == 2
    assert all(b"s3cret" not in path.read_bytes() for path in files)
    assert all("s3cret" not in str(path) for path in files)
    assert all(b"s3cret" not in memory.cat_file(name) for name in memory.find("/"))
