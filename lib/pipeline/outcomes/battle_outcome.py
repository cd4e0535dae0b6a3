"""Battles: a score beside that of a guess, a report, and a checked submission."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from lib.data.manifest import read_manifest
from lib.data.merging import MergeConfig
from lib.data.reading.input_file import read_ids
from lib.data.row_names import name_blocks
from lib.data.run_folder import RESULT, SUBMISSION
from lib.data.submission import SubmissionConfig, require_same_ids, write_submission
from lib.errors import InputError
from lib.log import log
from lib.pipeline.outcomes.aggregated import Aggregated, aggregate_run
from lib.pipeline.outcomes.base import EvaluateConfig, Outcome, print_places, run_details, run_figures
from lib.pipeline.run import Run
from lib.report.battles_page import summary, write_report
from lib.report.page import Section
from lib.report.predictions import Predictions, from_result


class BattleOutcome(Outcome):
    """Of jobs whose rows are battles."""

    merge = SubmissionConfig
    measured_by = ("aggregate", "baseline", "difficulty")
    without_failed = " and, for a submission, merge.on_failed=uniform or prior"

    def check(self, run: Run, config: MergeConfig) -> None:
        """Refuse a sample submission of other ids; a submission of before must not pass for this run's."""
        assert isinstance(config, SubmissionConfig)
        (run.folder / SUBMISSION).unlink(missing_ok=True)
        if config.sample is not None:

            def ids() -> Iterator[pa.Array]:
                return (ids for file in run.manifest.inputs for ids in read_ids(file, run.folder, run.data))

            require_same_ids(lambda: name_blocks(ids), Path(config.sample))

    def report(self, folder: Path) -> None:
        """Log loss and more where there are labels, what the verdicts are like, and what a benchmark makes of them."""
        try:
            summed_up = aggregate_run(folder, EvaluateConfig())
        except InputError as error:  # what can't be summed up so may be fine otherwise
            log.warning("prompt.aggregate: %s (jobs.evaluate run.dir=%s … sums it up then)", error, folder)
            summed_up = None
        self._report(folder, summed_up)

    def deliver(self, folder: Path, config: MergeConfig) -> None:
        """Write and check `submission.csv`. Raises RunFailed where a row failed and `merge.on_failed` is `fail`."""
        assert isinstance(config, SubmissionConfig)
        (folder / SUBMISSION).unlink(missing_ok=True)
        rows = write_submission(folder / RESULT, folder / SUBMISSION, config)
        print(f"submission: {folder / SUBMISSION} ({rows:,} rows, checked)")

    def evaluate(self, folder: Path, config: EvaluateConfig) -> None:
        """The report again; raises InputError where verdicts can't be summed up as the settings say."""
        self._report(folder, aggregate_run(folder, config))

    def _report(self, folder: Path, summed_up: Aggregated | None) -> None:
        manifest = read_manifest(folder)
        title, details = f"{manifest.job}: {folder.name}", run_details(manifest, folder)
        figures, sections = run_figures(manifest, folder), []
        if summed_up is not None:
            figures, sections = {"aggregate": summed_up.content, **figures}, [summed_up.section]
            print(summed_up.lines)
        print_report(from_result(folder / RESULT), folder, title, details, figures, sections)

    def score(self, metrics: Mapping[str, object]) -> str | None:
        """The log loss, where there are labels."""
        loss = metrics.get("log_loss")
        return None if loss is None else f"log loss {loss:.4f}"


BATTLES = BattleOutcome()


def print_report(
    blocks: Iterable[Predictions],
    out: Path,
    title: str,
    details: Mapping[str, str],
    run: Mapping[str, object] | None = None,
    more: Sequence[Section] = (),
) -> None:
    """Write `metrics.json` and `report.html` into `out`, print the table. blocks, run, more: as of `write_report`."""
    print(summary(write_report(blocks, out, title=title, details=details, run=run, more=more)))
    print_places(out)
