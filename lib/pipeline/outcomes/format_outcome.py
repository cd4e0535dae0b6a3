"""Results in a form that is asked for: vectors, and what the other jobs about texts leave."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lib.data.manifest import read_manifest
from lib.data.merging import MergeConfig
from lib.data.openai.output_files import is_batch, write_openai_files
from lib.data.run_folder import OPENAI_ERRORS, OPENAI_OUTPUT
from lib.errors import ConfigError
from lib.pipeline.outcomes.base import Outcome


class ResultFormat(Enum):
    """What a run leaves: `result.parquet` alone, or the two files that answer an OpenAI batch file as well."""

    table = "table"
    openai_batch = "openai_batch"


@dataclass(frozen=True, kw_only=True)
class FormatConfig(MergeConfig):
    """format: of what a run leaves: the table result.parquet, or an OpenAI batch file's two output files as well."""

    format: ResultFormat = ResultFormat.table


class FormatOutcome(Outcome):
    """Of jobs that also answer OpenAI batch files."""

    merge = FormatConfig

    def deliver(self, folder: Path, config: MergeConfig) -> None:
        """Write the files of `merge.format`. Raises ConfigError for a run that has no such form."""
        if not isinstance(config, FormatConfig) or config.format is ResultFormat.table:
            return
        manifest = read_manifest(folder)
        if not is_batch(manifest):
            raise ConfigError(
                f"merge.format=openai_batch: {folder} is no run of an OpenAI batch file (data=openai_batch)"
            )
        outputs, errors = write_openai_files(manifest, folder)
        print(f"outputs:    {folder / OPENAI_OUTPUT} ({outputs:,} lines)")
        print(f"errors:     {folder / OPENAI_ERRORS} ({errors:,} lines)")


VECTORS = FormatOutcome()
