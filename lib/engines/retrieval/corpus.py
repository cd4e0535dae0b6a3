"""A corpus: the passages that a retriever searches, read from Parquet a block at a time."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lib.data.parquet import UNREADABLE, in_run_folder, require_rows, require_sound
from lib.data.run_folder import MANIFEST, RESULT
from lib.errors import ConfigError, InputError

KEY = "retriever.corpus"
UNIT = 1e-3  # how far a vector's length may be from one
_CHECK_ROWS = 4096
_TEXT_ROWS = 1024
_BUFFER_BYTES = 1 << 20

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Text:
    """What a corpus says of one row; start and stop are characters of the document. text: None in a failed row.

    after: what stands between this chunk and the next one of the document, None where unknown.
    """

    id: str
    text: str | None
    document: str | None
    start: int | None
    stop: int | None
    after: str | None = None


class Corpus:
    """An opened corpus. A row is its number in the file; rows with an `error` are left out of everything.

    path: its Parquet file. Each pass opens the file anew, so that several threads can read.
    """

    def __init__(self, corpus: str, *, vectors: bool, unit: bool = True) -> None:
        """Open a Parquet file, or the `result.parquet` of a run folder.

        vectors: whether they will be needed. unit: whether they must have length one. Raises ConfigError where there is
        no such file, InputError for columns that are missing or of another type, and for a corpus without passages.
        """
        self.path = _file(corpus)
        self.unit = unit
        try:
            self._metadata = pq.read_metadata(self.path)
        except UNREADABLE as error:
            raise InputError(f"{self.path}: not a Parquet file ({str(error).splitlines()[0]})") from error
        self._schema = self._metadata.schema.to_arrow_schema()
        self._require("id", pa.string(), pa.large_string())
        self._require("text", pa.string(), pa.large_string())
        if vectors:
            self._require_vectors()
        self.left_out = sum(len(errors) - errors.null_count for errors in self._errors())
        self.rows = self._metadata.num_rows - self.left_out
        if self.rows == 0:
            failed = f": all of its {self.left_out:,} rows failed, see their `error`" if self.left_out else ""
            raise InputError(f"{self.path}: the corpus has no passages{failed}; nothing can be found in it")

    @cached_property
    def width(self) -> int:
        """Numbers of a vector."""
        return int(self._schema.field("vector").type.list_size)

    @property
    def has_documents(self) -> bool:
        """Whether it says of which document a passage is."""
        return "document" in self._schema.names

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the file, wherever it lies."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def check(self, *, vectors: bool) -> None:
        """Read it once. Raise InputError naming the row of a text or vector that is missing or can't be used."""
        for rows, batch in self._batches(_CHECK_ROWS, ["text"]):
            if batch["text"].null_count:
                row = rows[batch["text"].to_pylist().index(None)]
                raise InputError(f"{self.path}, row {row}, column text: is empty (null), and the row has no `error`")
        if vectors:
            for rows, block in self.blocks(_CHECK_ROWS):
                require_usable(block, rows, self.path, unit=self.unit)

    def blocks(self, size: int) -> Iterator[tuple[Rows, Vectors]]:
        """Rows and their vectors [at most size, width], in the order of the corpus. Read-only."""
        for rows, batch in self._batches(size, ["vector"]):
            column = batch["vector"]
            if column.null_count:
                row = rows[column.is_null().to_pylist().index(True)]
                raise InputError(f"{self.path}, row {row}, column vector: is empty (null), and the row has no `error`")
            yield rows, column.flatten().to_numpy().reshape(len(rows), self.width)

    def texts(self) -> Iterator[tuple[Rows, list[str]]]:
        """Rows and their texts, in the order of the corpus."""
        for rows, batch in self._batches(_TEXT_ROWS, ["text"]):
            yield rows, batch["text"].to_pylist()

    def lookup(self, rows: Rows) -> dict[int, Text]:
        """What stands in some rows, by one pass over the row groups that hold them. rows: ascending, each once."""
        found: dict[int, Text] = {}
        columns = [name for name in ("id", "text", "document", "start", "stop", "after") if name in self._schema.names]
        with self._open() as file:
            first = 0
            for group in range(file.num_row_groups):
                end = first + file.metadata.row_group(group).num_rows
                if _within(rows, first, end).size:
                    for batch in file.iter_batches(_TEXT_ROWS, [group], columns, use_threads=False):
                        found |= _texts(batch, _within(rows, first, first + batch.num_rows), first)
                        first += batch.num_rows
                first = end
        return found

    def _batches(self, size: int, columns: Sequence[str]) -> Iterator[tuple[Rows, pa.RecordBatch]]:
        """Rows without an error, and some of their columns."""
        errors = ["error"] if self.left_out else []
        first = 0
        with self._open() as file:
            for batch in file.iter_batches(size, columns=[*columns, *errors], use_threads=False):
                rows = np.arange(first, first + batch.num_rows, dtype=np.int64)
                first += batch.num_rows
                if errors and batch["error"].null_count < batch.num_rows:
                    fine = pc.is_null(batch["error"])
                    rows, batch = rows[fine.to_numpy(zero_copy_only=False)], batch.filter(fine)
                if len(rows):
                    yield rows, batch
            require_rows(first, self._metadata.num_rows)

    def _errors(self) -> Iterator[pa.Array]:
        if "error" in self._schema.names:
            self._require("error", pa.string(), pa.large_string(), pa.null())
            with self._open() as file:
                yield from (b["error"] for b in file.iter_batches(columns=["error"], use_threads=False))

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        options = {"pre_buffer": False, "buffer_size": _BUFFER_BYTES, "page_checksum_verification": True}
        try:
            with pq.ParquetFile(self.path, metadata=self._metadata, **options) as file:
                require_sound(file, ours=in_run_folder(self.path))
                yield file
        except UNREADABLE as error:
            raise InputError(f"{self.path}: damaged ({str(error).strip()}); make the corpus anew") from error

    def _require(self, name: str, *types: pa.DataType) -> None:
        if name not in self._schema.names:
            raise InputError(
                f"{self.path}: no column {name}; a corpus has id and text, as jobs.chunk and jobs.embed write it"
            )
        if (found := self._schema.field(name).type) not in types:
            raise InputError(f"{self.path}, column {name}: is of type {found}, but must be {types[0]}")

    def _require_vectors(self) -> None:
        if "vector" not in self._schema.names:
            raise InputError(f"{self.path}: no column vector; this retriever needs an embedded corpus (jobs.embed)")
        found = self._schema.field("vector").type
        if not pa.types.is_fixed_size_list(found) or found.value_type != pa.float32():
            raise InputError(
                f"{self.path}, column vector: is of type {found}, but must be a fixed-size list of float32"
            )


def require_usable(vectors: Vectors, rows: Rows, source: object, *, unit: bool) -> None:
    """Raise InputError for a vector [n, width] with NaN or infinity, or with another length than one.

    rows: their row numbers [n] in the source, for the message. unit: false where lengths don't matter.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.vecdot(vectors, vectors))
        fine = np.abs(lengths - 1) <= UNIT if unit else np.isfinite(lengths)
        wrong = np.flatnonzero(~fine)  # NaN is wrong, too
    if not wrong.size:
        return
    place = wrong[0]
    where = f"{source}, row {rows[place]}, column vector"
    if np.isfinite(vectors[place]).all():
        raise InputError(
            f"{where}: has length {lengths[place]:.4g}, but must have length 1, as a direction; where lengths count "
            "for its model, use retriever.similarity=dot"
        )
    raise InputError(f"{where}: contains NaN or infinity; embed that text again")


def _file(corpus: str) -> Path:
    if not corpus:
        raise ConfigError(f"{KEY} must be given: a run folder of jobs.embed or jobs.chunk, or a Parquet file")
    path = Path(corpus).expanduser()
    if path.is_file():
        return path
    if not path.is_dir():
        raise ConfigError(f"{KEY}={corpus}: no such file or run folder; give a Parquet file, or a run of jobs.embed")
    if not (path / RESULT).is_file():
        state = "the run is not finished; run its line again" if (path / MANIFEST).exists() else "not a run folder"
        raise ConfigError(f"{KEY}={corpus}: has no {RESULT}: {state}")
    return path / RESULT


def _within(rows: Rows, first: int, end: int) -> Rows:
    """Those of the ascending rows that are in [first, end)."""
    return rows[np.searchsorted(rows, first) : np.searchsorted(rows, end)]


def _texts(batch: pa.RecordBatch, rows: Rows, first: int) -> dict[int, Text]:
    taken = batch.take(pa.array(rows - first)) if rows.size else batch.slice(0, 0)
    nothing = [None] * rows.size
    columns = {name: taken[name].to_pylist() for name in taken.schema.names}
    places = (columns.get(name, nothing) for name in ("document", "start", "stop", "after"))
    cells = zip(rows.tolist(), columns["id"], columns["text"], *places, strict=True)
    return {row: Text(str(row) if name is None else name, *others) for row, name, *others in cells}


def require_width(width: int, corpus: Corpus) -> None:
    """Raise ConfigError where the queries' vectors are not as wide as those of the corpus."""
    if width != corpus.width:
        raise ConfigError(
            f"the queries' vectors have {width} numbers, those of {corpus.path} have {corpus.width}: embed both with "
            "the same model"
        )
