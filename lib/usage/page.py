"""The page of --help: what a job is for, how it is typed, the configs that fit it, and its keys."""

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from omegaconf import DictConfig

from lib.invoked import invocation
from lib.pipeline.command import CommandAboutJob
from lib.usage.keys import Key, keys_of
from lib.usage.options import choices


class Documented(Protocol):
    """A job, as far as its page needs it; its file's docstring says what it is for."""

    @property
    def name(self) -> str:
        """As it is typed."""

    @property
    def config(self) -> type[Any]:
        """The type of its config."""


def help_page(job: Documented, composed: DictConfig, chosen: Mapping[str, str]) -> str:
    """The page of a job whose config is composed with what stands on the line beside --help.

    chosen: the config of each group that is chosen there.
    """
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    docs = (sys.modules[job.config.__module__].__doc__ or "").strip()
    command = invocation(job.name)
    groups = choices(job.name, job.config)
    lines = [docs.replace(f"python -m jobs.{job.name}", command), ""]
    if groups:
        lines += ["Configs that fit, behind those that are chosen now (each is a file in conf/, as data/table.yaml):"]
        for group in groups:
            lines += [
                f"  {group.key}={chosen.get(group.key, group.default)}",
                *_wrapped(", ".join(group.options), width),
            ]
        lines.append("")
    lines.append("Keys, with what they are now:" if groups else "Keys:")
    for key in keys_of(job.name, composed):
        lines += list(_of_key(key, width))
    lines += ["", *_options(job, command)]
    return "\n".join(lines)


def _of_key(key: Key, width: int) -> Iterator[str]:
    value = key.value if len(key.value) <= width // 2 else f"{key.value[: width // 2]}…"
    yield f"  {key.name}={value.splitlines()[0] if value else ''}"
    told = "; ".join(part for part in (" | ".join(key.values), key.about) if part)
    yield from _wrapped(told, width)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=" " * 6, subsequent_indent=" " * 6, break_on_hyphens=False)


def _options(job: Documented, command: str) -> list[str]:
    about = {
        **getattr(job, "flags", {}),
        "--multirun": "a run for each value between commas, as in engine.seed=0,1",
        "--cfg job": "the whole config as YAML, and no run",
        "--config-dir DIR": "configs of yours, in folders as those of conf/",
    }
    lines = [f"  {name:18}{what}" for name, what in about.items()]
    lines = ["Options:", *lines]
    if isinstance(job, CommandAboutJob):
        return [*lines, "", f"All else on the line is that of the other job: {invocation('judge')} --help"]
    return [*lines, "", f"The keys of other configs: {command} NAME=CHOICE --help"]
