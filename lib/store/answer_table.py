"""The answers to one question: what is asked (task) of whom (engine), about whatever rows."""

import json
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lib.data.atomic import remove_leftovers, write_new_text, write_text
from lib.data.joining.key_group import KeyGroup, Numbers
from lib.data.joining.keys import KEY, KEY_TYPE
from lib.data.manifest import fingerprint
from lib.data.parquet import UNREADABLE
from lib.errors import StoreError
from lib.log import log
from lib.store.mirror import PUTTING, Mirror
from lib.store.segment import (
    LEFTOVERS,
    SUFFIX,
    Segment,
    open_segment,
    read_group,
    sorted_by_key,
    sorted_prefixes,
    write_segment,
)

ABOUT = "store.json"  # of the store, beside its tables
VERSION = 1  # of the layout
ABOUT_TEXT = json.dumps({"version": VERSION}) + "\n"
QUESTION = "question.json"
_USED = "used-"
Opened = dict[Path, Segment | None]
"""Segments that were opened, None for damaged ones."""

_MOST_LOOKS = 100  # at a folder in which segments are compacted all the time; the last finds nothing new


@dataclass(frozen=True)
class AnswerTable:
    """A folder of segments. question: dotted key -> value of all that changes answers, as of a fingerprint.

    mirror: of a store behind a URL; `folder` then holds the copies of its files, and `name` is where they come from.
    """

    folder: Path
    question: Mapping[str, Any]
    mirror: Mirror | None = None

    @property
    def name(self) -> str:
        """Its folder or URL, as it may be shown."""
        return str(self.folder) if self.mirror is None else self.mirror.name

    @property
    def hash(self) -> str:
        """Of the question."""
        return fingerprint(self.question)

    @property
    def known(self) -> bool:
        """Whether it has been asked before."""
        return (self.folder / QUESTION).is_file()

    def refresh(self) -> None:
        """Bring the copy of a store behind a URL up to date. Raises StoreError where it can't be reached."""
        if self.mirror is None:
            return
        try:
            self.mirror.fetch(QUESTION)
            self.mirror.refresh()
        except OSError as error:
            raise StoreError(
                f"store.dir={self.mirror.store}: cannot be read ({error.strerror}); mend that, or choose another store"
            ) from error

    def begin(self) -> None:
        """Make the folder, and the store where this is its first one.

        Raises StoreError where it can't be written, or holds the answers to another question.
        """
        text = json.dumps(self.question, indent=1, ensure_ascii=False) + "\n"
        try:
            if self.mirror is None:
                store = self.folder.parent
                store.mkdir(parents=True, exist_ok=True)
                if not (store / ABOUT).exists():  # before any table is there
                    write_new_text(store / ABOUT, ABOUT_TEXT)
                self.folder.mkdir(exist_ok=True)
                write_new_text(self.folder / QUESTION, text)
                probe = self.folder / f".writable-{uuid.uuid4().hex}"
                probe.touch()
                probe.unlink()
            else:
                self.mirror.require_writable()
                if not self.mirror.fetch(QUESTION):
                    with self.adding() as place:
                        write_text(place / QUESTION, text)
        except OSError as error:
            raise StoreError(
                f"store.dir={self.name.rpartition('/')[0]}: cannot be written ({error.strerror}); choose another "
                "folder, or store.dir=null to do without a store"
            ) from error
        if fingerprint(read_question(self.folder, self.name)) != self.hash:
            raise StoreError(
                f"{self.name}/{QUESTION}: is not the question that the folder is called after; move the folder away"
            )
        self.remove_leftovers()

    def remove_leftovers(self) -> None:
        """Remove what killed processes left, where it is old enough to be that."""
        remove_leftovers(self.folder, LEFTOVERS + PUTTING)

    def adding(self, instead_of: Collection[Segment] = ()) -> AbstractContextManager[Path]:
        """A folder to write new files into: they are the table's at the end at the latest.

        instead_of: segments that are removed then. On an object store they must still be there at the end, and the new
        ones are there all or none. Raises OSError.
        """
        if self.mirror is None:
            return nullcontext(self.folder)
        return self.mirror.adding([segment.path.name for segment in instead_of])

    def remove(self, segments: Collection[Segment]) -> None:
        """Remove segments. Raises StoreError where they can't be."""
        try:
            if self.mirror is None:
                for segment in segments:
                    segment.path.unlink(missing_ok=True)
            else:
                self.mirror.remove(segment.path.name for segment in segments)
        except OSError as error:
            raise StoreError(
                f"{self.name}: segments cannot be removed ({error.strerror}); see who may, and do it again"
            ) from error

    def segments(self, opened: Opened | None = None) -> Iterator[Segment]:
        """All segments that can be read, the oldest first. Damaged ones are named in the log, and left out.

        opened: those that were opened before, and none of them is opened again; what is opened now is added.
        """
        opened = {} if opened is None else opened
        return (segment for path in self._paths() if (segment := self._open(path, opened)) is not None)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob(f"*{SUFFIX}"))

    def _open(self, path: Path, opened: Opened) -> Segment | None:
        """A segment; None where it is damaged, or gone."""
        try:
            if path not in opened:
                opened[path] = open_segment(path, self.hash)
        except FileNotFoundError:
            return None  # compacted or pruned since
        except (*UNREADABLE, KeyError, ValueError) as error:
            opened[path] = None
            self._leave_out(path, error)
        return opened[path]

    def append(self, answers: pa.Table) -> None:
        """Add answers: keys, and columns. Raises OSError where they can't be written; nothing is there then."""
        table = sorted_by_key(answers)
        with self.adding() as place:
            write_segment([table], table.schema.remove_metadata(), place, self.hash, time.time())

    def find(
        self, group: KeyGroup, schema: pa.Schema, opened: Opened | None = None
    ) -> Iterator[tuple[pa.Table, Numbers]]:
        """The answers to some rows: a table of `schema` for each piece, and the numbers of the rows it answers.

        One stream over the segments that may have some. Those that are compacted meanwhile are looked for again.
        opened: as of `segments`; give the same to every search.
        """
        opened = {} if opened is None else opened
        prefixes, seen = sorted_prefixes(group.keys), set[Path]()
        for _ in range(_MOST_LOOKS):
            fresh = [path for path in self._paths() if path not in seen]
            if not fresh:
                return
            for path in fresh:
                if group.complete:
                    return
                seen.add(path)
                if (segment := self._open(path, opened)) is None:
                    continue
                try:
                    yield from _find(segment, group, prefixes, schema)
                except FileNotFoundError:
                    continue  # compacted or pruned since
                except UNREADABLE as error:
                    opened[path] = None
                    self._leave_out(path, error)

    def _leave_out(self, path: Path, error: Exception) -> None:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        where, hint = f"{self.name}/{path.name}", "delete it"
        if self.mirror is not None:
            path.unlink(missing_ok=True)
            hint = "the next run fetches it anew; delete it there where that doesn't help"
        log.warning("%s: damaged (%s); it is left out, and its answers are computed again; %s", where, reason, hint)

    def note_use(self, run: str, rows: int, source: str, distinct: int) -> None:
        """Write down that a run remembered so many rows, and how many different ones it asks about. Raises OSError."""
        content = {"time": time.time(), "run": run, "remembered": rows, "input": source, "distinct": distinct}
        with self.adding() as place:
            write_text(place / f"{_USED}{uuid.uuid4().hex[:12]}.json", json.dumps(content, ensure_ascii=False) + "\n")

    def uses(self) -> list[dict[str, Any]]:
        """What `note_use` wrote down, in the order of time."""
        found = []
        for path in self.folder.glob(f"{_USED}*.json"):
            try:
                use = json.loads(path.read_text(encoding="utf-8"))
                when, remembered, distinct = float(use["time"]), int(use["remembered"]), int(use["distinct"])
                texts = {name: str(use[name]) for name in ("run", "input")}
                found.append({"time": when, "remembered": remembered, "distinct": distinct, **texts})
            except FileNotFoundError:
                continue  # removed since
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("%s/%s: cannot be read (%s), and is left out; delete it", self.name, path.name, error)
        return sorted(found, key=lambda use: use["time"])


def read_question(folder: Path, name: str) -> dict[str, Any]:
    """The question that a folder holds the answers to. name: to be shown. Raises StoreError where it can't be read."""
    try:
        found: dict[str, Any] = json.loads((folder / QUESTION).read_text(encoding="utf-8"))
        if not isinstance(found, dict) or "engine.type" not in found:
            raise ValueError("it says of no engine what is asked")
    except (OSError, ValueError) as error:
        raise StoreError(f"{name}/{QUESTION}: cannot be read ({error}); move the folder away") from error
    return found


def _find(
    segment: Segment, group: KeyGroup, prefixes: npt.NDArray[np.uint64], schema: pa.Schema
) -> Iterator[tuple[pa.Table, Numbers]]:
    wanted = pa.schema([*schema, (KEY, KEY_TYPE)])
    with segment.opened() as file:
        for number in segment.groups_with(prefixes):
            if group.wants(read_group(file, number, [KEY])[KEY]):
                rows = read_group(file, number)
                require_columns(rows.schema, wanted)
                places, numbers = group.answered_by(rows[KEY].combine_chunks())
                yield rows.select(schema.names).take(places), numbers


def require_columns(found: pa.Schema, wanted: pa.Schema) -> None:
    """Raise ArrowInvalid where a segment lacks a column, or has it in another type."""
    for field in wanted:
        if field.name not in found.names or found.field(field.name).type != field.type:
            raise pa.ArrowInvalid(f"its column {field.name} is not {field.type}")
