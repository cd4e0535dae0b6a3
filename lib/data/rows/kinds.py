"""Kinds of rows. Here is the map from a config to the module that reads it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa

from lib.data.reading.readers import Cells
from lib.data.rows import battle_rows, documents, openai_batch, table
from lib.data.rows.base import Canonical, RowsConfig
from lib.data.rows.battles import BattlesConfig
from lib.data.rows.documents import ChunkRows
from lib.data.rows.openai_batch import OpenAiBatchRows
from lib.data.rows.table import TableRows


class Kind(Protocol):
    """A module that knows one kind of rows. WITHOUT_IDS: the setting that does without ids, None where all need one."""

    @property
    def WITHOUT_IDS(self) -> str | None:
        """For the message about rows without ids."""

    def schema(self, config: Any) -> pa.Schema:
        """The columns of canonical rows."""

    def carried(self, config: Any) -> Sequence[str]:
        """Those of them that a result keeps: file, row, id first."""

    def id_column(self, config: Any) -> str | None:
        """The user's column of ids."""

    def present_columns(self, names: Sequence[str], config: Any, file: str) -> list[str]:
        """The columns of a file that are read. Raises InputError where one is missing."""

    def canonical(self, cells: Cells, config: Any, file: str, first_row: int) -> Canonical:
        """Canonical form of consecutive rows of a file, and what is bad in them."""

    def tally(self, rows: pa.Table) -> Counter[str]:
        """What is counted for the report."""

    def describe(self, counts: Counter[str], rows: int) -> list[str]:
        """The counts in words."""


_KINDS: dict[type[RowsConfig], Kind] = {
    BattlesConfig: battle_rows,
    TableRows: table,
    ChunkRows: documents,
    OpenAiBatchRows: openai_batch,
}


def kind_of(config: RowsConfig) -> Kind:
    """The module that knows these rows."""
    return _KINDS[type(config)]


def carried(config: RowsConfig) -> Sequence[str]:
    """The columns of canonical rows that a result keeps: file, row, id first."""
    return kind_of(config).carried(config)
