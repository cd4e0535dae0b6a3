"""What the keys of a config mean, as its dataclasses say themselves, and as the YAML files say behind them."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

_COMMENTED = re.compile(r"^( *)(\w+):[^#\n]*?(?: #\s*(.*))?$")


def about_fields(kind: type) -> dict[str, str]:
    """What the docstrings of a dataclass and of those that it is made from say of its fields: `key: what.`

    A field that none of them tells of is left out.
    """
    found: dict[str, str] = {}
    for each in reversed([each for each in kind.__mro__ if is_dataclass(each)]):
        names = [field.name for field in fields(each)]
        found |= _told(inspect.cleandoc(each.__doc__ or ""), names)
    return found


def about_lines(file: Path) -> dict[str, str]:
    """What a YAML file says of its keys, each with its path, in a comment at the end of the key's line."""
    path: list[tuple[int, str]] = []
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if (match := _COMMENTED.match(line)) is None:
            continue
        depth = len(match[1])
        path = [(at, key) for at, key in path if at < depth] + [(depth, match[2])]
        if match[3]:
            found[".".join(key for _, key in path)] = match[3].rstrip(",")
    return found


def _told(text: str, names: list[str]) -> dict[str, str]:
    """What a docstring says of each of these names: up to the next name that it tells of, or the paragraph's end."""
    any_name = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    if not names:
        return {}
    found: dict[str, str] = {}
    for paragraph in re.split(r"\n\s*\n", text):
        whole = " ".join(paragraph.split())
        heads = list(re.finditer(rf"(?:^|(?<=[.;:] ))((?:{any_name})(?:, (?:{any_name}))*): ", whole))
        ends = [*(head.start() for head in heads[1:]), len(whole)]
        for head, end in zip(heads, ends, strict=False):
            said = whole[head.end() : end].strip(" ;.")
            found |= {name: said for name in re.split(", ", head[1]) if said}
        for sentence in _sentences(whole):
            if (match := re.match(rf"`?({any_name})`? (?=[a-z])", sentence)) is not None:
                found.setdefault(match[1], sentence[match.end() :].strip(" ;."))
    return found


def _sentences(text: str) -> Iterator[str]:
    for part in re.split(r"(?<=[.;:]) ", text):
        yield part.removeprefix("of these ")
