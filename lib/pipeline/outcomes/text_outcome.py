"""Generated texts: how they ended, how long they are, how much samples differ; sweeps side by side."""

import json
import os
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from lib.data.atomic import write_text
from lib.data.manifest import Manifest, read_manifest
from lib.data.run_folder import METRICS, REPORT, RESULT
from lib.errors import InputError, OvernightError
from lib.log import log
from lib.pipeline.outcomes.base import EvaluateConfig, print_places, require_result
from lib.pipeline.outcomes.format_outcome import FormatOutcome
from lib.pipeline.outcomes.run_details import run_details, write_metrics
from lib.pipeline.rows_of_run import rows_there, slots_of, table_of
from lib.report.texts_page import (
    SHOWN,
    Point,
    differing,
    measure_texts,
    render_sweep,
    render_texts,
    sweep_lines,
    text_lines,
)
from lib.types import slot_column


class TextOutcome(FormatOutcome):
    """Of jobs that write texts."""

    measured_by = ("tokenizer",)

    def report(self, folder: Path) -> None:
        """As `evaluate`, as suits the texts."""
        self.evaluate(folder, EvaluateConfig())

    def evaluate(self, folder: Path, config: EvaluateConfig) -> None:
        """Lengths, endings, and the diversity of several samples a row."""
        manifest, result = read_manifest(folder), require_result(folder)
        metrics = measure_texts(result, config.tokenizer)
        write_metrics(folder, manifest, metrics.content())
        title, details = f"{manifest.job}: {folder.name}", run_details(manifest, folder)
        page = render_texts(metrics, result, title, details, _asked(folder, manifest))
        write_text(folder / REPORT, page)
        print("\n".join(text_lines(metrics)))
        print_places(folder)

    def compare(self, folders: Sequence[Path], config: EvaluateConfig, out: Path) -> None:
        """The points of a sweep. Raises InputError for runs that differ in more than settings of text."""
        points = [
            Point(
                name=folder.name,
                settings=_settings(read_manifest(folder)),
                metrics=measure_texts(require_result(folder), config.tokenizer),
                report=os.path.relpath(folder / REPORT, out) if (folder / REPORT).exists() else None,
            )
            for folder in folders
        ]
        if inputs := [key for key in differing(points) if key.startswith("input.")]:
            raise InputError(f"{folders[0]}: the runs have different inputs ({inputs[0]}), so they can't be compared")
        out.mkdir(parents=True, exist_ok=True)
        content = [
            {
                "folder": str(folder),
                **{key: point.settings.get(key) for key in differing(points)},
                **point.metrics.content(),
            }
            for folder, point in zip(folders, points, strict=True)
        ]
        write_text(out / METRICS, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        write_text(out / REPORT, render_sweep(points, f"sweep: {len(points)} runs"))
        print(sweep_lines(points))
        print_places(out)


TEXTS = TextOutcome()


def _asked(folder: Path, manifest: Manifest) -> list[dict[str, str]]:
    """What the prompt's slots were filled with in the first rows; nothing where the input is not at hand as it was."""
    if not (slots := slots_of(manifest)):
        return []
    try:
        tables = rows_there(folder / RESULT, folder, manifest, table_of(folder, slots))
        first = list(islice((row for table in tables for row in table.slice(0, SHOWN).to_pylist()), SHOWN))
    except OvernightError as error:
        log.info("%s: the report shows no questions, since the input is not at hand (%s)", folder, error)
        return []
    return [{slot: "\n".join(text or "" for text in row[slot_column(slot)] or ()) for slot in slots} for row in first]


def _settings(manifest: Manifest) -> Mapping[str, object]:
    """What may differ between runs of a sweep."""
    parts = ("task.generate.", "task.prompt.", "engine.", "input.")
    return {key: value for key, value in manifest.identity.items() if key.startswith(parts)}
