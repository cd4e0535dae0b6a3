"""A file that is cut off anywhere, since it is still being written or its writer died, is never read as whole."""

import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.data.reading.input_file import require_unchanged
from lib.data.reading.intake import take_in
from lib.data.reading.sources import resolve, stat
from lib.data.rows.table import TableConfig, open_table
from lib.errors import InputError
from tests.data.conftest import Store

HINT = r"if it is still being written, wait for its end \(data\.settle=60 does\)"
CSV = b'id,text,n\n1,"one, ""quoted"" and\nin two lines",7\n2,two,8\n3,"three",9\n'
JSONL = b'{"id": "1", "text": "one"}\n{"id": "2", "text": "two {\\"x\\": [1]}"}\n{"id": "3", "text": "three"}\n'


def rows(path: Path, content: bytes) -> int:
    """How many rows a file of this content has. Raises InputError where it is refused."""
    path.write_bytes(content)
    return take_in(open_table(TableConfig(path=str(path), id=None), ["text"]), path.parent / "run").report.chosen


def parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"id": ["1", "2", "3"], "text": ["one", "two", "three"]}), file)
    return file.getvalue()


@pytest.mark.parametrize("cut", range(CSV.index(b"1,"), len(CSV)))
def test_csv_is_taken_only_where_a_row_may_end(cut: int, tmp_path: Path) -> None:
    """A last row without a line end, of as many cells as the header has, is a row."""
    ends = {at: number for number, at in enumerate([CSV.index(b",7\n"), CSV.index(b",8\n"), CSV.index(b",9\n")], 1)}
    whole = {
        at + more: number for at, number in ends.items() for more in (1, 2, 3)
    }  # an empty cell, a cell, a line end
    if cut == CSV.index(b"1,"):
        with pytest.raises(InputError, match="the file has no rows"):
            rows(tmp_path / "a.csv", CSV[:cut])
    elif cut in whole:
        assert rows(tmp_path / "a.csv", CSV[:cut]) == whole[cut]
    else:
        with pytest.raises(InputError, match=f"the file ends here: {HINT}"):
            rows(tmp_path / "a.csv", CSV[:cut])


@pytest.mark.parametrize("cut", range(1, len(JSONL)))
def test_jsonl_is_taken_only_where_a_line_ends(cut: int, tmp_path: Path) -> None:
    ends = [at for at, byte in enumerate(JSONL) if byte == ord("\n")]
    if cut in ends or cut - 1 in ends:
        assert rows(tmp_path / "a.jsonl", JSONL[:cut]) == sum(at <= cut for at in ends)
    else:
        with pytest.raises(InputError, match=HINT):
            rows(tmp_path / "a.jsonl", JSONL[:cut])


@pytest.mark.parametrize("lost", [1, 4, 8, 30, 200, len(parquet()) - 4, len(parquet())])
def test_parquet_without_its_end_is_refused(lost: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"a\.parquet: cannot be read \(.*and whole\? Or, {HINT}"):
        rows(tmp_path / "a.parquet", parquet()[:-lost])


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_compressed_files_are_refused_wherever_they_are_cut(name: str, codec: str, tmp_path: Path) -> None:
    content = CSV if name == "a.csv" else JSONL
    whole = gzip.compress(content) if codec == "gzip" else pa.compress(content, codec=codec, asbytes=True)
    path = tmp_path / f"{name}.{'gz' if codec == 'gzip' else 'zst'}"
    assert rows(path, whole) == 3
    for cut in range(1, len(whole)):
        with pytest.raises(InputError, match=rf"cannot be read \(Truncated compressed stream\).*{HINT}"):
            rows(path, whole[:cut])


def test_a_file_that_grows_while_it_is_in_use_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(CSV)
    (source,) = resolve(str(path))
    before = stat(source)
    with path.open("ab") as file:
        file.write(b"4,four,10\n")
    with pytest.raises(InputError, match=f"was changed while it was in use; .*; {HINT}"):
        require_unchanged(source, before)


def test_an_object_that_is_replaced_while_it_is_in_use_is_refused(object_store: Store) -> None:
    """Though its folder was listed before: of a change a kept listing knows nothing."""
    store = object_store("input")
    store.put_object(Bucket="input", Key="night/a.csv", Body=CSV)
    (source,) = resolve("s3://input/night")
    before = stat(source)
    require_unchanged(source, before)
    store.put_object(Bucket="input", Key="night/a.csv", Body=CSV + b"4,four,10\n")
    store.put_object(Bucket="input", Key="night/b.csv", Body=CSV)
    with pytest.raises(InputError, match=f"s3://input/night/a.csv: was changed while it was in use; .*; {HINT}"):
        require_unchanged(source, before)
    assert len(resolve("s3://input/night")) == 2
