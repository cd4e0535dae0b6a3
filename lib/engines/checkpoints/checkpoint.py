"""A Hugging Face checkpoint: the config of one, where its files lie, what they say, and what identifies them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any

from lib.config import later
from lib.engines.base import HubFiles, ModelConfig
from lib.engines.checkpoints import adapter as adapters
from lib.engines.checkpoints import (
    embedding_prompts,
    gguf,
    hub,
    internlm2,
    pooling,
    sentence_settings,
    tokenizer_loading,
)
from lib.engines.checkpoints.adapter import Adapter
from lib.engines.checkpoints.heads import head_of
from lib.engines.checkpoints.json_files import read_json
from lib.engines.sizing import flops
from lib.engines.sizing.model_size import SETTINGS, Sizing, cache_per_token, embedding_parameters, stored_bytes
from lib.errors import ConfigError
from lib.log import log
from lib.types import Tokenizer

_CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len")
_SHIFTED = {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm", "data2vec-text", "xmod",
            "mpnet", "longformer", "ibert", "lilt", "luke"}  # fmt: skip
_GENERATION = "generation_config.json"  # it names the tokens that end a text
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
    kinds of names; null: the adapter's where its folder has one, else the model's. gguf_file: a GGUF file in the
    model's folder, dequantised. add_bos: whether prompts for a base model begin with BOS; null: as the tokenizer does.
    chat_template: Jinja text in place of the tokenizer's. prompts: of an embedder, what stands before a `query` and
    before a `document`; a role that is not named here: as the model's config_sentence_transformers.json says, or
    nothing. adapter: a folder, a hub id or `package:NAME[/FOLDER]` of what peft has saved and was trained on the model:
    LoRA (QLoRA, DoRA), IA3, LoHa or LoKr. dtype: the number format that it is computed in. trust_remote_code: run
    Python files that the model's folder brings.
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
    adapter: str | None = later(default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise ConfigError("engine.model='': give a folder, a hub id or package:NAME")
        if self.adapter == "":
            raise ConfigError("engine.adapter='': give a folder, a hub id or package:NAME, or null")
        if self.gguf_file is not None and not self.gguf_file.endswith(".gguf"):
            raise ConfigError(f"engine.gguf_file={self.gguf_file}: must be the name of a .gguf file, or null")
        embedding_prompts.check(self.prompts)

    def check(self, method: str) -> None:
        """Raise ConfigError for what config.json and the tokenizer's files say already.

        method: what the engine is for: `label_logprobs`, `class_logprobs`, `generate`, `score`, `relevance` or `embed`.
        """
        folder(self)
        found = settings(self)
        name = architecture(self)
        classifies, wants_one = is_classifier(self), method in ("score", "relevance")
        if wants_one and not classifies:
            raise ConfigError(
                f"engine.model={self.model}: {name} gives no scores; this job needs a reward model or a reranker "
                f"(…ForSequenceClassification with one label, {internlm2.REWARD_MODEL})"
            )
        if method == "class_logprobs":
            self._require_three_classes()
        if method in ("label_logprobs", "generate") and (found.get("is_encoder_decoder") or not is_causal(self)):
            other = "; one with three labels judges with judge.mode=classes" if classifies else ""
            what = name if not classifies or name.endswith(_CLASSIFIERS) else f"{name}, by its adapter a classifier,"
            raise ConfigError(
                f"engine.model={self.model}: {what} predicts no next token; this job needs a causal language model "
                f"(…ForCausalLM){other}"
            )
        if method == "embed" and (classifies or found.get("is_encoder_decoder")):
            raise ConfigError(
                f"engine.model={self.model}: {name} gives no embeddings; this job needs an encoder or a decoder "
                "(…Model, …ForCausalLM), not a classifier"
            )
        if (wants_one or method == "class_logprobs") and found.get("is_encoder_decoder"):
            raise ConfigError(
                f"engine.model={self.model}: {name} is an encoder with a decoder, whose score stands at a token that "
                "only its own tokenizer puts there; choose a decoder or an encoder"
            )
        if method == "embed":
            self.embedding_prompts()
            sentence_settings.check(folder(self), f"engine.model={self.model}", self.max_model_len)
        if wants_one and (labels := count_labels(self)) != 1:
            three = "; one with three judges battles in jobs.judge, with judge.mode=classes" if labels == 3 else ""
            raise ConfigError(f"engine.model={self.model}: has {labels} labels, a reward model has one{three}")
        limit = positions(found.get("text_config") or found)
        if limit is not None and self.max_model_len > limit:
            raise ConfigError(f"engine.max_model_len={self.max_model_len}: {self.model} reads at most {limit} tokens")
        tokenizer_loading.require_tokenizer(tokenizer_folder(self), _tokenizer_key(self))
        if (adapter := adapter_of(self)) is not None:
            self._require_base_of(adapter, method)

    def _require_three_classes(self) -> None:
        """Raise ConfigError for a model that does not choose one of three classes."""
        needs = "a judge of battles is a …ForSequenceClassification with three labels: A, B, tie"
        if not is_classifier(self):
            raise ConfigError(
                f"engine.model={self.model}: {architecture(self)} has no classes; {needs}; a language model judges "
                "with judge.mode=labels"
            )
        if (labels := count_labels(self)) != 3:
            one = "; with one label it is a reward model, for jobs.arena" if labels == 1 else ""
            raise ConfigError(f"engine.model={self.model}: has {labels} label{'s' * (labels > 1)}; {needs}{one}")
        kind = settings(self).get("problem_type")
        if kind not in (None, "single_label_classification"):
            raise ConfigError(
                f"engine.model={self.model}: its config.json says problem_type={kind}; {needs}, of which one holds"
            )

    def _require_base_of(self, adapter: Adapter, method: str) -> None:
        """Raise ConfigError where an adapter does not fit; warn where it is said to be of another model."""
        base = _metadata_folder(self)
        adapters.require_fit(adapter, base, head_of(method), model=self.model, trust_remote_code=self.trust_remote_code)
        if not adapter.is_of(self.model):
            log.warning(
                "%s: says that it was trained on %s; its weights fit engine.model=%s, which is taken to be the same",
                adapter.key,
                adapter.base or "a model that it doesn't name",
                self.model,
            )

    def identity(self) -> dict[str, str]:
        """Hashes of the weights and of the tokenizer with its chat template; names of models without their paths."""
        path = folder(self)
        names = [self.gguf_file] if self.gguf_file else ["config.json", *_safetensors(path)]
        names += _beside_weights(path)
        found = {"model": hub.shown(self.model), "weights_hash": hub.files_hash(path, names)}
        if (adapter := adapter_of(self)) is not None:
            found |= adapter.identity()
        if self.tokenizer:
            found["tokenizer"] = hub.shown(self.tokenizer)
        path = tokenizer_folder(self)
        return {**found, "tokenizer_hash": hub.files_hash(path, {*_of_tokenizer(path), *_code(path)})}

    def hub_files(self) -> Sequence[HubFiles]:
        """Model, tokenizer and adapter, as far as they are hub ids. Raises ConfigError for what is no name of any."""
        weights = [self.gguf_file or "*.safetensors"]
        found = hub.wanted(self.model, self.revision, weights=weights)
        if self.tokenizer is not None:
            found += hub.wanted(self.tokenizer, None, key="engine.tokenizer")
        if self.adapter is not None:
            found += hub.wanted(self.adapter, None, weights=[adapters.WEIGHTS], key="engine.adapter")
        return found

    def load_tokenizer(self) -> Tokenizer:
        """The tokenizer, without weights. Raises ConfigError where there is none, or it is too large for the model."""
        path, found = tokenizer_folder(self), settings(self)
        tokenizer = tokenizer_loading.load(
            path,
            chat_template=self.chat_template,
            add_bos=self.add_bos,
            reward_token=internlm2.reward_token(found),
            lowered=sentence_settings.read(folder(self, weights=None), f"engine.model={self.model}").lowered,
            trust_remote_code=self.trust_remote_code,
            key=_tokenizer_key(self),
        )
        rows = (found.get("text_config") or found).get("vocab_size")
        own = len(tokenizer.huggingface)
        if self.adapter is not None and isinstance(rows, int) and own > rows:
            raise ConfigError(
                f"{_tokenizer_key(self)}: its tokenizer has {own} tokens, engine.model={self.model} has {rows}: the "
                "vocabulary was resized in training; name a base that was resized alike, or another engine.tokenizer"
            )
        return tokenizer

    def class_names(self) -> Sequence[str]:
        """What a judge's config.json calls its three classes, in the order of its outputs; LABEL_0, … if nothing.

        Raises ConfigError for a model that does not choose one of three classes.
        """
        self._require_three_classes()
        named = settings(self).get("id2label") or {}
        own = named if len(named) == count_labels(self) else {}  # a base may have others than the adapter's head
        return [str(own.get(str(number), f"LABEL_{number}")) for number in range(count_labels(self))]

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
    """Whether the model, with its adapter, has a head that scores, in place of one that predicts tokens.

    Raises ConfigError for an adapter that makes a classifier of its base and brings no head.
    """
    if architecture(config).endswith(_CLASSIFIERS):
        return True
    adapter = adapter_of(config)
    if adapter is not None and adapter.classifies and adapter.labels is None:
        raise ConfigError(
            f"{adapter.key}: is of a classifier, but has no head (score, classifier), and engine.model={config.model} "
            "has none; save the adapter with its head (peft: task_type=SEQ_CLS, or modules_to_save)"
        )
    return adapter is not None and adapter.classifies


def is_causal(config: CheckpointConfig) -> bool:
    """Whether the model, with its adapter, has a head that predicts the next token."""
    return architecture(config).endswith(_CAUSAL) and not is_classifier(config)


def count_labels(config: CheckpointConfig) -> int:
    """Outputs of a classifier's head: the adapter's where it brings one."""
    adapter = adapter_of(config)
    if adapter is not None and adapter.labels is not None:
        return adapter.labels
    if architecture(config) == internlm2.REWARD_MODEL:
        return 1
    return len(settings(config).get("id2label") or (0, 1))  # transformers leaves out its default of two


def adapter_of(config: CheckpointConfig) -> Adapter | None:
    """The adapter that the config names. Raises ConfigError where it can't be loaded."""
    return None if config.adapter is None else adapters.read(config.adapter)


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
    elif (base := adapters.base_of(path)) is not None:
        raise ConfigError(
            f"engine.model={config.model}: {path} holds an adapter ({adapters.CONFIG}) for {base}; name it as "
            f"engine.adapter={config.model}, and its base as engine.model"
        )
    elif not (path / "config.json").is_file():
        found = [file.name for file in path.glob("*.gguf")] or hub.ggufs(config.model, config.revision, path)
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
    if config.tokenizer is not None:
        return hub.folder(config.tokenizer, None, key="engine.tokenizer")
    adapter = adapter_of(config)
    return adapter.folder if adapter is not None and adapter.has_vocabulary else _metadata_folder(config)


def _metadata_folder(config: CheckpointConfig) -> Path:
    path = folder(config, weights=None)
    return gguf.metadata(path / config.gguf_file) if config.gguf_file else path


def _tokenizer_key(config: CheckpointConfig) -> str:
    if config.tokenizer:
        return f"engine.tokenizer={config.tokenizer}"
    adapter = adapter_of(config)
    return adapter.key if adapter is not None and adapter.has_vocabulary else f"engine.model={config.model}"


def _safetensors(path: Path) -> list[str]:
    return [file.name for file in path.glob("*.safetensors")]


def _is_whole(path: Path) -> bool:
    """Whether all weights are there: those that an index names, or the one file of a model without an index."""
    there = _safetensors(path)
    index = path / "model.safetensors.index.json"
    if not index.is_file():
        return bool(there)
    return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()) <= set(there)
