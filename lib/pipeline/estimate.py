"""What a run will take: tokens from a sample of rows, time from a warm-up or from its arithmetic."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib import engines
from lib.config import transient
from lib.data.battles import TEXTS
from lib.data.intake import read_rows
from lib.data.shards import unfinished
from lib.engines import hardware
from lib.engines.flops import peak_flops
from lib.engines.hardware import Gpu
from lib.engines.prefixes import reusable_beginnings
from lib.engines.sizing import Sizing
from lib.errors import ConfigError, RunFailed
from lib.pipeline.durations import parse_duration
from lib.pipeline.executor import ExecutorConfig
from lib.pipeline.run import RunConfig, run_shards
from lib.pipeline.stop import Stop
from lib.pipeline.worker import Spec

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
        if self.gpu is not None:
            hardware.lookup(self.gpu, "plan.gpu")
        if self.deadline is not None:
            parse_duration(self.deadline, "plan.deadline")


@dataclass(frozen=True)
class Estimate:
    """A mean with the half-width of its 95 % interval."""

    mean: float
    error: float

    @classmethod
    def of(cls, values: Sequence[float], population: int | None = None) -> "Estimate":
        """The mean of a sample (Student's t); `population` is its size where the sample is a good part of it."""
        from scipy import stats

        n = len(values)
        if n < 2:
            return cls(float(np.mean(values)), float("inf"))
        unseen = 1.0 if population is None else max(1 - n / population, 0.0)
        error = stats.t.ppf(0.975, n - 1) * float(np.std(values, ddof=1)) * (unseen / n) ** 0.5
        return cls(float(np.mean(values)), error)

    def times(self, factor: float) -> "Estimate":
        """The estimate in another unit."""
        return Estimate(self.mean * factor, self.error * factor)


@dataclass(frozen=True)
class Tokens:
    """What a sample of rows says: per row, tokens of its requests, turns, tokens cut.

    lengths: tokens of each request; reused: of these, tokens of a beginning that an earlier one has too; new_tokens:
    that may be written after each.
    """

    sampled: int
    tokens: Estimate
    turns: Estimate
    share_cut: Estimate
    cut_tokens: float
    lengths: list[int]
    reused: list[int]
    new_tokens: int


def sample_tokens(spec: Spec, sample: int, block: int | None = None) -> Tokens:
    """Tokenize rows spread evenly over the input, as the run will. Loads a tokenizer, no model.

    block: tokens of a block of the engine's prefix cache, None if it has none.
    """
    rows = _spread(spec, sample)
    rows = rows.filter(pc.is_null(rows["error"]))
    if rows.num_rows == 0:
        raise RunFailed("all sampled rows are bad rows, so there is nothing to plan")
    prepared = spec.task.prepare(rows, engines.load_tokenizer(spec.engine), spec.engine.max_model_len)
    lengths = [len(request) for request in prepared.requests]
    per_row = len(lengths) // rows.num_rows
    cut = np.array(prepared.cut)
    return Tokens(
        sampled=rows.num_rows,
        tokens=Estimate.of(np.reshape(lengths, (-1, per_row)).sum(axis=1).tolist(), spec.manifest.rows),
        turns=Estimate.of(sum(pc.list_value_length(rows[name]).to_numpy() for name in TEXTS), spec.manifest.rows),
        share_cut=Estimate.of((cut > 0).astype(float).tolist(), spec.manifest.rows),
        cut_tokens=float(cut[cut > 0].mean()) if (cut > 0).any() else 0.0,
        lengths=lengths,
        reused=[0] * len(lengths) if block is None else reusable_beginnings(prepared.requests, block),
        new_tokens=prepared.new_tokens,
    )


def measured_seconds(spec: Spec, run: RunConfig, executor: ExecutorConfig, rows: int) -> tuple[Estimate, float]:
    """Seconds for the rows still to be done, and seconds of start-up, from a warm-up on shards spread over the run.

    The shards are committed: the run that follows need not do them again. Raises Stopped after a signal.
    """
    todo, _ = unfinished(spec.manifest, spec.folder, retry_failed=False)
    if not todo:
        raise RunFailed(f"{spec.folder}: every shard is done, so there is no time to plan")
    count = min(max(-(-rows // spec.manifest.shard_rows), _FEWEST_INTERVALS + 1), len(todo))
    shards = [todo[i * len(todo) // count] for i in range(count)]
    marks, done = [time.monotonic()], 0
    per_row: list[float] = []
    with Stop(run.grace_seconds) as stop:
        for footer in run_shards(executor, spec, shards, stop):
            marks.append(time.monotonic())
            done += footer.rows
            if len(marks) > 2:  # the first shard also waited for the engine to load
                per_row.append((marks[-1] - marks[-2]) / footer.rows)
        stop.raise_if_requested()
    left = sum(shard.rows for shard in todo) - done
    if not per_row:
        return Estimate((marks[-1] - marks[0]) / done * left, float("inf")), 0.0
    return Estimate.of(per_row).times(left), marks[1] - marks[0]


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


def _spread(spec: Spec, sample: int) -> pa.Table:
    """Up to `sample` rows at even distances over the whole input."""
    manifest = spec.manifest
    wanted = np.unique(np.linspace(0, manifest.rows - 1, min(sample, manifest.rows)).astype(np.int64))
    tables, first = [], 0
    for shard in manifest.shards():
        inside = wanted[(wanted >= first) & (wanted < first + shard.rows)] - first
        if len(inside):
            file = manifest.inputs[shard.input]
            tables.append(read_rows(file, spec.folder, shard.start, shard.stop, spec.data).take(pa.array(inside)))
        first += shard.rows
    return pa.concat_tables(tables)
