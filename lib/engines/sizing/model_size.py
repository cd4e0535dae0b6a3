"""How large a model is and how long it takes, from its settings and a GPU's data sheet. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lib.engines.sizing.flops import forward_flops
from lib.engines.sizing.hardware import Gpu

SETTINGS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "tie_word_embeddings",
)

# Of each GPU, for what is neither weights nor cache: CUDA's context, activations, workspaces. About right for vLLM,
# which measures it when it starts.
RESERVE = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """A model under the config of its engine.

    settings: what SETTINGS names of the text model's config. parameters: without embeddings and head. weights: bytes in
    memory. cache_per_token: bytes of one token's keys and values. gpus: GPUs of a worker, which share weights and
    cache. memory_share: of each GPU's memory that may be used. cache_bytes: of the cache on each GPU, None for what is
    left. block: tokens of a block of the prefix cache, None for an engine that keeps no prefixes. most_at_once:
    requests that run at the same time, at most; None for an engine that keeps no cache from step to step.
    device, dtype: torch's names, of where and in what it computes.
    """

    settings: Mapping[str, Any]
    parameters: int
    weights: int
    cache_per_token: int
    max_model_len: int
    dtype: str
    device: str = "auto"
    gpus: int = 1
    memory_share: float = 1.0
    cache_bytes: int | None = None
    block: int | None = None
    most_at_once: int | None = None

    def flops(self, lengths: Sequence[int], reused: Sequence[int] = ()) -> float:
        """Floating-point operations to read requests of these lengths (tokens).

        reused: tokens of each request that a prefix cache has already. What is left of a request is its whole less
        its beginning, in attention as well: row i of its causal square has i columns.
        """
        whole = forward_flops(self.parameters, self.settings, lengths)
        return whole - forward_flops(self.parameters, self.settings, reused)

    def gpus_needed(self, gpu: Gpu) -> int | None:
        """The fewest GPUs that hold the weights and the cache of one request of max_model_len tokens.

        Tensor parallelism gives each GPU as many attention heads, so it is a divisor of their number; None where even
        one head a GPU is too much.
        """
        heads = self.settings["num_attention_heads"]
        least = self.weights + self.max_model_len * self.cache_per_token
        counts = (count for count in range(1, heads + 1) if heads % count == 0)
        return next((count for count in counts if least <= count * self._usable(gpu)), None)

    def cache_room(self, gpu: Gpu | None) -> int:
        """Bytes of a worker's cache on such GPUs (None: on the CPU); 0 or less where the weights leave none."""
        if self.cache_bytes is not None or gpu is None:
            return self.gpus * (self.cache_bytes or 0)
        return self.gpus * self._usable(gpu) - self.weights

    def at_once(self, room: int, length: float) -> int:
        """Requests of this length (tokens) that run at the same time with `room` bytes of cache."""
        return max(0, min(self.most_at_once or 1, int(room // (length * self.cache_per_token))))

    def read_seconds(self, gpu: Gpu, lengths: Sequence[int], reused: Sequence[int] = ()) -> float:
        """Seconds of one worker to read requests, at the full speed of its GPUs' arithmetic.

        Reading is compute-bound: thousands of tokens share each weight that is fetched (Pope et al. 2022,
        "Efficiently Scaling Transformer Inference", section 2).
        """
        return self.flops(lengths, reused) / (self.gpus * gpu.flops)

    def write_seconds(self, gpu: Gpu, lengths: Sequence[int], new_tokens: int) -> float:
        """Seconds of one worker to write new_tokens after each request, at the full speed of its GPUs' memory.

        Writing is bandwidth-bound: each step fetches all weights, and the cache of the requests at once, for one token
        of each (Pope et al. 2022, section 2). steps = requests × new_tokens / at once; the cache is half written on
        average. A run has more requests than run at once. Infinite where none fits.
        """
        if not new_tokens:
            return 0.0
        context = sum(lengths) / len(lengths) + new_tokens / 2
        together = self.at_once(self.cache_room(gpu), context)
        if not together:
            return float("inf")
        step = self.weights + together * context * self.cache_per_token
        return len(lengths) * new_tokens / together * step / (self.gpus * gpu.bandwidth)

    def _usable(self, gpu: Gpu) -> int:
        return int(gpu.memory * self.memory_share) - RESERVE


def cache_per_token(settings: Mapping[str, Any], value_bytes: float) -> int:
    """Bytes of one token's keys and values in all layers: 2 × layers × key-value heads × head size × bytes of a value.

    An upper bound for models whose layers look back over a window only.
    """
    heads = settings["num_attention_heads"]
    kv_heads = settings.get("num_key_value_heads") or heads
    head_size = settings.get("head_dim") or settings["hidden_size"] // heads
    return int(2 * settings["num_hidden_layers"] * kv_heads * head_size * value_bytes)


def embedding_parameters(settings: Mapping[str, Any], *, head: bool) -> int:
    """Parameters of the token embeddings and, where the model has one of its own, of the head that predicts tokens."""
    matrices = 2 if head and not settings.get("tie_word_embeddings") else 1
    return matrices * int(settings["vocab_size"]) * int(settings["hidden_size"])


NF4_BYTES = 0.5 + 4 / 64
"""Bytes of a parameter in NF4: 4 bits, and a 32-bit scale for each 64 (Dettmers et al. 2023, "QLoRA", section 3)."""
NF4_DOUBLE_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""With double quantisation: 8-bit scales, and a 32-bit scale for each 256 of those."""


def stored_bytes(quantization: Mapping[str, Any]) -> float | None:
    """Bytes of a parameter in a checkpoint quantised so (config.json's quantization_config); None for unknown ways.

    awq, gptq: `bits` each, and a 16-bit scale and a zero point of `bits` for each group. compressed-tensors: the bits
    of its first group of layers, 16-bit scales. fp8: 8 bits, scales of large blocks.
    """
    method = quantization.get("quant_method")
    if method in ("awq", "gptq"):
        bits, group = quantization.get("bits", 4), quantization.get("group_size", 128)
        return float(bits / 8 + ((2 + bits / 8) / group if group > 0 else 0))
    if method == "compressed-tensors":
        groups: list[Mapping[str, Any]] = list((quantization.get("config_groups") or {}).values())
        weights = (groups[0].get("weights") if groups else None) or {}
        group = weights.get("group_size") or 0
        return weights["num_bits"] / 8 + (2 / group if group > 0 else 0) if "num_bits" in weights else None
    if method == "bitsandbytes":
        return 1.0 if quantization.get("load_in_8bit") else NF4_BYTES
    return 1.0 if method == "fp8" else None
