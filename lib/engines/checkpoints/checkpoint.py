"""A Hugging Face checkpoint: the config of one, where its files lie, what they say, and what identifies them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any

from lib.engines.base import ModelConfig
from lib.engines.checkpoints import (
    embedding_prompts,
    gguf,
    hub,
    internlm2,
    pooling,
    sentence_settings,
    tokenizer_loading,
)
from lib.engines.checkpoints.json_files import read_json
from lib.engines.sizing import flops
from lib.engines.sizing.model_size import SETTINGS, Sizing, cache_per_token, embedding_parameters, stored_bytes
from lib.errors import ConfigError
from lib.types import Tokenizer

_CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len")
_SHIFTED = {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm", "data2vec-text", "xmod",
            "mpnet", "longformer", "ibert", "lilt", "luke"}  # fmt: skip
_GENERATION = "generation_config.json"  # it names the tokens that end a text
_ADAPTER = "adapter_config.json"
_KINDS = {"architectures": list, "text_config": dict, "id2label": dict, "quantization_config": dict}
_CLASSIFIERS = ("ForSequenceClassification", internlm2.REWARD_MODEL)


class Dtype(Enum):
    """Number format of the weights that are not quantised, and of the computation."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig(ModelConfig):
    """What engines that load a checkpoint have in common.

    model: a folder, a hub id, or `package:NAME[/FOLDER]`. revision: of a hub id; a commit pins it. tokenizer: the same
    kinds of names; null: the model's. gguf_file: a GGUF file in the model's folder, dequantised. add_bos: whether
    prompts for a base model begin with BOS; null: as the tokenizer does. chat_template: Jinja text in place of the
    tokenizer's. prompts: of an embedder, what stands before a `query` and before a `document`; a role that is not named
    here: as the model's config_sentence_transformers.json says, or nothing.
    """

    model: str
    revision: str | None = None
    tokenizer: str | None = None
    gguf_file: str | None = None
    dtype: Dtype = Dtype.float32
    chat_template: str | None = None
    add_bos: bool | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise ConfigError("engine.model='': give a folder, a hub id or package:NAME")
        if self.gguf_file is not None and not self.gguf_file.endswith(".gguf"):
            raise ConfigError(f"engine.gguf_file={self.gguf_file}: must be the name of a .gguf file, or null")
        embedding_prompts.check(self.prompts)

    def check(self, method: str) -> None:
        """Raise ConfigError for what config.json and the tokenizer's files say already.

        method: what the engine is for: `label_logprobs`, `generate`, `score`, `relevance` or `embed`.
        """
        folder(self)
        found = settings(self)
        name = architecture(self)
        if method in ("score", "relevance") and not is_classifier(self):
            raise ConfigError(
                f"engine.model={self.model}: {name} gives no scores; this job needs a reward model or a reranker "
                f"(…ForSequenceClassification with one label, {internlm2.REWARD_MODEL})"
            )
        if method in ("label_logprobs", "generate") and (found.get("is_encoder_decoder") or not is_causal(self)):
            raise ConfigError(
                f"engine.model={self.model}: {name} predicts no next token; this job needs a causal language "
                "model (…ForCausalLM)"
            )
        if method == "embed" and (is_classifier(self) or found.get("is_encoder_decoder")):
            raise ConfigError(
                f"engine.model={self.model}: {name} gives no embeddings; this job needs an encoder or a decoder "
                "(…Model, …ForCausalLM), not a classifier"
            )
        if method in ("score", "relevance") and found.get("is_encoder_decoder"):
            raise ConfigError(
                f"engine.model={self.model}: {name} is an encoder with a decoder, whose score stands at a token that "
                "only its own tokenizer puts there; choose a decoder or an encoder"
            )
        if method == "embed":
            self.embedding_prompts()
            sentence_settings.check(folder(self), f"engine.model={self.model}", self.max_model_len)
        labels = len(found.get("id2label") or (0, 1))  # transformers leaves out its default of two
        if name.endswith("ForSequenceClassification") and labels != 1:
            raise ConfigError(f"engine.model={self.model}: has {labels} labels, a reward model has one")
        limit = positions(found.get("text_config") or found)
        if limit is not None and self.max_model_len > limit:
            raise ConfigError(f"engine.max_model_len={self.max_model_len}: {self.model} reads at most {limit} tokens")
        tokenizer_loading.require_tokenizer(tokenizer_folder(self), _tokenizer_key(self))

    def identity(self) -> dict[str, str]:
        """Hashes of the weights and of the tokenizer with its chat template; names of models without their paths."""
        path = folder(self)
        names = [self.gguf_file] if self.gguf_file else ["config.json", *_safetensors(path)]
        names += _beside_weights(path)
        found = {"model": hub.shown(self.model), "weights_hash": hub.files_hash(path, names)}
        if self.tokenizer:
            found["tokenizer"] = hub.shown(self.tokenizer)
        path = tokenizer_folder(self)
        return {**found, "tokenizer_hash": hub.files_hash(path, {*_of_tokenizer(path), *_code(path)})}

    def load_tokenizer(self) -> Tokenizer:
        """The tokenizer, without weights. Raises ConfigError where there is none."""
        return tokenizer_loading.load(
            tokenizer_folder(self),
            chat_template=self.chat_template,
            add_bos=self.add_bos,
            reward_token=internlm2.reward_token(settings(self)),
            lowered=sentence_settings.read(folder(self, weights=None), f"engine.model={self.model}").lowered,
            trust_remote_code=self.trust_remote_code,
            key=_tokenizer_key(self),
        )

    def embedding_prompts(self) -> Mapping[str, str]:
        """What stands before a text to embed, by its role. Raises ConfigError for a file that cannot be read."""
        return embedding_prompts.read(folder(self), f"engine.model={self.model}") | self.prompts

    def width(self) -> int:
        """Length of the model's vectors: its hidden size. Raises ConfigError where that can't be told."""
        found = settings(self)
        stated = (found.get("text_config") or found).get("hidden_size")
        if stated is None:  # named otherwise, or the architecture's default
            stated = self._usual_width()
        if not isinstance(stated, int) or stated < 1:
            raise ConfigError(f"engine.model={self.model}: hidden_size={stated!r} in its config.json is no width")
        return stated

    def _usual_width(self) -> object:
        from transformers import AutoConfig

        options = {"local_files_only": True, "trust_remote_code": self.trust_remote_code}  # else it asks, and waits
        try:
            return AutoConfig.from_pretrained(_metadata_folder(self), **options).get_text_config().hidden_size
        except (ValueError, KeyError, AttributeError, OSError, ImportError) as error:
            raise ConfigError(
                f"engine.model={self.model}: its config.json has no hidden_size, and transformers can't tell it "
                f"({str(error).splitlines()[0]}); add hidden_size there"
            ) from error


def sizing(
    config: CheckpointConfig, *, layer_bytes: float | None = None, cache_value_bytes: float | None = None, **engine: Any
) -> Sizing | None:
    """The model's size from config.json; nothing is downloaded or loaded.

    layer_bytes: of a parameter that is quantised while loading; None: as the checkpoint has it. cache_value_bytes:
    of a value in the key-value cache; None: as the dtype. engine: the other fields of Sizing.
    None where the size is unknown: of an architecture that transformers does not have, or is no transformer, or of a
    quantisation that we cannot read from config.json.
    """
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from lib.engines.checkpoints import internlm2_model

    internlm2_model.register()
    path = _metadata_folder(config)
    found = settings(config)
    if found.get("model_type") not in CONFIG_MAPPING:
        return None
    text_config = AutoConfig.from_pretrained(path, local_files_only=True).get_text_config()
    text = {name: getattr(text_config, name, None) for name in SETTINGS}  # defaults and other names of theirs included
    if text["num_attention_heads"] is None:  # no transformer
        return None
    value_bytes = 4 if config.dtype is Dtype.float32 else 2
    parameters = flops.count_parameters(path)
    quantization = found.get("quantization_config")
    if layer_bytes is None:
        layer_bytes = value_bytes if quantization is None else stored_bytes(quantization)
    if quantization and _is_whole(path):  # which layers stay as they were is told by the files alone
        weights = sum((path / name).stat().st_size for name in _safetensors(path))
    elif layer_bytes is None:
        return None
    else:
        embeddings = embedding_parameters(text, head=is_causal(config))
        weights = round(parameters * layer_bytes + embeddings * value_bytes)
    return Sizing(
        settings=text,
        parameters=parameters,
        weights=weights,
        cache_per_token=cache_per_token(text, cache_value_bytes or value_bytes),
        max_model_len=config.max_model_len,
        dtype=config.dtype.value,
        **engine,
    )


def settings(config: CheckpointConfig) -> Mapping[str, Any]:
    """The model's config.json. Raises ConfigError where there is none, or it holds something else."""
    path, key = _metadata_folder(config) / "config.json", f"engine.model={config.model}"
    found = read_json(path, dict, key)
    if found is None:
        raise ConfigError(f"{key}: there is no {path}")
    for name, kind in _KINDS.items():
        if not isinstance(found.get(name), (kind, NoneType)):
            raise ConfigError(f"{key}: in {path}, {name} is {found[name]!r}, but must be a {kind.__name__}")
    return found


def architecture(config: CheckpointConfig) -> str:
    """The class that config.json names, such as LlamaForCausalLM."""
    if config.gguf_file:
        return "GGUF ForCausalLM"
    names = settings(config).get("architectures") or []
    if not names:
        raise ConfigError(f"engine.model={config.model}: its config.json names no architectures, so its use is unknown")
    return str(names[0])


def is_classifier(config: CheckpointConfig) -> bool:
    """Whether the model has a head that scores, in place of one that predicts tokens."""
    return architecture(config).endswith(_CLASSIFIERS)


def is_causal(config: CheckpointConfig) -> bool:
    """Whether the model has a head that predicts the next token."""
    return architecture(config).endswith(_CAUSAL)


def folder(config: CheckpointConfig, *, weights: bool | None = False) -> Path:
    """The model's folder. Raises ConfigError where it lacks the file that the config names, or safetensors.

    weights: of a hub id, whether they are fetched as well; None: safetensors may be missing from a folder, too.
    """
    wanted: list[str] = ["*.safetensors"] if weights else []
    if config.gguf_file:
        wanted = [config.gguf_file]
    path = hub.folder(config.model, config.revision, weights=wanted)
    if config.gguf_file:
        path = gguf.joined(path, config.gguf_file)
        if not (path / config.gguf_file).is_file():
            there = ", ".join(sorted(file.name for file in path.glob("*.gguf"))) or "no .gguf file"
            raise ConfigError(f"engine.gguf_file={config.gguf_file}: not in {path}, where there is {there}")
    elif (path / _ADAPTER).is_file():
        base = _base_of_adapter(path / _ADAPTER)
        raise ConfigError(
            f"engine.model={config.model}: {path} holds an adapter ({_ADAPTER}) for {base}, and adapters are not "
            "loaded; merge it into its base (peft: model.merge_and_unload().save_pretrained) and name that folder"
        )
    elif not (path / "config.json").is_file():
        found = [file.name for file in path.glob("*.gguf")]
        hint = f"; did you mean engine.gguf_file={found[0]}?" if found else ""
        if (path / pooling.FILES[0]).is_file():
            hint = f"; its {pooling.FILES[0]} says more: use engine=sentence_transformers engine.model={config.model}"
        raise ConfigError(f"engine.model={config.model}: no config.json in {path}{hint}")
    elif (weights or (weights is False and hub.commit(path) is None)) and not _safetensors(path):
        raise ConfigError(
            f"engine.model={config.model}: no weights as *.safetensors in {path}; other formats can run code when "
            "they are loaded, so convert them (model.save_pretrained writes safetensors)"
        )
    return path


def positions(text: Mapping[str, Any]) -> int | None:
    """Tokens that a model can read, None where its config sets no limit.

    RoBERTa and its kin count positions from the one behind their padding token's id: of 514 they can use 512.
    """
    limit = next((int(text[name]) for name in _LIMITS if isinstance(text.get(name), int) and text[name] > 0), None)
    if limit is None or text.get("model_type") not in _SHIFTED:
        return limit
    pad = text.get("pad_token_id")
    return limit - (1 if pad is None else int(pad)) - 1


def _beside_weights(path: Path) -> list[str]:
    """What stands beside the weights in a folder and changes answers, as names, but for config.json."""
    read = {*pooling.FILES, embedding_prompts.FILE, *sentence_settings.FILES, _GENERATION, *_code(path)}
    return [name for name in read if (path / name).is_file()]


def _of_tokenizer(path: Path) -> list[str]:
    return [name for name in hub.TOKENIZER_FILES if (path / name).is_file()]


def _code(path: Path) -> list[str]:
    """The checkpoint's own code, which runs with engine.trust_remote_code."""
    return [file.name for file in path.glob("*.py")]


def _base_of_adapter(file: Path) -> str:
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError):
        return "a model that it doesn't name"


def weights_folder(config: CheckpointConfig) -> Path:
    """A folder with config.json and safetensors: a GGUF file is converted once. Raises ConfigError as `folder` does."""
    path = folder(config, weights=True)
    return gguf.weights(path / config.gguf_file, config.dtype.value) if config.gguf_file else path


def companions(config: CheckpointConfig) -> dict[str, Path]:
    """The files that say how the model is used, by their names in its folder: all but config.json and weights."""
    path, tokenizer = weights_folder(config), tokenizer_folder(config)
    found = {name: path / name for name in _beside_weights(path)}
    return {**found, **{name: tokenizer / name for name in _of_tokenizer(tokenizer)}}


def weight_bytes(config: CheckpointConfig) -> int:
    """Bytes of the weights on disk, as `weights_folder` has them."""
    path = weights_folder(config)
    return sum((path / name).stat().st_size for name in _safetensors(path))


def tokenizer_folder(config: CheckpointConfig) -> Path:
    """The folder with the tokenizer's files."""
    if config.tokenizer is None:
        return _metadata_folder(config)
    return hub.folder(config.tokenizer, None, key="engine.tokenizer")


def _metadata_folder(config: CheckpointConfig) -> Path:
    path = folder(config, weights=None)
    return gguf.metadata(path / config.gguf_file) if config.gguf_file else path


def _tokenizer_key(config: CheckpointConfig) -> str:
    return f"engine.tokenizer={config.tokenizer}" if config.tokenizer else f"engine.model={config.model}"


def _safetensors(path: Path) -> list[str]:
    return [file.name for file in path.glob("*.safetensors")]


def _is_whole(path: Path) -> bool:
    """Whether all weights are there: those that an index names, or the one file of a model without an index."""
    there = _safetensors(path)
    index = path / "model.safetensors.index.json"
    if not index.is_file():
        return bool(there)
    return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()) <= set(there)
