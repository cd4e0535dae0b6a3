"""Files of labels: who won each battle, by id, in any of the forms in which such files are written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from lib.data.battle_files.csv_texts import csv_columns
from lib.data.battle_files.groups import Groups, groups_of
from lib.data.battle_files.submission_csv import WINNERS
from lib.errors import InputError
from lib.types import VERDICTS

LabelArray = npt.NDArray[np.int8]

LABEL_WORDS = {
    **dict.fromkeys(("0", "0.0", "a", "model_a"), 0),
    **dict.fromkeys(("1", "1.0", "b", "model_b"), 1),
    **dict.fromkeys(("2", "2.0", "tie", "tie (bothbad)", "both_bad", "bothbad"), 2),
}
_ONE_COLUMN = ("label", "winner")
_QUESTIONS = ("question_id", "prompt", "question")


@dataclass(frozen=True)
class LabelFile:
    """ids: strings [m], each once. labels: [m], 0 for A, 1 for B, 2 for a tie. groups: [m], the question of each row;
    None where the file has none, or it was not asked for."""

    ids: pa.Array
    labels: LabelArray
    groups: Groups | None = None


def read_labels(path: Path, *, questions: bool = False) -> LabelFile:
    """Read a CSV of labels: `id`, and one-hot `winner_model_a`, `_b` and `winner_tie`, or `label`, or `winner`.

    In the last two, A is 0, A or model_a, B is 1, B or model_b, and a tie 2, tie, tie (bothbad) or both_bad, whatever
    the case. questions: also tell the rows apart by `question_id`, `prompt` or `question`, the first that is there;
    other texts are not read.

    Raises InputError where there is no label or a cell is none, columns contradict each other, or an id is there twice.
    """
    there = csv_columns(path)
    forms = [[name] for name in _ONE_COLUMN if name in there]
    one_hot = [name for name in WINNERS if name in there]
    if one_hot and (len(one_hot) == len(WINNERS) or not forms):
        forms.insert(0, list(WINNERS))
    if missing := [name for name in ("id", *(forms[0] if forms else ())) if name not in there]:
        raise InputError(f"{path}: no column {', '.join(missing)}; it has {', '.join(there)}")
    if not forms:
        raise InputError(
            f"{path}: no labels: give it a column label (0, 1, 2, or A, B, tie) or winner (model_a, model_b, tie), or "
            f"the three {', '.join(WINNERS)}; it has {', '.join(there)}"
        )
    question = next((name for name in _QUESTIONS if questions and name in there), None)
    table = _read(path, ["id", *(name for form in forms for name in form), *([question] if question else [])])
    ids = table["id"].combine_chunks()
    found = [_one_hot(path, table) if len(form) > 1 else _one_column(path, table, form[0]) for form in forms]
    for form, other in zip(forms[1:], found[1:], strict=True):
        if (differs := other != found[0]).any():
            row = int(np.argmax(differs))
            said, here = VERDICTS[found[0][row]], VERDICTS[other[row]]
            raise InputError(
                f"{path}, row {row} (id {ids[row]}): {'/'.join(forms[0])} says {said}, and {form[0]} {here}; leave one "
                "of them out"
            )
    if len(ids.unique()) < len(ids):
        repeated = next(item["values"] for item in ids.value_counts().to_pylist() if item["counts"] > 1)
        raise InputError(f"{path}: id {repeated} is there twice, so it is unclear which label holds")
    groups = groups_of(table.combine_chunks(), question) if question else None
    return LabelFile(ids, found[0], groups)


def _read(path: Path, columns: Sequence[str]) -> pa.Table:
    try:
        return pacsv.read_csv(
            path,
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                include_columns=columns, column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a CSV file of labels ({error})") from error


def _one_hot(path: Path, table: pa.Table) -> LabelArray:
    bits = np.stack([_read_cells(table[name], _bit) for name in WINNERS], axis=1)
    wrong = (bits < 0).any(axis=1) | (bits.sum(axis=1) != 1)
    _refuse(path, table, wrong, f"exactly one of {', '.join(WINNERS)} must be 1, and the others 0")
    return np.asarray(bits.argmax(axis=1), dtype=np.int8)


def _one_column(path: Path, table: pa.Table, name: str) -> LabelArray:
    labels = _read_cells(table[name], lambda cell: LABEL_WORDS.get(cell.strip().casefold(), -1))
    cell = table[name][int(np.argmax(labels < 0))].as_py() if len(labels) else ""
    _refuse(
        path,
        table,
        labels < 0,
        f"{name} {cell[:40]!r} is none of 0, 1, 2, A, B, tie, model_a, model_b; leave rows without a label out",
    )
    return labels


def _bit(cell: str) -> int:
    try:
        number = float(cell)
    except ValueError:
        return {"true": 1, "false": 0}.get(cell.strip().casefold(), -1)
    return int(number) if number in (0, 1) else -1


def _read_cells(column: pa.ChunkedArray, read: Callable[[str], int]) -> LabelArray:
    """What each cell [m] is read as: few of them differ."""
    encoded = pc.dictionary_encode(column.combine_chunks())
    values = np.array([read(cell) for cell in encoded.dictionary.to_pylist()], dtype=np.int8)
    return np.asarray(values[encoded.indices.to_numpy()], dtype=np.int8)


def _refuse(path: Path, table: pa.Table, wrong: npt.NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"{path}, row {row} (id {table['id'][row]}): {what}")
