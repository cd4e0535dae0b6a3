"""Dividing the rows of an input: remembered from earlier runs, repeated within this one, and those that are asked.

Keys are gathered while the input is read, joined with the store part by part, and the rows then written to the files
that the run needs. Memory stays flat however many rows and answers there are.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.data.joining.key_group import GROUP_ROWS, KeyGroup, Numbers
from lib.data.joining.keys import KEY, KEY_TYPE, content_keys, equal_keys
from lib.data.joining.shuffle import MOST_PARTS, Ordered, Shuffle
from lib.data.manifest import Manifest
from lib.data.parquet import GroupWriter, group_writer
from lib.data.reading.input_file import EQUALS, InputFile, all_rows
from lib.data.rows.base import Rows
from lib.data.run_folder import INPUT, RESULT
from lib.log import log
from lib.pipeline.result_rows import result_rows, result_schema, stored_schema
from lib.store.answer_table import AnswerTable, Opened
from lib.tasks.base import AnyTask
from lib.urls import without_secrets

_NUMBER = "number"  # of a row among all chosen ones
_PART_ROWS = 1 << 18


class Division:
    """Divides the rows of a run's input. folder: for its own files, removed by whoever made it."""

    def __init__(self, data: Rows, task: AnyTask, answers: AnswerTable | None, folder: Path) -> None:
        self._data, self._task, self._answers, self._folder = data, task, answers, folder
        self._segments: Opened = {}
        self._rows = 0
        self._distinct = self._known = 0  # different rows, and those of them that are remembered
        self._keys = self._shuffle("keys", {KEY: KEY_TYPE})
        self._remembered = self._shuffle("remembered", {f.name: f.type for f in stored_schema(task)})
        self._repeated = self._shuffle("repeated", {})
        self._equals = self._shuffle("equals", {EQUALS: pa.int64()})

    def add(self, rows: pa.Table) -> None:
        """Take in chosen rows, in their order, as they are read; bad ones ask nothing."""
        numbers = np.arange(self._rows, self._rows + rows.num_rows)
        self._rows += rows.num_rows
        fine = pc.is_null(rows["error"])
        keys = content_keys(rows.filter(fine), self._data.content)
        numbers = numbers[fine.to_numpy()]
        first_bytes = np.frombuffer(keys.buffers()[1], np.uint8)[::16] if len(keys) else np.empty(0, np.uint8)
        self._keys.add(pa.table({KEY: keys, _NUMBER: numbers}), first_bytes.astype(np.int64))

    def divide(self, inputs: Sequence[InputFile], run_folder: Path) -> list[InputFile]:
        """Write the files of remembered and repeated rows, and those of the rows that remain to be asked.

        inputs: as they were taken in, all of their rows to be asked; what of them is not needed any more is removed.
        Raises StoreError where the store can't be written.
        """
        if self._answers is not None:
            self._answers.begin()  # not before: a refused input leaves no store
        for table in self._keys.groups(GROUP_ROWS):
            self._join(table[KEY].combine_chunks(), table[_NUMBER].to_numpy())
        if not (self._remembered.rows or self._repeated.rows or self._equals.rows):
            return list(inputs)
        parts = (self._remembered, self._repeated, self._equals)
        streams = [Ordered(part.ordered(_NUMBER), part.schema, _NUMBER) for part in parts]
        first, divided = 0, []
        for file in inputs:
            divided.append(self._write(file, run_folder, first, streams))
            first += file.rows
        return divided

    def report(self, manifest: Manifest, run_folder: Path) -> None:
        """Say how rows were divided, and which of an earlier run are gone; the store hears of it, too."""
        if manifest.asked < manifest.rows:
            log.info("%s", manifest.division)
        if self._answers is None:
            return
        source = without_secrets(self._data.path)
        before = (use for use in reversed(self._answers.uses()) if use["input"] == source)
        # What an unfinished run has asked about is missing here, but not gone.
        if (last := next((use for use in before if not _is_unfinished(Path(use["run"]))), None)) is not None:
            gone = int(last["distinct"]) - self._known
            if gone > 0:
                what = "rows that it asked about are gone or were changed, or had failed"
                log.warning("data.path=%s, as %s had it: at least %s %s", source, last["run"], f"{gone:,}", what)
        remembered = sum(file.remembered for file in manifest.inputs)
        try:
            self._answers.note_use(str(run_folder), remembered, source, self._distinct)
        except OSError as error:
            log.warning(
                "%s: cannot be written (%s), so the store does not know of this run; it goes on",
                self._answers.name,
                error.strerror or error,
            )

    def _join(self, keys: pa.FixedSizeBinaryArray, numbers: Numbers) -> None:
        group = KeyGroup(keys, numbers)
        if self._task.draws:
            places = group.places
            again = places > 0
            self._add(self._equals, {EQUALS: pa.array(places[again])}, numbers[again])
            if again.any():
                group = KeyGroup(equal_keys(keys, places), numbers)
        self._distinct += len(group.keys)
        if self._answers is not None:
            for found, answered in self._answers.find(group, stored_schema(self._task), self._segments):
                self._add(self._remembered, {name: found[name] for name in found.column_names}, answered)
        self._known += group.answered
        if self._data.alone:
            self._add(self._repeated, {}, group.repeats())

    def _write(self, file: InputFile, run_folder: Path, first: int, streams: Sequence[Ordered]) -> InputFile:
        """The rows of an input file, each to where it belongs. first: the number of its first row."""
        data, stem = self._data, Path(file.parquet).stem if file.canonical else f"{first:012d}-{self._folder.name}"
        there = replace(file, parquet=f"{INPUT}/{stem}-asked.parquet", canonical=True)
        with ExitStack() as stack:

            def parquet(path: str, schema: pa.Schema) -> GroupWriter:
                (run_folder / path).parent.mkdir(parents=True, exist_ok=True)
                return stack.enter_context(group_writer(run_folder / path, schema))

            asked = parquet(there.parquet, data.schema.append(pa.field(EQUALS, pa.int64())))
            remembered = parquet(there.remembered_parquet, result_schema(data, self._task))
            repeated = parquet(there.repeated_parquet, data.schema.append(pa.field(KEY, KEY_TYPE)))
            for rows in all_rows(file, run_folder, data):
                known, again, equals = (stream.until(first + rows.num_rows) for stream in streams)
                inside, twice = (table[_NUMBER].to_numpy() - first for table in (known, again))
                left = np.ones(rows.num_rows, np.bool_)
                left[inside] = left[twice] = False
                if len(inside):
                    others = rows.take(inside)
                    columns = self._task.conclude(others, known.select(self._task.answered.names))
                    remembered.add(result_rows(others, data, self._task, columns, known["error"]))
                if len(twice):
                    others = rows.take(twice)
                    repeated.add(others.append_column(KEY, content_keys(others, data.content)))
                number = np.zeros(rows.num_rows, np.int64)
                number[equals[_NUMBER].to_numpy() - first] = equals[EQUALS].to_numpy()
                asked.add(rows.append_column(EQUALS, pa.array(number)).filter(pa.array(left)))
                first += rows.num_rows
        if file.canonical:
            (run_folder / file.parquet).unlink()
        for part, path in ((remembered, there.remembered_parquet), (repeated, there.repeated_parquet)):
            if not part.rows:
                (run_folder / path).unlink()
        return replace(there, remembered=remembered.rows, repeated=repeated.rows)

    def _shuffle(self, name: str, columns: Mapping[str, pa.DataType]) -> Shuffle:
        return Shuffle(self._folder / name, pa.schema({**columns, _NUMBER: pa.int64()}))

    def _add(self, shuffle: Shuffle, columns: Mapping[str, Any], numbers: Numbers) -> None:
        part_rows = max(_PART_ROWS, -(-self._rows // MOST_PARTS))
        shuffle.add(pa.table({**columns, _NUMBER: numbers}, shuffle.schema), numbers // part_rows)


def _is_unfinished(run_folder: Path) -> bool:
    return run_folder.is_dir() and not (run_folder / RESULT).exists()
