"""All jobs as one command: `python -m jobs`, or `overnight`; `overnight judge …` is `python -m jobs.judge …`."""

import ast
import gc
import re
import sys
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from jobs import GROUPS
from lib.errors import ExitCode
from lib.invoked import invocation
from lib.usage.show import show

_HELP = ("--help", "-h")
JOBS = [name for names in GROUPS.values() for name in names]


def main() -> None:
    """Run the command line."""
    words = sys.argv[1:]
    if words[:1] == ["--completion"]:
        from lib.usage.completion_script import print_script

        sys.exit(print_script(words[1:]))
    if words[:1] == ["--complete"]:
        from lib.usage.completing import complete

        show("\n".join(complete(words[1], JOBS)))
        return
    if words and words[0] in _HELP:  # --help judge is judge --help
        words = [*words[1:], words[0]] if words[1:] else []
    if not words:
        show(listing())
        return
    if words[0] not in JOBS:
        print(_unknown(words[0]), file=sys.stderr)
        sys.exit(ExitCode.USAGE)
    sys.argv[1:] = words[1:]
    gc.disable()  # all that imports make stays; `launch` enables it
    page = import_module(f"jobs.{words[0]}")  # which brings lib.launch
    import_module("lib.launch").launch(page.JOB)


def listing() -> str:
    """All jobs with a line each, by what they are for."""
    lines = [f"usage: {invocation('JOB')} KEY=VALUE …", ""]
    for title, names in GROUPS.items():
        lines += [title, *(f"  {name:12}{about(name)}" for name in names), ""]
    lines += [f"{invocation('JOB')} --help   its keys, with what they mean, and the configs that fit it"]
    return "\n".join(lines)


def about(name: str) -> str:
    """The first sentence of a job's file, which is not imported for that."""
    text = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    paragraph = " ".join((ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0].split())
    return re.split(r"[.;](?: |$)", paragraph, maxsplit=1)[0]


def _unknown(word: str) -> str:
    near = get_close_matches(word, JOBS, n=1)
    way = f"did you mean {invocation(near[0])}?" if near else f"there are {', '.join(JOBS)}"
    if word.startswith("-"):
        return f"{word}: no such option here; those of a job stand behind its name"
    return f"{word}: no such job; {way}"


if __name__ == "__main__":
    main()
