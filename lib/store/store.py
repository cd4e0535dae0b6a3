"""The store: answers by content, across runs. A folder that many runs may read and write at once, without a server."""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.cache import cache_folder
from lib.config import transient
from lib.data.atomic import write_text
from lib.data.manifest import fingerprint
from lib.errors import ConfigError, StoreError
from lib.file_systems import file_system
from lib.store.answer_table import ABOUT, ABOUT_TEXT, QUESTION, VERSION, AnswerTable, read_question
from lib.store.mirror import Mirror
from lib.urls import without_secrets

_NAME = 60  # letters of a question's name in that of its folder


@dataclass(frozen=True, kw_only=True)
class StoreConfig:
    """dir: the folder of the store, or a URL of one on an object store (s3://bucket/folder, or what fsspec knows).

    null, or empty as OVERNIGHT_STORE may be: none. It changes no result.
    """

    dir: str | None = transient(default=None)

    def __post_init__(self) -> None:
        if self.dir == "":
            object.__setattr__(self, "dir", None)
        if self.dir is not None and "::" in self.dir:
            raise ConfigError(
                f"store.dir={without_secrets(self.dir)}: must be a folder, or the URL of one place, as "
                "s3://bucket/folder"
            )

    @property
    def absolute(self) -> str | None:
        """dir, as it is called from any folder."""
        return self.dir if self.dir is None or "://" in self.dir else str(Path(self.dir).resolve())


@dataclass(frozen=True)
class Store:
    """Answer tables, in folders of a folder. mirror: of a store behind a URL; `folder` then has copies of its files."""

    folder: Path
    mirror: Mirror | None = None

    @property
    def name(self) -> str:
        """Its folder or URL, as it may be shown."""
        return str(self.folder) if self.mirror is None else self.mirror.name

    @staticmethod
    def open(config: StoreConfig) -> "Store | None":
        """The store; None without one. Where there is none yet, its first table makes it: a refused run leaves nothing.

        Raises StoreError where it can't be written, or is of another version.
        """
        if config.dir is None:
            return None
        place, shown = place_of(config.dir), f"store.dir={without_secrets(config.dir)}"
        try:
            if not (_begin_there(place) if isinstance(place, Mirror) else _may_begin_here(place)):
                raise StoreError(
                    f"{shown}: is a folder with other things in it (it has no {ABOUT}); choose another, or an empty one"
                )
        except OSError as error:
            raise StoreError(
                f"{shown}: cannot be written ({error.strerror}); choose another folder, or "
                "store.dir=null to do without a store"
            ) from error
        if isinstance(place, Path) and not (place / ABOUT).exists():
            return Store(place)
        return Store.at(place)

    @staticmethod
    def at(place: Path | Mirror) -> "Store":
        """The store that is there. Raises StoreError where there is none, or one of another version."""
        store = Store(place.folder, place) if isinstance(place, Mirror) else Store(place)
        try:
            if store.mirror is not None:
                store.mirror.fetch(ABOUT)
            version = json.loads((store.folder / ABOUT).read_text(encoding="utf-8"))["version"]
        except FileNotFoundError as error:
            raise StoreError(f"store.dir={store.name}: there is no store (it has no {ABOUT})") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = getattr(error, "strerror", None) or error
            raise StoreError(f"{store.name}/{ABOUT}: cannot be read ({why}); choose another store.dir") from error
        if version != VERSION:
            raise StoreError(
                f"store.dir={store.name}: is of version {version}, and this code reads version {VERSION}; choose "
                "another store.dir, or run the code that wrote it"
            )
        return store

    def table(self, name: str, question: Mapping[str, Any]) -> AnswerTable:
        """The answers to a question. name: says in the folder's name what it is about."""
        safe = re.sub(r"[^\w.-]+", "-", name)[:_NAME]
        return self._below(f"{safe}-{fingerprint(question)[:12]}", question)

    def tables(self) -> Iterator[AnswerTable]:
        """All tables, by name. Raises StoreError where one can't be read."""
        for name in self._names():
            table = self._below(name, {})
            table.refresh()
            yield self._below(name, read_question(table.folder, table.name))

    def _below(self, name: str, question: Mapping[str, Any]) -> AnswerTable:
        return AnswerTable(self.folder / name, question, None if self.mirror is None else self.mirror.below(name))

    def _names(self) -> list[str]:
        """Names of the folders that are tables."""
        if self.mirror is None:
            return sorted(path.parent.name for path in self.folder.glob(f"*/{QUESTION}"))
        try:
            folders = sorted(name for name, size in self.mirror.listing().items() if size is None)
            return [name for name in folders if self.mirror.below(name).fetch(QUESTION)]
        except OSError as error:
            raise StoreError(f"store.dir={self.name}: cannot be listed ({error.strerror})") from error


def place_of(address: str) -> Path | Mirror:
    """Where a store lies: its folder, or its URL with a folder for copies in `$XDG_CACHE_HOME/overnight/stores`."""
    if "://" not in address:
        return Path(address).resolve()
    if address.startswith(("file://", "local://")):
        return Path(file_system(address)[1]).resolve()
    name = hashlib.sha256(without_secrets(address).rstrip("/").encode()).hexdigest()[:16]
    return Mirror(address, cache_folder("stores") / name)


def _may_begin_here(folder: Path) -> bool:
    """Whether a folder is a store, or may be made one: not where there are other things in it.

    Raises OSError where nothing can be written there.
    """
    if (folder / ABOUT).exists():
        return True
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(there, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    others = there == folder and any(not path.name.startswith(ABOUT) for path in folder.iterdir())
    return not others or (folder / ABOUT).exists()  # another run may have begun it now


def _begin_there(mirror: Mirror) -> bool:
    """Make a store on an object store, unless it is there; whether it is now: not where there are other things."""
    there = mirror.listing()
    if ABOUT in there:
        return True
    if there:
        return False
    with mirror.adding() as place:
        write_text(place / ABOUT, ABOUT_TEXT)
    return True
