"""What a page of one row shows: its cells in blocks, those first that a person wants to see."""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from lib.data.cuts import CUT_COLUMNS
from lib.report.page import Table
from lib.report.viewer.differences import Piece, compared
from lib.report.viewer.row_index import Cells
from lib.report.viewer.shape import ORDERS
from lib.types import BATTLE_TEXTS, PROBABILITIES

_PASSAGES = ("passages", "passage_ids", "scores", "documents", "starts", "stops", "retrieved_ranks", "passage_scores")
_HEAD = ("id", "file", "row", "error", "label", "verdict")
_SLOT = "slot."
_BESIDE_TEXTS = {
    "finish_reason": "ended by {}",
    "verdicts": "verdict {}",
    "grades": "grade {}",
    "new_tokens": "{} tokens",
}
_JOINT = " · "
_FEW = 8  # numbers of a vector that are shown
_LONGEST = 100_000  # characters of a text
_TEXTUAL = 120  # characters of a cell that is a text of its own


@dataclass(frozen=True)
class Text:
    """A text under a title, in pieces. tone: what kind of text it is, a class of the style sheet."""

    title: str
    pieces: Sequence[Piece]
    tone: str = ""


@dataclass(frozen=True)
class Share:
    """A probability, drawn as a bar: of what, and how much."""

    name: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a row's page: lines, then bars in rows, a table, and texts, side by side where they are two.

    bars: a name, and its probabilities.
    """

    heading: str
    lines: Sequence[str] = ()
    bars: Sequence[tuple[str, Sequence[Share]]] = ()
    table: Table | None = None
    texts: Sequence[Text] = ()
    folded: bool = False


def blocks_of(cells: Cells, texts: Mapping[str, Any], prompts: Sequence[str] = ()) -> list[Block]:
    """The blocks of a row. texts: cells of its input. prompts: as the model got them."""
    shown: set[str] = set(_HEAD)
    found = [*_answers(cells, texts, shown), *_input(texts, cells), *_prompts(prompts)]
    # Carried columns that are shown as input already: a slot is a list of texts.
    shown.update(name for name, value in cells.items() if texts.get(f"{_SLOT}{name}") == [value])
    left = {name: value for name, value in cells.items() if name not in shown and value is not None}
    if left:
        rows = [(name, short(value)) for name, value in left.items()]
        found.append(Block(heading="Columns", table=Table(header=("", ""), rows=rows, prose=True)))
    return found


def side_by_side(cells: Cells, other: Cells, names: tuple[str, str]) -> Block:
    """Two runs' answers about one row. names: of the runs."""
    columns = [name for name in ("verdict", "grade", "score_a", "score_b", "error") if name in {**cells, **other}]
    rows = [(name, *(short(side.get(name)) for side in (cells, other))) for name in columns]
    bars = [
        (run, _shares(side, PROBABILITIES)) for run, side in zip(names, (cells, other), strict=True) if _known(side)
    ]
    pairs, remarks = list[Text](), list[str]()
    for name in ("text", "texts", "passages"):
        both = list(zip_longest(_items(cells.get(name)), _items(other.get(name))))
        for number, (one, two) in enumerate(both, 1):
            pair, remark = _pair(names, joined(one), joined(two))
            pairs += pair
            remarks += [f"{number}. {remark}" if len(both) > 1 else remark] if remark else []
    table = Table(header=("", *names), rows=rows) if rows else None
    return Block(heading="Two runs", lines=remarks, bars=bars, table=table, texts=pairs)


def short(value: Any) -> str:
    """A cell in a few words: vectors by their beginning and length."""
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    if isinstance(value, (list, tuple)) and len(value) > _FEW and all(isinstance(x, (int, float)) for x in value):
        length = math.sqrt(math.fsum(x * x for x in value))
        return f"{', '.join(f'{x:.4g}' for x in value[:_FEW])}, … ({len(value)} numbers, length {length:.4g})"
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)[:_LONGEST]
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    return "–" if value is None else str(value)[:_LONGEST]


def joined(value: Any) -> str:
    """The text of a cell that is one, or a list of turns."""
    return "\n\n".join("" if item is None else str(item) for item in _items(value))


def _answers(cells: Cells, texts: Mapping[str, Any], shown: set[str]) -> Iterator[Block]:
    """What was answered; the columns that are in it are added to `shown`."""
    if _known(cells) or any(_known(cells, order) for order in ORDERS):
        yield _probabilities(cells, shown)
    counts = {name: n for name in CUT_COLUMNS if isinstance(n := cells.get(name), int)}
    if cuts := [f"{name.removeprefix('cut_')}: {n:,} tokens were cut" for name, n in counts.items() if n]:
        yield Block(heading="Cut", lines=cuts)
    shown.update(counts)
    yield from _written(cells, shown)
    if cells.get("passages") is not None:
        yield _passages(cells)
        shown.update(_PASSAGES)
    if {"response_a", "response_b"} <= texts.keys():
        names = [f"{side}{f': {model}' if (model := cells.get(f'model_{side.lower()}')) else ''}" for side in "AB"]
        pair, remark = _pair((names[0], names[1]), joined(texts["response_a"]), joined(texts["response_b"]))
        asked = Text("Prompt", _whole(joined(texts.get("prompt"))), "asked")
        yield Block(heading="Battle", texts=[asked])
        yield Block(heading="Responses", lines=[remark] if remark else [], texts=pair)


def _probabilities(cells: Cells, shown: set[str]) -> Block:
    names = {"": "both orders, by the rule", "ab": "A shown first", "ba": "B shown first"}
    bars = []
    for order, words in names.items():
        columns = [f"{order}_{name}" if order else name for name in PROBABILITIES]
        if _known(cells, order):
            bars.append((words if order or _known(cells, "ab") else "probabilities", _shares(cells, columns)))
        shown.update(columns)
    lines = []
    if isinstance(mass := cells.get("label_mass"), float):
        lines.append(f"label mass {mass:.4g}")
        shown.add("label_mass")
    return Block(heading="Probabilities", lines=lines, bars=bars)


def _written(cells: Cells, shown: set[str]) -> Iterator[Block]:
    """Texts that were written: one, or samples with what was read in each."""
    for name in ("text", "texts"):
        items = _items(cells.get(name))
        if not items:
            continue
        beside = {words: value for key, words in _BESIDE_TEXTS.items() if (value := cells.get(key))}
        shown.update({name, *_BESIDE_TEXTS})
        texts = []
        for number, item in enumerate(items, 1):
            said = [words.format(short(_at(value, number - 1))) for words, value in beside.items()]
            title = f"sample {number}" if len(items) > 1 else "text"
            texts.append(Text(_JOINT.join([title, *said]), _whole(item)))
        yield Block(heading="Answer" if len(items) == 1 else f"{len(items)} samples", texts=texts)


def _passages(cells: Cells) -> Block:
    beside = {name: _items(cells.get(name)) for name in _PASSAGES}
    texts = []
    for place, passage in enumerate(beside["passages"]):
        of = {name: _at(items, place) for name, items in beside.items()}
        title = [f"score {of['scores']:.4g}"] if isinstance(of["scores"], float) else []
        title += [f"before at {of['retrieved_ranks']}"] if of["retrieved_ranks"] is not None else []
        title += [str(of["documents"] or of["passage_ids"] or "")]
        if isinstance(of["starts"], int) and isinstance(of["stops"], int):
            title.append(f"characters {of['starts']:,} to {of['stops']:,}")
        texts.append(
            Text(f"{place + 1}. {_JOINT.join(filter(None, title))}".strip(), _whole(joined(passage)), "passage")
        )
    return Block(heading=f"{len(texts)} passages", texts=texts)


def _input(texts: Mapping[str, Any], cells: Cells) -> Iterator[Block]:
    """What was read of the row, as far as it isn't shown in a better place."""
    left = {name: value for name, value in texts.items() if name not in (*_HEAD, *BATTLE_TEXTS) and value is not None}
    left = {name: value for name, value in left.items() if name not in cells or cells[name] is None}
    if cells.get("passages") is not None and texts.get(f"{_SLOT}passages") == cells["passages"]:
        del left[f"{_SLOT}passages"]
    items = [Text(name.removeprefix(_SLOT), _whole(joined(value))) for name, value in left.items() if _is_words(value)]
    if items:
        yield Block(heading="Input", texts=items)


def _prompts(prompts: Sequence[str]) -> Iterator[Block]:
    if prompts:
        several = len(prompts) > 1
        texts = [Text(f"request {n}" if several else "request", _whole(p), "asked") for n, p in enumerate(prompts, 1)]
        yield Block(heading="Prompt, as the model got it", texts=texts)


def _pair(names: tuple[str, str], one: str, other: str) -> tuple[list[Text], str]:
    """Two texts beside each other, and what is to be said of the marks in them."""
    found = compared(one, other)
    pieces = (_whole(one), _whole(other)) if found.remark else (found.one, found.other)
    return [Text(name, side, "pair") for name, side in zip(names, pieces, strict=True)], found.remark


def _whole(text: Any) -> list[Piece]:
    text = "" if text is None else str(text)
    left = f"\n… ({len(text) - _LONGEST:,} more characters)" if len(text) > _LONGEST else ""
    return [Piece(text[:_LONGEST] + left)]


def _known(cells: Cells, order: str = "") -> bool:
    names = [f"{order}_{name}" if order else name for name in PROBABILITIES]
    return all(isinstance(cells.get(name), float) and math.isfinite(cells[name]) for name in names)


def _shares(cells: Cells, columns: Collection[str]) -> list[Share]:
    return [Share(name, cells[column]) for name, column in zip(("A", "B", "tie"), columns, strict=True)]


def _items(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def _at(value: Any, place: int) -> Any:
    items = _items(value)
    return items[place] if place < len(items) else None


def _is_words(value: Any) -> bool:
    return any(isinstance(item, str) and item for item in _items(value))
