"""Battles: a score beside that of a guess, a report, and a checked submission."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pyarrow as pa

from lib.data.atomic import write_text
from lib.data.battle_files.annotations import Annotations
from lib.data.battle_files.label_files import read_labels
from lib.data.manifest import read_manifest
from lib.data.merging import MergeConfig
from lib.data.reading.input_file import read_ids
from lib.data.row_names import name_blocks
from lib.data.run_folder import METRICS, REPORT, RESULT, SUBMISSION
from lib.data.submission import SubmissionConfig, require_same_ids, write_submission
from lib.errors import ConfigError, InputError
from lib.log import log
from lib.pipeline.outcomes.aggregated import Aggregated, aggregate_run
from lib.pipeline.outcomes.base import EvaluateConfig, Metric, Outcome, print_places
from lib.pipeline.outcomes.battle_input import beginnings, bias_rows
from lib.pipeline.outcomes.run_details import run_details, run_figures
from lib.pipeline.run import Run
from lib.report.battles.annotators import agreement_lines, measure_agreement, render_agreement
from lib.report.battles.battles_page import summary, write_report
from lib.report.battles.bias_measures import Bias, measure_bias
from lib.report.battles.bias_page import bias_lines
from lib.report.battles.comparison import Comparison, compare
from lib.report.battles.comparison_page import comparison_lines, render_comparisons
from lib.report.battles.paired_rows import paired
from lib.report.page import Section
from lib.report.predictions import Predictions, from_result


class BattleOutcome(Outcome):
    """Of jobs whose rows are battles."""

    merge = SubmissionConfig
    measured_by = ("labels", "metric", "aggregate", "baseline", "difficulty")
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
        bias = measure_bias(bias_rows(folder, folder / RESULT), manifest.identity.get("engine.model"))
        print_report(from_result(folder / RESULT), folder, title, details, figures, bias, sections)

    def compare(self, folders: Sequence[Path], config: EvaluateConfig, out: Path) -> None:
        """Every two of them on the rows that both scored. Raises InputError where these are none."""
        metric = (config.metric or Metric.log_loss).value
        if len(folders) < 2:
            raise InputError(f"{folders[0]}: is alone; give two or more run folders or submissions to be compared")
        labels = None if config.labels is None else read_labels(Path(config.labels), questions=True)
        pairs = [
            _with_texts(compare(paired(one, other, labels), str(one), str(other)), one, other)
            for one, other in combinations(folders, 2)
        ]
        if labels is not None and not any(found.measured for found in pairs):
            raise InputError(f"{config.labels}: has no id of a row that two of {', '.join(map(str, folders))} scored")
        if all(found.scores and metric not in found.scores for found in pairs):
            raise ConfigError(
                f"metric={metric}: the runs have hard verdicts only, of which there is none; give metric=accuracy"
            )
        out.mkdir(parents=True, exist_ok=True)
        contents = [found.content(metric) for found in pairs]
        together = {"metric": metric, "runs": [str(folder) for folder in folders], "pairs": contents}
        content = contents[0] if len(pairs) == 1 else together
        write_text(out / METRICS, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        write_text(out / REPORT, render_comparisons(pairs, metric, f"{len(folders)} runs side by side"))
        print("\n".join(comparison_lines(pairs, metric)))
        print_places(out)

    def score(self, metrics: Mapping[str, object]) -> str | None:
        """The log loss, where there are labels."""
        loss = metrics.get("log_loss")
        return None if loss is None else f"log loss {loss:.4f}"


BATTLES = BattleOutcome()


def _with_texts(found: Comparison, *paths: Path) -> Comparison:
    """The same, the rows that differ most with the beginnings of their texts, where a run's input is at hand."""
    names = [row.name for row in found.differ_most]
    texts = next((some for path in paths if path.is_dir() and (some := beginnings(path, names))), {})
    differing = tuple(replace(row, texts=texts.get(row.name, {})) for row in found.differ_most)
    return replace(found, differ_most=differing)


def print_agreement(found: Annotations, out: Path, title: str) -> None:
    """Write how far annotators agree into `out`, as `metrics.json` and `report.html`, and print it."""
    agreement = measure_agreement(found)
    out.mkdir(parents=True, exist_ok=True)
    content = json.dumps(agreement.content(), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(out / METRICS, content + "\n")
    write_text(out / REPORT, render_agreement(agreement, title))
    print("\n".join(agreement_lines(agreement)))
    print_places(out)


def print_report(
    blocks: Iterable[Predictions],
    out: Path,
    title: str,
    details: Mapping[str, str],
    run: Mapping[str, object] | None = None,
    bias: Bias | None = None,
    more: Sequence[Section] = (),
) -> None:
    """Write `metrics.json` and `report.html` into `out`, and print the table. Arguments: as of `write_report`."""
    print(summary(write_report(blocks, out, title=title, details=details, run=run, bias=bias, more=more)))
    for line in [] if bias is None else bias_lines(bias):
        print(line)
    print_places(out)
