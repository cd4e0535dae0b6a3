"""What jobs about texts share: their rows are those of a table, or of an OpenAI batch file."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lib.config import require_unset
from lib.data.rows.base import RowsConfig
from lib.data.rows.openai_batch import OpenAiBatchConfig
from lib.data.rows.table import TableConfig
from lib.errors import ConfigError
from lib.pipeline.job import EngineJobConfig
from lib.pipeline.outcomes.format_outcome import FormatConfig, ResultFormat

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, kw_only=True)
class TextJobConfig(EngineJobConfig):
    """The config groups that every job about texts has."""

    data: RowsConfig = field(metadata={"kinds": (TableConfig, OpenAiBatchConfig)})
    merge: FormatConfig = field(default_factory=FormatConfig)

    def __post_init__(self) -> None:
        if not isinstance(self.data, (TableConfig, OpenAiBatchConfig)):
            raise ConfigError("data: this job reads tables and OpenAI batch files; use data=table or data=openai_batch")
        if self.merge.format is ResultFormat.openai_batch and self.batch is None:
            raise ConfigError("merge.format=openai_batch: answers an OpenAI batch file; it needs data=openai_batch")

    @property
    def table(self) -> TableConfig:
        """The table, where it is one."""
        assert isinstance(self.data, TableConfig)
        return self.data

    @property
    def batch(self) -> OpenAiBatchConfig | None:
        """The OpenAI batch file; None for a table."""
        return self.data if isinstance(self.data, OpenAiBatchConfig) else None


def require_usual(group: str, config: "DataclassInstance", but: Collection[str] = ()) -> None:
    """Raise ConfigError for a setting that an OpenAI batch file's bodies make. but: keys that count for them too."""
    require_unset(group, config, "with data=openai_batch, where each line's body says what is asked", but)
