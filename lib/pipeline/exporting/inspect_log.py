"""Samples as a log of Inspect's: an `.eval` file, made of the library's own types, one sample in memory at a time."""

import json
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZipFile

from lib.data.atomic import atomic_path
from lib.data.manifest import Manifest
from lib.data.run_folder import METRICS, read_config, read_object
from lib.errors import ConfigError
from lib.pipeline.exporting.samples import Sample, probabilities
from lib.scoring.flat_metrics import flat_figures

_SCORER = "overnight"


def require_inspect() -> None:
    """Raise ConfigError where Inspect is not installed."""
    try:
        import inspect_ai.log  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"export.to=inspect: needs inspect-ai ({error}); pip install -e '.[inspect]'") from error


def write_inspect(
    task: str, when: datetime, manifest: Manifest, folder: Path, found: Iterable[Sample], out: Path
) -> Path:
    """Write `<date>_<task>_<id>.eval` into a folder; the file."""
    key = manifest.fingerprint[:22]
    place = out / f"{when.isoformat().replace(':', '-')}_{task.replace('_', '-')}_{key}.eval"  # Inspect splits it at _
    model = str(manifest.identity.get("engine.model") or manifest.identity["engine.type"].removesuffix("Config"))
    count = failed = 0
    with (
        atomic_path(place) as temporary,
        ZipFile(temporary, "w", ZIP_DEFLATED) as log,
        tempfile.TemporaryFile("w+b") as summaries,
    ):
        for sample in found:
            made = _sample(sample, model)
            log.writestr(f"samples/{made.id}_epoch_1.json", made.model_dump_json(exclude_none=True))
            summaries.write(b"," if count else b"[")
            summaries.write(made.summary().model_dump_json(exclude_none=True).encode())
            count, failed = count + 1, failed + (sample.error is not None)
        summaries.write(b"]" if count else b"[]")
        summaries.seek(0)
        _copy(summaries, log, "summaries.json")
        header = _header(task, when, manifest, folder, model, (count, failed))
        log.writestr("header.json", header.model_dump_json(exclude_none=True, exclude={"samples"}))
    return place


def _copy(source: IO[bytes], log: ZipFile, name: str) -> None:
    with log.open(name, "w", force_zip64=True) as file:
        while block := source.read(1 << 20):
            file.write(block)


def _sample(sample: Sample, model: str) -> Any:
    from inspect_ai.log import EvalError, EvalSample
    from inspect_ai.model import (
        ChatCompletionChoice,
        ChatMessageAssistant,
        ChatMessageSystem,
        ChatMessageUser,
        ModelOutput,
    )
    from inspect_ai.scorer import CORRECT, INCORRECT, Score

    kinds: dict[str, Any] = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}
    key = f"{sample.number}-"  # message ids of the library's own are drawn at random
    asked = [kinds[role](content=text, id=f"{key}{n}") for n, (role, text) in enumerate(sample.messages)]
    answered = [
        ChatMessageAssistant(content=text, source="generate", model=model, id=f"{key}answer-{n}")
        for n, text in enumerate(sample.answers)
    ]
    choices = [ChatCompletionChoice(message=message, stop_reason="stop") for message in answered]
    value: str | float | None = sample.verdict if sample.score is None else sample.score
    if sample.score is not None and sample.target:
        value = CORRECT if sample.score else INCORRECT
    told = probabilities(sample) or None
    scores = None if value is None else {_SCORER: Score(value=value, answer=sample.verdict, metadata=told)}
    why = sample.error
    return EvalSample(
        id=sample.id,
        epoch=1,
        input=asked,
        target=sample.target,
        messages=[*asked, *answered[:1]],
        output=ModelOutput(model=model, choices=choices, error=why),
        scores=scores,
        metadata=json.loads(json.dumps(sample.columns, default=str)),
        error=None if why is None else EvalError(message=why, traceback="", traceback_ansi=""),
        uuid=f"{sample.number}",
    )


def _header(task: str, when: datetime, manifest: Manifest, folder: Path, model: str, counts: tuple[int, int]) -> Any:
    """counts: of samples, and of those that failed."""
    from inspect_ai.log import (
        EvalConfig,
        EvalDataset,
        EvalError,
        EvalLog,
        EvalMetric,
        EvalResults,
        EvalScore,
        EvalSpec,
        EvalStats,
    )

    at, key, (count, failed) = when.astimezone(UTC).isoformat(), manifest.fingerprint[:22], counts
    resolved = read_config(folder)
    allowed = resolved["run"]["max_error_rate"]
    sound = failed <= allowed * count
    why = f"{failed} of {count} rows failed, more than run.max_error_rate={allowed:g} allows"
    figures = flat_figures(read_object(folder / METRICS)) if (folder / METRICS).exists() else {}
    metrics = {name: EvalMetric(name=name, value=value) for name, value in figures.items() if "." not in name}
    return EvalLog(
        status="success" if sound else "error",
        error=None if sound else EvalError(message=why, traceback="", traceback_ansi=""),
        eval=EvalSpec(
            eval_id=key,
            run_id=key,
            created=at,
            task=task,
            task_id=key,
            dataset=EvalDataset(name=resolved["run"]["name"], samples=count),
            model=model,
            config=EvalConfig(),
            metadata={"fingerprint": manifest.fingerprint, "job": manifest.job},
        ),
        results=EvalResults(
            total_samples=count,
            completed_samples=count - failed,
            scores=[EvalScore(name=_SCORER, scorer=_SCORER, metrics=metrics)],
        ),
        stats=EvalStats(started_at=at, completed_at=at),
    )
