"""The store: answers by content, across runs. A folder that many runs may read and write at once, without a server."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.config import require_local, transient
from lib.data.atomic import write_new_text
from lib.data.manifest import fingerprint
from lib.errors import StoreError
from lib.store.answer_table import QUESTION, AnswerTable, read_question

_ABOUT = "store.json"
_VERSION = 1  # of the layout
_NAME = 60  # letters of a question's name in that of its folder


@dataclass(frozen=True, kw_only=True)
class StoreConfig:
    """dir: the folder of the store; null, or empty as OVERNIGHT_STORE may be: none. It changes no result."""

    dir: str | None = transient(default=None)

    def __post_init__(self) -> None:
        if self.dir == "":
            object.__setattr__(self, "dir", None)
        require_local("store.dir", self.dir)


@dataclass(frozen=True)
class Store:
    """A folder of answer tables."""

    folder: Path

    @staticmethod
    def open(config: StoreConfig) -> "Store | None":
        """The store, made where there is none; None without one.

        Raises StoreError where it can't be written, or is of another version.
        """
        if config.dir is None:
            return None
        folder = Path(config.dir).resolve()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / _ABOUT).exists():
                others = any(not path.name.startswith(_ABOUT) for path in folder.iterdir())
                if others and not (folder / _ABOUT).exists():  # another run may begin it now
                    raise StoreError(
                        f"store.dir={config.dir}: is a folder with other things in it (it has no {_ABOUT}); choose "
                        "another, or an empty one"
                    )
                write_new_text(folder / _ABOUT, json.dumps({"version": _VERSION}) + "\n")
        except OSError as error:
            raise StoreError(
                f"store.dir={config.dir}: cannot be written ({error.strerror}); choose another folder, or "
                "store.dir=null to do without a store"
            ) from error
        return Store.at(folder)

    @staticmethod
    def at(folder: Path) -> "Store":
        """The store that is there. Raises StoreError where there is none, or one of another version."""
        try:
            version = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))["version"]
        except FileNotFoundError as error:
            raise StoreError(f"store.dir={folder}: there is no store (it has no {_ABOUT})") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{folder / _ABOUT}: cannot be read ({error}); choose another store.dir") from error
        if version != _VERSION:
            raise StoreError(
                f"store.dir={folder}: is of version {version}, and this code reads version {_VERSION}; choose another "
                "store.dir, or run the code that wrote it"
            )
        return Store(folder)

    def table(self, name: str, question: Mapping[str, Any]) -> AnswerTable:
        """The answers to a question. name: says in the folder's name what it is about."""
        safe = re.sub(r"[^\w.-]+", "-", name)[:_NAME]
        return AnswerTable(self.folder / f"{safe}-{fingerprint(question)[:12]}", question)

    def tables(self) -> Iterator[AnswerTable]:
        """All tables, by name. Raises StoreError where one can't be read."""
        for path in sorted(self.folder.glob(f"*/{QUESTION}")):
            yield AnswerTable(path.parent, read_question(path.parent))
