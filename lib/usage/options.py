"""Which configs a job can be given: the groups of its YAML file, and in each of them those that are of its kind."""

import re
from collections.abc import Iterator
from dataclasses import Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import conf
from lib.tasks.prompts.use import PromptUse, use_of

FOLDER = Path(conf.__file__).parent
_EXPERIMENT = "experiment"
_NAMED = re.compile(r"^  - (?:optional )?(?P<key>(?P<group>\w+)(?:@(?P<place>\w+))?): (?P<default>\w+)\b", re.MULTILINE)
_SCHEMA = re.compile(r"^  - /schema/([\w/]+)@", re.MULTILINE)
_PARENT = re.compile(r"^  - /?((?!_self_)[\w/]+)$", re.MULTILINE)
_CHOSEN = re.compile(r"^  - override /(?P<group>\w+)(?:@(?P<place>\w+))?:", re.MULTILINE)
_LABELS = re.compile(r"^labels:", re.MULTILINE)
_SLOT = re.compile(r"\{(\w+)\}")
_TOP = re.compile(r"^((?!defaults:)\w+):", re.MULTILINE)


@dataclass(frozen=True)
class Choice:
    """A group of configs. key: as it is typed, as in data@documents; place: where it goes; default: "null" for none."""

    key: str
    place: str
    default: str
    options: tuple[str, ...]


def choices(job: str, config: type) -> list[Choice]:
    """The groups of a job's YAML file, each with the configs that fit the type of the job's config."""
    text = (FOLDER / f"{job}.yaml").read_text(encoding="utf-8")
    found = []
    for match in _NAMED.finditer(text):
        group, place = match["group"], match["place"] or match["group"]
        if group == _EXPERIMENT:
            fit = _experiments(config)
        elif (use := _field(config, place).metadata.get("use")) is not None:
            fit = _for_use(group, use)
        else:
            fit = _of_kinds(group, _kinds(config, place))
        found.append(Choice(match["key"], place, match["default"], tuple(sorted(fit))))
    return found


def fitting(job: str, config: type) -> dict[str, tuple[str, ...]]:
    """The configs that fit a job, by the keys of their groups."""
    return {choice.key: choice.options for choice in choices(job, config)}


def _kinds(config: type, name: str) -> tuple[type, ...]:
    """Of which types the config of a group may be. A field that is narrower than its type says so in its metadata."""
    kinds: tuple[type, ...] = _field(config, name).metadata.get("kinds", (get_type_hints(config)[name],))
    return kinds


def _field(config: type, name: str) -> Field[Any]:
    assert is_dataclass(config)
    return next(field for field in fields(config) if field.name == name)


def _for_use(group: str, use: PromptUse) -> Iterator[str]:
    """The prompts that ask for this."""
    for path in (FOLDER / group).glob("*.yaml"):
        text = _with_parents(group, path)
        if use_of(_SLOT.findall(text), labels=_LABELS.search(text) is not None) is use:
            yield path.stem


def _with_parents(group: str, path: Path) -> str:
    """The text of a file, and of those that it is made from."""
    text = path.read_text(encoding="utf-8")
    return "".join([text, *(_with_parents(group, path.with_name(f"{name}.yaml")) for name in _PARENT.findall(text))])


def _of_kinds(group: str, kinds: tuple[type, ...]) -> Iterator[str]:
    for path in (FOLDER / group).glob("*.yaml"):
        kind = _kind(group, path)
        if kind is not None and issubclass(kind, kinds):
            yield path.stem


def _kind(group: str, path: Path) -> type | None:
    """The type of a config: that of the schema which its file names, or the file that it is made from."""
    text = path.read_text(encoding="utf-8")
    if (schema := _SCHEMA.search(text)) is not None:
        return conf.SCHEMAS[schema[1]]
    parent = _PARENT.search(text)
    return None if parent is None else _kind(group, path.with_name(f"{parent[1]}.yaml"))


def _experiments(config: type) -> Iterator[str]:
    """The experiments that set nothing which the job does not have."""
    assert is_dataclass(config)
    ours = {field.name for field in fields(config)}
    folder = FOLDER / _EXPERIMENT
    for path in folder.glob("**/*.yaml"):
        if _set_by(path) <= ours:
            yield str(path.relative_to(folder).with_suffix(""))


def _set_by(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    parents = [_set_by(FOLDER / f"{name}.yaml") for name in _PARENT.findall(text)]
    chosen = [match["place"] or match["group"] for match in _CHOSEN.finditer(text)]
    return {*_TOP.findall(text), *chosen}.union(*parents)
