"""Submissions in the Kaggle "LMSYS – Chatbot Arena" format: writing, checking, blending.

The rules: every id once, in the order of the input; values in [0, 1]; rows sum to 1 at 6 decimals.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from lib.data import parquet
from lib.data.atomic import atomic_path
from lib.data.merging import MergeConfig
from lib.data.row_names import row_names
from lib.errors import ConfigError, InputError, RunFailed
from lib.log import log
from lib.scoring.probabilities import blend, to_millionths
from lib.types import PROBABILITIES

WINNERS = ("winner_model_a", "winner_model_b", "winner_tie")
COLUMNS = ("id", *WINNERS)
_BLOCK_ROWS = 65_536
_SPECIAL = re.compile('[,"\r\n]')


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


def write_submission(result: Path, path: Path, config: SubmissionConfig) -> Submission:
    """Turn `result.parquet` into a checked submission, in its order; where there are no ids, rows are numbered.

    A row that alone has no id, since its line could not be read, is left out, unless failed rows are not to be filled.

    Returns the submission as read back from the file. Raises RunFailed where a row failed and
    `merge.on_failed` is `fail`, InputError where `merge.sample` asks for other ids.
    """
    ids = _ids(result)
    if config.sample is not None:
        require_same_ids(ids, Path(config.sample))
    if ids.null_count:
        log.warning("%s: %s failed rows without an id are left out", path, f"{ids.null_count:,}")
    _write_csv(path, _filled(result, config.filler), ids)
    ids = ids.drop_null()
    submission = read_submission(path)
    assert submission.ids.equals(ids), f"{path}: ids changed on the way to the file"
    return submission


def read_submission(path: Path, *, normalise: bool = False) -> Submission:
    """Read a submission and check it against the rules, as the grader does.

    normalise: take rows that sum to something else, divided by their sum; how many is logged. Raises InputError naming
    file, row and column.
    """
    table = _read_csv(path)
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; it has {', '.join(table.column_names)}")
    ids = table["id"].combine_chunks()
    probabilities = np.column_stack([_numbers(path, table[name], name, ids) for name in WINNERS])
    _refuse(path, ~((probabilities >= 0) & (probabilities <= 1)).all(axis=1), ids, "a value is not in [0, 1]")
    sums: npt.NDArray[np.float64] = probabilities.sum(axis=1)
    unequal = np.round(sums, 6) != 1
    if normalise:
        _refuse(path, sums <= 0, ids, "the values sum to 0")
        probabilities[unequal] /= sums[unequal, None]
        if unequal.any():
            log.warning("%s: %s rows did not sum to 1 and were normalised", path, f"{int(unequal.sum()):,}")
    else:
        _refuse(path, unequal, ids, "the values do not sum to 1 at 6 decimals (normalise=true divides by their sum)")
    repeated = np.ones(len(ids), dtype=bool)
    repeated[np.unique(ids.dictionary_encode().indices, return_index=True)[1]] = False
    _refuse(path, repeated, ids, "the id is there twice")
    return Submission(ids=ids, probabilities=probabilities)


def require_same_ids(ids: pa.Array, sample: Path) -> None:
    """Raise InputError unless a sample submission has exactly these ids in this order."""
    table = _read_csv(sample)
    if "id" not in table.column_names:
        raise InputError(f"{sample}: no column id; it has {', '.join(table.column_names)}")
    wanted = table["id"].combine_chunks()
    if len(wanted) != len(ids):
        raise InputError(f"{sample}: {len(wanted)} ids, but the submission has {len(ids)}")
    if not ids.equals(wanted):
        row = int(np.flatnonzero(pc.not_equal(ids, wanted).to_numpy(zero_copy_only=False))[0])
        raise InputError(f"{sample}, row {row}: id {wanted[row]}, but the submission has {ids[row]} there")


def blend_submissions(
    paths: Sequence[Path], weights: Sequence[float], out: Path, *, normalise: bool = False
) -> Submission:
    """Write the weighted mean of several submissions of the same ids, in the order of the first.

    normalise: as of `read_submission`.

    Raises ConfigError where the weights are no simplex or `out` is one of the files, InputError where the ids differ.
    """
    require_simplex(weights, "merge.weights", size=len(paths))
    if out.resolve() in [path.resolve() for path in paths]:
        raise ConfigError(f"merge.out={out}: is one of merge.submissions, which would be lost; choose another file")
    submissions = [read_submission(path, normalise=normalise) for path in paths]
    ids = submissions[0].ids
    aligned = [submissions[0].probabilities]
    for path, submission in zip(paths[1:], submissions[1:], strict=True):
        positions = pc.index_in(ids, submission.ids)
        if positions.null_count or len(submission.ids) != len(ids):
            missing = ids.filter(pc.is_null(positions))[:5].to_pylist()
            foreign = submission.ids.filter(pc.is_null(pc.index_in(submission.ids, ids)))[:5].to_pylist()
            raise InputError(
                f"{path}: {len(submission.ids)} ids, but {len(ids)} in {paths[0]}; missing here: {missing or 'none'}, "
                f"missing there: {foreign or 'none'}"
            )
        aligned.append(submission.probabilities[positions.to_numpy()])
    out.parent.mkdir(parents=True, exist_ok=True)
    _write_csv(out, iter([blend(aligned, list(weights))]), ids)
    return read_submission(out)


def _filled(result: Path, filler: npt.NDArray[np.float64] | None) -> Iterator[npt.NDArray[np.float64]]:
    """Probabilities [n, 3] of a result, block by block, the failed rows filled."""
    for batch in parquet.batches(result, _BLOCK_ROWS, PROBABILITIES):
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


def _ids(result: Path) -> pa.Array:
    ids = parquet.read(result, ["id"])["id"].combine_chunks()
    return pa.array(row_names(ids, range(len(ids))), pa.string())


def _write_csv(path: Path, blocks: Iterator[npt.NDArray[np.float64]], ids: pa.Array) -> None:
    first = 0
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(COLUMNS) + "\n")
        for block in blocks:
            texts = [
                [f"{u // 1_000_000}.{u % 1_000_000:06d}" for u in column] for column in to_millionths(block).T.tolist()
            ]
            rows = zip(ids.slice(first, len(block)).to_pylist(), *texts, strict=True)
            file.writelines(f"{_quoted(row[0])},{','.join(row[1:])}\n" for row in rows if row[0] is not None)
            first += len(block)
    assert first == len(ids)


def _quoted(text: str) -> str:
    """A cell. The csv module leaves a lone carriage return unquoted, at which readers would end the row."""
    return '"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text


def _read_csv(path: Path) -> pa.Table:
    types = {name: pa.string() for name in csv_columns(path)}
    try:
        return pacsv.read_csv(
            path,
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(column_types=types, strings_can_be_null=False),
        )
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a CSV file ({error})") from error


def csv_columns(path: Path) -> list[str]:
    """The names of the columns of a CSV file. Raises InputError where it is none, or two columns have one name."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with pacsv.open_csv(path, parse_options=pacsv.ParseOptions(newlines_in_values=True)) as reader:
            names: list[str] = reader.schema.names
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:  # the latter of names
        raise InputError(f"{path}: not a CSV file ({error})") from error
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path}: two columns are called {', '.join(map(repr, twice))}; which one counts?")
    return names


def _numbers(path: Path, column: pa.ChunkedArray, name: str, ids: pa.Array) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(column.cast(pa.float64()))
    except pa.ArrowInvalid:
        row = next(row for row, text in enumerate(column.to_pylist()) if not _is_number(text))
        text = column[row].as_py()
        raise InputError(f"{path}, row {row} (id {ids[row]}): {name} {text!r} is not a number") from None


def _is_number(text: str) -> bool:
    try:
        pa.scalar(text).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _refuse(path: Path, wrong: npt.ArrayLike, ids: pa.Array, what: str) -> None:
    wrong = np.asarray(wrong)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(f"{path}, row {row} (id {ids[row]}): {what} ({int(wrong.sum())} such rows)")
