"""What reports and `metrics.json` say of any run: what was asked of which model, when, and what it took."""

import json
import os
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from lib.data.atomic import write_text
from lib.data.cuts import read_cuts
from lib.data.manifest import Manifest
from lib.data.run_folder import MANIFEST, METRICS, ORIGIN, REPORT, RESULT, read_config, read_object
from lib.data.shards import unfinished
from lib.durations import shown
from lib.engines.endpoint.endpoint_config import EndpointConfig
from lib.pipeline.meter import RunUsage
from lib.pipeline.run import served_answers, spelled_texts

_AS_BYTES = "counted as bytes, of which no text has fewer than tokens: the served model's tokenizer is not here"
_SHOWN = (
    "engine.model",
    "engine.revision",
    "engine.adapter",
    "engine.dtype",
    "engine.quantization",
    "engine.max_model_len",
    "task.classes",
)
_OF_PROMPT = ("system", "template", "labels", "examples", "answer_prefix")


def run_details(manifest: Manifest, folder: Path) -> dict[str, str]:
    """What the reader of a report should know of its run, by what it is called; links in it are `Markup`.

    The run has a result.
    """
    return {
        "job": manifest.job,
        "run folder": str(folder),
        "its rows": f"overnight view run.dir={shlex.quote(str(folder))}",
        "input": Markup(", ").join(_linked(file.source, folder) for file in manifest.inputs),
        **({} if manifest.asked == manifest.rows else {"rows": manifest.division}),
        **{key: str(value) for key in _SHOWN if (value := manifest.identity.get(key)) is not None},
        **_prompt(manifest),
        **({} if (spelled := spelled_texts(manifest, folder)) is None else {"control tokens": spelled}),
        **({} if (served := served_answers(manifest, folder)) is None else {"server": served}),
        **({"tokens": _AS_BYTES} if _counts_bytes(manifest) else {}),
        **({} if (cuts := read_cuts(folder / RESULT)) is None else {"cut": str(cuts)}),
        "time": f"planned {_when(folder / MANIFEST)}, merged {_when(folder / RESULT)}",
        **_work(manifest, folder),
        **_origin(folder),
        "fingerprint": manifest.fingerprint,
    }


def _linked(source: str, folder: Path) -> Markup:
    """A file of the input; that of another run with a link to its report, from the report in the folder."""
    report = Path(source).with_name(REPORT)
    if not (Path(source).is_absolute() and report.is_file() and report.with_name(MANIFEST).is_file()):
        return escape(source)
    return Markup('<a href="{}">{}</a>').format(quote(os.path.relpath(report, folder.resolve())), source)


def run_figures(manifest: Manifest, folder: Path) -> dict[str, Any]:
    """What `metrics.json` says of any run: rows computed and rows remembered, and how well it used its engines.

    Rows that ask what another row asks count as remembered, bad rows as neither. `engine`, as `RunUsage` says it, is
    about computed ones.
    """
    rows = {"computed": _computed(manifest, folder), "remembered": manifest.rows - manifest.asked}
    return {**rows, "engine": _usage(manifest, folder)}


def write_metrics(folder: Path, manifest: Manifest, content: Mapping[str, object]) -> None:
    """Write a run's `metrics.json`: what was measured, how its engines were used, and what they cost."""
    figures = run_figures(manifest, folder)
    everything = {**content, **figures, "cost": _cost(folder, float(figures["engine"]["seconds"] or 0))}
    write_text(folder / METRICS, json.dumps(everything, indent=2, ensure_ascii=False) + "\n")


def _origin(folder: Path) -> dict[str, str]:
    """The line that was typed and the code's version, where they are written down: a stage has none of its own."""
    if not (folder / ORIGIN).exists():
        return {}
    found = read_object(folder / ORIGIN)
    return {"line": str(found.get("command")), "code": str(found.get("version"))}


def _prompt(manifest: Manifest) -> dict[str, str]:
    """The whole prompt, as far as there is one."""
    prompt = {key: manifest.identity.get(f"task.prompt.{key}") for key in _OF_PROMPT}
    return {f"prompt.{key}": _as_text(value) for key, value in prompt.items() if value}


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _work(manifest: Manifest, folder: Path) -> dict[str, str]:
    """What the rows took that were computed; nothing where none was."""
    usage = _usage(manifest, folder)
    seconds = float(usage["seconds"] or 0)
    if not seconds:
        return {}
    rows = _computed(manifest, folder)
    said = f"{rows:,} rows in {shown(seconds)} of workers' time: {rows / seconds:,.2f} rows/s"
    tokens = f", {usage['tokens_per_s']:,.0f} tokens/s" if usage["tokens"] else ""
    gpu_hours = _cost(folder, seconds)["gpu_hours"]
    gpus = {"GPU hours": f"{gpu_hours:,.2f}"} if gpu_hours else {}
    return {"work": f"{said}{tokens} of one worker", **gpus}


def _computed(manifest: Manifest, folder: Path) -> int:
    """How many rows the engine was asked about; while the run works, bad rows of shards that are done count as well."""
    _, footers = unfinished(manifest, folder, retry_failed=False)
    return min(manifest.computed, sum(footer.rows for footer in footers))


def _usage(manifest: Manifest, folder: Path) -> Mapping[str, Any]:
    _, footers = unfinished(manifest, folder, retry_failed=False)
    return RunUsage(footers).content()


def _when(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _counts_bytes(manifest: Manifest) -> bool:
    kind, tokenizer = (manifest.identity.get(f"engine.{key}") for key in ("type", "tokenizer"))
    return kind == EndpointConfig.__name__ and tokenizer is None


def _cost(folder: Path, seconds: float) -> dict[str, float]:
    """Hours of workers and of their GPUs, loading included. seconds: of all workers together."""
    gpus = (read_config(folder).get("engine") or {}).get("num_gpus") or 0
    return {"worker_hours": round(seconds / 3600, 4), "gpu_hours": round(seconds / 3600 * gpus, 4)}
