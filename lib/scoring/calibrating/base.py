"""What all calibrators share: what they are fitted on, and how their parameters become JSON and come back."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from lib.errors import InputError
from lib.scoring.metrics import Labels
from lib.scoring.probabilities import FloatArray

MINIMUM_ROWS = 20


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What is known of n rows, as far as it is; NaN where a row failed.

    probabilities: [n, 3] of A, B, tie. ab, ba: [n, 3] of a judge's two presentation orders, in terms of the row's own A
    and B. score_a, score_b: [n] rewards. log_length: [n], ln of the length of response A over that of B. members:
    [n, members, 3] probabilities of several runs.
    """

    probabilities: FloatArray | None = None
    ab: FloatArray | None = None
    ba: FloatArray | None = None
    score_a: FloatArray | None = None
    score_b: FloatArray | None = None
    log_length: FloatArray | None = None
    members: FloatArray | None = None

    @property
    def known(self) -> dict[str, FloatArray]:
        """The fields that are there."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}

    def take(self, rows: npt.NDArray[Any] | slice) -> "Inputs":
        """Some of the rows: a mask, numbers or a slice."""
        return replace(self, **{name: values[rows] for name, values in self.known.items()})

    def need(self, name: str) -> FloatArray:
        """A field that must be there, as float64."""
        values = getattr(self, name)
        assert values is not None, f"{name} is missing: ask `lacking` first"
        return np.asarray(values, dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Calibrator(ABC):
    """Makes probabilities of a run's raw answers, by parameters that were fitted on labelled rows.

    name: of the method. uses: the fields of Inputs that it reads. shapes: of its parameters, None for any number.
    """

    name: ClassVar[str]
    uses: ClassVar[tuple[str, ...]]
    shapes: ClassVar[Mapping[str, tuple[int | None, ...]]]

    @classmethod
    @abstractmethod
    def _fit(cls, inputs: Inputs, labels: Labels) -> Self:
        """As `fit`, of rows that were checked."""

    @abstractmethod
    def apply(self, inputs: Inputs) -> FloatArray:
        """Probabilities [n, 3]; NaN where a row has none."""

    @classmethod
    def fit(cls, inputs: Inputs, labels: Labels) -> Self:
        """Fitted by maximum likelihood on labels [n] (0, 1, 2).

        Raises InputError for a value that is not finite, or fewer than 20 rows.
        """
        assert np.isin(labels, (0, 1, 2)).all()
        for name in cls.uses:
            with np.errstate(invalid="ignore"):
                finite = np.isfinite(inputs.need(name).reshape(len(labels), -1)).all(axis=1)
            if not finite.all():
                raise InputError(
                    f"row {int(np.argmin(finite))}: {name} is not finite; leave failed rows out before fitting"
                )
        require_rows(len(labels))
        return cls._fit(inputs, labels)

    @classmethod
    def lacking(cls, inputs: Inputs) -> list[str]:
        """The fields that it reads and that are not there, or are there for no row."""
        known = inputs.known
        return [name for name in cls.uses if name not in known or (known[name].size and np.isnan(known[name]).all())]

    def parameters(self) -> dict[str, Any]:
        """Plain JSON: numbers and lists of numbers."""
        return {name: np.asarray(getattr(self, name)).tolist() for name in self.shapes}

    @classmethod
    def of(cls, parameters: object) -> Self:
        """The calibrator of such parameters. Raises ValueError, naming what is wrong."""
        if not isinstance(parameters, dict) or parameters.keys() != cls.shapes.keys():
            raise ValueError(f"parameters: must be {', '.join(cls.shapes)}")
        return cls(**{name: _numbers(name, parameters[name], shape) for name, shape in cls.shapes.items()})


def require_rows(rows: int) -> None:
    """Raise InputError where rows are too few to fit anything on."""
    if rows < MINIMUM_ROWS:
        raise InputError(f"{rows} labelled rows: fitting needs at least {MINIMUM_ROWS}")


def log_of(probabilities: FloatArray, least: float = float(np.finfo(np.float64).eps)) -> FloatArray:
    """Natural logs, of `least` where a probability is below it; NaN stays NaN."""
    return np.asarray(np.log(np.maximum(probabilities, least)), dtype=np.float64)


def softmax(logits: FloatArray) -> FloatArray:
    """Probabilities [..., k]."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), dtype=np.float64)


def _numbers(name: str, value: object, shape: tuple[int | None, ...]) -> Any:
    """A number, or an array of a shape. Raises ValueError."""
    wanted = " x ".join("n" if size is None else str(size) for size in shape) if shape else "a number"
    try:
        if _holds_other(value):
            raise ValueError
        found = np.asarray(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"parameters.{name}: must be {wanted} of numbers" if shape else _not(name)) from None
    fits = found.ndim == len(shape) and all(size in (None, n) and n for size, n in zip(shape, found.shape, strict=True))
    if not fits:
        raise ValueError(f"parameters.{name}: must be {wanted}, is {' x '.join(map(str, found.shape)) or 'a number'}")
    if not np.isfinite(found).all():
        raise ValueError(_not(name))
    return found if shape else float(found)


def _not(name: str) -> str:
    return f"parameters.{name}: must be finite numbers"


def _holds_other(value: object) -> bool:
    """Whether something is in it that is no number: a text, true, null."""
    if isinstance(value, list):
        return any(map(_holds_other, value))
    return isinstance(value, bool) or not isinstance(value, (int, float))
