"""The small JSON files in a model's folder."""

import json
from pathlib import Path
from typing import Any, TypeVar

from lib.errors import ConfigError

Content = TypeVar("Content", list[Any], dict[str, Any])


def read_json(path: Path, kind: type[Content], key: str) -> Content | None:
    """What a file holds; None where there is none.

    Raises ConfigError, naming `key`, where it can't be read or holds something else: an object, a list of objects.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{key}: {path} cannot be read: {error}") from error
    if not isinstance(content, kind):
        raise ConfigError(f"{key}: {path} holds a {type(content).__name__}, but must hold a {kind.__name__}")
    if isinstance(content, list) and not all(isinstance(item, dict) for item in content):
        raise ConfigError(f"{key}: {path} must be a list of objects")
    return content
