"""Submissions in the Kaggle "LMSYS – Chatbot Arena" format: writing, checking, reading.

The rules: every id once, in the order of the input; values in [0, 1]; rows sum to 1 at 6 decimals.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lib.data import parquet
from lib.data.battle_files.csv_texts import csv_blocks, csv_columns, read_csv
from lib.data.battle_files.submission_csv import COLUMNS, WINNERS, write_csv
from lib.data.merging import MergeConfig
from lib.data.repeats import Repeats, text_hashes
from lib.data.row_names import name_blocks
from lib.errors import ConfigError, InputError, RunFailed
from lib.log import log
from lib.types import PROBABILITIES

_BLOCK_ROWS = 16_384
_TWICE = "the id is there twice"


class OnFailed(Enum):
    """What stands in the submission for a row that failed."""

    fail = "fail"
    uniform = "uniform"
    prior = "prior"


@dataclass(frozen=True, kw_only=True)
class SubmissionConfig(MergeConfig):
    """How results become a submission.

    on_failed: `fail` writes no submission while a row has no result; `uniform` puts 1/3 each; `prior` puts `prior`.
    prior: probabilities of A, B and tie.
    sample: a sample_submission.csv that the submission must match, id by id.
    """

    on_failed: OnFailed = OnFailed.fail
    prior: list[float] | None = None
    sample: str | None = None

    def __post_init__(self) -> None:
        if self.on_failed is OnFailed.prior and self.prior is None:
            raise ConfigError("merge.on_failed=prior needs merge.prior=[A,B,tie], such as merge.prior=[0.35,0.34,0.31]")
        if self.prior is not None:
            if self.on_failed is not OnFailed.prior:
                raise ConfigError(
                    f"merge.prior={list(self.prior)}: has no effect with merge.on_failed={self.on_failed.value}; leave "
                    "it out, or set merge.on_failed=prior"
                )
            require_simplex(self.prior, "merge.prior", size=3)
        if self.sample is not None and not Path(self.sample).is_file():
            raise ConfigError(f"merge.sample={self.sample}: no such file")

    @property
    def reads(self) -> tuple[str, ...]:
        """Files that it depends on."""
        return () if self.sample is None else (str(Path(self.sample).absolute()),)

    @property
    def filler(self) -> npt.NDArray[np.float64] | None:
        """Probabilities [3] for a failed row; None where a failed row is not to be filled."""
        if self.on_failed is OnFailed.fail:
            return None
        return np.full(3, 1 / 3) if self.on_failed is OnFailed.uniform else np.asarray(self.prior)


def require_simplex(weights: Sequence[float], key: str, *, size: int) -> None:
    """Raise ConfigError unless the weights are `size` numbers in [0, 1] that sum to 1 (within 1e-6)."""
    if len(weights) != size:
        raise ConfigError(f"{key}={list(weights)}: needs {size} numbers, has {len(weights)}")
    if not (np.isfinite(weights).all() and min(weights) >= 0 and abs(sum(weights) - 1) <= 1e-6):
        raise ConfigError(
            f"{key}={list(weights)}: must be numbers in [0, 1] that sum to 1, they sum to {sum(weights):g}"
        )


@dataclass(frozen=True)
class Submission:
    """A checked submission: ids (strings, [n]) and probabilities of A, B and tie (float64, [n, 3])."""

    ids: pa.Array
    probabilities: npt.NDArray[np.float64]


def write_submission(result: Path, path: Path, config: SubmissionConfig) -> int:
    """Turn `result.parquet` into a checked submission, in its order; where there are no ids, rows are numbered.

    A row that alone has no id, since its line could not be read, is left out, unless failed rows are not to be filled.

    Returns the rows of the submission, which are checked as they are read back from the file. Memory: a block of rows.
    Raises RunFailed where a row failed and `merge.on_failed` is `fail`, InputError where `merge.sample` asks for other
    ids.
    """

    def names() -> Iterator[pa.Array]:
        return name_blocks(lambda: (block["id"] for block in parquet.blocks(result, _BLOCK_ROWS, ["id"])))

    if config.sample is not None:
        require_same_ids(names, Path(config.sample))
    rows = write_csv(path, zip(names(), _filled(result, config.filler), strict=True))
    if left_out := sum(block.null_count for block in names()):
        log.warning("%s: %s failed rows without an id are left out", path, f"{left_out:,}")
    _check_written(path, (block.drop_null() for block in names()))
    return rows


def read_submission(path: Path, *, normalise: bool = False) -> Submission:
    """Read a submission and check it against the rules, as the grader does.

    normalise: take rows that sum to something else, divided by their sum; how many is logged. Raises InputError naming
    file, row and column.
    """
    table = read_csv(path)
    submission = _checked_rows(path, table, 0, normalise=normalise)
    repeated = np.ones(len(submission.ids), dtype=bool)
    repeated[np.unique(submission.ids.dictionary_encode().indices, return_index=True)[1]] = False
    _refuse(path, repeated, submission.ids, 0, _TWICE)
    return submission


def require_same_ids(ids: Callable[[], Iterator[pa.Array]], sample: Path) -> None:
    """Raise InputError unless a sample submission has exactly these ids in this order. ids: block by block."""
    if "id" not in (names := csv_columns(sample)):
        raise InputError(f"{sample}: no column id; it has {', '.join(names)}")

    def wanted() -> Iterator[pa.Array]:
        return (block["id"] for block in csv_blocks(sample))

    difference = _first_difference(ids(), wanted())
    if difference is None:
        return
    have, need = (sum(map(len, blocks)) for blocks in (ids(), wanted()))
    if have != need:
        raise InputError(f"{sample}: {need} ids, but the submission has {have}")
    row, ours, theirs = difference
    raise InputError(f"{sample}, row {row}: id {theirs}, but the submission has {ours} there")


def _filled(result: Path, filler: npt.NDArray[np.float64] | None) -> Iterator[npt.NDArray[np.float64]]:
    """Probabilities [n, 3] of a result, block by block, the failed rows filled."""
    for batch in parquet.blocks(result, _BLOCK_ROWS, PROBABILITIES):
        block = np.column_stack([column.to_numpy(zero_copy_only=False) for column in batch.columns])
        failed = np.isnan(block).any(axis=1)
        if filler is not None:
            block[failed] = filler
        elif failed.any():
            raise RunFailed(
                "some rows have no result, so no submission was written; mend the causes and run again with "
                "run.retry_failed=true, or choose merge.on_failed=uniform or prior"
            )
        yield block


def _check_written(path: Path, ids: Iterator[pa.Array]) -> None:
    """Read a submission of ours block by block. Raises InputError where it breaks a rule. ids: that it must have."""
    with Repeats(path.parent) as seen:

        def checked() -> Iterator[pa.Array]:
            first = 0
            for block in csv_blocks(path):
                found = _checked_rows(path, pa.Table.from_batches([block]), first, normalise=False).ids
                seen.add(found)
                yield found
                first += len(found)

        difference = _first_difference(ids, checked())
        assert difference is None, f"{path}: ids changed on the way to the file: {difference}"
        repeated = seen.found()
    if len(repeated):
        _refuse_repeated(path, repeated)


def _refuse_repeated(path: Path, repeated: npt.NDArray[np.uint64]) -> None:
    """Raise InputError where ids with these hashes are indeed the same."""
    first, before = 0, set[str]()
    for block in csv_blocks(path):
        ids = block["id"]
        for row in np.flatnonzero(np.isin(text_hashes(ids), repeated)).tolist():
            if (name := ids[row].as_py()) in before:
                raise InputError(f"{path}, row {first + row} (id {name}): {_TWICE}")
            before.add(name)
        first += len(ids)


def _first_difference(
    ours: Iterator[pa.Array], theirs: Iterator[pa.Array]
) -> tuple[int, str | None, str | None] | None:
    """The first row in which texts in blocks differ, and both of them; None where they are all the same."""
    blocks = [filter(len, ours), filter(len, theirs)]
    row, a, b = 0, next(blocks[0], None), next(blocks[1], None)
    while a is not None and b is not None:
        count = min(len(a), len(b))
        same = pc.equal(a[:count], b[:count]).fill_null(False)
        if not pc.all(same).as_py():
            place = same.index(False).as_py()
            return row + place, a[place].as_py(), b[place].as_py()
        row += count
        a = a[count:] if count < len(a) else next(blocks[0], None)
        b = b[count:] if count < len(b) else next(blocks[1], None)
    if a is None and b is None:
        return None
    return row, None if a is None else a[0].as_py(), None if b is None else b[0].as_py()


def _checked_rows(path: Path, table: pa.Table, first: int, *, normalise: bool) -> Submission:
    """Rows of a submission, each of which is checked; not, whether an id is there twice. first: number of the first."""
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; it has {', '.join(table.column_names)}")
    ids = table["id"].combine_chunks()
    probabilities = np.column_stack([_numbers(path, table[name], name, ids, first) for name in WINNERS])
    _refuse(path, ~((probabilities >= 0) & (probabilities <= 1)).all(axis=1), ids, first, "a value is not in [0, 1]")
    sums: npt.NDArray[np.float64] = probabilities.sum(axis=1)
    unequal = np.round(sums, 6) != 1
    if normalise:
        _refuse(path, sums <= 0, ids, first, "the values sum to 0")
        probabilities[unequal] /= sums[unequal, None]
        if unequal.any():
            log.warning("%s: %s rows did not sum to 1 and were normalised", path, f"{int(unequal.sum()):,}")
    else:
        wrong = "the values do not sum to 1 at 6 decimals (normalise=true divides by their sum)"
        _refuse(path, unequal, ids, first, wrong)
    return Submission(ids=ids, probabilities=probabilities)


def _numbers(path: Path, column: pa.ChunkedArray, name: str, ids: pa.Array, first: int) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(column.cast(pa.float64()))
    except pa.ArrowInvalid:
        row = next(row for row, text in enumerate(column.to_pylist()) if not _is_number(text))
        text = column[row].as_py()
        raise InputError(f"{path}, row {first + row} (id {ids[row]}): {name} {text!r} is not a number") from None


def _is_number(text: str) -> bool:
    try:
        pa.scalar(text).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _refuse(path: Path, wrong: npt.ArrayLike, ids: pa.Array, first: int, what: str) -> None:
    wrong = np.asarray(wrong)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(f"{path}, row {first + row} (id {ids[row]}): {what} ({int(wrong.sum())} such rows)")
