"""CSV files about battles (submissions, labels): every cell as a text, so that ids stay as they are written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from lib.errors import InputError


def read_csv(path: Path) -> pa.Table:
    """All cells, as texts. Raises InputError where it is no CSV file."""
    options = _csv_options(path)
    try:
        return pacsv.read_csv(path, **options)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a CSV file ({error})") from error


def csv_blocks(path: Path) -> Iterator[pa.RecordBatch]:
    """The same, block by block."""
    options = _csv_options(path)
    try:
        with pacsv.open_csv(path, **options) as reader:
            yield from reader
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a CSV file ({error})") from error


def _csv_options(path: Path) -> dict[str, Any]:
    types = {name: pa.string() for name in csv_columns(path)}
    return {
        "parse_options": pacsv.ParseOptions(newlines_in_values=True),
        "convert_options": pacsv.ConvertOptions(column_types=types, strings_can_be_null=False),
    }


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
