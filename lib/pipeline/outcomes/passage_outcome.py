"""Retrieved and reranked passages: measured against judgements."""

from pathlib import Path

from lib.data.atomic import write_text
from lib.data.manifest import read_manifest
from lib.data.run_folder import REPORT
from lib.errors import ConfigError
from lib.pipeline.outcomes.base import EvaluateConfig, print_places, require_result
from lib.pipeline.outcomes.format_outcome import FormatOutcome
from lib.pipeline.outcomes.run_details import run_details, write_metrics
from lib.report.retrieval_page import measure_retrieval, render_retrieval, retrieval_content, retrieval_lines


class PassageOutcome(FormatOutcome):
    """Of jobs that find passages, or put them into another order."""

    measured_by = ("qrels", "cutoff")

    def evaluate(self, folder: Path, config: EvaluateConfig) -> None:
        """nDCG, recall, MRR and MAP. Raises ConfigError without judgements."""
        manifest = read_manifest(folder)
        if config.qrels is None:
            raise ConfigError(f"{folder}: a run of jobs.{manifest.job} is measured against judgements: give qrels=FILE")
        found = measure_retrieval(require_result(folder), config.qrels, config.cutoff)
        write_metrics(folder, manifest, retrieval_content(found))
        title = f"{manifest.job}: {folder.name}"
        write_text(folder / REPORT, render_retrieval(found, title, run_details(manifest, folder)))
        print("\n".join(retrieval_lines(found)))
        print_places(folder)


PASSAGES = PassageOutcome()
