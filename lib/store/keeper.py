"""Putting the answers of a run's shards into the store, while it works."""

import json
import time
from collections.abc import Iterable
from pathlib import Path, PurePath
from types import TracebackType

import pyarrow as pa

from lib.data.atomic import write_text
from lib.data.joining.keys import ANSWERED, KEY
from lib.data.manifest import Manifest
from lib.data.run_folder import STORED
from lib.data.shards import tables
from lib.errors import StoreError
from lib.log import log
from lib.store.answer_table import AnswerTable

_EVERY = 300.0  # seconds: what a kill costs other runs at most; the run itself has its shards
_MOST_BYTES = 32 << 20  # of answers that wait


class Keeper:
    """Takes in finished shards; what waits is written at the end of the `with`, whatever the end is.

    answers: where to; None: nowhere. schema: of the answers. name: of the file in the run folder in which this one says
    which shards are there.
    """

    def __init__(
        self, answers: AnswerTable | None, manifest: Manifest, folder: Path, schema: pa.Schema, name: str
    ) -> None:
        self._answers, self._folder, self._path = answers, folder, folder / name
        self._shards = manifest.shards()
        self._columns = [KEY, *schema.names]
        self._stored = set() if answers is None else _read_stored(folder, answers)
        self._waiting: list[pa.Table] = []
        self._numbers: list[int] = []
        self._bytes = 0
        self._flushed = time.monotonic()
        self._works = answers is not None

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()

    def add(self, number: int, *, afresh: bool = False) -> None:
        """Take in the finished shard of this number, unless the store has it. afresh: it was worked on just now.

        Raises RunFolderError where it was damaged since.
        """
        if not self._works or (number in self._stored and not afresh):
            return
        for table in tables([self._shards[number]], self._folder):
            self._waiting.append(table.filter(table[ANSWERED]).select(self._columns))
            self._bytes += self._waiting[-1].nbytes
        self._numbers.append(number)
        if self._bytes >= _MOST_BYTES or time.monotonic() - self._flushed >= _EVERY:
            self._flush()

    def _flush(self) -> None:
        if self._answers is None or not self._numbers:
            return
        try:
            answers = pa.concat_tables(self._waiting)
            if answers.num_rows:
                self._answers.begin()  # the run may be older than the store
                self._answers.append(answers.replace_schema_metadata(None))
            self._stored.update(self._numbers)
            _write_stored(self._path, self._answers, self._stored)
        except (OSError, StoreError) as error:  # the run's own shards are safe
            self._works = False
            log.warning(
                "%s: answers cannot be kept (%s); the run goes on, and other runs will compute them again. Make room, "
                "or mend the store, and run the same line again: that puts them there",
                self._answers.name,
                getattr(error, "strerror", None) or error,
            )
        self._waiting, self._numbers, self._bytes = [], [], 0
        self._flushed = time.monotonic()


def _read_stored(folder: Path, answers: AnswerTable) -> set[int]:
    """The shards whose answers this store was given, by this process or by others that work on the run."""
    found = set[int]()
    for path in folder.glob(f"{PurePath(STORED).stem}*.json"):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["store"] == answers.name:
                found.update(number for first, last in content["shards"] for number in range(first, last + 1))
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s: cannot be read (%s); the answers of its shards are put into the store again", path, error)
    return found


def _write_stored(path: Path, answers: AnswerTable, numbers: Iterable[int]) -> None:
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    write_text(path, json.dumps({"store": answers.name, "shards": ranges}) + "\n")
