"""Rows of a run whose input stands where the user has it, and pages in a folder of the user's."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.view import open_viewer
from lib.report.viewer.selection import Selection
from tests.conftest import Job


@pytest.fixture
def run(tmp_path: Path, quick_job: Job) -> Path:
    """Of a Parquet file of the user's, which is read where it lies."""
    far = pa.array([-(2**62)] * 2, pa.timestamp("us"))  # no date of Python's
    table = pa.table({"id": ["1", "01"], "instruction": ["Why?", "Who?"], "far": far})
    pq.write_table(table, tmp_path / "asked.parquet")
    line = ["engine=dummy", "executor=inline", "data=table", f"data.path={tmp_path / 'asked.parquet'}"]
    quick_job("generate", *line, "data.carry=[far]", f"run.dir={tmp_path / 'run'}")
    return tmp_path / "run"


def test_texts_are_read_from_the_users_file_as_long_as_it_is_the_same(run: Path, tmp_path: Path) -> None:
    viewer = open_viewer(run, None)
    page = viewer.row_page(Selection(row=1, prompt=True))
    assert "<h1>01</h1>" in page
    assert ">Who?</div>" in page
    assert "far" in page
    pq.write_table(pa.table({"id": ["1", "01"], "instruction": ["Why?", "What?"]}), tmp_path / "asked.parquet")
    page = viewer.row_page(Selection(row=1))
    assert "asked.parquet: was changed since this run has read it" in page
    assert "What?" not in page
    (tmp_path / "asked.parquet").unlink()
    assert "The input&#39;s texts are not shown" in open_viewer(run, None).row_page(Selection(row=1))


def test_pages_are_written_behind_a_link_and_never_over_the_users_files(
    run: Path, tmp_path: Path, quick_job: Job
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "pages").symlink_to("disk")
    for _ in range(2):
        quick_job("view", f"run.dir={run}", f"view.export={tmp_path / 'pages'}")
    assert (tmp_path / "disk" / "rows" / "1.html").is_file()
    for folder in (run, tmp_path / "asked.parquet"):
        before = sorted(folder.rglob("*"))
        done = quick_job("view", f"run.dir={run}", f"view.export={folder}", code=2)
        assert f"view.export={folder}: is there already, and no bundle of rows; give another folder" in done.stderr
        assert sorted(folder.rglob("*")) == before
