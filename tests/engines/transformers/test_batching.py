from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from lib.engines.transformers.batching import MIN_ROW, answer_all
from lib.types import Answers, TokenIds
from tests.bench.padding import batches_of, padding_efficiency


class Memory:
    """Answers with each request's length and first token; runs out of memory above `limit` padded tokens."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.sizes: list[int] = []

    def __call__(self, batch: Sequence[TokenIds]) -> npt.NDArray[np.float32]:
        size = len(batch) * max(map(len, batch))
        self.sizes.append(size)
        if size > self.limit:
            raise MemoryError
        return np.array([[len(request), request[0]] for request in batch], dtype=np.float32)


def ask(requests: Sequence[TokenIds], memory: Memory, budget: int = 400, longest: int = 1000) -> Answers:
    return answer_all(
        requests,
        width=2,
        budget=budget,
        max_model_len=longest,
        answer=memory,
        out_of_memory=lambda error: isinstance(error, MemoryError),
    )


def requests_of(lengths: Sequence[int]) -> list[list[int]]:
    return [[number] * length for number, length in enumerate(lengths)]


def test_batches_keep_the_budget_cover_every_request_once_and_are_full() -> None:
    lengths = np.random.default_rng(0).integers(1, 300, 500).tolist()
    batches = batches_of(lengths, 1000)
    assert sorted(number for batch in batches for number in batch) == list(range(500))
    for batch, following in zip(batches, [*batches[1:], None], strict=True):
        longest = max(lengths[n] for n in batch)
        assert len(batch) * longest <= 1000
        if following:
            assert (len(batch) + 1) * max(longest, MIN_ROW) > 1000
            assert min(lengths[n] for n in batch) >= lengths[following[0]]
    assert padding_efficiency(lengths, batches) > 0.95


def test_padding_efficiency_counts_what_goes_through_the_model() -> None:
    assert padding_efficiency([10, 5], [[0, 1]]) == 15 / 20
    assert padding_efficiency([10, 5], [[0], [1]]) == 1


def test_a_request_above_the_budget_goes_alone() -> None:
    assert batches_of([50, 2000, 50], 100) == [[1], [0, 2]]


def test_answers_stand_in_the_order_of_the_requests() -> None:
    answers = ask(requests_of([7, 300, 40, 7, 120]), Memory(10_000))
    assert answers.values.tolist() == [[7, 0], [300, 1], [40, 2], [7, 3], [120, 4]]
    assert not answers.errors


def test_out_of_memory_halves_and_loses_no_row() -> None:
    memory = Memory(limit=100)
    answers = ask(requests_of([40] * 10), memory)
    assert not answers.errors
    assert answers.values[:, 1].tolist() == list(range(10))
    assert memory.sizes == [400, 200, *[80] * 5]  # the budget stays halved: no second failure


def test_a_row_that_does_not_fit_alone_is_an_error_of_its_own() -> None:
    answers = ask(requests_of([40, 150, 40]), Memory(limit=100))
    assert list(answers.errors) == [1]
    assert "out of memory" in answers.errors[1]
    assert np.isnan(answers.values[1]).all()
    assert answers.values[[0, 2], 0].tolist() == [40, 40]


def test_other_exceptions_are_not_taken_for_out_of_memory() -> None:
    def broken(batch: Sequence[TokenIds]) -> npt.NDArray[np.float32]:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        answer_all([[1]], width=1, budget=1, max_model_len=9, answer=broken, out_of_memory=lambda error: False)


def test_empty_and_overlong_requests_are_errors() -> None:
    answers = ask([[], [1] * 11, [5] * 10], Memory(1000), longest=10)
    assert answers.errors.keys() == {0, 1}
    assert "empty" in answers.errors[0]
    assert "11 tokens" in answers.errors[1]
    assert answers.values[2].tolist() == [10, 5]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_an_error_of_that_row(wrong: float) -> None:
    def answer(batch: Sequence[TokenIds]) -> npt.NDArray[np.float32]:
        return np.array([[1, wrong if request[0] == 1 else 2] for request in batch], dtype=np.float32)

    answers = answer_all(
        requests_of([3, 3, 3]), width=2, budget=99, max_model_len=9, answer=answer, out_of_memory=lambda error: False
    )
    assert list(answers.errors) == [1]
    assert np.isnan(answers.values[1]).all()
    assert np.isfinite(answers.values[[0, 2]]).all()
