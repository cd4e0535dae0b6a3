"""hf:// paths: read at one commit, whatever becomes of the branch; what can't be read is refused with the reason."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.data.hub.hub_paths import without_revision
from lib.data.reading.sources import look, name_below, resolve
from lib.errors import InputError
from tests.conftest import Job
from tests.hub_server import TOKEN, Hub


def parquet(*instructions: str) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"id": list(instructions), "instruction": list(instructions)}), file)
    return file.getvalue()


def test_globs_folders_and_revisions_are_files_of_a_commit(the_hub: Hub) -> None:
    first = the_hub.add("o/n", {"data/a.parquet": parquet("x"), "data/b.parquet": parquet("y"), "README.md": b"#"})
    second = the_hub.add("o/n", {"data/a.parquet": parquet("z")})
    glob = "hf://datasets/o/n/data/*.parquet"
    assert [each.url for each in resolve(glob)] == [f"hf://datasets/o/n@{second}/data/a.parquet"]
    before = resolve(f"hf://datasets/o/n@{first}/data")
    assert [each.url for each in before] == [f"hf://datasets/o/n@{first}/data/{name}.parquet" for name in "ab"]
    assert [name_below(glob, each.url) for each in before] == ["a.parquet", "b.parquet"]
    a, changed = look(before[0]), look(resolve(glob)[0])
    assert a.sha256 != changed.sha256
    assert a.stat.size == len(parquet("x"))
    assert a.stat.mtime_ns is not None


def test_revisions_are_told_from_names() -> None:
    assert without_revision("hf://datasets/o/n@refs/convert/parquet/a@b.csv") == "hf://datasets/o/n/a@b.csv"
    assert without_revision("datasets/o/n/a@b.csv") == "datasets/o/n/a@b.csv"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("o/none/a.csv", "cannot be opened (there is no such repository, or it is private: then log in with"),
        ("o/closed/a.csv", "cannot be opened (there is no such repository, or it is private: then log in with"),
        ("o/n@v7/a.csv", "cannot be opened (the repository has no such revision: a branch, a tag or a commit"),
        ("o/n/none.csv", "no such file, and no file matches"),
        ("o", "cannot be opened ("),
    ],
)
def test_what_is_not_there_is_refused(
    path: str, why: str, the_hub: Hub, monkeypatch: pytest.MonkeyPatch, quick_job: Job, tmp_path: Path
) -> None:
    the_hub.add("o/n", {"a.csv": b"id,instruction\n1,x\n"})
    the_hub.add("o/closed", {"a.csv": b"id,instruction\n1,x\n"}, private=True)
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    line = [f"data.path=hf://datasets/{path}", f"run.dir={tmp_path / 'run'}", "engine=dummy", "executor=inline"]
    said = quick_job("generate", "data=table", *line, code=2).stderr
    assert f"data.path=hf://datasets/{path}: {why}" in said
    assert "Traceback" not in said
    assert "hf_another" not in said


def test_a_run_reads_a_private_data_set_and_goes_on_with_the_commit_of_its_plan(
    the_hub: Hub, quick_job: Job, tmp_path: Path
) -> None:
    rows = [f"Say {number}." for number in range(30)]
    commit = the_hub.add("o/n", {"a.parquet": parquet(*rows[:20]), "b.parquet": parquet(*rows[20:])}, private=True)
    run = tmp_path / "run"
    line = ["data=table", "data.path=hf://datasets/o/n/*.parquet", "engine=dummy", "executor=inline", "store.dir=null"]
    said = quick_job("generate", *line, f"run.dir={run}")
    manifest = json.loads((run / "manifest.json").read_text())
    places = [f"hf://datasets/o/n@{commit}/{name}.parquet" for name in "ab"]
    assert [file["source"] for file in manifest["inputs"]] == places
    assert pq.read_table(run / "result.parquet")["file"].to_pylist() == [places[0]] * 20 + [places[1]] * 10
    the_hub.add("o/n", {"a.parquet": parquet(*rows[:20]), "b.parquet": parquet(*rows[20:]), "README.md": b"#"})
    assert "0 shards to do" in quick_job("generate", *line, f"run.dir={run}").stderr
    the_hub.add("o/n", {"a.parquet": parquet("another")})
    other = quick_job("generate", *line, f"run.dir={run}", code=2).stderr
    assert "holds another plan" in other
    written = [path.read_text(errors="replace") for path in run.rglob("*") if path.is_file()]
    assert not [text for text in [said.stdout, said.stderr, *written] if TOKEN in text]


def test_a_hub_that_is_not_there_is_told_of(the_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"cannot be opened .*HF_HUB_OFFLINE"):
        resolve("hf://datasets/o/n/a.csv")
