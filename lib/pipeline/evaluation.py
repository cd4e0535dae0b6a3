"""Evaluating finished runs: of battles, of retrieval, of generated text, one or several side by side."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lib.data.atomic import write_text
from lib.data.manifest import Manifest, read_manifest
from lib.data.merging import RESULT
from lib.data.shards import unfinished
from lib.errors import ConfigError, InputError
from lib.pipeline.battles import BATTLE_JOBS, report, run_details
from lib.pipeline.meter import RunUsage
from lib.report.battles_page import METRICS, REPORT
from lib.report.retrieval_page import measure_retrieval, render_retrieval, retrieval_content, retrieval_lines
from lib.report.texts_page import (
    Point,
    differing,
    measure_texts,
    render_sweep,
    render_texts,
    sweep_lines,
    text_lines,
)
from lib.scoring.diversity import WordTokenizer


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How runs are measured.

    qrels: judgements of retrieved passages (BEIR or TREC). cutoff: the k of nDCG@k and its like. tokenizer: of the
    diversity of samples; null: as suits the texts. runs: a glob of the run folders of a sweep.
    """

    qrels: str | None = None
    cutoff: int = 10
    tokenizer: WordTokenizer | None = None
    runs: str | None = None

    def __post_init__(self) -> None:
        if self.cutoff < 1:
            raise ConfigError(f"evaluate.cutoff={self.cutoff}: must be at least 1")


def evaluate_run(folder: Path, config: EvaluateConfig) -> None:
    """Write a run's `metrics.json` and `report.html`, and print what they say.

    Raises RunFolderError where there is no run, ConfigError for a job that has nothing to be measured.
    """
    manifest = read_manifest(folder)
    if manifest.job in BATTLE_JOBS:
        report(folder)
    elif manifest.job in ("retrieve", "rerank"):
        if config.qrels is None:
            raise ConfigError(f"{folder}: a run of jobs.{manifest.job} is measured against judgements: give qrels=FILE")
        found = measure_retrieval(_result(folder), config.qrels, config.cutoff)
        details = run_details(manifest, folder)
        page = render_retrieval(found, f"{manifest.job}: {folder.name}", details)
        _write(folder, manifest, retrieval_content(found), page, retrieval_lines(found))
    elif manifest.job == "generate":
        report_texts(folder, config.tokenizer)
    else:
        raise ConfigError(f"{folder}: there is nothing to measure in a run of jobs.{manifest.job}")


def report_texts(folder: Path, tokenizer: WordTokenizer | None = None) -> None:
    """Write the report of a run of `jobs.generate`, and print what it says."""
    manifest = read_manifest(folder)
    metrics = measure_texts(_result(folder), tokenizer)
    page = render_texts(metrics, _result(folder), f"generate: {folder.name}", run_details(manifest, folder))
    _write(folder, manifest, metrics.content(), page, text_lines(metrics))


def evaluate_sweep(config: EvaluateConfig, out: Path) -> None:
    """Measure several runs of `jobs.generate`, and put them side by side. out: folder of the table and the page.

    Raises InputError where the glob matches no finished run, or runs that differ in more than settings of text.
    """
    assert config.runs is not None
    folders = [Path(path) for path in sorted(glob(config.runs)) if (Path(path) / RESULT).is_file()]
    if not folders:
        raise InputError(f"runs={config.runs}: matches no folder of a finished run; put it into quotes, with a *")
    points = []
    for folder in folders:
        manifest = read_manifest(folder)
        if manifest.job != "generate":
            raise InputError(f"{folder}: is a run of jobs.{manifest.job}; a sweep is of jobs.generate")
        points.append(Point(_settings(manifest), measure_texts(folder / RESULT, config.tokenizer)))
    if inputs := [key for key in differing(points) if key.startswith("input.")]:
        raise InputError(f"runs={config.runs}: they have different inputs ({inputs[0]}), so they can't be compared")
    out.mkdir(parents=True, exist_ok=True)
    content = [
        {
            "folder": str(folder),
            **{key: point.settings.get(key) for key in differing(points)},
            **point.metrics.content(),
        }
        for folder, point in zip(folders, points, strict=True)
    ]
    write_text(out / METRICS, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    write_text(out / REPORT, render_sweep(points, f"sweep: {len(points)} runs"))
    print(sweep_lines(points))
    _print_places(out)


def _settings(manifest: Manifest) -> Mapping[str, Any]:
    """What may differ between runs of a sweep."""
    parts = ("task.generate.", "task.prompt.", "engine.", "input.")
    return {key: value for key, value in manifest.identity.items() if key.startswith(parts)}


def _result(folder: Path) -> Path:
    if not (folder / RESULT).is_file():
        raise InputError(f"{folder}: has no {RESULT} yet; run the job again to finish it")
    return folder / RESULT


def _write(folder: Path, manifest: Manifest, content: Mapping[str, Any], page: str, lines: Sequence[str]) -> None:
    _, footers = unfinished(manifest, folder, retry_failed=False)
    engine = RunUsage(footers).content()
    everything = {**content, "engine": engine, "cost": _cost(folder, float(engine["seconds"] or 0))}
    write_text(folder / METRICS, json.dumps(everything, indent=2, ensure_ascii=False) + "\n")
    write_text(folder / REPORT, page)
    print("\n".join(lines))
    _print_places(folder)


def _cost(folder: Path, seconds: float) -> dict[str, float]:
    """Hours of workers and of their GPUs, loading included. seconds: of all workers together."""
    gpus = OmegaConf.select(OmegaConf.load(folder / "config.yaml"), "engine.num_gpus") or 0
    return {"worker_hours": round(seconds / 3600, 4), "gpu_hours": round(seconds / 3600 * gpus, 4)}


def _print_places(folder: Path) -> None:
    print(f"metrics:    {folder / METRICS}")
    print(f"report:     {folder / REPORT}")
