"""From battles to a submission: what `jobs.judge` and `jobs.arena` share."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from lib.data.manifest import Manifest, read_manifest
from lib.data.merging import RESULT
from lib.data.reading.intake import read_ids
from lib.data.rows.battles import BattlesConfig
from lib.data.shards import unfinished
from lib.data.submission import SUBMISSION, MergeConfig, require_same_ids, write_submission
from lib.pipeline.job import EngineJobConfig, begin, work_on_part
from lib.pipeline.meter import RunUsage
from lib.pipeline.run import Recipe, execute, require_error_rate
from lib.report.battles_page import METRICS, REPORT, Predictions, from_result, summary, write_report

BATTLE_JOBS = ("judge", "arena")
_SHOWN = ("engine.model", "engine.revision", "engine.dtype", "engine.quantization", "engine.max_model_len")


@dataclass(frozen=True, kw_only=True)
class BattleJobConfig(EngineJobConfig):
    """The config groups that every job about battles has."""

    data: BattlesConfig
    merge: MergeConfig


def run_battles(job: str, config: BattleJobConfig, asked: Recipe) -> None:
    """Plan or resume, execute, merge, evaluate, and write the submission; of a part of a run: plan and execute only.

    Raises RunFailed where too many rows failed, or where there is no submission because of `merge.on_failed`.
    """
    spec = begin(job, config, asked)
    if not config.shards.whole:
        work_on_part(spec, config)
        return
    (spec.folder / SUBMISSION).unlink(missing_ok=True)
    if config.merge.sample is not None:
        ids = [read_ids(file, spec.folder, config.data) for file in spec.manifest.inputs]
        require_same_ids(pa.concat_arrays(ids), Path(config.merge.sample))
    merged = execute(spec, config.run, config.executor)
    report(spec.folder)
    require_error_rate(merged, config.run.max_error_rate, spec.folder)
    submit(spec.folder, config.merge)


def report(folder: Path) -> None:
    """Evaluate a run's result: write its `metrics.json` and `report.html`, and print the table.

    Raises RunFolderError where the folder holds no run, InputError where the run is not finished.
    """
    manifest = read_manifest(folder)
    details = run_details(manifest, folder)
    _, footers = unfinished(manifest, folder, retry_failed=False)
    engine = RunUsage(footers).content()
    print_report(from_result(folder / RESULT), folder, f"{manifest.job}: {folder.name}", details, engine)


def run_details(manifest: Manifest, folder: Path) -> dict[str, str]:
    """What the reader of a report should know of its run."""
    return {
        "job": manifest.job,
        "run folder": str(folder),
        "input": ", ".join(file.source for file in manifest.inputs),
        **{key: str(value) for key in _SHOWN if (value := manifest.identity.get(key)) is not None},
        "fingerprint": manifest.fingerprint,
    }


def print_report(
    predictions: Predictions,
    out: Path,
    title: str,
    details: Mapping[str, str],
    engine: Mapping[str, float | int | None] | None = None,
) -> None:
    """Write `metrics.json` and `report.html` into `out`, and print the table. engine: as of `write_report`."""
    print(summary(write_report(predictions, out, title=title, details=details, engine=engine)))
    print(f"metrics:    {out / METRICS}")
    print(f"report:     {out / REPORT}")


def submit(folder: Path, config: MergeConfig) -> None:
    """Write and check a run's `submission.csv`."""
    (folder / SUBMISSION).unlink(missing_ok=True)  # one of before must not pass for this one
    submission = write_submission(folder / RESULT, folder / SUBMISSION, config)
    print(f"submission: {folder / SUBMISSION} ({len(submission.ids):,} rows, checked)")
