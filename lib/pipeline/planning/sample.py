"""What a sample of rows says of all of them, in tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.engines.decoding.prefixes import reusable_beginnings
from lib.errors import RunFailed
from lib.pipeline.run import Run
from lib.pipeline.worker import keyed_rows


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
    """What a sample of rows says: per row, tokens of its requests, texts (turns of all of them), tokens cut.

    lengths: tokens of each request; reused: of these, tokens of a beginning that an earlier one has too; new_tokens:
    that may be written after each.
    """

    sampled: int
    tokens: Estimate
    texts: Estimate
    share_cut: Estimate
    cut_tokens: float
    lengths: list[int]
    reused: list[int]
    new_tokens: int


def sample_tokens(run: Run, sample: int, block: int | None = None) -> Tokens:
    """Tokenize rows spread evenly over the input, as the run will. Loads a tokenizer, no model.

    block: tokens of a block of the engine's prefix cache, None if it has none.
    """
    rows = _spread(run, sample)
    rows = rows.filter(pc.is_null(rows["error"]))
    if rows.num_rows == 0:
        raise RunFailed("all sampled rows are bad rows, so there is nothing to plan")
    prepared = run.task.prepare(rows, run.engine.load_tokenizer(), run.engine.max_tokens)
    lengths = [len(request) for request in prepared.requests]
    counts = prepared.counts or [len(lengths) // rows.num_rows] * rows.num_rows
    per_row = [sum(part) for part in _split(lengths, counts)]
    lengths_of_lists = (pc.list_value_length(rows[name]).to_numpy() for name in run.data.text_columns)
    cut = np.array(prepared.cut)
    return Tokens(
        sampled=rows.num_rows,
        tokens=Estimate.of(per_row, run.manifest.asked),
        texts=Estimate.of(sum(lengths_of_lists, np.zeros(rows.num_rows)).tolist(), run.manifest.asked),
        share_cut=Estimate.of((cut > 0).astype(float).tolist(), run.manifest.asked),
        cut_tokens=float(cut[cut > 0].mean()) if (cut > 0).any() else 0.0,
        lengths=lengths,
        reused=[0] * len(lengths) if block is None else reusable_beginnings(prepared.requests, block),
        new_tokens=prepared.new_tokens,
    )


def _split(values: Sequence[int], counts: Sequence[int]) -> Iterator[Sequence[int]]:
    """Consecutive parts of so many values each."""
    rest = iter(values)
    return (list(islice(rest, count)) for count in counts)


def _spread(run: Run, sample: int) -> pa.Table:
    """Up to `sample` rows at even distances over all that are asked."""
    manifest = run.manifest
    wanted = np.unique(np.linspace(0, manifest.asked - 1, min(sample, manifest.asked)).astype(np.int64))
    tables, first = [], 0
    for shard in manifest.shards():
        inside = wanted[(wanted >= first) & (wanted < first + shard.rows)] - first
        if len(inside):
            tables.append(keyed_rows(run, shard.input, shard.start, shard.stop).take(pa.array(inside)))
        first += shard.rows
    return pa.concat_tables(tables)
