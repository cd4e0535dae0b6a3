"""All votes in memory, as numbers: from a table of votes, or from runs of a judge."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lib.data.rows.votes import BOTH_BAD
from lib.errors import InputError
from lib.scoring.probabilities import FloatArray, IntArray
from lib.scoring.ranking.style_covariates import style_covariates
from lib.scoring.ranking.votes import Votes
from lib.types import PROBABILITIES, VERDICTS


@dataclass(frozen=True, kw_only=True)
class Ballots:
    """n votes. names: of the models. category: [n] places in `categories`, -1 for none. counts: [n] of each count in
    each answer. left_out: why votes don't count, and how many."""

    names: tuple[str, ...]
    first: IntArray
    second: IntArray
    outcomes: FloatArray
    weight: FloatArray | None
    question: IntArray | None
    category: IntArray | None
    categories: tuple[str, ...]
    counts: dict[str, FloatArray]
    left_out: dict[str, int]

    def votes(self, styles: Sequence[str], *, position: bool, category: int | None = None) -> Votes:
        """Those of a category, or all; systems without votes that count are left out."""
        kept: Any = ~np.isnan(self.outcomes[:, 0])
        if self.weight is not None:
            kept &= self.weight > 0
        if category is not None:
            assert self.category is not None
            kept &= self.category == category
        if kept.all():
            kept = slice(None)  # no copies
        first, second = self.first[kept], self.second[kept]
        there = np.zeros(len(self.names), np.bool_)
        there[first] = there[second] = True
        number = np.cumsum(there) - 1
        covariates = {"position": np.ones(len(first))} if position else {}
        sides = {name: (self.counts[f"{name}_a"][kept], self.counts[f"{name}_b"][kept]) for name in styles}
        return Votes(
            names=tuple(name for name, its in zip(self.names, there, strict=True) if its),
            first=number[first],
            second=number[second],
            outcomes=self.outcomes[kept],
            weight=None if self.weight is None else self.weight[kept],
            question=None if self.question is None else self.question[kept],
            covariates={**covariates, **style_covariates(sides)},
        )


class BallotBox:
    """Takes in votes, block by block."""

    def __init__(self, *, drop_both_bad: bool = False) -> None:
        self._drop = drop_both_bad
        self._number: dict[str, int] = {}
        self._categories: dict[str, int] = {}
        self._parts: dict[str, list[npt.NDArray[np.generic]]] = {}
        self._own = 0  # questions that are one vote's own
        self._asked = self._weighted = False
        self.left_out: dict[str, int] = {}

    def add(self, rows: pa.Table) -> None:
        """Canonical votes, or rows of a result (`model_a`, `model_b`, `question` as a hash, probabilities)."""
        failed = int(rows.num_rows - rows["error"].null_count)
        if failed:
            self._leave_out("rows that can't be used", failed)
            rows = rows.filter(rows["error"].is_null())
        if not rows.num_rows:
            return
        self._put("first", self._numbered(rows["model_a"], self._number))
        self._put("second", self._numbered(rows["model_b"], self._number))
        self._put("outcomes", self._outcomes(rows))
        asked, unknown = rows["question"], rows["question"].null_count
        self._asked |= unknown < rows.num_rows
        questions = pc.fill_null(asked, 0).to_numpy().copy()
        if unknown:
            # A hash is the number of a question by chance only.
            own = asked.is_null().to_numpy()
            questions[own] = np.arange(self._own, self._own + unknown)
            self._own += unknown
        self._put("question", questions)
        if "weight" in rows.column_names:
            weight = rows["weight"].to_numpy()
            self._weighted |= bool((weight != 1).any())
            if idle := int((weight == 0).sum()):
                self._leave_out("votes of weight 0", idle)
            self._put("weight", weight)
        if "category" in rows.column_names:
            self._put("category", self._numbered(rows["category"], self._categories))
        for name in rows.column_names:
            if name.endswith(("_a", "_b")) and pa.types.is_integer(rows.schema.field(name).type):
                self._put(name, rows[name].to_numpy().astype(np.float32))

    def ballots(self) -> Ballots:
        """All of them. Raises InputError where there are none."""
        if not self._parts:
            raise InputError("no vote can be used: " + ", ".join(f"{n:,} {why}" for why, n in self.left_out.items()))
        whole = {name: np.concatenate(self._parts.pop(name)) for name in list(self._parts)}
        known = ("first", "second", "outcomes", "question", "weight", "category")
        return Ballots(
            names=tuple(self._number),
            first=whole["first"],
            second=whole["second"],
            outcomes=whole["outcomes"],
            weight=whole["weight"] if self._weighted else None,
            question=whole["question"] if self._asked else None,
            category=whole.get("category"),
            categories=tuple(self._categories),
            counts={name: column for name, column in whole.items() if name not in known},
            left_out=self.left_out,
        )

    def _put(self, name: str, part: npt.NDArray[np.generic]) -> None:
        self._parts.setdefault(name, []).append(part)

    def _leave_out(self, why: str, count: int) -> None:
        self.left_out[why] = self.left_out.get(why, 0) + count

    @staticmethod
    def _numbered(column: pa.ChunkedArray, numbers: dict[str, int]) -> IntArray:
        """Places of texts in the order in which they first came, of all blocks; -1 for null."""
        encoded = column.combine_chunks().dictionary_encode()
        own = np.array([numbers.setdefault(name, len(numbers)) for name in encoded.dictionary.to_pylist()], np.int64)
        places = pc.fill_null(encoded.indices, -1).to_numpy()
        return np.asarray(np.append(own, -1)[places])

    def _outcomes(self, rows: pa.Table) -> FloatArray:
        """[n, 3] probabilities; NaN where a vote doesn't count."""
        if "outcome" not in rows.column_names:
            return np.column_stack([rows[name].to_numpy() for name in PROBABILITIES])
        outcome = rows["outcome"].combine_chunks()
        words = [*VERDICTS, BOTH_BAD]
        results = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [np.nan] * 3 if self._drop else [0, 0, 1]])
        places = pc.index_in(outcome, pa.array(words)).to_numpy()
        if self._drop and (dropped := int((places == 3).sum())):
            self._leave_out("votes that both are bad", dropped)
        return np.asarray(results[places])


def ballots_of(blocks: Iterable[pa.Table], *, drop_both_bad: bool = False) -> Ballots:
    """The votes of blocks as of `BallotBox.add`."""
    box = BallotBox(drop_both_bad=drop_both_bad)
    for block in blocks:
        box.add(block)
    return box.ballots()
