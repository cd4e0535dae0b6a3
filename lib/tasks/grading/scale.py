"""The scale of a prompt: the grades that its labels stand for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lib.errors import ConfigError
from lib.tasks.prompts.prompt import PromptConfig

_NUMBER = re.compile(r"\s*(-?\d+(?:\.\d+)?)(?![\d.])")


@dataclass(frozen=True)
class Scale:
    """The grades, ascending. decimals: whether a written grade may lie between two of them."""

    grades: tuple[float, ...]
    decimals: bool = False

    def has(self, grade: float) -> bool:
        """Whether a grade is one of the scale."""
        return self.grades[0] <= grade <= self.grades[-1] if self.decimals else grade in self.grades

    def __str__(self) -> str:
        return f"{self.grades[0]:g} to {self.grades[-1]:g}"


def scale_of(prompt: PromptConfig) -> Scale:
    """The scale of a prompt. Raises as `grades_of`."""
    return Scale(grades_of(prompt.labels), prompt.decimals)


def grades_of(labels: Sequence[str]) -> tuple[float, ...]:
    """The grades of a prompt's labels.

    Raises ConfigError unless they begin with a number each, in ascending order.
    """
    found = [_NUMBER.match(label) for label in labels]
    grades = tuple(float(number[1]) for number in found if number)
    if len(grades) != len(found) or len(grades) < 2 or any(a >= b for a, b in pairwise(grades)):
        raise ConfigError(
            f"prompt.labels={list(labels)}: must be the grades, two or more, each beginning with its number, in "
            'ascending order, such as ["1", "2", "3"]'
        )
    return grades
