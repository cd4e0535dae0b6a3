"""Rows of a run's input once more, one at a time: also those whose texts stand in the source alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lib.data import parquet
from lib.data.joining.keys import content_keys
from lib.data.manifest import Manifest
from lib.data.reading.input_file import InputFile, read_rows
from lib.data.reading.readers import batches, blocks, column_names
from lib.data.reading.sources import Stat, source_of, stat
from lib.data.rows.base import Rows
from lib.data.rows.columns import canonical
from lib.errors import InputError
from lib.report.viewer.sql import is_text, is_texts
from lib.types import KEY


@dataclass(frozen=True, kw_only=True)
class SourceRows:
    """The canonical rows that a run's tasks have got."""

    folder: Path
    manifest: Manifest
    data: Rows

    def texts(self, number: int, row: int) -> dict[str, Any]:
        """The cells of row `row` of an input that are texts, or lists of them. Raises as `table`."""
        table = self.table(number, row)
        names = [field.name for field in table.schema if is_text(field.type) or is_texts(field.type)]
        found: dict[str, Any] = table.select(names).to_pylist()[0]
        return found

    def table(self, number: int, row: int) -> pa.Table:
        """The same as a table of one row, with its key.

        Raises InputError where the source is gone, was changed or has no such row, RunFolderError for damaged files.
        """
        file = self.manifest.inputs[number]
        for found in self._places(file, row):
            if found.num_rows:
                return found.append_column(KEY, content_keys(found, self.data.content))
        raise InputError(f"{file.source}: has no row {row} that this run has read")

    def _places(self, file: InputFile, row: int) -> Iterator[pa.Table]:
        if not file.canonical:
            _require_as_read(file)
            yield read_rows(file, self.folder, row, row + 1, self.data)
            return
        yield self._in_folder(file.parquet, row)
        if file.repeated:
            yield self._in_folder(file.repeated_parquet, row)
        if file.remembered:
            yield self._in_source(file, row)

    def _in_folder(self, path: str, row: int) -> pa.Table:
        """The row of a file in the run folder, whose rows are in the order of the input; none where it hasn't it."""
        names = self.data.schema.names
        with parquet.opened(self.folder / path) as file:
            place = file.schema_arrow.names.index("row")
            for group in range(file.num_row_groups):
                known = file.metadata.row_group(group).column(place).statistics
                if known is None or not known.has_min_max or known.min <= row <= known.max:
                    table = file.read_row_group(group, columns=names)
                    if (found := table.filter(pc.equal(table["row"], row))).num_rows:
                        return found.select(names).cast(self.data.schema)
        return self.data.schema.empty_table()

    def _in_source(self, file: InputFile, row: int) -> pa.Table:
        """The row of the source, which is read up to it."""
        _require_as_read(file)
        source, first, data = source_of(file.source), 0, self.data
        read = blocks if data.in_columns else batches
        options: dict[str, Any] = {"as_arrow": data.as_arrow}
        columns = data.present_columns(column_names(source, data.dialect), source.url)
        for block in read(source, columns, data.dialect, **options):
            for table, _, _ in canonical(data, block, source.url, first):
                if row < first + table.num_rows:
                    return table.slice(row - first, 1)
                first += table.num_rows
        return data.schema.empty_table()


def _require_as_read(file: InputFile) -> None:
    if stat(source_of(file.source)) != Stat(file.size, file.mtime_ns):
        raise InputError(f"{file.source}: was changed since this run has read it")
