"""How long a run will take: from a warm-up, or from its arithmetic."""

import time
from dataclasses import dataclass
from typing import NamedTuple

from lib.config import transient
from lib.data.shards import unfinished
from lib.durations import parse_duration
from lib.engines.sizing import hardware
from lib.engines.sizing.flops import peak_flops
from lib.engines.sizing.hardware import Gpu
from lib.engines.sizing.model_size import Sizing
from lib.errors import ConfigError
from lib.pipeline.planning.sample import Estimate, Tokens
from lib.pipeline.run import Executor, Run
from lib.pipeline.stop import Stop

# Share of the peak that engines reach, at best and at worst. A large matrix product itself reaches about four fifths of
# a data sheet's figure.
_OF_MEASURED, _OF_DATA_SHEET = (0.7, 0.3), (0.55, 0.25)
_FEWEST_INTERVALS = 4


@dataclass(frozen=True, kw_only=True)
class EstimateConfig:
    """How a run is planned.

    sample: rows to tokenize. measure: whether to process `rows` rows for real (their shards count for the run). gpu:
    the kind of GPU to plan for, null for this machine's. deadline: a duration such as 90m or 9h, to say how many
    workers it takes.
    """

    sample: int = transient(default=512)
    measure: bool = transient(default=False)
    rows: int = transient(default=128)
    gpu: str | None = transient(default=None)
    deadline: str | None = transient(default=None)

    def __post_init__(self) -> None:
        if self.sample < 2:
            raise ConfigError(f"plan.sample={self.sample}: needs at least 2 rows to tell an error")
        if self.rows < 1:
            raise ConfigError(f"plan.rows={self.rows}: must be at least 1")
        if not self.measure and self.rows != 128:
            raise ConfigError(f"plan.rows={self.rows}: has no effect without plan.measure=true; leave it out")
        if self.gpu is not None:
            hardware.lookup(self.gpu, "plan.gpu")
        if self.deadline is not None:
            parse_duration(self.deadline, "plan.deadline")


class Measured(NamedTuple):
    """left: seconds for the rows still to be done; None where there are none. start: seconds of the first shard.

    worked: seconds that workers took for the shards that are done, all workers together, loading not counted.
    """

    left: Estimate | None
    start: float
    worked: float


def measured_seconds(run: Run, executor: Executor, rows: int) -> Measured:
    """What the rest of a run takes, from a warm-up on shards spread over it.

    The shards are committed: the run that follows need not do them again. Where the warm-up does all that was left, or
    all was done before, what was worked is the measure. Raises Stopped after a signal.
    """
    todo, before = unfinished(run.manifest, run.folder, retry_failed=False)
    worked = sum(footer.seconds for footer in before)
    if not todo:
        return Measured(None, 0.0, worked)
    count = min(max(-(-rows // run.manifest.shard_rows), _FEWEST_INTERVALS + 1), len(todo))
    shards = [todo[i * len(todo) // count] for i in range(count)]
    marks, done = [time.monotonic()], 0
    per_row: list[float] = []
    with Stop(run.config.grace_seconds) as stop:
        for footer in executor.run(run, shards, stop):
            marks.append(time.monotonic())
            done += footer.rows
            worked += footer.seconds
            if len(marks) > 2:  # the first shard also waited for the engine to load
                per_row.append((marks[-1] - marks[-2]) / footer.rows)
        stop.raise_if_requested()
    left = sum(shard.rows for shard in todo) - done
    start = marks[1] - marks[0]
    if not left:
        return Measured(None, start, worked)
    return Measured(Estimate.of(per_row).times(left), start, worked)


def computed_seconds(model: Sizing, tokens: Tokens, rows: int, gpu: Gpu | None) -> tuple[float, float] | None:
    """Seconds of one worker for all rows, at best and at worst; loading is not among them.

    On a kind of GPU from its data sheet (Sizing says how), else from a matrix product that is measured here. None for
    text that is written without a GPU: nobody has told us this machine's memory bandwidth.
    """
    if gpu is not None:
        reading = model.read_seconds(gpu, tokens.lengths, tokens.reused)
        seconds, shares = reading + model.write_seconds(gpu, tokens.lengths, tokens.new_tokens), _OF_DATA_SHEET
    elif tokens.new_tokens:
        return None
    else:
        peak = peak_flops(model.device, model.dtype)
        seconds, shares = model.flops(tokens.lengths, tokens.reused) / peak, _OF_MEASURED
    best, worst = (seconds / tokens.sampled * rows / share for share in shares)
    return best, worst
