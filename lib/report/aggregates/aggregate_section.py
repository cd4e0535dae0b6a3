"""What a benchmark's aggregate looks like on a page and on a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from lib.report.page import Section, Table
from lib.report.tables import text_table

_WORDS = {
    "both_orders": "As MT-Bench counts: a win is one in both orders, everything else a tie; ties are half wins.",
    "arena_hard": "As Arena-Hard counts: each order is a game, strong verdicts count by their weight, ties as half.",
    "alpaca_eval": "As AlpacaEval 2 counts: the mean probability of winning, and the same at equal length.",
    "llmbar": "As LLMBar counts: the share of right verdicts, on average of both orders, and of equal ones in both.",
}


def aggregate_section(content: Mapping[str, Any]) -> Section:
    """content: as `metrics.json` has it, with its `rule`."""
    header, rows = _table(content)
    return Section(heading="Aggregate", text=_notes(content), table=Table(header=header, rows=rows))


def aggregate_lines(content: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    return "\n".join([*_notes(content), text_table(*_table(content))])


def _notes(content: Mapping[str, Any]) -> list[str]:
    notes = [_WORDS[content["rule"]]]
    if "baseline" in content:
        notes.append(f"The baseline is {content['baseline']}.")
    if content.get("orders_agree") is not None:
        notes.append(f"The verdicts of both orders agree in {content['orders_agree']:.1%} of the battles.")
    if content["rule"] == "alpaca_eval":
        terms = [own["length_controlled"] for own in content["systems"].values() if own["length_controlled"]]
        if not terms:
            notes.append("Lengths are not known, so there is no length-controlled win rate.")
        elif "instruction difficulty" not in terms[0]["terms"]:
            notes.append("Without instruction difficulties (difficulty=FILE): two terms, the system's own and length.")
    return notes


def _table(content: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    if "systems" not in content:
        names = [name for name in content if name != "rule"]
        return ["", "mean", "95 %", "rows"], [[_words(name), *_mean(content[name])] for name in names]
    systems = content["systems"]
    first: Mapping[str, Any] = next(iter(systems.values()), {})
    means = [name for name, value in first.items() if isinstance(value, dict) and "low" in value]
    others = [name for name in first if name not in means]
    header = ["system", *(cell for name in means for cell in (_words(name), "95 %", "n")), *map(_words, others)]
    rows = [
        [name, *(cell for key in means for cell in _mean(own[key])), *(_cell(own[key]) for key in others)]
        for name, own in sorted(systems.items(), key=lambda system: _rate(system[1], means), reverse=True)
    ]
    return header, rows


def _rate(system: Mapping[str, Any], means: Sequence[str]) -> float:
    """What systems are sorted by: the first of the means."""
    rate = system[means[0]]["mean"] if means else None
    return -1.0 if rate is None else float(rate)


def _mean(value: Mapping[str, Any]) -> tuple[str, str, str]:
    interval = "–" if value["low"] is None else f"{value['low']:.3f} to {value['high']:.3f}"
    return _cell(value["mean"]), interval, f"{value['rows']:,}"


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value["win_rate"]
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}"


def _words(name: str) -> str:
    return name.replace("_", " ").replace("length controlled", "length-controlled")
