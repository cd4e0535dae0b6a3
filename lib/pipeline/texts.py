"""What jobs about texts share: rows of a table or of an OpenAI batch file, and the form of what a run leaves."""

from collections.abc import Collection
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any

from lib.data.manifest import read_manifest
from lib.data.openai_output import ERRORS, OUTPUT, is_batch, write_openai_files
from lib.data.rows.base import RowsConfig
from lib.data.rows.openai_batch import OpenAiBatchConfig
from lib.data.rows.table import TableConfig
from lib.errors import ConfigError
from lib.pipeline.job import EngineJobConfig, run_table
from lib.pipeline.run import Recipe


class ResultFormat(Enum):
    """What a run leaves: `result.parquet` alone, or the two files that answer an OpenAI batch file as well."""

    table = "table"
    openai_batch = "openai_batch"


@dataclass(frozen=True, kw_only=True)
class FormatConfig:
    """The form of a run's result."""

    format: ResultFormat = ResultFormat.table


@dataclass(frozen=True, kw_only=True)
class TextJobConfig(EngineJobConfig):
    """The config groups that every job about texts has."""

    data: RowsConfig
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


def require_usual(group: str, config: Any, but: Collection[str] = ()) -> None:
    """Raise ConfigError for a setting that an OpenAI batch file's bodies make. but: keys that count for them too."""
    usual = type(config)()
    for key in (f.name for f in fields(config) if f.name not in but):
        if getattr(config, key) != getattr(usual, key):
            raise ConfigError(
                f"{group}.{key}={getattr(config, key)}: has no effect with data=openai_batch, where each line's body "
                "says what is asked; leave it out"
            )


def run_texts(job: str, config: TextJobConfig, asked: Recipe) -> Path:
    """As `run_table`; then, of a whole run, the files of `merge.format`."""
    folder = run_table(job, config, asked)
    if config.shards.whole:
        write_format(folder, config.merge)
    return folder


def write_format(folder: Path, config: FormatConfig) -> None:
    """Write the files of `merge.format` from a merged run. Raises ConfigError for a run that has no such form."""
    if config.format is ResultFormat.table:
        return
    manifest = read_manifest(folder)
    if not is_batch(manifest):
        raise ConfigError(f"merge.format=openai_batch: {folder} is no run of an OpenAI batch file (data=openai_batch)")
    outputs, errors = write_openai_files(manifest, folder)
    print(f"outputs:    {folder / OUTPUT} ({outputs:,} lines)")
    print(f"errors:     {folder / ERRORS} ({errors:,} lines)")
