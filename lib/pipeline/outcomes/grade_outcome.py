"""Graded answers: their mean with an interval, how grades are spread, and means by group."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from lib.data.atomic import write_text
from lib.data.manifest import read_manifest
from lib.data.run_folder import METRICS, REPORT, read_config
from lib.errors import InputError
from lib.pipeline.outcomes.base import EvaluateConfig, Outcome, print_places, require_result
from lib.pipeline.outcomes.run_details import run_details, write_metrics
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
        manifest, result = read_manifest(folder), require_result(folder)
        metrics = measure_grades({folder.name: result}, *_asked(folder))
        write_metrics(folder, manifest, metrics.content())
        title = f"{manifest.job}: {folder.name}"
        write_text(folder / REPORT, render_grades(metrics, [result], title, run_details(manifest, folder)))
        print(grade_summary(metrics))
        print_places(folder)

    def compare(self, folders: Sequence[Path], config: EvaluateConfig, out: Path) -> None:
        """Several runs together, as of MT-Bench's two turns: the mean of all rows, and of each run.

        Raises InputError for runs of different scales or criteria.
        """
        for folder in folders[1:]:
            if _asked(folder) != _asked(folders[0]):
                raise InputError(
                    f"{folder}: has other grades or criteria than {folders[0]}, so they have no common mean"
                )
        results = {str(folder): require_result(folder) for folder in folders}
        metrics = measure_grades(results, *_asked(folders[0]))
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / METRICS, json.dumps(metrics.content(), indent=2, ensure_ascii=False) + "\n")
        page = render_grades(metrics, list(results.values()), f"grade: {len(folders)} runs", {})
        write_text(out / REPORT, page)
        print(grade_summary(metrics))
        print_places(out)

    def score(self, metrics: Mapping[str, object]) -> str | None:
        """The mean grade, where there is one."""
        mean = metrics.get("mean")
        return f"mean grade {mean:.4f}" if isinstance(mean, float) else None


GRADES = GradeOutcome()


def _asked(folder: Path) -> tuple[tuple[float, ...], list[str]]:
    """The grades of a run, and its criteria."""
    given = read_config(folder)
    return grades_of(given["prompt"]["labels"]), list(given["grade"]["criteria"])
