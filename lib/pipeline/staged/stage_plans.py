"""Planning the stages of a job: those that are done are passed over, the first other one is planned."""

import time

from lib.pipeline.job import Config, Job
from lib.pipeline.planning.estimate import EstimateConfig
from lib.pipeline.planning.print_plan import print_plan
from lib.pipeline.staged.stages import Stage, finished, is_done


class Unplanned(Exception):
    """The stages that read the result of the one that it names can't be planned yet."""


class StagePlanner:
    """Plans stages in place of working on them."""

    def __init__(self, config: EstimateConfig) -> None:
        self._config = config

    def __call__(self, name: str, job: Job[Config], config: Config) -> Stage:
        """The stage, where it is done. Raises Unplanned, its plan printed, where it is not."""
        start, run = time.monotonic(), job.plan(config)
        if is_done(run):
            return finished(name, run.folder, start, reused=True)
        print(f"stage   {name}")
        print_plan(run, config.executor, self._config)
        raise Unplanned(name)
