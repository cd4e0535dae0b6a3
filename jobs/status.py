"""Show how a run stands: rows, failures, rate, time left, and what the scheduler says of its jobs.

python -m jobs.status run.dir=DIR --watch
"""

import time
from dataclasses import dataclass
from pathlib import Path

from jobs._outcomes import OUTCOMES
from lib.cluster.notify import NotifyConfig, notify
from lib.cluster.run_status import print_status, read_status
from lib.config import require_unset
from lib.errors import ConfigError, RunFolderError
from lib.launch import launch
from lib.pipeline.command import Command
from lib.pipeline.run_config import RunDir


@dataclass(frozen=True, kw_only=True)
class Config:
    """`conf/status.yaml`.

    watch: show it again every `every` seconds until the result is there. summary: one line only, which also goes to
    `notify`; with the run's exit_code in it, if that is given.
    """

    run: RunDir
    notify: NotifyConfig
    watch: bool = False
    every: float = 5.0
    summary: bool = False
    exit_code: int | None = None

    def __post_init__(self) -> None:
        if self.run.dir is None:
            raise ConfigError("give run.dir=DIR")
        if not self.summary:
            require_unset("notify", self.notify, "without summary=true")
            if self.exit_code is not None:
                raise ConfigError(f"exit_code={self.exit_code}: has no effect without summary=true; leave it out")
        elif self.watch:
            raise ConfigError("watch=true: has no effect with summary=true; leave one of them out")
        if self.every <= 0:
            raise ConfigError(f"every={self.every}: must be more than 0 seconds")


def main(config: Config) -> None:
    """Run the job."""
    run = Path(str(config.run.dir)).resolve()
    if config.summary:
        code = "" if config.exit_code is None else f", exit code {config.exit_code}"
        try:
            text = read_status(run, OUTCOMES).summary
        except RunFolderError as error:  # somebody is to hear of that, too
            text = str(error)
        line = f"{run.name}: {text}{code}"
        print(line)
        notify(config.notify, line)
        return
    print_status(run, OUTCOMES)
    while config.watch and not read_status(run, OUTCOMES).merged:
        time.sleep(config.every)
        print_status(run, OUTCOMES)


JOB = Command("status", Config, main, {"--watch": "watch=true"})

if __name__ == "__main__":
    launch(JOB)
