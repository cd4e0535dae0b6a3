"""Batches under a token budget: pure planning, and the loop that answers them and survives out-of-memory.

Rows are sorted by length, longest first: rows of a batch are then nearly equally long (little padding), and a batch
that does not fit into memory shows itself at the start. Nothing here knows about torch.
"""

import itertools
from collections.abc import Callable, Hashable, Sequence, Sized
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lib.engines.transformers.neighbours import Together
from lib.types import Answers

MIN_ROW = 32  # tokens a row counts for at least: bounds the rows of a batch, and so their [rows, vocabulary] logits

Request = TypeVar("Request", bound=Sized)
"""Token ids, or what holds them and is as long as they are."""
AnswerBatch = Callable[[Sequence[Request]], npt.NDArray[np.float32]]
"""Answers n requests: float32 [n, k]."""


def longest_first(lengths: Sequence[int]) -> list[int]:
    """Request numbers, longest request first; equally long ones in their own order."""
    return sorted(range(len(lengths)), key=lambda number: -lengths[number])


def batch_rows(longest: int, budget: int) -> int:
    """Rows of the next batch, whose longest has `longest` tokens: rows * longest <= budget, but at least one."""
    return max(budget // max(longest, MIN_ROW), 1)


def in_batches(
    order: Sequence[int],
    lengths: Sequence[int],
    *,
    budget: int,
    work: Callable[[Sequence[int]], None],
    out_of_memory: Callable[[Exception], bool],
    kinds: Sequence[Hashable] | None = None,
) -> dict[int, str]:
    """Have `work` done on batches of request numbers, in this order. Returns number -> why it could not be done.

    A batch that runs out of memory is halved, and so is the budget of those after it; a row that does not fit alone is
    an error. lengths: tokens by request number, the longest of a batch first. kinds: by request number; the rows of a
    batch are of one kind.
    """
    errors: dict[int, str] = {}
    while order:
        batch = order[: batch_rows(lengths[order[0]], budget)]
        if kinds is not None:
            batch = [*next(itertools.groupby(batch, lambda number: kinds[number]))[1]]
        try:
            work(batch)
        except Exception as error:  # torch and CUDA have several classes for it; others go on
            if not out_of_memory(error):
                raise
            budget = len(batch) * lengths[batch[0]] // 2
            if len(batch) > 1:
                continue
            errors[batch[0]] = f"out of memory: one request of {lengths[batch[0]]} tokens does not fit"
        order = order[len(batch) :]
    return errors


def answer_all(
    requests: Sequence[Request],
    *,
    width: int,
    budget: int,
    max_model_len: int,
    answer: AnswerBatch[Request],
    out_of_memory: Callable[[Exception], bool],
    together: Together = Together.any,
) -> Answers:
    """Answers [n, width] to all requests, in their order.

    A batch that runs out of memory is halved, and so is the budget of those after it. A row that does not fit alone,
    is empty or longer than max_model_len, or whose answer is not finite, gets an error; the others go on.
    together: which rows may share a batch.
    """
    values = np.full((len(requests), width), np.nan, dtype=np.float32)
    errors = {
        number: "the request is empty"
        if not len(request)
        else f"{len(request)} tokens, engine.max_model_len={max_model_len}"
        for number, request in enumerate(requests)
        if not 0 < len(request) <= max_model_len
    }
    lengths = [len(request) for request in requests]

    def work(batch: Sequence[int]) -> None:
        values[batch] = answer([requests[number] for number in batch])

    order = [number for number in longest_first(lengths) if number not in errors]
    budget, kinds = (0 if together is Together.none else budget), (None if together is Together.any else lengths)
    errors |= in_batches(order, lengths, budget=budget, work=work, out_of_memory=out_of_memory, kinds=kinds)
    for number in np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist():
        errors.setdefault(number, "the model's output is not a finite number")
        values[number] = np.nan
    return Answers(values, errors)
