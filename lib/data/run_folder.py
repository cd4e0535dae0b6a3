"""The files of a run folder: their names are written down here, and nowhere else; and how the small ones are read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from lib.data.atomic import HEX, PROBE, TEMPORARY
from lib.errors import RunFolderError

CONFIG = "config.yaml"
ORIGIN = "origin.json"  # the line that was typed, and the code's version
MANIFEST = "manifest.json"
INPUT = "input"
SHARDS = "shards"
SERVER_LOG = "server.txt"  # what a server of the run's own says
JOURNALS = "journals"  # answers of servers about rows of shards that are not done yet
REMEMBERED = "remembered"  # rows that were answered by earlier runs
REPEATED = "repeated"  # rows that ask what another row asks
STORED = "stored.json"  # the shards whose answers are in the store
RESULT = "result.parquet"
FAILURES = "failures.parquet"
SUBMISSION = "submission.csv"
OPENAI_OUTPUT = "openai_output.jsonl"
OPENAI_ERRORS = "openai_errors.jsonl"
METRICS = "metrics.json"
REPORT = "report.html"
FINISHED = "finished.json"
PROGRESS = "progress.json"
LOG = "log.txt"
STAGES = "stages.json"  # of a job in stages
SUBMIT = "submit"  # scripts, output and code of its submissions to a cluster

DELIVERED = (CONFIG, MANIFEST, STAGES, RESULT, FAILURES, SUBMISSION, OPENAI_OUTPUT, OPENAI_ERRORS, METRICS, REPORT)
"""What is copied to `run.out`, as far as a run has it."""
MADE = (RESULT, FAILURES, SUBMISSION, OPENAI_OUTPUT, OPENAI_ERRORS, METRICS, REPORT)
"""What the end of a run makes of its shards."""
COMPLETE = "COMPLETE.json"  # there: written last, it names these files with their sizes and hashes

LEFTOVERS = (
    PROBE,
    *(f"{name}-{HEX * 8}" for name in ("plan", "merge")),
    TEMPORARY,
    *(f"{name}/{TEMPORARY}" for name in (INPUT, REMEMBERED, REPEATED, f"{SHARDS}/*", SUBMIT)),
)
"""What killed processes leave, as patterns for `remove_leftovers`."""
PLANNED = tuple(f"{name}/*-plan-{HEX * 8}*.parquet" for name in (INPUT, REMEMBERED, REPEATED))
"""Files of the run's plan, and of plans that others made at the same time or did not end, as such patterns."""


def partial_name(name: str) -> str:
    """What a file of MADE is called while only some shards are done."""
    return "partial.parquet" if name == RESULT else f"partial-{name}"


def read_object(path: Path, content: Callable[[str], Any] = json.loads) -> dict[str, Any]:
    """What a small file of a run folder holds. Raises RunFolderError where it is missing, or damaged.

    content: of its text.
    """
    try:
        found = content(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}")
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise RunFolderError(
            f"{path}: cannot be read ({str(error).splitlines()[0]}); delete it, and run the job again"
        ) from error
    return found


def read_config(folder: Path) -> dict[str, Any]:
    """The resolved config of a run. Raises RunFolderError as `read_object`."""
    return read_object(folder / CONFIG, yaml.safe_load)
