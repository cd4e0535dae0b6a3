"""The keys of a job: what each is set to, which values it takes, and what it means."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

from omegaconf import BooleanNode, DictConfig, EnumNode, OmegaConf

from lib.usage.about_keys import about_fields, about_lines
from lib.usage.options import FOLDER

_SHARED = ("job", "submission", "format")  # files of conf/ that those of jobs name


@dataclass(frozen=True)
class Key:
    """A key as it is typed. value: what it is set to, as YAML writes it; values: the only ones, where there are few."""

    name: str
    value: str
    values: tuple[str, ...]
    about: str | None


def keys_of(job: str, composed: DictConfig) -> list[Key]:
    """All keys of a composed config, the job's own first. Its YAML files tell of them before their types do."""
    notes: dict[str, str] = {}
    for name in (*_SHARED, job):
        notes |= about_lines(FOLDER / f"{name}.yaml")
    return [_key(*found, notes) for name in _own_first(composed) for found in _leaves(composed, name)]


def _own_first(composed: DictConfig) -> list[str]:
    """The names in a job's config: those of its own class before those that it shares with others."""
    names: dict[str, None] = {}
    kind = OmegaConf.get_type(composed)
    assert kind is not None
    for each in kind.__mro__:
        names |= dict.fromkeys(inspect.get_annotations(each))
    return [name for name in names if name in composed]


def _leaves(node: DictConfig, key: str, path: str = "") -> Iterator[tuple[str, Any, DictConfig]]:
    child = node._get_node(key)
    if isinstance(child, DictConfig) and not child._is_none() and is_dataclass(OmegaConf.get_type(child)):
        for name in map(str, child):
            yield from _leaves(child, name, f"{path}{key}.")
    else:
        yield f"{path}{key}", child, node


def _key(name: str, leaf: Any, parent: DictConfig, notes: Mapping[str, str]) -> Key:
    kind = OmegaConf.get_type(parent)
    told = about_fields(kind) if is_dataclass(kind) else {}
    return Key(name, _shown(leaf), _values(leaf), notes.get(name) or told.get(name.rpartition(".")[2]))


def _shown(leaf: Any) -> str:
    value = leaf._value()
    if isinstance(leaf, EnumNode) and value is not None and not isinstance(value, str):
        return str(value.name)
    if OmegaConf.is_config(leaf) and not leaf._is_none() and not leaf._is_missing():
        return str(OmegaConf.to_container(leaf))
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else "" if value == "???" else str(value)


def _values(leaf: Any) -> tuple[str, ...]:
    if isinstance(leaf, BooleanNode):
        return ("true", "false")
    return tuple(leaf.enum_type.__members__) if isinstance(leaf, EnumNode) else ()
