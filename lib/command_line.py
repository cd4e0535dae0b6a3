"""The words of a command line: spelled so that Hydra's grammar reads them, and what to do about those it refuses."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

import conf
from lib.errors import ConfigError

Compose = Callable[[list[str]], DictConfig]
Fitting = Mapping[str, Collection[str]]
REFUSALS = (HydraException, OmegaConfBaseException)

OPTIONS = (
    "--help", "--multirun", "--cfg", "--resolve", "--package", "--info", "--config-dir", "--config-path",
    "--config-name", "--run", "--hydra-help", "--version", "--shell-completion", "--experimental-rerun",
)  # fmt: skip
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""


@dataclass(frozen=True)
class Around:
    """The command in whose line that of a job stands. config: the command's own; job: what the other is called."""

    config: DictConfig
    job: str


def readable(argument: str, sweeps: bool = False) -> str:
    """An argument with quotes around those of its words that Hydra's grammar has no place for: 質問.csv, q (1).csv.

    And around a number with underscores, which may be a name: 2026_11_28 would be 20261128.

    sweeps: whether commas stand between the values of a --multirun.
    """
    key, equals, value = argument.partition("=")
    if argument.startswith("-") or not equals:
        return argument
    parsed = _parsed(argument)
    if parsed is not None:
        if "_" in value and not parsed.is_sweep_override() and isinstance(parsed.value(), (int, float)):
            return f"{key}={_quoted(value)}"
        blanks_lost = not parsed.is_sweep_override() and parsed.value() == value.strip() != value
        return f"{key}={_quoted(value)}" if blanks_lost else argument
    spellings = [_quoted(value)]
    if value.startswith(("[", "{")):
        spellings.insert(0, _quoted_inside(value, "[]{},:"))
    if sweeps and "," in value:
        spellings.insert(0, _quoted_inside(value, ","))
    return next((line for line in (f"{key}={spelling}" for spelling in spellings) if _parsed(line)), argument)


def as_value(text: str) -> str:
    """A text as a value that Hydra's grammar reads as just this text."""
    parsed = _parsed(f"key={text}")
    plain = parsed is not None and not parsed.is_sweep_override() and parsed.value() == text
    return text if plain else _quoted(text)


def require_key(argument: str) -> None:
    """Raise ConfigError for an argument that is neither an option nor key=value."""
    if argument.startswith(("-", "~")) or re.match(r"\+{0,2}[^=\s+~]+=", argument):
        return
    raise ConfigError(f"{argument}: must be key=value, as in data.limit=6 or engine=dummy")


def require_effect(words: Iterable[str]) -> None:
    """Raise ConfigError for a word that makes up the name of a run folder, beside run.dir, which is the whole name."""
    given = {key.lstrip("+"): value for key, _, value in (word.partition("=") for word in words)}
    if given.get("run.dir", "null") == "null":
        return
    for key in ("run.name", "run.root"):
        if key in given:
            raise ConfigError(f"{key}={given[key]}: has no effect with run.dir={given['run.dir']}; leave one out")


def refuse_unknown(composed: DictConfig, around: Around | None = None) -> None:
    """Raise ConfigError for a key that was added to a typed config (+key=value), which its type does not have."""
    for path, node in _typed_nodes(composed):
        kind = OmegaConf.get_type(node)
        known = {f.name for f in fields(kind)} if is_dataclass(kind) else set(map(str, node))
        for key in (str(key) for key in node if str(key) not in known):
            raise ConfigError(_unknown(f"{path}{key}", composed, around))


def explained(
    error: Exception,
    overrides: Sequence[str],
    compose: Compose,
    fitting: Callable[[], Fitting],
    around: Around | None = None,
) -> str:
    """What Hydra says of a line that it refuses, in a sentence, with the key or the option that is nearest.

    compose: makes the config of a line; fitting: the configs that fit the job, in each of its groups; around: the
    command whose keys may have been meant as well.
    """
    said = str(error)
    if found := re.match(r"Could not (?:override|delete from config\.|append to config\.) '([^']+)'", said):
        whole = _refusing(error) or _whole(overrides, compose)
        if whole is not None and found[1] in _keys(whole):
            return f"~{found[1]}: a key can't be taken away; where it may be without a value, set it to null"
        return _unknown(found[1], whole, around)
    if found := re.search(r"Could not find '([^']+)/([^'/]+)'\n\nAvailable options in '[^']+':\n", said):
        listed = re.match(r"(?:[ \t]+\S+\n)*", said[found.end() :])  # behind it, Hydra's search path
        options = listed[0].split() if listed else []
        near = get_close_matches(found[2], options, n=1)
        way = f"did you mean {found[1]}={near[0]}?" if near else f"there are {', '.join(options)}"
        return f"{found[1]}={found[2]}: no such config, conf/{found[1]}/{found[2]}.yaml; {way}"
    if found := re.search(r"Merge error: (\w+) is not a subclass of (\w+)", said):
        return _of_another_kind(overrides, fitting(), around) or said.splitlines()[1]
    if found := re.match(r"Ambiguous value for argument '([^=]+)=(.*)'\n", said):
        key, value = found[1], found[2]
        return (
            f"{key}={value}: commas stand between the points of a --multirun, or the words of a list, {key}=[{value}]; "
            f'where they are part of a text, it is "{key}={_quoted(value)}"'
        )
    if said.startswith("Error merging override ") and error.__cause__ is not None:
        word = said.removeprefix("Error merging override ")
        if " is not a subclass of " in str(error.__cause__):
            whole, group = _whole(overrides, compose), word.lstrip("+").partition("=")[0]
            inside = [key for key in _keys(whole or DictConfig({})) if key.rpartition(".")[0] == group]
            if inside:
                return f"{word}: {group} is a group of keys, of which one can be set: {', '.join(inside)}"
        return f"{word}: {_of_value(word, str(error.__cause__).splitlines()[0])}"
    if bad := next((o for o in overrides if _parsed(o) is None), None):
        key, _, value = bad.partition("=")
        plain = re.fullmatch(r"[+~]{0,2}[\w.@/$:-]+", key, re.ASCII)
        way = f'"{key}={_quoted(value)}"' if plain else "set it in a file of conf/ that the line names"
        return f"{bad}: can't be read ({said.splitlines()[0]}); the spelling that works: {way}"
    return said


def _of_value(word: str, why: str) -> str:
    """Why a value is refused, with the nearest one that is not."""
    listed = re.search(r"expected one of \[(.*)\]", why)
    values = listed[1].split(", ") if listed else ["true", "false"] if "is not a valid bool" in why else []
    key, _, value = word.partition("=")
    if "is not a ListConfig" in why:
        return f"takes a list, {key}=[…], with commas between its parts"
    near = get_close_matches(value.lower(), values, n=1, cutoff=0.5)
    return f"{why}; did you mean {key}={near[0]}?" if near else why


def require_option(argument: str, flags: Collection[str]) -> None:
    """Raise ConfigError for an option that neither the job (flags) nor Hydra has."""
    name = argument.partition("=")[0]
    options = [*flags, *OPTIONS]
    if not name.startswith("--") or name in options:
        return
    near = get_close_matches(name, options, n=1)
    raise ConfigError(f"{name}: no such option; {f'did you mean {near[0]}?' if near else 'add --help to see them'}")


def _unknown(key: str, composed: DictConfig | None, around: Around | None = None) -> str:
    """A sentence about a key that is not there."""
    own = [] if around is None else list(_keys(around.config))
    keys = [*own, *([] if composed is None else (k for k in _keys(composed) if not f"{k}.".startswith(f"{key}.")))]
    place, _, name = key.rpartition(".")
    siblings = {k.rpartition(".")[2]: k for k in keys if k.rpartition(".")[0] == place}
    called_so = [k for k in keys if k.rpartition(".")[2] == name]
    if near := get_close_matches(name, siblings, n=1):
        return f"{key}: no such key; did you mean {siblings[near[0]]}?"
    if len(called_so) == 1:
        return f"{key}: no such key; did you mean {called_so[0]}?"
    if near := get_close_matches(key, keys, n=1, cutoff=0.7):
        return f"{key}: no such key; did you mean {near[0]}?"
    if place and place not in keys:
        return _unknown(place, composed, around)
    if around is not None and not place:
        others = [k for k in siblings if k not in own]
        ours = ", ".join(k for k in siblings if k in own)
        return f"{key}: no such key; there are {ours}, and those of jobs.{around.job}: {', '.join(others)}"
    if siblings:
        return f"{key}: no such key; {f'in {place} there are' if place else 'there are'} {', '.join(siblings)}"
    return f"{key}: no such key; add --cfg job to see all of them"


def _of_another_kind(overrides: Sequence[str], fitting: Fitting, around: Around | None) -> str | None:
    """A sentence about the group whose chosen config is not of the kind that the job needs."""
    job = "this job" if around is None else f"jobs.{around.job}"
    for override in overrides:
        group, _, name = override.lstrip("+").partition("=")
        if group in fitting and name not in (*fitting[group], "null"):
            return f"{group}={name}: is of another kind than {job} reads; there are {', '.join(fitting[group])}"
    return None


def _is_choice(override: str) -> bool:
    key = override.lstrip("+").partition("=")[0]
    return (Path(conf.__file__).parent / key.partition("@")[0]).is_dir()


def _refusing(error: Exception) -> DictConfig | None:
    """The config that has not the key, where the error knows it: to compose it again would take as long again."""
    parent = getattr(error.__cause__, "parent_node", None)
    if not isinstance(parent, DictConfig):
        return None
    whole = parent._get_root()
    assert isinstance(whole, DictConfig)
    with open_dict(whole):
        whole.pop("hydra", None)
    return whole


def _whole(overrides: Sequence[str], compose: Compose) -> DictConfig | None:
    """The config that the line chooses, without the values it sets."""
    found = _composes([override for override in overrides if _is_choice(override)], compose)
    return _composes([], compose) if found is None else found


def _composes(overrides: list[str], compose: Compose) -> DictConfig | None:
    try:
        return compose(overrides)
    except REFUSALS:
        return None


def _keys(node: DictConfig, path: str = "") -> Iterator[str]:
    for key in node:
        yield f"{path}{key!s}"
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            yield from _keys(child, f"{path}{key!s}.")


def _typed_nodes(node: DictConfig, path: str = "") -> Iterator[tuple[str, DictConfig]]:
    yield path, node
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not (child._is_none() or child._is_missing() or child._is_interpolation()):
            yield from _typed_nodes(child, f"{path}{key!s}.")


def _parsed(argument: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        return None


def _quoted(text: str) -> str:
    """In quotes; backslashes before a quote are doubled, others are not."""
    inside = re.sub(r"(\\*)'", r"\1\1\\'", text)
    ending = "".join(takewhile(lambda character: character == "\\", reversed(inside)))
    return f"'{inside}{ending}'"


def _quoted_inside(value: str, delimiters: str) -> str:
    """The same for each word between delimiters that is no word of Hydra's."""

    def spelled(found: re.Match[str]) -> str:
        word = found[0]
        bare = word.strip()
        if not bare or bare[0] in "'\"" or _parsed(f"key={bare}") is not None:
            return word
        return word.replace(bare, _quoted(bare))

    return re.sub(f"{_QUOTED}|[^{re.escape(delimiters)}]+", spelled, value)
