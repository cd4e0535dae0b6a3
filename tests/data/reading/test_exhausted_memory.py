"""Small packed files that inflate to more than there is memory for: said in a line, with the file and the place."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import ROOT

# A job's own door adds the exit code; here only what it would take to read the rows is loaded before the limit.
READ = """
import resource, sys
from pathlib import Path
from lib.data.reading.intake import take_in
from lib.data.rows.table import TableConfig, open_table
from lib.errors import InputError
from lib.file_systems import file_system

file_system("/")
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + (int(sys.argv[2]) << 20)
resource.setrlimit(resource.RLIMIT_AS, (most, most))
try:
    take_in(open_table(TableConfig(path=sys.argv[1]), ["text"]), Path(sys.argv[3]))
except InputError as error:
    print(error)
"""
MIB = 1 << 20


def read(path: Path, free: int) -> str:
    """What is said of a file that is read with so many MiB of free memory; "" where it is read."""
    line = [sys.executable, "-c", READ, str(path), str(free), str(path.parent / "run")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert not done.returncode, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def packed(path: Path, before: bytes, size: int, after: bytes) -> Path:
    """A file with a cell of so many MiB."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(before)
        for _ in range(size):
            file.write(b"y" * MIB)
        file.write(after)
    assert path.stat().st_size < 2 * MIB
    return path


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("x.jsonl.gz", b'{"id": "a", "text": "x"}\n{"id": "b", "text": "', b'"}\n'),
        ("x.csv.gz", b'id,text\na,x\nb,"', b'"\n'),
    ],
)
def test_a_cell_that_memory_does_not_hold(tmp_path: Path, name: str, before: bytes, after: bytes) -> None:
    path = packed(tmp_path / name, before, 30, after)
    said = read(path, free=20)
    assert said.startswith(str(path))
    assert "there is not enough memory for what it holds" in said
    assert read(path, free=1000) == ""


def test_a_line_without_end_is_given_up_before_it_is_whole(tmp_path: Path) -> None:
    path = packed(tmp_path / "x.jsonl.gz", b'{"id": "a", "text": "', 400, b'"}\n')
    assert read(path, free=350).startswith(f"{path}, line 1: the line is longer than 64 MiB")
