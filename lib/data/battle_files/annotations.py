"""Files of ratings by several annotators: who said what of which item."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import pyarrow as pa

from lib.data.battle_files.groups import Groups, groups_of_ids
from lib.data.battle_files.label_files import LABEL_WORDS
from lib.data.battle_files.submission_csv import WINNERS
from lib.data.reading.cells import Unreadable
from lib.data.reading.readers import batches, column_names
from lib.data.reading.sources import Source, resolve
from lib.data.rows.base import kind, number_text, read_name
from lib.data.rows.battles import one_hot
from lib.errors import ConfigError, InputError
from lib.scoring.probabilities import FloatArray, IntArray
from lib.types import VERDICTS

MOST_CATEGORIES = 30
_ORDER = ("A", "tie", "B")  # of battles: a tie lies between
_ID = ("id", "question_id")
_ANNOTATOR = ("annotator", "judge")
_LABEL = ("label", "winner")
_QUESTION = ("question", "prompt")
_WIDE = "label_"
_FORMS = (
    "a file of annotations has a row for each rating (id, annotator, and label, winner, or winner_model_a, "
    "winner_model_b and winner_tie), or one for each item (id, and a column label_NAME for each annotator)"
)


class RatingKind(Enum):  # members in lower case, since OmegaConf knows them by their names
    """What ratings are: labels of battles (A, tie, B, in this order), numbers, or words without an order."""

    labels = "labels"
    numbers = "numbers"
    words = "words"


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """r ratings of items by annotators.

    items, annotators: names, each once. item, annotator, category: [r] numbers. categories: [k], in their order unless
    they are words; values: [k] how far they lie apart. questions: of items, hashes of what they are about.
    """

    items: Sequence[str]
    annotators: Sequence[str]
    item: IntArray
    annotator: IntArray
    category: IntArray
    categories: Sequence[str]
    values: FloatArray
    kind: RatingKind
    questions: Groups
    by_question: bool

    def joined(self, name: str, verdicts: dict[str, str]) -> "Annotations":
        """With another annotator of battles, by its verdicts of items; those of others are left out.

        Raises InputError where it has none of these, ConfigError where the ratings are no labels of battles.
        """
        if self.kind is not RatingKind.labels:
            raise ConfigError(f"annotations: are {self.kind.value}, but the verdicts of {name} are labels of battles")
        found = [(number, verdicts[item]) for number, item in enumerate(self.items) if item in verdicts]
        if not found:
            raise InputError(f"{name}: has no verdict of an id of the annotations")
        places, words = zip(*found, strict=True)
        more = [np.array(places), np.full(len(found), len(self.annotators)), np.array([_ORDER.index(w) for w in words])]
        before = (self.item, self.annotator, self.category)
        item, annotator, category = (np.concatenate(both) for both in zip(before, more, strict=True))
        names = [*self.annotators, name]
        return replace(self, annotators=names, item=item, annotator=annotator, category=category)


def read_annotations(path: str, ratings: RatingKind | None = None) -> Annotations:
    """Read a file of annotations: CSV, TSV, JSONL or Parquet. A rating that is null or empty is missing.

    ratings: what they are; None: labels where all of them can be, else numbers where all are, else words.
    Raises InputError, naming file, row and column, for what is no rating, and one that is there twice.
    """
    (source, *others) = resolve(path)
    if others:
        raise InputError(f"annotations={path}: {len(others) + 1} files; give one")
    found: dict[tuple[str, str], str] = {}
    questions: dict[str, str] = {}
    for where, item, annotator, text, asked in _ratings(source):
        if (item, annotator) in found:
            raise InputError(f"{where}: {annotator} has rated {item} before; one rating counts")
        found[item, annotator] = text
        questions.setdefault(item, item if asked is None else asked)
    if not found:
        raise InputError(f"{source.url}: no ratings in it; {_FORMS}")
    what, categories, number = _categories(source, list(dict.fromkeys(found.values())), ratings)
    items, annotators = (list(dict.fromkeys(key[place] for key in found)) for place in (0, 1))
    place, who = ({name: n for n, name in enumerate(names)} for names in (items, annotators))
    return Annotations(
        items=items,
        annotators=annotators,
        item=np.array([place[item] for item, _ in found], np.int64),
        annotator=np.array([who[annotator] for _, annotator in found], np.int64),
        category=np.array([number[text] for text in found.values()], np.int64),
        categories=categories,
        values=np.array(categories if what is RatingKind.numbers else range(len(categories)), np.float64),
        kind=what,
        questions=groups_of_ids(pa.array([questions[item] for item in items])),
        by_question=any(questions[item] != item for item in items),
    )


def _ratings(source: Source) -> Iterator[tuple[str, str, str, str, str | None]]:
    """Place, item, annotator, rating and question, one after the other, of those that are there."""
    names = column_names(source)
    key, question = (next((name for name in known if name in names), None) for known in (_ID, _QUESTION))
    wide = [name for name in names if name.startswith(_WIDE)]
    who = next((name for name in _ANNOTATOR if name in names), None)
    label = next((name for name in _LABEL if name in names), None)
    one_hots = list(WINNERS) if label is None and all(name in names for name in WINNERS) else []
    if key is None or (who is None and not wide) or (who is not None and label is None and not one_hots):
        raise InputError(f"{source.url}: the columns are {', '.join(names)}; {_FORMS}")
    columns = [name for name in (key, question, who, label if who else None) if name is not None]
    columns += one_hots if who else wide
    row = 0
    for cells in batches(source, columns):
        for n in range(len(cells[key])):
            where = f"{source.url}, row {row}"
            item, asked = (None if name is None else _name(cells[name][n], name, where) for name in (key, question))
            if item is None:
                raise InputError(f"{where}, column {key}: is empty; every rating is of an item")
            if who is None:
                given = {name.removeprefix(_WIDE): (name, cells[name][n]) for name in wide}
            else:
                annotator = _name(cells[who][n], who, where)
                if annotator is None:
                    raise InputError(f"{where}, column {who}: is empty; every rating is somebody's")
                cell = tuple(cells[name][n] for name in one_hots) if label is None else cells[label][n]
                given = {annotator: (label or "/".join(one_hots), cell)}
            for annotator, (column, cell) in given.items():
                if (text := _rating(cell, f"{where}, column {column}")) is not None:
                    yield where, item, annotator, text, asked
            row += 1


def _name(cell: object, column: str, where: str) -> str | None:
    try:
        if isinstance(cell, Unreadable):
            raise ValueError(cell.reason)
        return read_name(cell)[0]
    except ValueError as error:
        raise InputError(f"{where}, column {column}: {error}") from error


def _rating(cell: object, where: str) -> str | None:
    """A rating as text; None where it is missing."""
    if isinstance(cell, tuple):
        try:
            return one_hot(cell)
        except ValueError as error:
            raise InputError(f"{where}: {error}") from error
    if cell is None or cell != cell:
        return None
    text = number_text(cell)
    if not isinstance(text, str):
        raise InputError(f"{where}: {cell if isinstance(cell, Unreadable) else kind(cell)}, not a rating")
    return text.strip() or None


def _categories(
    source: Source, texts: list[str], ratings: RatingKind | None
) -> tuple[RatingKind, list[str], dict[str, int]]:
    """What the ratings are, their categories, and the number of each text's."""
    readers: dict[RatingKind, Callable[[str], str | None]] = {
        RatingKind.labels: _label,
        RatingKind.numbers: _number,
        RatingKind.words: lambda text: text,
    }
    kinds = list(RatingKind) if ratings is None else [ratings]
    what = next((one for one in kinds if all(readers[one](text) is not None for text in texts)), None)
    numbers = [text for text in texts if _number(text) is not None]
    if what is None or (ratings is None and what is RatingKind.words and numbers):
        wanted = readers[RatingKind.numbers if ratings is None else ratings]
        odd = next(text for text in texts if wanted(text) is None)
        raise InputError(
            f"{source.url}: the rating {odd[:40]!r} is none of {(ratings or RatingKind.numbers).value}, as others are; "
            "leave it empty where there is none, or say what ratings are: ratings=labels, numbers or words"
        )
    read = {text: str(readers[what](text)) for text in texts}
    there = set(read.values())
    by_size = sorted(there, key=float if what is RatingKind.numbers else str)
    order = list(_ORDER) if what is RatingKind.labels else by_size
    if len(order) > MOST_CATEGORIES:
        raise InputError(f"{source.url}: {len(order)} different ratings; at most {MOST_CATEGORIES} can be compared")
    return what, order, {text: order.index(name) for text, name in read.items()}


def _label(text: str) -> str | None:
    number = LABEL_WORDS.get(text.casefold())
    return None if number is None else VERDICTS[number]


def _number(text: str) -> str | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return f"{number:.12g}" if math.isfinite(number) else None
