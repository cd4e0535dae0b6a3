"""Printing a plan."""

from lib.pipeline.estimate import Estimate, EstimateConfig, computed_seconds, measured_seconds, sample_tokens
from lib.pipeline.executor import ExecutorConfig
from lib.pipeline.ray_executor import RayConfig
from lib.pipeline.run import RunConfig
from lib.pipeline.worker import Spec


def print_plan(spec: Spec, run: RunConfig, executor: ExecutorConfig, config: EstimateConfig) -> None:
    """Print rows, shards, tokens, cuts and time of a run, each with its error; only a warm-up loads the model."""
    manifest = spec.manifest
    tokens = sample_tokens(spec, config.sample)
    whole = tokens.tokens.times(manifest.rows)
    print(f"rows    {manifest.rows:,} in {len(manifest.shards()):,} shards of {manifest.shard_rows:,} ({spec.folder})")
    print(f"turns   {tokens.turns.mean:.1f} ± {tokens.turns.error:.1f} a row, of all three texts together")
    print(
        f"tokens  {tokens.tokens.mean:,.0f} ± {tokens.tokens.error:,.0f} a row, {whole.mean:,.0f} ± {whole.error:,.0f} "
        f"in all (from {tokens.sampled:,} rows, 95 %)"
    )
    print(
        f"cut     {tokens.share_cut.mean:.1%} ± {tokens.share_cut.error:.1%} of the rows, by {tokens.cut_tokens:,.0f} "
        f"tokens on average (engine.max_model_len={spec.engine.max_model_len:,})"
    )
    if config.measure:
        seconds, start = measured_seconds(spec, run, executor, config.rows)
        print(
            f"time    {_interval(seconds)} for the rows still to do, measured; the first shard took {_duration(start)}"
        )
        return
    workers = executor.workers or 1 if isinstance(executor, RayConfig) else 1
    bounds = computed_seconds(spec, tokens, workers)
    if bounds is None:
        print("time    unknown for this engine; plan.measure=true measures it")
    else:
        print(
            f"time    {_duration(bounds[0])} to {_duration(bounds[1])} with {workers} worker(s) like this machine, "
            "computed; plan.measure=true measures it"
        )


def _interval(seconds: Estimate) -> str:
    if seconds.error == float("inf"):
        return f"about {_duration(seconds.mean)} (one shard is too little for an interval)"
    low, high = max(seconds.mean - seconds.error, 0), seconds.mean + seconds.error
    return f"{_duration(seconds.mean)} ({_duration(low)} to {_duration(high)}, 95 %)"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
