"""The report of what number formats cost: memory, speed, perplexity."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lib.report.charts import bar_chart
from lib.report.page import Figure, Section, Table, render
from lib.report.tables import text_table

_COLUMNS = {  # field -> its title on the terminal and the page, and its form
    "computed_mib": ("computed", ",.1f"),
    "weights_mib": ("weights", ",.1f"),
    "loaded_mib": ("loaded", ",.1f"),
    "peak_loading_mib": ("peak loading", ",.1f"),
    "peak_generating_mib": ("peak generating", ",.1f"),
    "tokens_per_s": ("tokens/s", ",.1f"),
    "perplexity": ("perplexity", ",.3f"),
}
_BARS = ("computed_mib", "weights_mib", "peak_generating_mib")


@dataclass(frozen=True, kw_only=True)
class FormatCost:
    """One number format. None: unknown, or not measured. error: why it was not.

    The fields in MiB but `computed_mib` (weights, from config.json) and `perplexity` are those of
    lib/engines/footprint.py, where they are explained.
    """

    format: str
    computed_mib: float | None = None
    weights_mib: float | None = None
    loaded_mib: float | None = None
    peak_loading_mib: float | None = None
    peak_generating_mib: float | None = None
    baseline_mib: float | None = None
    tokens_per_s: float | None = None
    perplexity: float | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class MemoryTable:
    """What came out for a model. device: where it was measured, None where nothing was.

    prompts, new_tokens: what was written at once; text_tokens: what the perplexity was measured on.
    """

    model: str
    device: str | None
    prompts: int
    new_tokens: int
    text_tokens: int
    rows: Sequence[FormatCost]

    def content(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def memory_lines(table: MemoryTable) -> list[str]:
    """The table as text, in MiB, with what must be said about it."""
    return [text_table(*_table(table)), *_failures(table), *_notes(table)]


def render_memory(table: MemoryTable) -> str:
    """The page as HTML."""
    header, rows = _table(table)
    names = [row.format for row in table.rows]
    bars = {title: values for title, values in _bars(table, _BARS).items() if not all(map(math.isnan, values))}
    sections = [
        Section(
            heading="Number formats", text=["Memory in MiB.", *_failures(table)], table=Table(header=header, rows=rows)
        ),
        Section(
            heading="Memory",
            figure=Figure(svg=bar_chart(names, bars, title="MiB"), description="Memory of each number format, in MiB"),
        ),
    ]
    if table.device is not None:
        speed = _bars(table, ("tokens_per_s",))
        sections.append(
            Section(
                heading="Speed",
                figure=Figure(
                    svg=bar_chart(names, speed, title="tokens/s", form=",.1f"),
                    description="Tokens a second of each number format",
                ),
            )
        )
    return render(f"memory: {table.model}", _notes(table), sections)


def _table(table: MemoryTable) -> tuple[list[str], list[list[str]]]:
    measured = [*_COLUMNS] if any(row.weights_mib is not None for row in table.rows) else ["computed_mib"]
    rows = [
        [row.format, *("–" if (value := getattr(row, f)) is None else format(value, _COLUMNS[f][1]) for f in measured)]
        for row in table.rows
    ]
    return ["format", *(_COLUMNS[field][0] for field in measured)], rows


def _bars(table: MemoryTable, fields: Sequence[str]) -> dict[str, list[float]]:
    values = {field: [getattr(row, field) for row in table.rows] for field in fields}
    return {_COLUMNS[f][0]: [math.nan if value is None else value for value in row] for f, row in values.items()}


def _failures(table: MemoryTable) -> list[str]:
    return [f"{row.format}: {row.error}" for row in table.rows if row.error is not None]


def _notes(table: MemoryTable) -> list[str]:
    notes = ["computed: the weights, in MiB, from config.json alone."]
    if table.device is None:
        return notes
    notes.append("weights: the model's tensors as loaded, added up, with the scales of quantised ones.")
    notes.append(
        "peak loading: the most in use until the model was loaded; loaded: in use after its first tokens; peak "
        "generating: the most in use while it wrote."
    )
    if table.device == "cpu":
        baselines = [row.baseline_mib for row in table.rows if row.baseline_mib is not None]
        notes.append(
            "These three are resident memory (RSS) of a fresh process on the CPU, less what Python and its libraries "
            f"had before loading (up to {max(baselines):,.0f} MiB). Weights in their file, mapped, count once they are "
            "read; a quantised model may keep the pages that it was made from until the system wants them back."
        )
    else:
        notes.append(f"These three are what torch.cuda has allocated on the GPU ({table.device}), without CUDA itself.")
    notes.append(
        f"peak generating and tokens/s: {table.prompts} prompts at once, {table.new_tokens} new tokens each. "
        f"perplexity: of a text of {table.text_tokens:,} tokens."
    )
    return notes
