"""The transformers engine: its config, what is refused before weights are loaded, and what loads."""

import importlib.util
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from lib.config import transient
from lib.engines.checkpoints import checkpoint, stored_quantization
from lib.engines.checkpoints import pooling as poolings
from lib.engines.checkpoints.checkpoint import CheckpointConfig
from lib.engines.checkpoints.heads import Head, head_of
from lib.engines.checkpoints.pooling import Pooling
from lib.engines.checkpoints.stored_quantization import is_bitsandbytes
from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.engines.decoding import constraint
from lib.engines.sizing.model_size import NF4_BYTES, NF4_DOUBLE_BYTES, Sizing
from lib.errors import ConfigError
from lib.types import Engine, Sampling, Tokenizer

if TYPE_CHECKING:
    from lib.engines.transformers.loading import Loaded


class BitsAndBytes(Enum):
    """Quantisation by bitsandbytes while loading; none: as the checkpoint is, which may be quantised itself.

    int8: LLM.int8() (Dettmers et al. 2022); nf4, nf4_double: 4-bit NormalFloat without and with double quantisation
    (Dettmers et al. 2023, "QLoRA"). int8 treats columns with outliers apart, and which these are depends on the whole
    batch: a row's results vary with the rows beside it (log-probabilities by about 0.2 on a small model; NF4, which
    computes in bfloat16 on CPUs that have it, by 0.01).
    """

    none = "none"
    int8 = "int8"
    nf4 = "nf4"
    nf4_double = "nf4_double"


_CPU_WRITING, _GPU_WRITING = 4096, 65536  # tokens of a batch, where what is to be written counts too
_LAYER_BYTES = {BitsAndBytes.int8: 1.0, BitsAndBytes.nf4: NF4_BYTES, BitsAndBytes.nf4_double: NF4_DOUBLE_BYTES}


@dataclass(frozen=True, kw_only=True)
class TransformersConfig(CheckpointConfig):
    """A causal language model (`label_logprobs`, `generate`), a sequence classifier, or an embedder.

    Reward models and cross-encoders (`relevance`) are classifiers with one label, InternLM2ForRewardModel as well; a
    judge (`class_logprobs`) has three. An adapter is merged into the model's weights where these are not quantised.

    quantization: while loading, by bitsandbytes.
    pooling: how `embed` makes one vector of a text's token states; null: as the model's 1_Pooling/config.json says,
    or `last` for a causal language model that has none.
    device: auto (a GPU where there is one), cpu, cuda, cuda:1, …. batch_tokens: tokens of a batch, its padding
    included; null: 512 on a CPU (what its caches hold: larger ones are slower), 16,384 on a GPU; for `generate`, where
    the token budget counts as well and each step reads all weights for one token of each row, 4,096 and 65,536.
    """

    quantization: BitsAndBytes = BitsAndBytes.none
    pooling: Pooling | None = None
    device: str = transient(default="auto")
    batch_tokens: int | None = transient(default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_tokens is not None and self.batch_tokens < 1:
            raise ConfigError(f"engine.batch_tokens={self.batch_tokens}: must be at least 1 token, or null")
        if self.device not in ("auto", "cpu") and self.device.partition(":")[0] != "cuda":
            raise ConfigError(f"engine.device={self.device}: must be auto, cpu, cuda or cuda:N")

    def check(self, method: str) -> None:
        """Raise ConfigError for everything that can be refused before weights are loaded.

        method: what the engine is for: `label_logprobs`, `class_logprobs`, `generate`, `score`, `relevance` or `embed`.
        """
        super().check(method)
        if method == "embed":
            pooling(self)
        found = stored_quantization.stored(checkpoint.settings(self))
        if self.quantization is not BitsAndBytes.none and found not in (None, self.quantization.value):
            raise ConfigError(
                f"engine.quantization={self.quantization.value}: {self.model} is quantised already, as {found}; "
                "use engine.quantization=none, which takes it as it is, or a checkpoint that is not"
            )
        by_it = self.quantization is not BitsAndBytes.none or is_bitsandbytes(found)
        if by_it and importlib.util.find_spec("bitsandbytes") is None:
            raise ConfigError(
                f"engine.quantization={self.quantization.value}: {self.model} needs bitsandbytes; run `pip install "
                "bitsandbytes`"
            )

    def check_sampling(self, sampling: Sampling) -> None:
        """Raise ConfigError for what the engine lacks, and for a constraint that can't be kept to."""
        if sampling.tools is not None:
            raise ConfigError("tools: a transformers engine reads no calls of tools; use a vLLM engine")
        if sampling.min_tokens and sampling.stop:
            raise ConfigError(
                f"generate.min_tokens={sampling.min_tokens}: a transformers engine has it without generate.stop only; "
                "leave one of them out, or use a vLLM engine"
            )
        constraint.check(sampling)

    def load(self, tokenizer: Tokenizer, method: str) -> Engine:
        """The model with its weights, as the engine that answers `method`.

        Raises ConfigError for weights that are missing or not safetensors, EngineError where they cannot be loaded.
        """
        return self.answering(self.load_weights(method), tokenizer, method)

    def load_weights(self, method: str) -> "Loaded":
        """The model with the head that `method` needs. Raises as `load` does."""
        from lib.engines.transformers import loading

        return loading.load(
            checkpoint.weights_folder(self),
            head=head_of(method),
            dtype=self.dtype.value,
            quantization="none" if self._is_stored() else self.quantization.value,
            device=self.device,
            trust_remote_code=self.trust_remote_code,
            adapter=checkpoint.adapter_of(self),
            name=self.model,
        )

    def answering(self, loaded: "Loaded", tokenizer: Tokenizer, method: str) -> Engine:
        """The engine that answers `method` with a model that was loaded for it."""
        from lib.engines.transformers.causal import CausalEngine
        from lib.engines.transformers.classifier import ClassifierEngine
        from lib.engines.transformers.embedder import EmbedderEngine
        from lib.engines.transformers.generator import GeneratorEngine

        on_cpu = loaded.device == "cpu"
        if method == "generate":
            assert isinstance(tokenizer, HuggingFaceTokenizer)
            batch_tokens = self.batch_tokens or (_CPU_WRITING if on_cpu else _GPU_WRITING)
            return GeneratorEngine(loaded, tokenizer, max_model_len=self.max_model_len, batch_tokens=batch_tokens)
        batch_tokens = self.batch_tokens or (512 if on_cpu else 16384)
        head = head_of(method)
        if head is Head.body:
            return EmbedderEngine(
                loaded, pooling=pooling(self), max_model_len=self.max_model_len, batch_tokens=batch_tokens
            )
        engine = ClassifierEngine if head is Head.classifier else CausalEngine
        return engine(loaded, max_model_len=self.max_model_len, batch_tokens=batch_tokens)

    def _is_stored(self) -> bool:
        return stored_quantization.stored(checkpoint.settings(self)) is not None

    def sizing(self) -> Sizing | None:
        """The model's size, on one GPU."""
        return checkpoint.sizing(self, layer_bytes=_LAYER_BYTES.get(self.quantization), device=self.device)


def pooling(config: TransformersConfig) -> Pooling:
    """How the model pools. Raises ConfigError where neither its config nor its folder says so."""
    found = config.pooling or poolings.read(
        checkpoint.folder(config),
        f"engine.model={config.model}",
        "do without it by engine.pooling=last, mean or cls",
    )
    if found is None and checkpoint.is_causal(config):
        return Pooling.last
    if found is None:
        raise ConfigError(
            f"engine.model={config.model}: its folder has no {' or no '.join(poolings.FILES)} to say how it pools; "
            "set engine.pooling to what its makers say: last, mean or cls"
        )
    return found
