"""Write the rows of a finished run as a log that other tools read: Inspect's .eval, or lm-eval's samples.

python -m jobs.export run.dir=DIR export.to=inspect export.out=logs
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import chain
from pathlib import Path

from lib.config import require_local
from lib.data.manifest import read_manifest
from lib.data.run_folder import read_config
from lib.errors import ConfigError
from lib.launch import launch
from lib.pipeline.command import Command
from lib.pipeline.exporting.inspect_log import require_inspect, write_inspect
from lib.pipeline.exporting.lm_eval_samples import write_lm_eval
from lib.pipeline.exporting.samples import require_exportable, samples
from lib.pipeline.outcomes.base import require_result
from lib.pipeline.run_config import RunDir


class LogFormat(Enum):  # members in lower case, since OmegaConf knows them by their names
    """Whose log it is."""

    inspect = "inspect"
    lm_eval = "lm_eval"


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """to: the tool whose log is written. out: a folder, in which the file is called as that tool calls its own."""

    to: LogFormat
    out: str

    def __post_init__(self) -> None:
        require_local("export.out", self.out)


@dataclass(frozen=True, kw_only=True)
class Config:
    """`conf/export.yaml`."""

    run: RunDir
    export: ExportConfig

    def __post_init__(self) -> None:
        if self.run.dir is None:
            raise ConfigError("run.dir: must be given, the folder of a finished run")


def main(config: Config) -> None:
    """Run the job."""
    assert config.run.dir is not None
    folder, out = Path(config.run.dir), Path(config.export.out)
    manifest, result = read_manifest(folder), require_result(folder)
    require_exportable(manifest, folder)
    task = f"{manifest.job}-{read_config(folder)['run']['name']}".replace("/", "-")
    ended = datetime.fromtimestamp(result.stat().st_mtime)  # of the run, so that the same run has one file
    if config.export.to is LogFormat.inspect:
        require_inspect()
    found = samples(manifest, folder, result)
    found = chain([next(found)], found)  # what can't be read is refused before a folder is made
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"export.out={out}: is no folder, and none can be made ({error.strerror})") from error
    if config.export.to is LogFormat.inspect:
        place = write_inspect(task, ended.replace(microsecond=0), manifest, folder, found, out)
        print(f"log:        {place} ({manifest.rows:,} samples; inspect view --log-dir {out} shows it)")
    else:
        print(f"samples:    {write_lm_eval(task, ended, found, out)} ({manifest.rows:,} lines)")


JOB = Command("export", Config, main)

if __name__ == "__main__":
    launch(JOB)
