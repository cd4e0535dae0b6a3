"""Another submission of a merged run of battles: by another rule, from the answers that stand in its result."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lib.config import identity
from lib.data import parquet
from lib.data.manifest import Manifest, flatten, read_manifest
from lib.data.run_folder import METRICS, REPORT, RESULT, SUBMISSION
from lib.data.submission import SubmissionConfig, write_submission
from lib.errors import ConfigError
from lib.pipeline.outcomes.base import require_result, run_details
from lib.pipeline.outcomes.battle_input import bias_rows
from lib.report.battles.bias import measure_bias
from lib.report.battles_page import summary, write_report
from lib.report.predictions import from_result
from lib.scoring.probabilities import FloatArray
from lib.tasks.base import AnyTask, as_table
from lib.tasks.battle_requests import VERDICT_FIELDS, verdict_columns
from lib.tasks.pairwise import PairwiseConfig
from lib.tasks.reward import ArenaConfig
from lib.types import PROBABILITIES

BattleRule = PairwiseConfig | ArenaConfig

RULES: Mapping[str, type[BattleRule]] = {"judge": PairwiseConfig, "arena": ArenaConfig}
"""Jobs whose rule may change, each with the config of its section, which is called as the job is."""

_BLOCK_ROWS = 65_536


def settings_of_rule(task: AnyTask) -> dict[str, Any]:
    """The settings that only a task's rule uses, by their keys in the identity of a plan."""
    question = flatten({"task": task.question()})
    return {key: value for key, value in flatten({"task": task.identity()}).items() if key not in question}


def another_rule(manifest: Manifest, given: Mapping[str, object]) -> BattleRule:
    """The rule of a run of one of RULES, with what is given in place of its own settings.

    Raises ConfigError for a setting that there isn't, one that is of no rule, and a value that can't be.
    """
    job = manifest.job
    kind = RULES[job]
    of_rule = {f.name: "rule" in f.metadata for f in fields(kind)}
    for key, value in given.items():
        if key not in of_rule:
            known = ", ".join(name for name, it_is in of_rule.items() if it_is)
            raise ConfigError(f"{job}.{key}={value}: no such key; a rule has {known}")
        if not of_rule[key]:
            raise ConfigError(
                f"{job}.{key}={value}: is no setting of the rule, but of what the engine is asked; run jobs.{job} with "
                "it, in another run.dir"
            )
    prefix = f"task.{job}."
    own = {key: manifest.identity[prefix + key] for key in of_rule if prefix + key in manifest.identity}
    if given.get("rule", own.get("rule")) != own.get("rule"):  # its parameters were of the rule that was
        own = {key: value for key, value in own.items() if not of_rule[key]}
    try:
        rule = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), own, dict(given)))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{job}.{error.full_key}: {str(error).splitlines()[0]}") from error
    assert isinstance(rule, (PairwiseConfig, ArenaConfig))
    return rule


def submit_by(rule: BattleRule, folder: Path, out: Path, config: SubmissionConfig) -> None:
    """Write a submission of a merged run by a rule, with metrics and report beside it; the run stays as it is.

    Raises ConfigError where one of the files is there, InputError where the run is not merged, and what
    `write_submission` raises.
    """
    metrics, report = (out.with_name(f"{out.stem}.{name}") for name in (METRICS, REPORT))
    for path in (out, metrics, report):
        if path.exists():
            raise ConfigError(f"merge.out={out}: {path} is there already; choose another name, or delete it first")
    if out.resolve() == (folder / SUBMISSION).resolve():
        raise ConfigError(f"merge.out={out}: would pass for the run's own submission; choose another name")
    result, manifest = require_result(folder), read_manifest(folder)
    settings = ", ".join(f"{manifest.job}.{key}={value}" for key, value in identity(rule).items())
    details = {**run_details(manifest, folder), "rule": settings}
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as place:
        concluded = Path(place) / RESULT
        with parquet.writer(concluded, _schema(result)) as file:
            for block in _concluded(result, rule):
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


def _schema(result: Path) -> pa.Schema:
    """The columns of a result that a report may read: not what a judge wrote."""
    return pa.schema([field for field in parquet.schema(result) if not pa.types.is_nested(field.type)])


def _concluded(result: Path, rule: BattleRule) -> Iterator[pa.Table]:
    """A result by another rule, block by block; a failed row stays one."""
    schema = _schema(result)
    verdicts = pa.schema(VERDICT_FIELDS)
    for batch in parquet.batches(result, _BLOCK_ROWS, schema.names):
        block = pa.Table.from_batches([batch])
        failed = pc.is_valid(block["error"])
        ruled = as_table(verdict_columns(_probabilities(block, rule)), verdicts, nan_is_null=True)
        for field in verdicts:
            column = pc.if_else(failed, pa.scalar(None, field.type), ruled[field.name])
            block = block.set_column(block.column_names.index(field.name), field, column)
        yield block.cast(schema)


def _probabilities(block: pa.Table, rule: BattleRule) -> FloatArray:
    """Probabilities [n, 3] from the answers of some rows."""
    if isinstance(rule, ArenaConfig):
        return rule.probabilities(block["score_a"].to_numpy(), block["score_b"].to_numpy())
    ab, ba = (np.column_stack([block[f"{order}_{name}"] for name in PROBABILITIES]) for order in ("ab", "ba"))
    return rule.probabilities(ab, ba)
