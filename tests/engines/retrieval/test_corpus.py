"""Corpora that can't be searched are refused before a run, naming file and row."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.data.manifest import Manifest
from lib.engines.retrieval.bm25 import Bm25Config
from lib.engines.retrieval.corpus import Corpus
from lib.engines.retrieval.exact import ExactConfig
from lib.engines.retrieval.same_model import require_comparable, require_same_model
from lib.engines.retrieval.words import Language
from lib.errors import ConfigError, InputError
from tests.engines.retrieval.conftest import Write, load, unit

VECTORS = unit(20, 8)


def refused(path: str, message: str, kind: type[Exception] = InputError) -> None:
    with pytest.raises(kind, match=message):
        ExactConfig(corpus=path).check("search")


def test_a_run_folder_is_its_result(write: Write, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").touch()
    refused(str(tmp_path / "run"), r"retriever\.corpus=.*not finished", ConfigError)
    shutil.move(write(["a"] * 20, VECTORS), tmp_path / "run" / "result.parquet")
    ExactConfig(corpus=str(tmp_path / "run")).check("search")


def test_what_is_no_corpus(write: Write, tmp_path: Path) -> None:
    refused(str(tmp_path / "nothing"), r"retriever\.corpus=.*no such file", ConfigError)
    refused(str(tmp_path), "not a run folder", ConfigError)
    (tmp_path / "text.parquet").write_text("no Parquet")
    refused(str(tmp_path / "text.parquet"), r"text\.parquet: not a Parquet file")
    with pytest.raises(ConfigError, match="can search, and not embed"):
        ExactConfig(corpus=write(["a"] * 20, VECTORS)).check("embed")


def test_columns(write: Write, tmp_path: Path) -> None:
    refused(write(["a"]), "no column vector; .*jobs.embed")
    refused(write(["a"], vector=pa.array([[0.5]])), "column vector: is of type list<.*>, but must be a fixed-size list")
    refused(write(["a"] * 20, VECTORS, text=pa.array(range(20))), "column text: is of type int64, but must be string")
    pq.write_table(pa.table({"id": ["1"], "vector": [[1.0]]}), tmp_path / "bare.parquet")
    refused(str(tmp_path / "bare.parquet"), "no column text")


def test_nothing_to_search(write: Write) -> None:
    refused(write([], VECTORS[:0]), "the corpus has no passages; nothing")
    failed = pa.array(["broken"] * 20)
    refused(write(["a"] * 20, VECTORS, error=failed), "no passages: all of its 20 rows failed")
    wordless = Bm25Config(corpus=write(["。", "the"]), language=Language.en)
    with pytest.raises(InputError, match=r"no word in any .*language=en"):
        load(wordless)


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "NaN or infinity"), (np.inf, "NaN or infinity"), (3.0, "has length 3.*must have length 1")],
)
def test_bad_vectors_are_named(write: Write, value: float, message: str) -> None:
    vectors = VECTORS.copy()
    vectors[13, 2] = value
    errors = pa.array([None, "broken"] + [None] * 18, pa.string())  # rows are counted with those left out
    refused(write(["a"] * 20, vectors, error=errors), f"row 13, column vector: .*{message}")


def test_missing_texts_are_named(write: Write) -> None:
    refused(write(["a"] * 11 + [None] + ["a"] * 8, VECTORS), "row 11, column text: is empty")
    flat = pa.FixedSizeListArray.from_arrays(
        pa.array(VECTORS.reshape(-1)), 8, mask=pa.array([n == 4 for n in range(20)])
    )
    refused(write(["a"] * 20, vector=flat), "row 4, column vector: is empty")


def test_looking_up_reads_any_rows(write: Write) -> None:
    corpus = Corpus(write([f"text {n}" for n in range(5000)], row_group_size=1500), vectors=False)
    wanted = np.array([0, 1, 1023, 1024, 1499, 1500, 4999])
    found = corpus.lookup(wanted)
    assert {row: text.text for row, text in found.items()} == {row: f"text {row}" for row in wanted.tolist()}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat(tmp_path: Path) -> None:
    """Reading a corpus of 160 MB takes a small part of that."""
    path, width, rows = tmp_path / "large.parquet", 1024, 2048
    schema = pa.schema({"id": pa.string(), "text": pa.string(), "vector": pa.list_(pa.float32(), width)})
    with pq.ParquetWriter(path, schema) as writer:
        for seed in range(20):
            flat = pa.FixedSizeListArray.from_arrays(pa.array(unit(rows, width, seed).reshape(-1)), width)
            text = pa.array(["text"] * rows)
            writer.write_table(pa.table([text, text, flat], schema=schema))
    assert path.stat().st_size > 150e6
    corpus = Corpus(str(path), vectors=True)
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak()
    assert sum(len(rows) for rows, _ in corpus.blocks(256)) == corpus.rows == 20 * rows
    assert _peak() - before < 60e6


def _peak() -> int:
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024


def test_models_must_be_the_same(tmp_path: Path) -> None:
    def run(name: str, **keys: object) -> Path:
        identity = {"engine.model": "a", "engine.revision": None, "engine.max_model_len": 256, "task.role": "x"}
        (folder := tmp_path / name).mkdir()
        Manifest(job="embed", fingerprint="", identity=identity | keys, inputs=(), shard_rows=1).write(folder)
        (folder / "result.parquet").touch()
        return folder

    corpus = run("corpus", **{"engine.role": "document", "task.role": "document"})
    same = run("same", **{"engine.role": "query", "engine.query_prompt": "query: ", "engine.max_model_len": 64})
    assert require_same_model(corpus, same)
    assert require_same_model(corpus / "result.parquet", str(same))
    other = run("other", **{"engine.model": "b", "engine.revision": "c0ffee"})
    with pytest.raises(ConfigError, match=r"(?s)engine\.model: 'a', of the queries 'b'.*engine\.revision: None") as e:
        require_same_model(corpus, other)
    assert "max_model_len" not in str(e.value)
    (tmp_path / "elsewhere").mkdir()
    assert not require_same_model(tmp_path / "elsewhere" / "corpus.parquet", other)
    assert os.listdir(tmp_path / "elsewhere") == []


def test_queries_must_be_comparable(write: Write) -> None:
    corpus = write(["a"] * 20, VECTORS)
    require_comparable(corpus, "queries.parquet", pa.list_(pa.float32(), 8))
    for kind, message in (
        (pa.list_(pa.float32(), 9), r"have 9 numbers, those of .* have 8"),
        (None, r"queries\.parquet: has no column vector.*bm25_en"),
        (pa.string(), r"queries\.parquet, column vector: is of type string, but must be vectors as jobs\.embed writes"),
        (pa.null(), r"column vector: is of type null"),
        (pa.list_(pa.string(), 8), r"column vector: is of type fixed_size_list<item: string>\[8\]"),
    ):
        with pytest.raises(ConfigError, match=message):
            require_comparable(corpus, "queries.parquet", kind)
