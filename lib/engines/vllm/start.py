"""Loads a vLLM engine: its environment, its arguments, and its errors in our words."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from lib.engines.vllm.loop import VllmLoop
from lib.errors import ConfigError, EngineError

_ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
_ON_CPU = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # a process of its own for the engine would only take a core away
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # as many threads as torch has here, wherever the system puts them
    "TORCHDYNAMO_DISABLE": "1",  # else the first log-probabilities wait for a compiler
}


def environment(num_gpus: float) -> dict[str, str]:
    """The environment variables that this engine wants, unless they are set already."""
    return {**_ENVIRONMENT, **({} if num_gpus else _ON_CPU)}


def require_no_field(extra: Mapping[str, object], arguments: Mapping[str, object]) -> None:
    """Raise ConfigError for what the engine's own fields set."""
    if both := sorted(set(extra).intersection(arguments)):
        raise ConfigError(f"engine.extra.{both[0]}: is set by this engine's own fields; use those")


def load(
    model: str,
    arguments: Mapping[str, object],
    extra: Mapping[str, object],
    num_gpus: float,
    adapter: Path | None = None,
) -> VllmLoop:
    """The engine with its weights, and the loop that runs it.

    model: its name in our config. arguments: EngineArgs by name, of which extra are those that our fields don't set.
    adapter: the folder of a LoRA, for all requests.
    Raises ConfigError for what vLLM refuses before it loads weights, EngineError where it cannot load them, or would
    leave some out.
    """
    for name, value in environment(num_gpus).items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of vLLM's own use of torch
        return _load(model, arguments, extra, num_gpus, adapter)


def _load(
    model: str, arguments: Mapping[str, object], extra: Mapping[str, object], num_gpus: float, adapter: Path | None
) -> VllmLoop:
    from vllm.engine.arg_utils import EngineArgs
    from vllm.lora.request import LoRARequest
    from vllm.platforms import current_platform
    from vllm.v1.engine.llm_engine import LLMEngine

    from lib.engines.checkpoints import biases, internlm2_model

    internlm2_model.register()
    if current_platform.is_cpu() is not (num_gpus == 0):
        built_for = "CPUs" if num_gpus else "GPUs"
        raise ConfigError(
            f"engine.num_gpus={num_gpus:g}: the installed vLLM is built for {built_for}; change engine.num_gpus "
            "(0 for a CPU), or install the other vLLM (this project's extras cpu and gpu)"
        )
    require_no_field(extra, arguments)
    for key in extra:
        if key not in {field.name for field in fields(EngineArgs)}:
            raise ConfigError(f"engine.extra.{key}: this vLLM has no such argument; its EngineArgs name those it has")
    try:
        vllm_config = EngineArgs(**arguments, **extra).create_engine_config()
    except (ValueError, TypeError, OSError, ImportError, NotImplementedError) as error:
        raise ConfigError(f"engine.model={model}: vLLM refuses this config: {_brief(error)}") from error
    biases.require_place(Path(str(arguments["model"])), model)
    lora = None if adapter is None else LoRARequest("adapter", 1, str(adapter))

    def make() -> LLMEngine:
        engine = LLMEngine.from_vllm_config(vllm_config, disable_log_stats=True)
        if lora is not None:
            engine.add_lora(lora)  # else it would be loaded, and found wanting, with the first request
        return engine

    try:
        return VllmLoop(make, lora)
    except Exception as error:  # of vLLM, torch, CUDA or a checkpoint's own code: all mean that there is no engine
        raise EngineError(
            f"engine.model={model}: vLLM cannot load it: {_brief(error)}. Where memory is short: a smaller "
            "engine.max_model_len, quantised weights, more GPUs a worker, or more room for the cache "
            "(engine.kv_cache_memory_bytes, engine.gpu_memory_utilization)"
        ) from error


def _brief(error: BaseException) -> str:
    """The gist of vLLM's long messages, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:4])[:600].rstrip(".") or type(error).__name__
