"""How an embedder makes one vector of the states of a text's tokens, and what a model's folder says about it.

Folders of sentence-transformers have modules.json, which lists what a text goes through, and 1_Pooling/config.json.
"""

from enum import Enum
from pathlib import Path

from lib.engines.checkpoints.json_files import read_json
from lib.errors import ConfigError

FILES = ("modules.json", "1_Pooling/config.json")
_MODULES = {"Transformer", "Pooling", "Normalize"}


class Pooling(Enum):
    """The state of the last token (usual for decoders), the mean of all states, or the state of the first token."""

    last = "last"
    mean = "mean"
    cls = "cls"


_NAMES = {  # as sentence-transformers writes them since version 6, and as it did before
    "lasttoken": Pooling.last,
    "mean": Pooling.mean,
    "cls": Pooling.cls,
    "pooling_mode_lasttoken": Pooling.last,
    "pooling_mode_mean_tokens": Pooling.mean,
    "pooling_mode_cls_token": Pooling.cls,
}


def module_types(folder: Path, key: str) -> list[str] | None:
    """What a text goes through in the model in a folder, such as Transformer, Pooling and Normalize; None: unsaid."""
    modules = read_json(folder / FILES[0], list, key)
    return None if modules is None else [str(module.get("type")).rpartition(".")[2] for module in modules]


def read(folder: Path, key: str, otherwise: str) -> Pooling | None:
    """How the model in a folder pools; None where the folder does not say.

    otherwise: what else the user may do where this engine can't do as the folder says. Raises ConfigError, naming
    `key`, for a model that needs more than states, pooling and length one.
    """
    modules = module_types(folder, key)
    settings = read_json(folder / FILES[1], dict, key)
    if modules is None or settings is None:
        return None
    others = set(modules) - _MODULES
    found = settings.get("pooling_mode") or [name for name in _NAMES if settings.get(name)]
    names = [found] if isinstance(found, str) else found
    if others or len(names) != 1 or names[0] not in _NAMES or not settings.get("include_prompt", True):
        what = ", ".join(sorted(others)) or f"the pooling {settings}"
        raise ConfigError(
            f"{key}: {folder} asks for {what}, which this engine lacks; use engine=sentence_transformers {key}, or "
            f"{otherwise}"
        )
    return _NAMES[names[0]]
