"""How an embedder makes one vector of the states of a text's tokens, and what a model's folder says about it.

Folders of sentence-transformers have modules.json, which lists what a text goes through, and 1_Pooling/config.json.
"""

import json
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from lib.errors import ConfigError

Content = TypeVar("Content", list[Any], dict[str, Any])
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


def read(folder: Path, key: str) -> Pooling | None:
    """How the model in a folder pools; None where the folder does not say.

    Raises ConfigError, naming `key`, for a model that needs more than states, pooling and length one.
    """
    modules = _json(folder / FILES[0], list, key)
    settings = _json(folder / FILES[1], dict, key)
    if modules is None or settings is None:
        return None
    others = {module["type"].rpartition(".")[2] for module in modules} - _MODULES
    found = settings.get("pooling_mode") or [name for name in _NAMES if settings.get(name)]
    names = [found] if isinstance(found, str) else found
    if others or len(names) != 1 or names[0] not in _NAMES or not settings.get("include_prompt", True):
        what = ", ".join(sorted(others)) or f"the pooling {settings}"
        raise ConfigError(
            f"{key}: {folder} asks for {what}, which this engine lacks; choose another model, or do without it by "
            "engine.pooling=last, mean or cls"
        )
    return _NAMES[names[0]]


def _json(path: Path, kind: type[Content], key: str) -> Content | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{key}: {path} cannot be read: {error}") from error
    if not isinstance(content, kind):
        raise ConfigError(f"{key}: {path} holds a {type(content).__name__}, but must hold a {kind.__name__}")
    return content
