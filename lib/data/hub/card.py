"""The card of a published run: README.md of its data set, made of what the run folder holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml  # type: ignore[import-untyped]

from lib.data.hub.publish_config import PublishConfig
from lib.data.manifest import Manifest
from lib.data.run_folder import FAILURES, METRICS, ORIGIN, REPORT, RESULT, read_config, read_object
from lib.scoring.flat_metrics import flat_figures

_ENGINE = ("model", "revision", "adapter", "dtype", "quantization", "max_model_len")
_PROMPT = ("system", "template")


def card(folder: Path, manifest: Manifest, config: PublishConfig) -> str:
    """The card of a finished run, the same whenever it is written. Raises RunFolderError where a file is damaged."""
    resolved = read_config(folder)
    parts = [
        f"---\n{yaml.safe_dump(_front(folder, config), sort_keys=False, allow_unicode=True)}---",
        f"# {resolved['run']['name']}: `jobs.{manifest.job}`",
        f"A table that a run of `jobs.{manifest.job}` of Overnight has made: every row of its input once, as a "
        "result or with the reason why it failed (`error`).",
        _table(("", ""), _facts(folder, manifest)),
        *_prompt(resolved.get("prompt")),
    ]
    if (folder / METRICS).exists():
        figures = [(name, f"{value:,.6g}") for name, value in flat_figures(read_object(folder / METRICS)).items()]
        parts += ["## Metrics", _table(("metric", "value"), figures)]
    if (folder / REPORT).exists():
        parts.append(f"`{REPORT}` has them with pictures: download it, and open it in a browser.")
    if config.license is None:
        parts.append("No licence is stated: what holds is what the model's licence and that of the input say.")
    return "\n\n".join(parts) + "\n"


def _front(folder: Path, config: PublishConfig) -> dict[str, Any]:
    tables = {"default": RESULT} | ({"failures": FAILURES} if pq.read_metadata(folder / FAILURES).num_rows else {})
    configs = [{"config_name": name, "data_files": [{"split": "train", "path": path}]} for name, path in tables.items()]
    license_of = {} if config.license is None else {"license": config.license}
    return {**license_of, "tags": ["overnight"], "configs": configs}


def _facts(folder: Path, manifest: Manifest) -> list[tuple[str, str]]:
    failed = pq.read_metadata(folder / FAILURES).num_rows
    engine = {key: manifest.identity.get(f"engine.{key}") for key in _ENGINE}
    origin = read_object(folder / ORIGIN) if (folder / ORIGIN).exists() else {}
    inputs = [f"{_shown(file.source)} ({file.rows:,})" for file in manifest.inputs]
    facts: dict[str, str] = {
        "rows": f"{manifest.rows:,}, {failed:,} of them failed",
        "input": ", ".join(inputs[:20]) + (f" and {len(inputs) - 20} more files" if len(inputs) > 20 else ""),
        "engine": str(manifest.identity.get("engine.type", "")).removesuffix("Config"),
        **{key: str(value) for key, value in engine.items() if value is not None},
        "fingerprint": manifest.fingerprint,
        **{key: str(origin[key]) for key in ("version", "command") if key in origin},
    }
    return [(name, f"`{value}`") for name, value in facts.items() if value]


def _shown(source: str) -> str:
    """A URL, or the name of a file: its folder is nobody's business."""
    return source if "://" in source else Path(source).name


def _prompt(prompt: Mapping[str, Any] | None) -> list[str]:
    """The prompt's texts, where there are any."""
    texts = {key: text for key in _PROMPT if (text := (prompt or {}).get(key))}
    if not texts:
        return []
    return ["## Prompt", *(f"{key}:\n\n{_fenced(str(text))}" for key, text in texts.items())]


def _fenced(text: str) -> str:
    """A text as it is: the fence is longer than any in it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"


def _table(header: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [header, ("---", "---"), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
