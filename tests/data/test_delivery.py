"""A finished run is copied to `run.out`: whole and checked, or with an error that says where the run itself is."""

import hashlib
import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from lib.data.delivery import copy_out, require_writable
from lib.data.run_folder import COMPLETE, OPENAI_OUTPUT
from lib.errors import ConfigError, DeliveryError
from tests.conftest import Job
from tests.data.conftest import Store

NAMES = {
    "config.yaml", "manifest.json", "result.parquet", "failures.parquet", "submission.csv", "metrics.json",
    "report.html",
}  # fmt: skip
ENDS = "The run itself is complete in {}: when that is mended, the same line copies again, and computes nothing"


@pytest.fixture
def line(battles: Callable[..., Path], tmp_path: Path) -> list[str]:
    path = battles(6)
    return ["data=arena", f"data.path={path}", "engine=dummy", "executor=inline", f"run.dir={tmp_path / 'run'}"]


@pytest.fixture
def run(line: list[str], quick_job: Job, tmp_path: Path) -> Path:
    quick_job("judge", *line)
    return tmp_path / "run"


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()


def require_copy(run: Path, read: Callable[[str], bytes], names: set[str]) -> None:
    """Whether all is there as in the run folder, and as COMPLETE.json says."""
    complete = json.loads(read(COMPLETE))
    assert complete["fingerprint"] == json.loads((run / "manifest.json").read_text())["fingerprint"]
    found = {file["name"]: file for file in complete["files"]}
    assert names == {*NAMES, COMPLETE}
    assert found.keys() == NAMES
    for name, file in found.items():
        content = read(name)
        assert content == (run / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size"], file["sha256"])


def keys(store: Any, bucket: str) -> set[str]:
    return {each["Key"] for each in store.list_objects_v2(Bucket=bucket).get("Contents", [])}


def deny(store: Any, bucket: str, action: str, what: str) -> None:
    rule = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": f"arn:aws:s3:::{bucket}/{what}"}
    store.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [rule]}))


def test_the_files_of_a_run_lie_in_the_bucket_and_the_same_line_copies_again(
    line: list[str], quick_job: Job, object_store: Store, tmp_path: Path
) -> None:
    store = object_store("ours")
    out = "run.out=s3://ours/some/night"
    said = quick_job("judge", *line, out)
    assert "copy:       s3://ours/some/night (7 files, " in said.stdout
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "shards").rglob("*.parquet")}
    for again in (False, True):
        if again:
            store.delete_object(Bucket="ours", Key="some/night/result.parquet")
            assert "0 shards to do" in quick_job("judge", *line, out).stderr
        require_copy(
            tmp_path / "run",
            lambda name: store.get_object(Bucket="ours", Key=f"some/night/{name}")["Body"].read(),
            {key.removeprefix("some/night/") for key in keys(store, "ours")},
        )
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "shards").rglob("*.parquet")}


@pytest.mark.parametrize(
    ("place", "why"), [("nobodys", "bucket does not exist"), ("closed", "Access Denied|Forbidden")]
)
def test_a_place_that_cannot_be_written_is_refused_before_the_run(
    place: str, why: str, line: list[str], quick_job: Job, object_store: Store, tmp_path: Path
) -> None:
    store = object_store("closed")
    deny(store, "closed", "s3:PutObject", "*")
    said = quick_job("judge", *line, f"run.out=s3://{place}/x", code=2).stderr
    refused = rf"run\.out=s3://{place}/x: cannot be used \(.*({why}).*\); give a place where files may be written"
    assert re.search(refused, said)
    assert not (tmp_path / "run").exists()
    assert "nobodys" not in {bucket["Name"] for bucket in store.list_buckets()["Buckets"]}
    store.delete_bucket_policy(Bucket="closed")
    assert not keys(store, "closed")


def test_what_is_denied_at_the_end_leaves_the_run_complete(
    line: list[str], quick_job: Job, object_store: Store, tmp_path: Path
) -> None:
    store = object_store("half")
    quick_job("judge", *line, "run.out=s3://half/x")
    deny(store, "half", "s3:PutObject", "x/submission.csv")
    said = quick_job("judge", *line, "run.out=s3://half/x", code=1).stderr
    assert "run.out=s3://half/x: submission.csv cannot be copied there (" in said
    assert ENDS.format(tmp_path / "run") in said
    store.delete_bucket_policy(Bucket="half")
    assert {f"x/{name}" for name in NAMES} == keys(store, "half")  # COMPLETE.json of before is gone
    quick_job("judge", *line, "run.out=s3://half/x")
    assert f"x/{COMPLETE}" in keys(store, "half")


def test_a_server_that_dies_in_the_middle(line: list[str], quick_job: Job, object_store: Store, tmp_path: Path) -> None:
    object_store("ours", puts=3)  # the probe, config.yaml, manifest.json
    said = quick_job("judge", *line, "run.out=s3://ours/x", code=1).stderr
    assert "run.out=s3://ours/x: result.parquet cannot be copied there (" in said
    assert ENDS.format(tmp_path / "run") in said
    assert "Traceback" not in said
    assert (tmp_path / "run" / "submission.csv").exists()
    store = object_store("ours")
    assert "0 shards to do" in quick_job("judge", *line, "run.out=s3://ours/x").stderr
    assert f"x/{COMPLETE}" in keys(store, "ours")


def test_a_folder_gets_whole_files_alone(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "tonight"
    for place in (str(out), out.as_uri()):
        require_writable(place, None)
        copy_out(run, place)
        require_copy(run, lambda name: (out / name).read_bytes(), {path.name for path in out.iterdir()})


def test_files_of_another_run_do_not_stay(
    run: Path, memory: MemoryFileSystem, caplog: pytest.LogCaptureFixture
) -> None:
    memory.pipe({f"/x/{COMPLETE}": b"{}", f"/x/{OPENAI_OUTPUT}": b"{}\n", "/x/notes.txt": b"mine"})
    copy_out(run, "memory://x")
    assert "memory://x: holds the result of another run, which is replaced" in caplog.text
    assert memory.cat_file("/x/notes.txt") == b"mine"
    memory.rm_file("/x/notes.txt")
    names = {name.removeprefix("/x/") for name in memory.find("/x")}
    require_copy(run, lambda name: memory.cat_file(f"/x/{name}"), names)
    caplog.clear()
    copy_out(run, "memory://x")
    assert not caplog.records


def test_bytes_that_arrive_otherwise_are_noticed(run: Path, memory: MemoryFileSystem) -> None:
    class Lossy(MemoryFileSystem):
        protocol = "lossy"

        def put_file(self, lpath: str, rpath: str, **options: object) -> None:
            self.pipe_file(rpath, Path(lpath).read_bytes()[:-1])

    fsspec.register_implementation("lossy", Lossy, clobber=True)
    with pytest.raises(ConfigError, match=r"run\.out=lossy://x: cannot be used \(9 bytes of SHA-256 .* 10 of"):
        require_writable("lossy://x", None)
    with pytest.raises(DeliveryError, match=r"config\.yaml cannot be copied there \(\d+ bytes of SHA-256"):
        copy_out(run, "lossy://x")
    assert not memory.exists(f"/x/{COMPLETE}")


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("", "must be a folder or the URL of one place"),
        ("zip://x::s3://a:s3cret@b/x.zip", "must be a folder or the URL of one place"),
        ("nonsense://user:s3cret@host/x", r"run\.out=nonsense://host/x: cannot be used \(Protocol not known: nonsense"),
        ("/proc/x", "run.out=/proc/x: cannot be used"),
        ("{run}", "is the run folder; give another one"),
        ("file://{run}/../run", "is the run folder; give another one"),
    ],
)
def test_what_is_no_place_for_results_is_refused(out: str, said: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(ConfigError, match=said) as error:
        require_writable(out.format(run=run), str(run))
    assert "s3cret" not in str(error.value)
    assert not run.exists()


def test_another_run_folder_is_no_place_for_results(run: Path) -> None:
    with pytest.raises(ConfigError, match="is a run folder; give another one"):
        require_writable(str(run), None)


@pytest.mark.skipif(importlib.util.find_spec("gcsfs") is not None, reason="gcsfs is installed here")
def test_a_missing_package_is_named() -> None:
    with pytest.raises(ConfigError, match=r"run\.out=gs://bucket/x: cannot be used \(.*gcsfs"):
        require_writable("gs://bucket/x", None)


def test_a_secret_of_the_place_stands_nowhere(
    line: list[str], quick_job: Job, memory: MemoryFileSystem, tmp_path: Path
) -> None:
    said = quick_job("judge", *line, "run.out=memory://user:s3cret@host/x")
    assert "copy:       memory://host/x (7 files" in said.stdout
    said_by_merge = quick_job("merge", f"run.dir={tmp_path / 'run'}", "run.out=memory://user:s3cret@host/x")
    assert "copy:       memory://host/x (7 files" in said_by_merge.stdout
    assert "s3cret" not in said.stdout + said.stderr + said_by_merge.stdout + said_by_merge.stderr
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert all(b"s3cret" not in path.read_bytes() for path in files)
    assert len(files) > len(NAMES)


def test_a_run_that_fails_is_not_copied(
    line: list[str], quick_job: Job, memory: MemoryFileSystem, tmp_path: Path
) -> None:
    quick_job("judge", *line, "engine.fail_on=Question number 3", "run.out=memory://x", code=1)
    assert memory.find("/x") == []
