"""What may stand where the cursor stands on the command line of `overnight`: jobs, keys, configs, values, files."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from lib import ROOT
from lib.cache import cache_folder

_ABOUT = {"plan": "plan.job=", "submit": "job="}  # commands about another job -> the key that names it
_OPTIONS = ("--help", "--multirun", "--cfg", "--config-dir")

Values = dict[str, list[str]]
"""Key or group, as it is typed -> the values it takes; none where they can't be told."""


def complete(line: str, jobs: Sequence[str]) -> list[str]:
    """What the last word of a line, up to the cursor, may become; a word that is whole ends with a blank.

    Of each word what stands behind the last = or : that was typed, which is what Bash puts it in place of.
    """
    *before, word = _words(line)
    job = next((each for each in before[1:] if not each.startswith("-")), None)
    if job is None:
        found = [f"{name} " for name in (*jobs, "--help")]
    elif word.startswith("-"):
        found = [f"{name} " for name in _OPTIONS]
    elif job in jobs:
        found = list(_overrides(_values_of_line(job, before[2:]), word))
    else:
        found = []
    kept = max(word.rfind("="), word.rfind(":")) + 1
    return [each[kept:] for each in found if each.startswith(word)]


def _overrides(values: Values, word: str) -> Iterator[str]:
    key, equals, begun = word.partition("=")
    if not equals:
        yield from (f"{name}=" for name in values)
    elif values.get(key):
        yield from (f"{key}={value} " for value in values[key])
    else:
        yield from (f"{key}={path}" for path in _paths(begun))


def _paths(begun: str) -> Iterator[str]:
    """Files and folders whose path begins so; those that begin with a dot only where that is typed."""
    folder, _, name = begun.rpartition("/")
    place = Path(f"{folder}/" if "/" in begun else ".").expanduser()
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        if path.name.startswith(name) and (name or not path.name.startswith(".")):
            yield f"{folder}/{path.name}"[0 if "/" in begun else 1 :] + ("/" if path.is_dir() else " ")


def _words(line: str) -> list[str]:
    """The words of a shell's line, without quotes and backslashes; the last one may be empty."""
    words = [""]
    for quoted, escaped, blank, other in re.findall(r"'([^']*)'?|\\(.)|(\s+)|([^'\\\s])", line):
        if blank:
            words.append("")
        else:
            words[-1] += quoted or escaped or other
    return words


def _values_of_line(job: str, words: Sequence[str]) -> Values:
    chosen = [word for word in words if re.fullmatch(r"[\w/@]+=[\w/]+", word)]  # no value of a key: it has a dot
    found = _values(job, chosen)
    if job in _ABOUT:
        other = next((word.removeprefix(_ABOUT[job]) for word in words if word.startswith(_ABOUT[job])), "judge")
        found = {**found, **_values(other, chosen)}
    return found


def _values(job: str, chosen: Sequence[str]) -> Values:
    """The keys of a job's config with these choices, kept until the code changes: to make them takes a second."""
    files = (
        path for top in ("jobs", "lib", "conf") for kind in ("*.py", "*.yaml") for path in (ROOT / top).rglob(kind)
    )
    newest = max(path.stat().st_mtime_ns for path in files)
    name = hashlib.sha256(json.dumps([str(ROOT), newest, job, list(chosen)]).encode()).hexdigest()[:16]
    kept = cache_folder("completion") / f"{name}.json"
    if kept.exists():
        found: Values = json.loads(kept.read_text(encoding="utf-8"))
        return found
    found = import_module("lib.usage.key_values").key_values(job, chosen)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(found), encoding="utf-8")
    return found
