"""Grading: each row's answer gets a number, by a prompt whose slots are the table's columns.

Source of the direct (pointwise) way: Zheng et al. 2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena",
section 3.1; of the expected value in place of the one grade that is written: Liu et al. 2023, "G-Eval", section 2.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic

import pyarrow as pa

from lib.config import identity, transient
from lib.errors import ConfigError
from lib.tasks.base import Answered, Asked, Notes, Task
from lib.tasks.grading.scale import Scale, scale_of
from lib.tasks.pairwise import Mode
from lib.tasks.prompts.fitting import Fitted
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.prompts.slots import fit_slots, slot_values
from lib.types import Tokenizer

CRITERION = "criterion"
"""The slot that is filled with what a criterion says."""

TOKENS = {"tokens": pa.int32(), "cut": pa.int32()}


@dataclass(frozen=True, kw_only=True)
class GradeConfig:
    """How answers are graded.

    mode: `labels` takes the probabilities of the grades (prompt.labels) as what comes next, and their expected value;
    `text` lets the judge write, and reads the number that it ends with. criteria: name -> what it asks for: each row
    is asked once for each of them, with that text in the slot {criterion}, and its grade is their mean; without any,
    such a slot is a column like others. min_label_mass: where the grades together are less likely than that (the median
    of the first shard), the run stops; 0 takes any.
    """

    mode: Mode = Mode.labels
    criteria: dict[str, str] = field(default_factory=dict)
    min_label_mass: float = transient(default=0.1)

    def __post_init__(self) -> None:
        if not 0 <= self.min_label_mass < 1:
            raise ConfigError(f"grade.min_label_mass={self.min_label_mass}: must be in [0, 1); 0 takes any")
        if self.mode is Mode.text and self.min_label_mass != GradeConfig.min_label_mass:
            raise ConfigError("grade.min_label_mass: has no effect with grade.mode=text; leave it out")
        for name, text in self.criteria.items():
            if not re.fullmatch(r"[\w-]+", name):
                raise ConfigError(f"grade.criteria: {name!r} names columns: use letters, digits, _ and -")
            if not text.strip():
                raise ConfigError(f"grade.criteria.{name}: is empty; say what it asks for")


@dataclass(frozen=True)
class Grading(Task[Asked, Notes, Answered], Generic[Asked, Notes, Answered]):
    """What both ways share. Each column of a criterion has its name behind it, as in `grade_clarity`."""

    config: GradeConfig
    prompt: PromptConfig

    def __post_init__(self) -> None:
        self.prompt.require_unset("images", why="in jobs.grade, which reads texts alone")
        self.prompt.require_unset("means", "weights", "aggregate", "turn", why="in jobs.grade, whose labels are grades")
        if self.config.criteria and CRITERION not in self.prompt.slots:
            raise ConfigError(
                f"grade.criteria: has no effect, since prompt.template has no slot {{{CRITERION}}}; put one in"
            )
        _ = self.scale  # what is wrong with it is said now

    @cached_property
    def scale(self) -> Scale:
        """The grades that there are."""
        return scale_of(self.prompt)

    @property
    def fields(self) -> list[str]:
        """The columns of the table that are read."""
        return sorted(self.prompt.slots - ({CRITERION} if self.config.criteria else set()))

    @property
    def endings(self) -> list[str]:
        """Of the names of columns: one for each criterion, "" alone without any."""
        return [f"_{name}" for name in self.config.criteria] or [""]

    def columns(self, kinds: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
        """Columns that there are for each criterion."""
        return {f"{name}{ending}": kind for ending in self.endings for name, kind in kinds.items()}

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results."""
        return {"version": self.version, "grade": identity(self.config), "prompt": identity(self.prompt)}

    def writes_chats(self, tokenizer: Tokenizer) -> bool:
        """Whether the texts of rows become turns of chats."""
        return self.prompt.is_chat(tokenizer)

    def fit(self, rows: pa.Table, tokenizer: Tokenizer, room: int) -> list[Fitted]:
        """The requests, of at most `room` tokens: a row's criteria one after another, then the next row's."""
        asked = [{CRITERION: [text]} for text in self.config.criteria.values()] or [dict[str, list[str]]()]
        return [
            fit_slots({**values, **criterion}, self.prompt, tokenizer, room)
            for values in slot_values(rows, self.fields)
            for criterion in asked
        ]

    def of_rows(self, of_requests: Sequence[Any]) -> list[Sequence[Any]]:
        """What belongs to each row, of what belongs to each request."""
        count = len(self.endings)
        return [of_requests[start : start + count] for start in range(0, len(of_requests), count)]

    def token_columns(self, fitted: Sequence[Fitted]) -> list[list[int]]:
        """The columns of TOKENS, of all requests of each row."""
        lengths = [len(one.requests[0]) for one in fitted]
        return [[sum(row) for row in self.of_rows(of)] for of in (lengths, [sum(one.cut) for one in fitted])]

    def errors(self, of_requests: Mapping[int, str]) -> dict[int, str]:
        """Row number -> why it has no grade, from the same of requests: the first of each row."""
        names, found = list(self.config.criteria), dict[int, str]()
        for number, why in sorted(of_requests.items()):
            row, place = divmod(number, len(self.endings))
            found.setdefault(row, f"criterion {names[place]}: {why}" if names else why)
        return found
