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
from lib.data.reading.input_file import InputFile, read_rows, require_unchanged
from lib.data.reading.readers import batches, blocks, column_names
from lib.data.reading.sources import Stat, source_of
from lib.data.rows.base import Rows
from lib.data.rows.columns import canonical
from lib.errors import InputError
from lib.types import KEY


@dataclass(frozen=True, kw_only=True)
class SourceRows:
    """The canonical rows that a run's tasks have got."""

    folder: Path
    manifest: Manifest
    data: Rows

    def cells(self, number: int, row: int) -> dict[str, Any]:
        """The cells of row `row` of an input. Raises as `table`."""
        found: dict[str, Any] = self.table(number, row).to_pylist()[0]
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
        source, first = source_of(file.source), 0
        require_unchanged(source, Stat(file.size, file.mtime_ns))
        data = self.data
        read = blocks if data.in_columns else batches
        options: dict[str, Any] = {"as_arrow": data.as_arrow}
        columns = data.present_columns(column_names(source, data.dialect), source.url)
        for block in read(source, columns, data.dialect, **options):
            for table, _, _ in canonical(data, block, source.url, first):
                if row < first + table.num_rows:
                    return table.slice(row - first, 1)
                first += table.num_rows
        return data.schema.empty_table()
