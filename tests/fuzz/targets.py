"""What reads the mutated files, in process: each raises OvernightError, or has kept every row."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lib.data.qrels import read_qrels
from lib.data.reading.input_file import read_rows
from lib.data.reading.intake import take_in
from lib.data.rows.base import OnBadRow, Rows
from lib.data.rows.battles import BattleColumns, BattlesConfig
from lib.data.rows.chunking import ChunkConfig
from lib.data.rows.conversations import ConversationsConfig
from lib.data.rows.documents import DocumentsConfig, chunk_rows
from lib.data.rows.openai_batch import OpenAiBatchConfig, batch_url, open_batch
from lib.data.rows.table import TableConfig, open_table
from lib.data.submission import read_submission
from lib.engines.dummy import DummyConfig
from lib.report.predictions import from_submission
from lib.tasks.openai.body_texts import AnswerTexts
from tests.data.reading.both_ways import both_ways, same
from tests.running import ROOT

_SAMPLES = ROOT / "conf" / "samples"
_CASES = ROOT.parent / "shared" / "cases"
_SUBMISSION = b"id,winner_model_a,winner_model_b,winner_tie\n1,0.2,0.3,0.5\n2,0.1,0.1,0.8\nx,1,0,0\n"
_REQUEST = '{{"custom_id": "{0}", "method": "POST", "url": "/v1/chat/completions", "body": {{"messages": []}}}}\n'
_BATCH = "".join(_REQUEST.format(n) for n in range(4)).encode()
_BATTLE = {"prompt": '["q", null]', "response_a": '["a", "b"]', "response_b": '["c", null]'}
_BATTLES = "".join(json.dumps({"id": n, **_BATTLE}) + "\n" for n in range(4)).encode()
_LABELS = b"id,winner_model_a,winner_model_b,winner_tie\n1,1,0,0\n2,0,0,1\nx,0,1,0\n"
_QRELS = b"query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\nq2\td1\t2\n"
_TABLE = b'{"id": 1, "text": "one", "instruction": "1"}\n{"id": 2, "text": "two", "instruction": "2", "error": null}\n'


class LostRows(Exception):
    """An input was accepted, and rows of it were lost."""


@dataclass(frozen=True)
class Target:
    """suffix -> files to begin with; read: a mutated file, with a folder for what it writes."""

    corpus: dict[str, list[bytes]]
    read: Callable[[Path, Path], None]


def _take_in(config: Rows, folder: Path) -> None:
    intake = take_in(config, folder)
    kept = 0
    for file in intake.inputs:
        rows = read_rows(file, folder, 0, file.rows, config)["row"].to_pylist()
        if rows != sorted(set(rows)) or len(rows) != file.rows:
            raise LostRows(f"{len(rows)} rows read of {file.rows}")
        kept += len(rows)
    if kept != intake.report.chosen:
        raise LostRows(f"{kept} rows kept of {intake.report.chosen}")
    path = Path(config.path)
    if path.suffix == ".jsonl" and kept != (
        lines := sum(bool(line.strip()) for line in path.read_bytes().split(b"\n"))
    ):
        raise LostRows(f"{kept} rows of {lines} lines")


def _arena(path: Path, folder: Path) -> None:
    _take_in(BattlesConfig(path=str(path), on_bad_row=OnBadRow.record), folder)


def _table(path: Path, folder: Path) -> None:
    _take_in(open_table(TableConfig(path=str(path), on_bad_row=OnBadRow.record), ["instruction"]), folder)


def _both_ways(path: Path, folder: Path) -> None:
    values: dict[str, Any] = {"path": str(path), "on_bad_row": OnBadRow.record}
    for config in (BattlesConfig(**values), open_table(TableConfig(**values), ["instruction"])):
        if not same(*both_ways(config, folder / type(config).__name__)):
            raise LostRows("rows read in columns are not those read cell by cell")


def _batch(path: Path, folder: Path) -> None:
    config = OpenAiBatchConfig(path=str(path))
    url = batch_url(config, "generate")
    task = AnswerTexts(url=url, seed=0, context=300, fits=DummyConfig().check_sampling)
    _take_in(open_batch(config, url, task.check_body), folder)


def _documents(path: Path, folder: Path) -> None:
    intake = take_in(chunk_rows(DocumentsConfig(path=str(path)), ChunkConfig(), None), folder)
    if not sum(file.rows for file in intake.inputs):
        raise LostRows("a document without chunks")


def _qrels(path: Path, folder: Path) -> None:
    read_qrels(str(path))


def _votes(path: Path, folder: Path) -> None:
    if path.suffix != ".csv":
        columns = BattleColumns(id="question_id")
        _take_in(ConversationsConfig(path=str(path), columns=columns, on_bad_row=OnBadRow.record), folder)
        return
    submission = folder / "submission.csv"
    submission.write_bytes(_SUBMISSION)
    read = from_submission(submission, path, partial=True).labels
    if set(read.tolist()) - {0, 1, 2}:
        raise LostRows(f"labels {read}")


def _submission(path: Path, folder: Path) -> None:
    rows = len(read_submission(path).ids)
    lines = sum(bool(line.strip()) for line in path.read_bytes().replace(b"\r", b"\n").split(b"\n"))
    if b'"' not in path.read_bytes() and rows != lines - 1:
        raise LostRows(f"{rows} rows of {lines - 1} lines")


def _files(*names: str) -> list[bytes]:
    return [file.read_bytes() for name in names if (file := _CASES / name).exists()]


def _parquet(lines: bytes) -> bytes:
    """JSON lines as a Parquet file."""
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([json.loads(line) for line in lines.splitlines()]), file)
    return file.getvalue()


def _sample(name: str) -> bytes:
    return (_SAMPLES / name).read_bytes()


TARGETS = {
    "arena": Target(
        {
            ".csv": [_sample("battles.csv"), *_files("labels.csv")],
            ".jsonl": [_BATTLES],
            ".parquet": [_parquet(_BATTLES)],
        },
        _arena,
    ),
    "table": Target(
        {
            ".csv": [b"id,instruction\n1,one\n2,two\n", *_files("twice_id.csv", "semicolon.csv")],
            ".tsv": _files("quotes.tsv") or [b"id\tinstruction\n1\tone\n"],
            ".jsonl": [_TABLE, *_files("late_key.jsonl")],
            ".parquet": [_parquet(_TABLE), *_files("string_view.parquet", "far_time.parquet", "number_slot.parquet")],
        },
        _table,
    ),
    "both_ways": Target(
        {
            ".csv": [_sample("battles.csv")[:6000], b"id,instruction\n1,one\n2,two\n" * 9],
            ".jsonl": [_BATTLES * 9, _TABLE * 9],
            ".parquet": [_parquet(_BATTLES * 9), _parquet(_TABLE * 9)],
        },
        _both_ways,
    ),
    "openai_batch": Target(
        {".jsonl": [_BATCH, *_files("batch_one_bad_line_each.jsonl", "batch_bodies.jsonl")]}, _batch
    ),
    "documents": Target(
        {".txt": [_sample("memory_text.txt"), *(text[:4000] for text in _files("english.txt"))], ".jsonl": [_TABLE]},
        _documents,
    ),
    "qrels": Target({".tsv": [_QRELS, *_files("grades_float.tsv")]}, _qrels),
    "votes": Target(
        {
            ".csv": [_LABELS, b"id,label\n1,0\n2,tie\nx,B\n", b"id,winner\n1,model_a\n2,tie (bothbad)\nx,model_b\n"],
            ".jsonl": _files("arena_json_strings.jsonl"),
            ".parquet": _files("arena_conversations.parquet", "arena_140k_like.parquet"),
        },
        _votes,
    ),
    "submissions": Target({".csv": [_SUBMISSION, *(text[:3000] for text in _files("sums.csv"))]}, _submission),
}
