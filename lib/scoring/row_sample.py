"""Labelled rows to fit on: all, or where they are very many, some that are evenly spread."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lib.scoring.metrics import Labels

_MOST_ROWS = 200_000  # a few parameters are long settled by then


class Sample:
    """Rows that come block by block: all of them, or every second, fourth, … so that they are not too many."""

    def __init__(self) -> None:
        self._labels: list[Labels] = []
        self._columns: list[tuple[npt.NDArray[Any], ...]] = []
        self._step, self._seen = 1, 0

    def add(self, labels: Labels, *columns: npt.NDArray[Any]) -> None:
        """Take in some rows."""
        first = -self._seen % self._step
        self._seen += len(labels)
        kept = slice(first, None, self._step)  # copied, since a view would keep all the others in memory
        self._labels.append(labels[kept].copy())
        self._columns.append(tuple(column[kept].copy() for column in columns))
        while sum(map(len, self._labels)) > _MOST_ROWS:
            self._step *= 2
            self._labels, self._columns = [self.labels[::2]], [tuple(column[::2] for column in self.columns)]

    @property
    def labels(self) -> Labels:
        """Those of the rows that were kept, which are evenly spread over all."""
        return np.concatenate(self._labels)

    @property
    def columns(self) -> list[npt.NDArray[Any]]:
        """The columns of the same rows."""
        return [np.concatenate(parts) for parts in zip(*self._columns, strict=True)]

    @property
    def note(self) -> dict[str, float]:
        """How many rows were kept, where these are not all."""
        return {} if self._step == 1 else {"sample": len(self.labels)}
