"""Documents, cut into chunks: each chunk is a row of its own, and says where in its document it stood."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from hashlib import sha256
from itertools import groupby, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lib.data import parquet
from lib.data.reading.cells import Cells
from lib.data.reading.ids import IdCheck, Place
from lib.data.reading.readers import TEXT
from lib.data.reading.sources import FileFormat, name_below, source_of
from lib.data.rows.base import PLACE, BadCell, Canonical, CellReader, Rows, RowsConfig, read_items, read_name
from lib.data.rows.chunking import ChunkBy, ChunkConfig, Spans, chunks, occurs
from lib.errors import InputError
from lib.log import log

SCHEMA = pa.schema(
    {
        **PLACE,
        "text": pa.string(),
        "document": pa.string(),
        "start": pa.int64(),
        "stop": pa.int64(),
        "after": pa.string(),
        "number": pa.int64(),
        "occurs": pa.bool_(),
        "error": pa.string(),
    }
)
"""Chunks. id: document:start-stop, in characters of the document. after: what stands between this chunk and the next
one of the document, so that neighbours can be put together again. row: number of the chunk in its file; number: of its
document there. occurs: whether there is in the document what it is to be cut at."""

_NOT_KEPT = ("number", "occurs", "error")
_ROWS = 65_536


@dataclass(frozen=True, kw_only=True)
class DocumentsConfig(RowsConfig):
    """Documents: plain texts (.txt or .md, each one document), or tables with one in each row.

    text: the column of texts; a list of them is one document, a blank line between. id: the column of names, which
    chunks are called after; a plain text is called as its path below `path`.
    """

    text: str = TEXT
    id: str = "id"


@dataclass(frozen=True, kw_only=True)
class ChunkRows(DocumentsConfig, Rows):
    """Documents and how they are cut. spans: of the tokenizer that counts `chunk.max_tokens`."""

    chunk: ChunkConfig = field(default_factory=ChunkConfig)
    spans: Spans | None = field(default=None, metadata={"transient": True})

    @property
    def schema(self) -> pa.Schema:
        """The columns of chunks."""
        return SCHEMA

    @property
    def carried(self) -> Sequence[str]:
        """Chunks are the result themselves."""
        return tuple(name for name in SCHEMA.names if name not in _NOT_KEPT)

    @property
    def id_column(self) -> str | None:
        """None: the ids of chunks are made here."""
        return None

    @property
    def one_for_one(self) -> bool:
        """A document has many chunks."""
        return False

    def present_columns(self, names: Sequence[str], file: str) -> list[str]:
        """The columns of a file that are read. Raises InputError where there are no texts, or no ids in a table."""
        wanted = [self.text] if source_of(file).format is FileFormat.TEXT else [self.text, self.id]
        for name in wanted:
            if names.count(name) != 1:
                raise InputError(
                    f"{file}: column {name!r} is not there once; the columns are {list(names)}; data.text=NAME and "
                    "data.id=NAME name those of texts and of ids"
                )
        return wanted

    def contents(self) -> dict[str, str]:
        """The names of plain texts, which results carry and no file's content tells: a hash of all."""
        texts = (file.url for file in self.sources() if file.format is FileFormat.TEXT)
        return {"names": sha256("\n".join(name_below(self.path, url) for url in texts).encode()).hexdigest()}

    def check_chosen(self, files: Sequence[Path]) -> None:
        """Refuse two documents of one name, naming their rows; warn of documents in which there is nothing to cut at.

        Windows would take two of one name for one document.
        """
        check = IdCheck(self.id)
        uncut: list[str] = []
        count = 0
        for file, documents in groupby(_documents(files), lambda document: document[1][0]):
            while some := list(islice(documents, _ROWS)):
                check.add(pa.array([name for name, _, _ in some]), file, [row for _, (_, row), _ in some])
                count += len(some)
                uncut += [name for name, _, can_be_cut in some if not can_be_cut]
        check.finish((name, place) for name, place, _ in _documents(files))
        if uncut:
            log.warning(
                "chunk.by=%s: %s of %s documents have none, such as %s: each is one chunk, cut only by "
                "chunk.max_tokens=%s and chunk.max_characters=%s; chunk.by=sentence cuts at the ends of sentences",
                f"delimiter {self.chunk.delimiter!r}" if self.chunk.by is ChunkBy.delimiter else self.chunk.by.name,
                f"{len(uncut):,}",
                f"{count:,}",
                uncut[0],
                self.chunk.max_tokens,
                self.chunk.max_characters,
            )

    def canonical(self, cells: Cells, file: str, first_row: int, first_source_row: int = 0) -> Canonical:
        """The chunks of some documents. first_row: the number of the first chunk in its file."""
        reader = CellReader(cells, file, first_row)
        documents = reader.read(self.text, cells[self.text], read_items)
        names = reader.read(self.id, cells.get(self.id, [name_below(self.path, file)] * reader.rows), _read_id)
        failed = {cell.row - first_row: cell for cell in reader.bad}
        values: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
        repaired: list[int] = []
        bad: list[BadCell] = []
        for number, (pieces, name) in enumerate(zip(documents, names, strict=True)):
            row = first_row + len(repaired)
            if number in failed:
                cell = failed[number]
                rows: list[dict[str, Any]] = [{"error": str(cell)}]
                bad.append(cell._replace(row=row))
            else:
                rows = _chunks("\n\n".join(piece or "" for piece in pieces), name, self)
            for place, found in enumerate(rows):
                repaired.append(int(reader.repaired[number]) if place == 0 else 0)
                for column, cells_of_column in values.items():
                    own = {"file": file, "row": row + place, "number": first_source_row + number}
                    cells_of_column.append({**own, **found}.get(column))
        return Canonical(pa.table(values, schema=SCHEMA), np.array(repaired, np.int64), bad)


def chunk_rows(config: DocumentsConfig, chunk: ChunkConfig, spans: Spans | None) -> ChunkRows:
    """The rows of documents that are cut so."""
    return ChunkRows(**{f.name: getattr(config, f.name) for f in fields(DocumentsConfig)}, chunk=chunk, spans=spans)


def _documents(files: Iterable[Path]) -> Iterator[tuple[str, Place, bool]]:
    """Name, place and whether it can be cut, of each document that has chunks in these files."""
    last: Place | None = None
    for path in files:
        for batch in parquet.batches(path, _ROWS, ["document", "file", "number", "occurs"]):
            for name, *place, can_be_cut in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if name is not None and tuple(place) != last:
                    last = (place[0], place[1])
                    yield name, last, can_be_cut


def _read_id(cell: object) -> tuple[str, int]:
    name, repairs = read_name(cell)
    if name is None:
        raise ValueError("null (or an empty cell), but chunks are called after it")
    return name, repairs


def _chunks(document: str, name: str, config: ChunkRows) -> list[dict[str, Any]]:
    found = chunks(document, config.chunk, config.spans)
    some = occurs(document, config.chunk)
    ends = [(a.stop, b.start) for a, b in pairwise(found)] + [(0, 0)]
    return [
        {
            "id": f"{name}:{chunk.start}-{chunk.stop}",
            "text": chunk.text,
            "document": name,
            "start": chunk.start,
            "stop": chunk.stop,
            "after": document[first:last],
            "occurs": some,
        }
        for chunk, (first, last) in zip(found, ends, strict=False)
    ]
