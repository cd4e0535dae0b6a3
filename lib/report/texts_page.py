"""The report of generated text: how it ended, how long it is, and how much a row's samples differ."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.data import parquet
from lib.data.reading.parquet_source import values
from lib.errors import InputError
from lib.report.failures import failure_sections
from lib.report.heat_maps import heat_map
from lib.report.page import Figure, Section, Table, render
from lib.report.tables import text_table
from lib.scoring.diversity import FIGURES, WordTokenizer, choose_tokenizer, diversity

SHOWN = 10
"""Rows of which a page shows the texts."""
_UNSEEN = ("file", "row", "id", "tokens", "cut", "new_tokens", "seed", "error")
_MOST_CHARACTERS = 500  # of what a slot was filled with
_BLOCK_ROWS = 4096
_TELLING = 300  # texts from which a tokenizer is chosen


@dataclass(frozen=True, kw_only=True)
class TextMetrics:
    """Of a run of `jobs.generate`.

    ended: samples by how they ended (`stop`, `length`: cut off). prompt_tokens, new_tokens: sums. cut_rows: rows whose
    prompt was cut. diversity: means over rows, None with one sample a row; tokenizer: what a token is in it.
    """

    rows: int
    failed: int
    samples: int
    ended: Mapping[str, int]
    prompt_tokens: int
    new_tokens: int
    cut_rows: int
    tokenizer: str | None = None
    diversity: Mapping[str, float | None] | None = None

    def content(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure_texts(result: Path, tokenizer: WordTokenizer | None) -> TextMetrics:
    """Measure a result. tokenizer: of the diversity of several samples a row; None: as suits the texts.

    Raises InputError for a result without texts.
    """
    if "text" not in parquet.schema(result).names:
        raise InputError(f"{result}: has no column of texts, so it is not of jobs.generate")
    rows = failed = samples = prompt_tokens = new_tokens = cut_rows = 0
    ended: Counter[str] = Counter()
    for batch in _batches(result, ["finish_reason", "new_tokens", "tokens", "cut", "error"]):
        rows, failed = rows + batch.num_rows, failed + batch.num_rows - batch["error"].null_count
        batch = _fine(batch)
        reasons = _flat(batch["finish_reason"]).drop_null()
        for count in pc.value_counts(reasons).to_pylist():
            ended[count["values"]] += count["counts"]
        samples += len(reasons)
        new_tokens += pc.sum(_flat(batch["new_tokens"])).as_py() or 0
        prompt_tokens += pc.sum(batch["tokens"]).as_py() or 0
        cut_rows += pc.sum(pc.not_equal(batch["cut"], 0)).as_py() or 0
    found = TextMetrics(
        rows=rows,
        failed=failed,
        samples=samples,
        ended=dict(ended),
        prompt_tokens=prompt_tokens,
        new_tokens=new_tokens,
        cut_rows=cut_rows,
    )
    if not _has_many(result) or samples == 0:
        return found
    chosen = tokenizer or choose_tokenizer(
        text for row in islice(_samples(result), _TELLING) for text in row if text is not None
    )
    means = diversity(_samples(result), chosen).means
    return TextMetrics(**{**vars(found), "tokenizer": chosen.name, "diversity": means})


def text_lines(metrics: TextMetrics) -> list[str]:
    """The metrics in words."""
    endings = ", ".join(f"{count:,} by {name}" for name, count in sorted(metrics.ended.items()))
    lines = [
        f"{metrics.rows:,} rows, {metrics.failed:,} failed; {metrics.samples:,} texts, ended {endings or 'never'}.",
        f"{metrics.prompt_tokens:,} tokens of prompts ({metrics.cut_rows:,} of them cut), {metrics.new_tokens:,} new.",
    ]
    if metrics.diversity is not None:
        values = ", ".join(f"{name.replace('_', '-')} {_number(metrics.diversity[name])}" for name in FIGURES)
        lines.append(f"Diversity of a row's samples ({metrics.tokenizer}): {values}.")
    return lines


def render_texts(
    metrics: TextMetrics,
    result: Path,
    title: str,
    details: Mapping[str, str],
    asked: Sequence[Mapping[str, str]] = (),
) -> str:
    """A page with the metrics and the first rows. asked: of each of these, what the prompt's slots were filled with."""
    columns = parquet.schema(result).names
    slots = list(asked[0]) if asked else []
    given = [name for name in columns if name not in (*_UNSEEN, *slots)]
    shown = next(_batches(result, ["row", "id", *given, "error"]), None)
    found = [] if shown is None else _rows(shown.slice(0, SHOWN))
    rows = [
        [row["id"] or f"row {row['row']}", *(_shortened(texts[name]) for name in slots), *_shown(row, given)]
        for row, texts in zip_longest(found, asked[: len(found)], fillvalue=dict.fromkeys(slots, "–"))
    ]
    sections = [
        Section(heading="The first rows", table=Table(header=["id", *slots, *given], rows=rows, prose=True)),
        *failure_sections([result]),
        Section(heading="About this run", table=Table(header=(), rows=list(details.items()), prose=True)),
    ]
    return render(title, text_lines(metrics), sections)


@dataclass(frozen=True)
class Point:
    """A run of a sweep: what it is called, what its settings are, by key, and what was measured.

    report: of the run, as a link from the sweep's page; None where there is none.
    """

    name: str
    settings: Mapping[str, Any]
    metrics: TextMetrics
    report: str | None = None


def by_settings(points: Sequence[Point]) -> list[Point]:
    """Sorted by the settings that differ: numbers by their size, then others."""
    keys = differing(points)
    places = {key: {value: place for place, value in enumerate(_axis(points, key))} for key in keys}
    return sorted(points, key=lambda point: [places[key][str(point.settings.get(key))] for key in keys])


def sweep_table(points: Sequence[Point]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Header and rows: the runs, the settings that differ between them, then their diversity."""
    keys = differing(points)
    header = [
        "run",
        *(key.rpartition(".")[2] for key in keys),
        *(name.replace("_", "-") for name in FIGURES),
        "new tokens",
    ]
    rows = [
        (
            point.name,
            *(str(point.settings.get(key)) for key in keys),
            *(_number((point.metrics.diversity or {}).get(name)) for name in FIGURES),
            f"{point.metrics.new_tokens:,}",
        )
        for point in by_settings(points)
    ]
    return header, rows


def differing(points: Sequence[Point]) -> list[str]:
    """Keys of the settings that are not the same in all runs."""
    keys = dict.fromkeys(key for point in points for key in point.settings)
    return [key for key in keys if len({str(point.settings.get(key)) for point in points}) > 1]


def sweep_lines(points: Sequence[Point]) -> str:
    """The table for a terminal."""
    return text_table(*sweep_table(points))


def render_sweep(points: Sequence[Point], title: str) -> str:
    """A page with the table and, where two settings differ, a heat map of self-BLEU."""
    header, rows = sweep_table(points)
    links = {point.name: point.report for point in points if point.report is not None}
    sections = [Section(heading="Runs", table=Table(header=header, rows=rows, links=links))]
    if len(keys := differing(points)) == 2:
        down, across = (_axis(points, key) for key in keys)
        cells = {
            tuple(str(point.settings.get(key)) for key in keys): (point.metrics.diversity or {}).get("self_bleu")
            for point in points
        }
        values = [[cells.get((i, j)) for j in across] for i in down]
        names = [key.rpartition(".")[2] for key in keys]
        svg = heat_map(
            down,
            across,
            np.array(values, dtype=np.float64),
            row_title=names[0],
            column_title=names[1],
        )
        picture = Figure(svg=svg, description=f"Self-BLEU by {names[0]} and {names[1]}")
        sections.insert(0, Section(heading="Self-BLEU", text=["1: all samples of a row are the same."], figure=picture))
    return render(title, [f"{len(points)} runs of jobs.generate, side by side."], sections)


def _axis(points: Sequence[Point], key: str) -> list[str]:
    """The values of a setting: numbers by their size, then others (texts, lists, none) by how they are written."""
    values = {str(value): value for value in (point.settings.get(key) for point in points)}
    numbers = {text: value for text, value in values.items() if isinstance(value, (int, float))}
    return [*sorted(numbers, key=lambda text: numbers[text]), *sorted(values.keys() - numbers.keys())]


def _batches(result: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    yield from parquet.batches(result, _BLOCK_ROWS, columns)


def _has_many(result: Path) -> bool:
    return bool(pa.types.is_list(parquet.schema(result).field("text").type))


def _samples(result: Path) -> Iterator[list[str | None]]:
    """The samples of each row that has any."""
    for batch in _batches(result, ["text", "error"]):
        yield from (row for row in _fine(batch)["text"].to_pylist() if row)


def _fine(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows that did not fail: the text of one that did may be there, but is not what was asked for."""
    return batch.filter(pc.is_null(batch["error"]))


def _flat(column: pa.Array) -> pa.Array:
    """Cells, those of lists one by one."""
    return column.flatten() if pa.types.is_list(column.type) else column


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows, also of values that Python has none for, such as a time of the year 150,000."""
    cells = [values(column) for column in batch.columns]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*cells, strict=True)]


def _shown(row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    def cell(name: str) -> str:
        value = row[name]
        if name == "text" and row["error"] is not None:
            return f"(failed: {row['error']})"
        if value is None:
            return "–"
        return "\n—\n".join(map(str, value)) if isinstance(value, list) else str(value)

    return [cell(name) for name in names]


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
