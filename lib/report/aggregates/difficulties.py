"""Difficulties of instructions, as AlpacaEval's length-controlled win rate takes them into account."""

import csv
import math
from pathlib import Path

from lib.config import require_local
from lib.errors import InputError

_ID, _VALUE = "id", "instruction_difficulty"


def read_difficulties(path: str) -> dict[str, float]:
    """The difficulty of each row by its id, from a CSV with the columns id and instruction_difficulty.

    Raises InputError, naming file and line, for anything else.
    """
    require_local("difficulty", path)
    found: dict[str, float] = {}
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if missing := {_ID, _VALUE} - set(reader.fieldnames or ()):
                raise InputError(
                    f"{path}: no column {', '.join(sorted(missing))}; the columns are {reader.fieldnames or []}"
                )
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if row[_ID] in found:
                    raise InputError(f"{where}: id {row[_ID]} is there twice, so it is unclear which difficulty holds")
                found[row[_ID]] = _number(row[_VALUE], where)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error})") from error
    return found


def _number(cell: str | None, where: str) -> float:
    try:
        value = float(cell or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: {_VALUE} is {cell!r}, not a finite number")
    return value
