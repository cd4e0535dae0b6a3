"""Printing a plan."""

import math
from collections.abc import Iterator

from lib.durations import count, parse_duration, shown
from lib.engines.base import EngineConfig
from lib.engines.checkpoints import hub
from lib.engines.sizing import hardware
from lib.engines.sizing.hardware import Gpu
from lib.engines.sizing.model_size import Sizing
from lib.errors import ConfigError, NotDownloaded
from lib.pipeline.executors.base import ExecutorConfig
from lib.pipeline.planning.estimate import EstimateConfig, Measured, computed_seconds, measured_seconds
from lib.pipeline.planning.sample import Estimate, Tokens, sample_tokens
from lib.pipeline.planning.sizes import size
from lib.pipeline.run import Run


def print_plan(run: Run, executor: ExecutorConfig, config: EstimateConfig) -> None:
    """Print rows, shards, tokens, cuts, memory and time of a run; only a warm-up loads the model.

    Raises ConfigError where the plan and the engine contradict each other.
    """
    gpu = _gpu(run.engine, config)
    workers = executor.workers
    if config.measure and config.deadline and workers is None:
        raise ConfigError(
            "plan.deadline with plan.measure=true: how many workers are measured must be known; set executor.workers"
        )
    _print(_row_lines(run))
    if not run.manifest.computed:
        print("time    nothing is left to do: no engine is asked")
        return
    _print(_hub_lines(run.engine))
    model = run.engine.sizing()
    tokens = sample_tokens(run, config.sample, None if model is None else model.block)
    _print(_token_lines(run, tokens))
    if (price := run.engine.cost(tokens.tokens.mean * run.manifest.asked, _written(run, tokens))) is not None:
        print(f"price   {price:,.2f} at most, by the config's prices")
    if model is not None:
        _print(_model_lines(model, tokens, gpu))
    if config.measure:
        measured = measured_seconds(run, executor, config.rows)
        print(_measured_line(measured, run.manifest.asked))
        bounds = _measured_bounds(measured, workers)
    else:
        bounds = None if model is None else computed_seconds(model, tokens, run.manifest.asked, gpu)
        _print(_computed_lines(bounds, workers or 1, model, gpu))
    if bounds is not None:
        _print(_cost_lines(bounds, run.engine.num_gpus, config.deadline))


def _gpu(engine: EngineConfig, config: EstimateConfig) -> Gpu | None:
    """The kind of GPU that is planned for, None for this machine as it is."""
    if config.gpu is None:
        return hardware.detect() if engine.num_gpus else None
    if not engine.num_gpus:
        raise ConfigError(
            f"plan.gpu={config.gpu}: engine.num_gpus=0 means that the engine runs without one; add engine.num_gpus=1"
        )
    return hardware.lookup(config.gpu, "plan.gpu")


def _row_lines(run: Run) -> Iterator[str]:
    manifest = run.manifest
    if manifest.asked < manifest.rows:
        yield f"known   {manifest.division}"
    shards = count(len(manifest.shards()), "shard")
    yield f"rows    {manifest.asked:,} in {shards} of {manifest.shard_rows:,} ({run.folder})"


def _hub_lines(engine: EngineConfig) -> Iterator[str]:
    """What the engine will read of the hub and its cache here lacks: a plan needs configs and tokenizers only."""
    for files in engine.hub_files():
        if hub.is_here(files):
            continue
        try:
            missing = hub.survey(files).missing
            much = f"{size(sum(missing.values()))} in {count(len(missing), 'file')}"
        except NotDownloaded:
            much = "how much, the hub doesn't say from here"
        yield f"hub     {files.model} is not all here: planned from its config and tokenizer; to be fetched: {much}"


def _token_lines(run: Run, tokens: Tokens) -> Iterator[str]:
    whole = tokens.tokens.times(run.manifest.asked)
    if not run.engine.max_tokens:
        return  # it reads no tokens
    yield f"texts   {tokens.texts.mean:.1f} ± {tokens.texts.error:.1f} a row, turns counted one by one"
    yield (
        f"tokens  {tokens.tokens.mean:,.0f} ± {tokens.tokens.error:,.0f} a row, {whole.mean:,.0f} ± {whole.error:,.0f} "
        f"in all (from {tokens.sampled:,} rows, 95 %)"
    )
    yield (
        f"cut     {tokens.share_cut.mean:.1%} ± {tokens.share_cut.error:.1%} of the rows, by {tokens.cut_tokens:,.0f} "
        f"tokens on average (engine.max_model_len={run.engine.max_tokens:,})"
    )


def _written(run: Run, tokens: Tokens) -> float:
    """Tokens that all answers have at most."""
    return tokens.new_tokens * len(tokens.lengths) / tokens.sampled * run.manifest.asked


def _model_lines(model: Sizing, tokens: Tokens, gpu: Gpu | None) -> Iterator[str]:
    if model.block is not None:
        yield (
            f"prefix  {sum(tokens.reused) / sum(tokens.lengths):.1%} of the sampled tokens are a beginning that an "
            f"earlier request has too, in whole blocks of {model.block}: what a prefix cache spares at best"
        )
    weights = f"memory  {size(model.weights)} of weights"
    if gpu is None:
        yield weights
    else:
        cache = size(model.max_model_len * model.cache_per_token)
        yield f"{weights} + {cache} of cache for a request of {model.max_model_len:,} tokens: {_needed(model, gpu)}"
    room = model.cache_room(gpu)
    if model.most_at_once is not None and room > 0:
        longest, mean = model.max_model_len, sum(tokens.lengths) / len(tokens.lengths) + tokens.new_tokens
        yield (
            f"cache   {size(room)} for {room // model.cache_per_token:,} tokens of "
            f"{model.cache_per_token / 1024:,.0f} KiB: {model.at_once(room, longest):,} requests of {longest:,} tokens "
            f"at once, {model.at_once(room, mean):,} of the mean length {mean:,.0f}"
        )


def _needed(model: Sizing, gpu: Gpu) -> str:
    needed = model.gpus_needed(gpu)
    card = f"{gpu.name} of {gpu.memory / 1e9:.0f} GB"
    if needed is None:
        return f"too much for any number of {card}"
    if needed > model.gpus:
        return (
            f"needs {needed} x {card}, but a worker uses {model.gpus}; raise engine.num_gpus and "
            "engine.tensor_parallel_size (vLLM), quantise, or lower engine.max_model_len"
        )
    return f"needs {needed} x {card}"


def _computed_lines(
    bounds: tuple[float, float] | None, workers: int, model: Sizing | None, gpu: Gpu | None
) -> Iterator[str]:
    if bounds is None:
        yield "time    unknown for this engine; plan.measure=true measures it"
        return
    best, worst = (shown(bound / workers) for bound in bounds)
    where = f"of {model.gpus} x {gpu.name}" if model and gpu else "like this machine"
    if model and gpu and model.dtype == "float32":
        where += " in 16 bits (engine.dtype=float32 takes several times as long)"
    yield f"time    {best} to {worst} with {workers} worker(s) {where}, computed; plan.measure=true measures it"


def _measured_line(measured: Measured, rows: int) -> str:
    if measured.left is None:
        return (
            f"time    {shown(measured.worked)} of one worker for all {rows:,} rows, measured, loading not counted; "
            "nothing is left to do"
        )
    return (
        f"time    {_interval(measured.left)} for the rows still to do, measured; the first shard took "
        f"{shown(measured.start)}"
    )


def _measured_bounds(measured: Measured, workers: int | None) -> tuple[float, float] | None:
    """Seconds of one worker, at best and at worst; None where it isn't known how many worked."""
    if measured.left is None:
        return measured.worked, measured.worked
    return None if workers is None else (workers * _low(measured.left), workers * _high(measured.left))


def _cost_lines(bounds: tuple[float, float], num_gpus: float, deadline: str | None) -> Iterator[str]:
    """bounds: seconds of one worker for all rows, at best and at worst."""
    best, worst = bounds
    if num_gpus:
        yield f"cost    {best * num_gpus / 3600:,.1f} to {worst * num_gpus / 3600:,.1f} GPU-hours, loading not counted"
    if deadline is not None:
        fewest, most = (max(math.ceil(bound / parse_duration(deadline, "plan.deadline")), 1) for bound in bounds)
        gpus = f" ({most * num_gpus:g} GPUs)" if num_gpus else ""
        yield f"workers {most:,}{gpus} are done within {deadline} at worst, {fewest:,} at best; loading not counted"


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        print(line)


def _interval(seconds: Estimate) -> str:
    if seconds.error == float("inf"):
        return f"about {shown(seconds.mean)} (one shard is too little for an interval)"
    return f"{shown(seconds.mean)} ({shown(_low(seconds))} to {shown(_high(seconds))}, 95 %)"


def _low(seconds: Estimate) -> float:
    return max(seconds.mean - seconds.error, 0) if math.isfinite(seconds.error) else seconds.mean


def _high(seconds: Estimate) -> float:
    return seconds.mean + (seconds.error if math.isfinite(seconds.error) else 0)
