"""Which rows of the input a run takes: `data.fold`, `data.sample`, `data.limit`, in this order."""

import numpy as np
import numpy.typing as npt

from lib.data.rows.base import RowsConfig, end


class Selection:
    """The rows chosen of all files together.

    total: rows of all files; needed for a sample only.
    """

    def __init__(self, config: RowsConfig, total: int | None = None) -> None:
        self._first = config.fold or 0
        self._step = 1 if config.fold is None else config.folds
        self._limit = config.limit
        self._end = end(config)
        self._sample: npt.NDArray[np.int64] | None = None
        if config.sample is not None:
            assert total is not None
            rows = len(range(self._first, total, self._step))
            random = np.random.default_rng(config.sample_seed)
            sample = random.choice(rows, min(config.sample, rows), replace=False, shuffle=False)
            self._sample = np.sort(sample)[: config.limit]

    @property
    def all(self) -> bool:
        """Whether every row is taken."""
        return self._step == 1 and self._limit is None and self._sample is None

    @property
    def end(self) -> int | None:
        """The number after that of the last row that may be taken, over all files; None where all have to be read."""
        if self._sample is not None:
            return self._first + self._step * int(self._sample[-1]) + 1 if len(self._sample) else 0
        return self._end

    def mask(self, start: int, rows: int) -> npt.NDArray[np.bool_]:
        """Which of the rows [start, start + rows) are taken; rows are numbered over all files."""
        number, rest = np.divmod(np.arange(start, start + rows) - self._first, self._step)
        mask: npt.NDArray[np.bool_] = (rest == 0) & (number >= 0)
        if self._sample is not None:
            place = np.searchsorted(self._sample, number).clip(max=len(self._sample) - 1)
            mask &= self._sample[place] == number if len(self._sample) else False
        elif self._limit is not None:
            mask &= number < self._limit
        return mask
