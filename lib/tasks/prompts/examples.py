"""Worked examples of a prompt: read from a file, and checked."""

import csv
import io
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from lib.errors import ConfigError

ANSWER = "answer"


def read_examples(path: str) -> list[Any]:
    """The examples in a file: lines of JSON, rows of CSV under a header, or a list in YAML.

    Raises ConfigError for a file that cannot be read.
    """
    readers = {".jsonl": _jsonl, ".csv": _csv, ".yaml": _yaml, ".yml": _yaml}
    reader = readers.get(Path(path).suffix.lower())
    if reader is None:
        raise ConfigError(f"prompt.examples_file={path}: must be a .jsonl, .csv or .yaml file")
    try:
        return reader(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"prompt.examples_file={path}: cannot be read: {error}") from error


def check_example(example: object, slots: Collection[str], where: str) -> dict[str, list[str]]:
    """The texts of each slot and of ANSWER. Raises ConfigError, beginning with `where`, for anything else."""
    if ANSWER in slots:
        raise ConfigError(f"{where}: a slot {{{ANSWER}}} can't be told from the example's answer; rename the slot")
    fields = {*slots, ANSWER}
    if not isinstance(example, dict):
        raise ConfigError(f"{where}: must be a mapping with {', '.join(sorted(fields))}")
    missing, unknown = sorted(fields - example.keys()), sorted(map(str, example.keys() - fields))
    if missing or unknown:
        wrong = [f"{what}: {', '.join(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names]
        raise ConfigError(f"{where}: needs {', '.join(sorted(fields))} and nothing else; {'; '.join(wrong)}")
    texts = {name: value if isinstance(value, list) else [value] for name, value in example.items()}
    for name, values in texts.items():
        for value in values:
            require_text(value, f"{where}, {name}")
    if len(texts[ANSWER]) != 1 or not texts[ANSWER][0].strip():
        raise ConfigError(f"{where}, {ANSWER}: must be one text that is not empty")
    return texts


def require_text(value: object, where: str) -> None:
    """Raise ConfigError, beginning with `where`, for a value of YAML or JSON that is no text."""
    if isinstance(value, bool):
        raise ConfigError(f"{where}: a bare yes, no, true or false is a truth value in YAML; write the text in quotes")
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {value!r} is no text; write it in quotes")


def _jsonl(text: str) -> list[Any]:
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def _csv(text: str) -> list[Any]:
    try:
        records = [record for record in csv.reader(io.StringIO(text, newline=""), strict=True) if record]
    except csv.Error as error:
        raise ValueError(f"malformed CSV ({error})") from error
    for number, record in enumerate(records[1:], 1):
        if len(record) != len(records[0]):
            raise ValueError(f"example {number} has {len(record)} cells where the header has {len(records[0])}")
    return [dict(zip(records[0], record, strict=True)) for record in records[1:]]


def _yaml(text: str) -> list[Any]:
    import yaml  # type: ignore[import-untyped]

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"malformed YAML ({error})") from error
    if not isinstance(found, list):
        raise ValueError("must hold a list of examples")
    return found
