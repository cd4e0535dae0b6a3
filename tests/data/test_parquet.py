"""What we write is read again as it was, or said to be damaged."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.data import parquet
from lib.data.manifest import Manifest
from lib.data.reading.input_file import read_ids, read_rows
from lib.data.reading.intake import take_in
from lib.data.rows.table import TableConfig, open_table
from lib.data.shards import commit, read_footer, tables
from lib.engines.retrieval.corpus import Corpus
from lib.errors import InputError, RunFolderError

TABLE = pa.table({"id": [str(n) for n in range(40)], "text": [f"a text, the {n}th" for n in range(40)]})


def flips(path: Path, tries: int) -> Iterator[None]:
    """Flip one bit of a file at a time, each at another place, and put it back."""
    content = path.read_bytes()
    for bit in random.Random(7).sample(range(len(content) * 8), tries):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        yield
    path.write_bytes(content)


def test_a_flipped_bit_in_a_file_of_ours_is_damage_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    parquet.write(TABLE, path)
    assert parquet.read(path).equals(TABLE)
    damaged, said = 0, list[bool]()
    for _ in flips(path, 1500):
        try:
            assert parquet.read(path, ["id", "text"]).equals(TABLE)
        except RunFolderError as error:
            said.append("x.parquet: damaged (" in str(error))
            damaged += 1
        try:
            assert pa.Table.from_batches(parquet.batches(path, 16, ["id", "text"])).equals(TABLE)
        except RunFolderError:
            damaged += 1
    assert all(said)
    assert damaged > 1500


def test_a_flipped_bit_in_the_input_folder_is_damage(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("id,text\n" + "".join(f"{n},a text the {n}th\n" for n in range(60)))
    rows = open_table(TableConfig(path=str(tmp_path / "x.csv")), ["text"])
    (file,) = take_in(rows, tmp_path / "run").inputs
    whole = read_rows(file, tmp_path / "run", 10, 50, rows)
    ids = list(read_ids(file, tmp_path / "run", rows))
    damaged, said = 0, list[bool]()
    for _ in flips(tmp_path / "run" / file.parquet, 800):
        try:
            assert read_rows(file, tmp_path / "run", 10, 50, rows).equals(whole)
            assert list(read_ids(file, tmp_path / "run", rows)) == ids
        except RunFolderError as error:
            said.append("input/00000.parquet: damaged (" in str(error))
            damaged += 1
    assert all(said)
    assert damaged > 400


def test_a_flipped_bit_in_a_shard_means_again_or_damage(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "x.csv").write_text("id,text\n" + "".join(f"{n},x\n" for n in range(40)))
    rows = open_table(TableConfig(path=str(tmp_path / "x.csv")), ["text"])
    inputs = tuple(take_in(rows, tmp_path).inputs)
    manifest = Manifest(job="generate", fingerprint="f" * 64, identity={}, inputs=inputs, shard_rows=40)
    (shard,) = manifest.shards()
    result = TABLE.append_column("error", pa.nulls(40, pa.string()))
    commit(result, shard, manifest, tmp_path, seconds=1.0)
    said: list[bool] = []
    for _ in flips(tmp_path / shard.path, 1000):
        if read_footer(shard, manifest, tmp_path) is not None:
            try:
                (found,) = tables([shard], tmp_path)
                assert found.select(result.column_names).cast(result.schema).equals(result)
            except RunFolderError as error:
                said.append("damaged" in str(error))
    assert said
    assert all(said)


def test_a_flipped_bit_in_a_corpus_or_a_source_of_ours_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "corpus.parquet"
    (tmp_path / "manifest.json").touch()  # as in a run folder
    parquet.write(TABLE, path)
    texts = TABLE["text"].to_pylist()
    said: list[bool] = []
    for _ in flips(path, 500):
        try:
            corpus = Corpus(str(path), vectors=False)
            assert [text for _, some in corpus.texts() for text in some] == texts
        except InputError as error:
            said.append("corpus.parquet" in str(error))
        try:
            rows = open_table(TableConfig(path=str(path)), ["text"])
            inputs = take_in(rows, tmp_path / "run").inputs
            found = [read_rows(file, tmp_path / "run", 0, file.rows, rows) for file in inputs]
            assert pa.concat_tables(found)["id"].to_pylist() == TABLE["id"].to_pylist()
        except InputError as error:
            said.append("corpus.parquet" in str(error))
    assert len(said) > 400
    assert all(said)


def test_what_a_user_makes_of_a_file_of_ours_is_his(tmp_path: Path) -> None:
    parquet.write(TABLE, tmp_path / "result.parquet")
    table = pq.read_table(tmp_path / "result.parquet")
    path = tmp_path / "mine.parquet"
    more = table.append_column("note", pa.nulls(40, pa.string())).rename_columns(["key", "text", "note"])
    for changed in (table.select(["text"]), more):
        pq.write_table(changed, path)
        rows = open_table(TableConfig(path=str(path)), ["text"])
        (file,) = take_in(rows, tmp_path / "run").inputs
        assert file.rows == read_rows(file, tmp_path / "run", 0, file.rows, rows).num_rows == 40
    pq.write_table(table.append_column("note", pa.nulls(40, pa.string())), path)
    assert Corpus(str(path), vectors=False).lookup(np.array([3]))[3].text == "a text, the 3th"


def test_a_missing_file_and_a_full_read(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"x\.parquet: cannot be read"):
        parquet.read(tmp_path / "x.parquet")
    parquet.write(TABLE, tmp_path / "x.parquet")
    assert parquet.schema(tmp_path / "x.parquet").names == ["id", "text"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]
