"""An adapter (LoRA and its kin, as peft saves them): what its files say, and whether its weights fit a base model."""

import importlib.util
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.engines.checkpoints import hub
from lib.engines.checkpoints.heads import Head
from lib.engines.checkpoints.json_files import read_json
from lib.errors import ConfigError

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LORA = "LORA"
_KINDS = (LORA, "IA3", "LOHA", "LOKR")
_CLASSIFIER = "SEQ_CLS"
_UNLIKE_A_LAYER = ("alora_invocation_tokens", "arrow_config", "layer_replication")  # more than layers, each by itself
_PLAIN_STARTS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")  # of LoRA: the base's own weights stay
_HEADS = ("score", "classifier.out_proj", "classifier")
_VOCABULARY = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
)


@dataclass(frozen=True)
class Adapter:
    """An adapter in its folder. name: as the config has it. settings: its adapter_config.json. shapes: its weights."""

    name: str
    folder: Path
    settings: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def key(self) -> str:
        """For messages."""
        return f"engine.adapter={self.name}"

    @property
    def kind(self) -> str:
        """What peft calls it, such as LORA."""
        return str(self.settings.get("peft_type"))

    @property
    def base(self) -> str | None:
        """The model that it was trained on, as whoever trained it called it."""
        found = self.settings.get("base_model_name_or_path")
        return str(found) if found else None

    @property
    def classifies(self) -> bool:
        """Whether it makes a classifier of its base."""
        return self.settings.get("task_type") == _CLASSIFIER

    @property
    def labels(self) -> int | None:
        """Outputs of the classifier's head that it brings; None for an adapter without one."""
        found = (self.shapes.get(f"base_model.model.{head}.weight") for head in _HEADS)
        return next((shape[0] for shape in found if shape), None) if self.classifies else None

    @property
    def rank(self) -> int:
        """The highest rank among its layers, of a LoRA."""
        ranks = [self.settings.get("r"), *(self.settings.get("rank_pattern") or {}).values()]
        return max((rank for rank in ranks if isinstance(rank, int)), default=0)

    @property
    def has_vocabulary(self) -> bool:
        """Whether the tokenizer that it was trained with lies beside it."""
        return any((self.folder / name).is_file() for name in _VOCABULARY)

    def identity(self) -> dict[str, str]:
        """Its name without a path, and a hash of its files."""
        return {"adapter": hub.shown(self.name), "adapter_hash": hub.files_hash(self.folder, [CONFIG, WEIGHTS])}

    def is_of(self, model: str) -> bool:
        """Whether it names this model as its base, as far as names can tell: the last part of each."""
        return self.base is not None and _last(self.base) == _last(hub.shown(model))


def read(name: str) -> Adapter:
    """The adapter in a folder, of a hub id or a package. Raises ConfigError where there is none that can be loaded."""
    key = f"engine.adapter={name}"
    folder = hub.folder(name, None, weights=[WEIGHTS], key="engine.adapter")
    settings = read_json(folder / CONFIG, dict, key)
    if settings is None:
        raise ConfigError(f"{key}: holds no adapter (no {CONFIG} in {folder}); a whole model is named by engine.model")
    if not (folder / WEIGHTS).is_file():
        raise ConfigError(
            f"{key}: no {WEIGHTS} in {folder}; other formats (adapter_model.bin) can run code when they are loaded, so "
            "convert it (peft's model.save_pretrained writes safetensors)"
        )
    found = Adapter(name, folder, settings, _shapes(folder / WEIGHTS, key))
    if found.kind not in _KINDS:
        raise ConfigError(
            f"{key}: is of the kind {found.kind}; {', '.join(_KINDS)} are loaded. Merge it into its base where peft "
            "can (model.merge_and_unload().save_pretrained), and name that folder as engine.model"
        )
    if there := [setting for setting in _UNLIKE_A_LAYER if settings.get(setting)]:
        raise ConfigError(f"{key}: its {CONFIG} sets {there[0]}, which does more than change layers, and is not loaded")
    start = settings.get("init_lora_weights")
    if isinstance(start, str) and start.lower() not in _PLAIN_STARTS:
        raise ConfigError(
            f"{key}: init_lora_weights={start} changes the base's own weights whenever it is loaded; convert it to a "
            "plain LoRA (peft: save_pretrained with path_initial_model_for_weight_conversion)"
        )
    if importlib.util.find_spec("peft") is None:
        raise ConfigError(f"{key}: needs peft; run `pip install peft`")
    return found


def base_of(folder: Path) -> str | None:
    """The base model that the adapter in a folder names; None where the folder holds no adapter."""
    try:
        return str(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return "a model that it doesn't name"


def require_fit(adapter: Adapter, base: Path, head: Head, *, model: str, trust_remote_code: bool) -> None:
    """Raise ConfigError where the adapter's weights are not just those that it needs on this base. Loads no weights.

    base: a folder with the config.json of `engine.model`, called `model` there. head: with which the base is loaded.
    """
    import torch
    import transformers

    from lib.engines.checkpoints import internlm2_model

    internlm2_model.register()
    usual = {"trust_remote_code": trust_remote_code}
    try:
        config = transformers.AutoConfig.from_pretrained(base, local_files_only=True, **usual)
        if adapter.labels is not None:
            config.num_labels = adapter.labels
        with torch.device("meta"):
            empty = getattr(transformers, head.value).from_config(config, **usual)
            inject(empty, adapter, model=model)
    except (ValueError, TypeError, LookupError, AttributeError, OSError, RuntimeError, ImportError) as error:
        raise ConfigError(f"{adapter.key}: does not go onto engine.model={model}: {_line(error)}") from error


def inject(base: "PreTrainedModel", adapter: Adapter, *, model: str) -> "PeftModel":
    """Put the adapter's layers into a model, without their weights. model: as `engine.model` calls it.

    Raises ConfigError where they are not those of the adapter's file, by name and shape; peft would leave out what has
    no place, and fill with random numbers what is missing.
    """
    from peft import PeftConfig, get_peft_model, get_peft_model_state_dict

    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of names, and of merging, which we decide
        config = PeftConfig.from_pretrained(str(adapter.folder))
        if unknown := sorted(key for key, value in adapter.settings.items() if value and not hasattr(config, key)):
            raise ConfigError(
                f"{adapter.key}: its {CONFIG} sets {unknown[0]}, which the installed peft doesn't know and would leave "
                "out; install a later one (pip install -U peft)"
            )
        config.inference_mode = True
        if adapter.kind == LORA:
            config.init_lora_weights = True  # whatever they began with, they are read from the file
        adapted: PeftModel = get_peft_model(base, config)
        wanted = _shapes_of(get_peft_model_state_dict(adapted, save_embedding_layers=False))
        embeddings = _shapes_of(get_peft_model_state_dict(adapted, save_embedding_layers=True))
    wrong = [f"lacks {name}" for name in sorted(wanted.keys() - adapter.shapes.keys())]
    for name, shape in sorted(adapter.shapes.items()):
        place = wanted.get(name, embeddings.get(name))
        if place is None:
            wrong.append(f"has {name}, for which there is no place")
        elif place != shape:
            wrong.append(f"{name} is {_by(shape)}, but has a place of {_by(place)}")
    if wrong:
        more = f" (and {len(wrong) - 3} more like these)" if len(wrong) > 3 else ""
        of = f", and says that it is of {adapter.base}" if adapter.base else ""
        raise ConfigError(
            f"{adapter.key}: does not fit engine.model={model}: it {'; '.join(wrong[:3])}{more}. It is of another "
            f"model, its vocabulary was resized, or its files are not whole{of}"
        )
    return adapted


def _shapes_of(weights: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in weights.items()}


def _shapes(file: Path, key: str) -> dict[str, tuple[int, ...]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as weights:
            return {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{key}: {file} cannot be read: {error}") from error


def _by(shape: tuple[int, ...]) -> str:
    return " by ".join(map(str, shape))


def _last(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2].casefold()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
