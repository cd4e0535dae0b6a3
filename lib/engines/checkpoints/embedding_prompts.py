"""What stands before a text to embed, by its role: query or document. What a model's folder says about it.

Folders of sentence-transformers have config_sentence_transformers.json, with texts by name under `prompts`.
"""

from collections.abc import Iterable
from pathlib import Path

from lib.engines.checkpoints.json_files import read_json
from lib.errors import ConfigError

FILE = "config_sentence_transformers.json"
ROLES = {"query": ("query",), "document": ("document", "passage", "corpus")}
"""The roles, and the names that folders give them: the first that has a text counts."""


def read(folder: Path, key: str) -> dict[str, str]:
    """What the model in a folder wants before a text of each role: '' where it does not say.

    As in sentence-transformers, `default_prompt_name` is not for these roles. Raises ConfigError, naming `key`, for a
    file that cannot be read.
    """
    prompts = (read_json(folder / FILE, dict, key) or {}).get("prompts") or {}
    if not isinstance(prompts, dict):
        raise ConfigError(f"{key}: {folder / FILE}: prompts is a {type(prompts).__name__}, but must be a dict")
    return {role: next((prompts[n] for n in names if prompts.get(n)), "") for role, names in ROLES.items()}


def check(roles: Iterable[str]) -> None:
    """Raise ConfigError for a name that is no role."""
    if unknown := sorted(set(roles) - set(ROLES)):
        raise ConfigError(f"engine.prompts: has {', '.join(unknown)}; its keys are {' and '.join(ROLES)}")
