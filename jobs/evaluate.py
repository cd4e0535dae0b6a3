"""Evaluate a run, or a submission against labels: metrics, a table, and a report page.

python -m jobs.evaluate run.dir=DIR
python -m jobs.evaluate run.dir=DIR qrels=FILE
python -m jobs.evaluate 'runs=runs/generate-*'
python -m jobs.evaluate submission=FILE labels=FILE
"""

from dataclasses import dataclass
from pathlib import Path

from lib.errors import ConfigError
from lib.launch import launch
from lib.pipeline.battles import print_report
from lib.pipeline.evaluation import EvaluateConfig, evaluate_run, evaluate_sweep
from lib.pipeline.job import RunFolder
from lib.report.battles_page import from_submission


@dataclass(frozen=True, kw_only=True)
class Config(EvaluateConfig):
    """`conf/evaluate.yaml`. out: where the metrics.json and report.html of a submission or of several runs go."""

    run: RunFolder
    submission: str | None = None
    labels: str | None = None
    out: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        of_files = self.submission is not None and self.labels is not None
        if sum((self.run.dir is not None, of_files, self.runs is not None)) != 1:
            raise ConfigError("give run.dir=DIR, or runs=GLOB, or submission=FILE and labels=FILE")


def main(config: Config) -> None:
    """Run the job."""
    if config.run.dir is not None:
        evaluate_run(Path(config.run.dir), config)
        return
    if config.runs is not None:
        evaluate_sweep(config, Path(config.out or "runs/sweep"))
        return
    assert config.submission is not None
    assert config.labels is not None
    submission, labels = Path(config.submission), Path(config.labels)
    out = Path(config.out) if config.out else submission.with_name(f"{submission.stem}-evaluation")
    details = {"submission": str(submission), "labels": str(labels)}
    print_report(from_submission(submission, labels), out, f"evaluate: {submission.name}", details)


if __name__ == "__main__":
    launch(main, Config, "evaluate")
