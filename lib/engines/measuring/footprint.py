"""What a model takes: memory while it is loaded and while it writes, speed, and how well it foresees a text.

`python -m lib.engines.measuring.footprint` reads an Order from standard input and writes a Footprint, or {"error":
why}, to standard output, as JSON. A process of its own for each model keeps their peaks apart.
"""

import ctypes
import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.engines.checkpoints import adapter as adapters
from lib.engines.checkpoints.heads import Head
from lib.engines.measuring.perplexity import perplexity, token_logprobs
from lib.engines.transformers import loading
from lib.errors import EngineError, OvernightError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_WARM_UP = 2  # tokens
_STATUS, _FORGET, _FIRST_TO_GO = (Path("/proc/self") / name for name in ("status", "clear_refs", "oom_score_adj"))


@dataclass(frozen=True, kw_only=True)
class Order:
    """A model to load, and what it is to do. Plain values: it goes to another process.

    folder: with safetensors. adapter: its folder. dtype, quantization, device, trust_remote_code: as for
    `loading.load`. least: bytes that have to be free before anything is loaded, 0 where that is unknown. prompts:
    equally long, in tokens, written on greedily by new_tokens each, as one batch, end tokens or not. text: tokens that
    the perplexity is measured on, in windows of so many tokens, which overlap by half.
    """

    folder: str
    dtype: str
    quantization: str
    device: str
    trust_remote_code: bool
    least: int
    prompts: list[list[int]]
    new_tokens: int
    text: list[int]
    window: int
    adapter: str | None = None


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What was measured. Bytes; all but `weights` and `baseline` above the baseline.

    device: `cpu`, or the GPU's name. On a GPU, bytes of tensors as torch.cuda counts them (of its context nothing); on
    a CPU the resident memory of the process. baseline: what was in use before loading (on a CPU, Python and libraries).
    weights: of the tensors, added up. peak_loading: at most until the model is loaded; weights that stay in their file,
    mapped, are not in memory yet. loaded: in use when it has written its first tokens, and so read its weights.
    peak_generating: at most while it writes. tokens_per_s: written, of all prompts together. perplexity: None where the
    model's output is not a finite number.
    """

    device: str
    baseline: int
    weights: int
    loaded: int
    peak_loading: int
    peak_generating: int
    tokens_per_s: float
    perplexity: float | None


@dataclass(frozen=True)
class _Meter:
    """Bytes: free for this process, in use by it, the most it used since `forget`."""

    free: Callable[[], int]
    used: Callable[[], int]
    peak: Callable[[], int]
    forget: Callable[[], Any]


def measure(order: Order) -> Footprint:
    """Load, write, read. Raises EngineError where the model does not load, or memory does not suffice for it."""
    import torch
    import transformers

    where = order.device if order.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    for library in ("bitsandbytes",) if order.quantization != "none" else ():
        importlib.import_module(library)
    assert transformers.AutoModelForCausalLM  # imported at its first use, and so part of the baseline
    meter = _resident() if where == "cpu" else _allocated(where)
    if meter.free() < order.least:
        raise EngineError(f"not enough memory: the weights take {_mib(order.least)}, {_mib(meter.free())} are free")
    meter.forget()
    baseline = meter.used()
    loaded = loading.load(
        Path(order.folder),
        head=Head.causal,
        dtype=order.dtype,
        quantization=order.quantization,
        device=where,
        trust_remote_code=order.trust_remote_code,
        adapter=None if order.adapter is None else adapters.read(order.adapter),
    )
    peak_loading = meter.peak()
    _write(loaded.model, order.prompts, _WARM_UP)
    gc.collect()
    in_use = meter.used()
    meter.forget()
    start = time.perf_counter()
    _write(loaded.model, order.prompts, order.new_tokens)
    seconds = time.perf_counter() - start
    peak_generating = meter.peak()
    value = perplexity(token_logprobs(loaded.model, order.text, length=order.window, stride=order.window // 2))
    return Footprint(
        device="cpu" if where == "cpu" else torch.cuda.get_device_name(where),
        baseline=baseline,
        weights=loaded.memory,
        loaded=in_use - baseline,
        peak_loading=peak_loading - baseline,
        peak_generating=peak_generating - baseline,
        tokens_per_s=len(order.prompts) * order.new_tokens / seconds,
        perplexity=value if value < float("inf") else None,
    )


def _write(model: "PreTrainedModel", prompts: list[list[int]], new_tokens: int) -> None:
    """Write on, and wait until it is done."""
    import torch
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig()  # of the checkpoint's own, nothing is to hold
    config = GenerationConfig(do_sample=False, max_new_tokens=new_tokens, eos_token_id=None, pad_token_id=0)
    ids = torch.tensor(prompts, device=model.device)
    with torch.inference_mode():
        output = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    assert output.cpu().shape[1] == ids.shape[1] + new_tokens


def _allocated(device: str) -> _Meter:
    from torch import cuda

    return _Meter(
        free=lambda: int(cuda.mem_get_info(device)[0]),
        used=lambda: int(cuda.memory_allocated(device)),
        peak=lambda: int(cuda.max_memory_allocated(device)),
        forget=lambda: cuda.reset_peak_memory_stats(device),
    )


def _resident() -> _Meter:
    """Of Linux: proc(5). (The peak of getrusage would be that of the parent, if that is larger.)"""

    def used() -> int:
        ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back to the system, as far as it can
        return _kilobytes(_STATUS, "VmRSS")

    return _Meter(
        free=lambda: _kilobytes(Path("/proc/meminfo"), "MemAvailable"),
        used=used,
        peak=lambda: _kilobytes(_STATUS, "VmHWM"),
        forget=lambda: _FORGET.write_text("5"),
    )


def _kilobytes(path: Path, name: str) -> int:
    return int(path.read_text().partition(f"{name}:")[2].split()[0]) * 1024


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


def _answer(order: Order) -> dict[str, Any]:
    try:
        return asdict(measure(order))
    except OvernightError as error:
        return {"error": str(error)}
    except Exception as error:  # torch, CUDA and bitsandbytes have each their own class for it; others go on
        if not loading.out_of_memory(error):
            raise
        return {"error": f"out of memory: {error}"}


def main() -> None:
    """Answer one order."""
    order = Order(**json.load(sys.stdin))
    _FIRST_TO_GO.write_text("1000")  # should memory run out, it is this process that ends
    answer_to = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    with answer_to:
        json.dump(_answer(order), answer_to)


if __name__ == "__main__":
    main()
