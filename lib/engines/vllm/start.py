"""Loads a vLLM engine: its environment, its arguments, and its errors in our words."""

import os
import warnings
from dataclasses import fields
from typing import Any

from lib.engines.checkpoints import checkpoint
from lib.engines.vllm.loop import VllmLoop
from lib.engines.vllm.vllm_config import CPU_BLOCK, CPU_CACHE_BYTES, GENERATING, VllmConfig, VllmFormat
from lib.errors import ConfigError, EngineError

_ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
_STRUCTURED = {
    "backend": "xgrammar",
    "disable_any_whitespace": True,
}  # as constraint.py does it; extra may say otherwise
_ON_CPU = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # a process of its own for the engine would only take a core away
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # as many threads as torch has here, wherever the system puts them
    "TORCHDYNAMO_DISABLE": "1",  # else the first log-probabilities wait for a compiler
}


def load(config: VllmConfig, method: str) -> VllmLoop:
    """The engine with its weights, and the thread that steps it.

    Raises ConfigError for what vLLM refuses before it loads weights, EngineError where it cannot load them.
    """
    for name, value in {**_ENVIRONMENT, **({} if config.num_gpus else _ON_CPU)}.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of vLLM's own use of torch
        return _load(config, method)


def _load(config: VllmConfig, method: str) -> VllmLoop:
    from vllm.engine.arg_utils import EngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.llm_engine import LLMEngine

    from lib.engines.checkpoints import internlm2_model

    internlm2_model.register()
    if current_platform.is_cpu() is not (config.num_gpus == 0):
        built_for = "CPUs" if config.num_gpus else "GPUs"
        raise ConfigError(
            f"engine.num_gpus={config.num_gpus:g}: the installed vLLM is built for {built_for}; change engine.num_gpus "
            "(0 for a CPU), or install the other vLLM (this project's extras cpu and gpu)"
        )
    arguments = _arguments(config, method)
    for key in config.extra:
        if key not in {field.name for field in fields(EngineArgs)}:
            raise ConfigError(f"engine.extra.{key}: this vLLM has no such argument; its EngineArgs name those it has")
        if key in arguments:
            raise ConfigError(f"engine.extra.{key}: is set by this engine's own fields; use those")
    if method == "generate":
        arguments = {"structured_outputs_config": _STRUCTURED, **arguments}
    try:
        vllm_config = EngineArgs(**(arguments | config.extra)).create_engine_config()
    except (ValueError, TypeError, OSError, ImportError, NotImplementedError) as error:
        raise ConfigError(f"engine.model={config.model}: vLLM refuses this config: {_brief(error)}") from error
    try:
        return VllmLoop(lambda: LLMEngine.from_vllm_config(vllm_config, disable_log_stats=True))
    except Exception as error:  # of vLLM, torch, CUDA or a checkpoint's own code: all mean that there is no engine
        raise EngineError(
            f"engine.model={config.model}: vLLM cannot load it: {_brief(error)}. Where memory is short: a smaller "
            "engine.max_model_len, quantised weights, more GPUs a worker, or more room for the cache "
            "(engine.kv_cache_memory_bytes, engine.gpu_memory_utilization)"
        ) from error


def _arguments(config: VllmConfig, method: str) -> dict[str, Any]:
    """EngineArgs by name; what is null is left to vLLM."""
    on_cpu = not config.num_gpus
    chosen = {
        "model": str(checkpoint.weights_folder(config)),
        "tokenizer": str(checkpoint.tokenizer_folder(config)),
        "skip_tokenizer_init": method != "generate",  # requests are token ids, and only text needs it
        "trust_remote_code": config.trust_remote_code,
        "runner": "generate" if method in GENERATING else "pooling",
        "dtype": config.dtype.value,
        "quantization": None if config.quantization is VllmFormat.none else config.quantization.value,
        "kv_cache_dtype": config.kv_cache_dtype.value,
        "seed": config.seed,
        "max_model_len": config.max_model_len,
        "tensor_parallel_size": config.tensor_parallel_size,
        "pipeline_parallel_size": config.pipeline_parallel_size,
        "gpu_memory_utilization": config.gpu_memory_utilization,
        "kv_cache_memory_bytes": config.kv_cache_memory_bytes or (CPU_CACHE_BYTES if on_cpu else None),
        "block_size": config.block_size or (CPU_BLOCK if on_cpu else None),
        "enable_prefix_caching": config.enable_prefix_caching,
        "enforce_eager": config.enforce_eager or on_cpu,
        "max_num_seqs": config.max_num_seqs,
        "max_num_batched_tokens": config.max_num_batched_tokens,
        "use_tqdm_on_load": False,
    }
    return {name: value for name, value in chosen.items() if value is not None}


def _brief(error: BaseException) -> str:
    """The gist of vLLM's long messages, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:4])[:600].rstrip(".") or type(error).__name__
