"""The typed configs' shared parts: which fields belong to a run's fingerprint."""

import math
import re
from collections.abc import Collection
from dataclasses import MISSING, Field, field, fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from lib.errors import ConfigError
from lib.urls import without_secrets

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def transient(*, default: Any = MISSING, default_factory: Any = MISSING) -> Any:
    """A config field that does not change results (batch size, paths, logging): not fingerprinted."""
    return field(default=default, default_factory=default_factory, metadata={"transient": True})


def later(*, default: Any = MISSING, default_factory: Any = MISSING, rule: bool = False) -> Any:
    """A config field that came when runs and stores were there already: it is fingerprinted where it is set only.

    rule: as of `of_rule`.
    """
    metadata = {"later": True, "rule": True} if rule else {"later": True}
    return field(default=default, default_factory=default_factory, metadata=metadata)


def of_rule(*, default: Any) -> Any:
    """A config field of what is concluded from answers: it changes results, but nothing that an engine is asked."""
    return field(default=default, metadata={"rule": True})


def require_unset(
    group: str,
    config: "DataclassInstance",
    why: str,
    but: Collection[str] = (),
    usual: "DataclassInstance | None" = None,
) -> None:
    """Raise ConfigError for a setting that is not at its default, though it has no effect.

    group: of the config; "" where its keys stand at the top. why: when it has none, as in "with data=openai_batch".
    but: keys that have one. Keys without a default are let be.
    usual: the job's own defaults, where these are others than the type's.
    """
    for key in (f for f in fields(config) if f.name not in but):
        default = _default(key) if usual is None else getattr(usual, key.name)
        if default is not MISSING and (value := getattr(config, key.name)) != default:
            shown = str(value).lower() if isinstance(value, bool) else getattr(value, "name", value)
            raise ConfigError(f"{group}{'.' if group else ''}{key.name}={shown}: has no effect {why}; leave it out")


def require_local(key: str, path: str | None) -> None:
    """Raise ConfigError for a URL where only a path can be meant, and for nothing at all."""
    if path == "":
        raise ConfigError(f"{key}: is empty; give a path, or leave it out")
    if path is not None and "://" in path:
        raise ConfigError(f"{key}={without_secrets(path)}: must be a path here, not a URL; copy it here first")


def require_finite(config: Any, key: str = "") -> None:
    """Raise ConfigError for a setting that is NaN or infinite: no comparison would say what it does."""
    if isinstance(config, float) and not math.isfinite(config):
        raise ConfigError(f"{key}={config}: must be a finite number")
    if is_dataclass(config):
        for each in fields(config):
            require_finite(getattr(config, each.name), f"{key}{'.' if key else ''}{each.name}")
    for item in config if isinstance(config, list) else ():
        require_finite(item, key)


def identity(config: Any, *, rules: bool = True) -> dict[str, Any]:
    """The fields of a config that change results, as plain JSON values.

    A config that names a file says by a method `contents` what it has read there, as values by name. rules: with those
    that are settings of a rule; without them, what is left says what is asked.
    """
    assert is_dataclass(config)
    left_out = {"transient"} if rules else {"transient", "rule"}
    found = {f.name: getattr(config, f.name) for f in fields(config) if not left_out.intersection(f.metadata)}
    for f in fields(config):
        if "later" in f.metadata and f.name in found and found[f.name] == _default(f):
            del found[f.name]
    if (contents := getattr(config, "contents", None)) is not None:
        found |= contents()
    return {name: _plain(value) for name, value in found.items()}


def public(tree: Any) -> Any:
    """A tree of plain values, with scheme://host/path only of those that are URLs."""
    if isinstance(tree, dict):
        return {key: public(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [public(value) for value in tree]
    return without_secrets(tree) if isinstance(tree, str) and re.match(r"\w+://\S+$", tree) else tree


def _default(key: "Field[Any]") -> Any:
    """What a field is unless told otherwise; MISSING where it has to be told."""
    return key.default if key.default_factory is MISSING else key.default_factory()


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return identity(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value
