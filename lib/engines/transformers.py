"""The transformers engine: its config, what is refused before weights are loaded, and what loads."""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from lib.config import transient
from lib.engines import flops, gguf, hub
from lib.engines import tokenizer as tokenizers
from lib.engines.base import EngineConfig
from lib.errors import ConfigError
from lib.types import LabelEngine, ScoreEngine, Tokenizer


class Dtype(Enum):
    """Number format of the weights that are not quantised, and of the computation."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


class Quantization(Enum):
    """Quantisation by bitsandbytes while loading.

    int8: LLM.int8() (Dettmers et al. 2022); nf4, nf4_double: 4-bit NormalFloat without and with double quantisation
    (Dettmers et al. 2023, "QLoRA"). int8 treats columns with outliers apart, and which these are depends on the whole
    batch: a row's results vary with the rows beside it (log-probabilities by about 0.2 on a small model; NF4, which
    computes in bfloat16 on CPUs that have it, by 0.01).
    """

    none = "none"
    int8 = "int8"
    nf4 = "nf4"
    nf4_double = "nf4_double"


@dataclass(frozen=True, kw_only=True)
class TransformersConfig(EngineConfig):
    """A causal language model (`label_logprobs`) or a sequence classifier with one label (`score`).

    model: a folder, a hub id, or `package:NAME`. revision: of a hub id; a commit pins it. tokenizer: the same kinds
    of names; null: the model's. gguf_file: a GGUF file in the model's folder, dequantised. add_bos: whether prompts
    for a base model begin with BOS; null: as the tokenizer does. chat_template: Jinja text in place of the
    tokenizer's. device: auto (a GPU where there is one), cpu, cuda, cuda:1, …. batch_tokens: tokens of a batch, its
    padding included; null: 512 on a CPU (what its caches hold: larger ones are slower), 16,384 on a GPU.
    """

    model: str
    revision: str | None = None
    tokenizer: str | None = None
    gguf_file: str | None = None
    dtype: Dtype = Dtype.float32
    quantization: Quantization = Quantization.none
    chat_template: str | None = None
    add_bos: bool | None = None
    trust_remote_code: bool = False
    device: str = transient(default="auto")
    batch_tokens: int | None = transient(default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise ConfigError("engine.model='': give a folder, a hub id or package:NAME")
        if self.batch_tokens is not None and self.batch_tokens < 1:
            raise ConfigError(f"engine.batch_tokens={self.batch_tokens}: must be at least 1 token, or null")
        if self.device not in ("auto", "cpu") and self.device.partition(":")[0] != "cuda":
            raise ConfigError(f"engine.device={self.device}: must be auto, cpu, cuda or cuda:N")
        if self.gguf_file is not None and not self.gguf_file.endswith(".gguf"):
            raise ConfigError(f"engine.gguf_file={self.gguf_file}: must be the name of a .gguf file, or null")


def check(config: TransformersConfig, method: str) -> None:
    """Raise ConfigError for everything that can be refused before weights are loaded.

    method: what the engine is for, `label_logprobs` or `score`.
    """
    settings = _model_settings(config)
    architecture = _architecture(config, settings)
    classifier = architecture.endswith("ForSequenceClassification")
    if method == "score" and not classifier:
        raise ConfigError(
            f"engine.model={config.model}: {architecture} gives no scores; this job needs a reward model "
            "(…ForSequenceClassification with one label)"
        )
    if method == "label_logprobs" and (
        classifier or settings.get("is_encoder_decoder") or not architecture.endswith(_CAUSAL)
    ):
        raise ConfigError(
            f"engine.model={config.model}: {architecture} predicts no next token; this job needs a causal language "
            "model (…ForCausalLM)"
        )
    if classifier and len(settings.get("id2label") or (0, 1)) != 1:
        raise ConfigError(f"engine.model={config.model}: has {len(settings.get('id2label') or (0, 1))} labels, "
                          "a reward model has one")  # fmt: skip
    limit = (settings.get("text_config") or settings).get("max_position_embeddings")
    if limit is not None and config.max_model_len > limit:
        raise ConfigError(f"engine.max_model_len={config.max_model_len}: {config.model} reads at most {limit} tokens")
    if config.quantization is not Quantization.none and importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            f"engine.quantization={config.quantization.value}: needs bitsandbytes; run `pip install bitsandbytes`"
        )
    tokenizers.require_tokenizer(_tokenizer_folder(config), _tokenizer_key(config))


_CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


def identity(config: TransformersConfig) -> dict[str, str]:
    """Hashes of the weights and of the tokenizer with its chat template; names of models without their paths."""
    folder = _folder(config)
    names = [config.gguf_file] if config.gguf_file else ["config.json", *_safetensors(folder)]
    found = {"model": hub.shown(config.model), "weights_hash": hub.files_hash(folder, names)}
    if config.tokenizer:
        found["tokenizer"] = hub.shown(config.tokenizer)
    path = _tokenizer_folder(config)
    return {**found, "tokenizer_hash": hub.files_hash(path, (n for n in hub.TOKENIZER_FILES if (path / n).is_file()))}


def load_tokenizer(config: TransformersConfig) -> Tokenizer:
    """The tokenizer, without weights. Raises ConfigError where there is none."""
    return tokenizers.load(
        _tokenizer_folder(config),
        chat_template=config.chat_template,
        add_bos=config.add_bos,
        trust_remote_code=config.trust_remote_code,
        key=_tokenizer_key(config),
    )


def load_engine(config: TransformersConfig, tokenizer: Tokenizer) -> LabelEngine | ScoreEngine:
    """The model with its weights, as the engine that its architecture makes it.

    Raises ConfigError for weights that are missing or not safetensors, EngineError where they cannot be loaded.
    """
    from lib.engines import loading
    from lib.engines.causal import CausalEngine
    from lib.engines.classifier import ClassifierEngine

    classifier = _architecture(config, _model_settings(config)).endswith("ForSequenceClassification")
    folder = _folder(config, weights=True)
    if config.gguf_file:
        folder = gguf.weights(folder / config.gguf_file, config.dtype.value)
    loaded = loading.load(
        folder,
        classifier=classifier,
        dtype=config.dtype.value,
        quantization=config.quantization.value,
        device=config.device,
        trust_remote_code=config.trust_remote_code,
    )
    batch_tokens = config.batch_tokens or (512 if loaded.device == "cpu" else 16384)
    engine = ClassifierEngine if classifier else CausalEngine
    return engine(loaded, max_model_len=config.max_model_len, batch_tokens=batch_tokens)


def forward_flops(config: TransformersConfig, lengths: Sequence[int]) -> float:
    """Floating-point operations to answer requests of these lengths."""
    return flops.forward_flops(_metadata_folder(config), _model_settings(config), lengths)


def peak_flops(config: TransformersConfig) -> float:
    """Floating-point operations a second of this machine's matrix product, in the engine's number format."""
    return flops.peak_flops(config.device, config.dtype.value)


def _folder(config: TransformersConfig, *, weights: bool = False) -> Path:
    """The model's folder. Raises ConfigError where it lacks the file that the config names, or safetensors."""
    wanted: list[str] = ["*.safetensors"] if weights else []
    if config.gguf_file:
        wanted = [config.gguf_file]
    folder = hub.folder(config.model, config.revision, weights=wanted)
    if config.gguf_file:
        if not (folder / config.gguf_file).is_file():
            there = ", ".join(sorted(path.name for path in folder.glob("*.gguf"))) or "no .gguf file"
            raise ConfigError(f"engine.gguf_file={config.gguf_file}: not in {folder}, where there is {there}")
    elif not (folder / "config.json").is_file():
        found = [path.name for path in folder.glob("*.gguf")]
        hint = f"; did you mean engine.gguf_file={found[0]}?" if found else ""
        raise ConfigError(f"engine.model={config.model}: no config.json in {folder}{hint}")
    elif (weights or hub.commit(folder) is None) and not _safetensors(folder):
        raise ConfigError(
            f"engine.model={config.model}: no weights as *.safetensors in {folder}; other formats can run code when "
            "they are loaded, so convert them (model.save_pretrained writes safetensors)"
        )
    return folder


def _safetensors(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*.safetensors")]


def _metadata_folder(config: TransformersConfig) -> Path:
    folder = _folder(config)
    return gguf.metadata(folder / config.gguf_file) if config.gguf_file else folder


def _tokenizer_key(config: TransformersConfig) -> str:
    return f"engine.tokenizer={config.tokenizer}" if config.tokenizer else f"engine.model={config.model}"


def _tokenizer_folder(config: TransformersConfig) -> Path:
    if config.tokenizer is None:
        return _metadata_folder(config)
    return hub.folder(config.tokenizer, None, key="engine.tokenizer")


def _model_settings(config: TransformersConfig) -> Mapping[str, Any]:
    """The model's config.json."""
    path = _metadata_folder(config) / "config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"engine.model={config.model}: {path} cannot be read: {error}") from error
    assert isinstance(settings, dict)
    return settings


def _architecture(config: TransformersConfig, settings: Mapping[str, Any]) -> str:
    if config.gguf_file:
        return "GGUF ForCausalLM"
    names = settings.get("architectures") or []
    if not names:
        raise ConfigError(f"engine.model={config.model}: its config.json names no architectures, so its use is unknown")
    return str(names[0])
