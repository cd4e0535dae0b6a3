"""Another submission of a merged run of battles, made of the answers that stand in its result, without an engine."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc

from lib.data import parquet
from lib.data.manifest import read_manifest
from lib.data.run_folder import METRICS, REPORT, RESULT, SUBMISSION
from lib.data.submission import SubmissionConfig, write_submission
from lib.errors import ConfigError
from lib.pipeline.outcomes.base import require_result
from lib.pipeline.outcomes.battle_input import bias_rows
from lib.pipeline.outcomes.run_details import run_details
from lib.report.battles.battles_page import summary, write_report
from lib.report.battles.bias_measures import measure_bias
from lib.report.predictions import BLOCK_ROWS, Predictions, from_result
from lib.scoring.probabilities import FloatArray
from lib.tasks.base import as_table
from lib.tasks.battle_requests import VERDICT_FIELDS, verdict_columns

Conclusion = Callable[[Iterable[Predictions]], Iterator[FloatArray]]
"""What makes probabilities [n, 3] of the answers of all rows of a run, block by block, in their order."""


def require_new(out: Path, folder: Path) -> None:
    """Raise ConfigError where one of the files is there, or would pass for the run's own."""
    for path in (out, *_beside(out)):
        if path.exists():
            raise ConfigError(f"merge.out={out}: {path} is there already; choose another name, or delete it first")
    if out.resolve() == (folder / SUBMISSION).resolve():
        raise ConfigError(f"merge.out={out}: would pass for the run's own submission; choose another name")


def submit_another(conclude: Conclusion, how: str, folder: Path, out: Path, config: SubmissionConfig) -> None:
    """Write another submission of a merged run, with metrics and report beside it; the run stays as it is.

    how: the rule or calibration, in words. Raises as `require_new`, InputError where the run is not merged, and what
    `write_submission` raises.
    """
    require_new(out, folder)
    metrics, report = _beside(out)
    result, manifest = require_result(folder), read_manifest(folder)
    details = {**run_details(manifest, folder), "rule": how}
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as place:
        concluded = Path(place) / RESULT
        with parquet.writer(concluded, _schema(result)) as file:
            for block in _concluded(result, conclude):
                file.write_table(block)
        bias = measure_bias(bias_rows(folder, concluded), manifest.identity.get("engine.model"))
        title = f"{manifest.job}: {out.name}"
        found = write_report(from_result(concluded), Path(place), title=title, details=details, bias=bias)
        submission = write_submission(concluded, out, config)
        (Path(place) / METRICS).rename(metrics)
        (Path(place) / REPORT).rename(report)
    print(summary(found))
    print(f"metrics:    {metrics}\nreport:     {report}")
    print(f"submission: {out} ({submission:,} rows, checked)")


def _beside(out: Path) -> tuple[Path, Path]:
    return out.with_name(f"{out.stem}.{METRICS}"), out.with_name(f"{out.stem}.{REPORT}")


def _schema(result: Path) -> pa.Schema:
    """The columns of a result that a report may read: not what a judge wrote."""
    return pa.schema([field for field in parquet.schema(result) if not pa.types.is_nested(field.type)])


def _concluded(result: Path, conclude: Conclusion) -> Iterator[pa.Table]:
    """A result with other verdicts, block by block; a failed row stays one."""
    schema = _schema(result)
    verdicts = pa.schema(VERDICT_FIELDS)
    blocks = parquet.blocks(result, BLOCK_ROWS, schema.names)
    for batch, probabilities in zip(blocks, conclude(from_result(result)), strict=True):
        block = pa.Table.from_batches([batch])
        failed = pc.is_valid(block["error"])
        ruled = as_table(verdict_columns(probabilities), verdicts, nan_is_null=True)
        for field in verdicts:
            column = pc.if_else(failed, pa.scalar(None, field.type), ruled[field.name])
            block = block.set_column(block.column_names.index(field.name), field, column)
        yield block.cast(schema)
