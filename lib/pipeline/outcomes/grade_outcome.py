"""Graded answers: their mean with an interval, how grades are spread, and means by group."""

from collections.abc import Mapping
from pathlib import Path

from lib.data.atomic import write_text
from lib.data.manifest import read_manifest
from lib.data.run_folder import REPORT, read_config
from lib.pipeline.outcomes.base import (
    EvaluateConfig,
    Outcome,
    print_places,
    require_result,
    run_details,
    write_metrics,
)
from lib.report.grades.grade_measures import KEPT as KEPT
from lib.report.grades.grade_measures import measure_grades
from lib.report.grades.grades_page import grade_summary, render_grades
from lib.tasks.grading.scale import grades_of


class GradeOutcome(Outcome):
    """Of jobs.grade."""

    def report(self, folder: Path) -> None:
        """As `evaluate`."""
        self.evaluate(folder, EvaluateConfig())

    def evaluate(self, folder: Path, config: EvaluateConfig) -> None:
        """Means, intervals, the histogram."""
        manifest, result, given = read_manifest(folder), require_result(folder), read_config(folder)
        metrics = measure_grades(result, grades_of(given["prompt"]["labels"]), list(given["grade"]["criteria"]))
        write_metrics(folder, manifest, metrics.content())
        title = f"{manifest.job}: {folder.name}"
        write_text(folder / REPORT, render_grades(metrics, result, title, run_details(manifest, folder)))
        print(grade_summary(metrics))
        print_places(folder)

    def score(self, metrics: Mapping[str, object]) -> str | None:
        """The mean grade, where there is one."""
        mean = metrics.get("mean")
        return f"mean grade {mean:.4f}" if isinstance(mean, float) else None


GRADES = GradeOutcome()
