"""How much of what goes through a model is padding."""

from collections.abc import Iterable, Sequence

from lib.engines.transformers.batching import in_batches, longest_first


def batches_of(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Request numbers by batch, as an engine makes them while memory suffices. lengths: tokens of each request."""
    batches: list[list[int]] = []
    in_batches(
        longest_first(lengths),
        lengths,
        budget=budget,
        work=lambda batch: batches.append([*batch]),
        out_of_memory=lambda _: False,
    )
    return batches


def padding_efficiency(lengths: Sequence[int], batches: Iterable[Sequence[int]]) -> float:
    """Share of real tokens among all that go through the model: in (0, 1], 1 means no padding."""
    padded = sum(len(batch) * max(lengths[number] for number in batch) for batch in batches)
    return sum(lengths) / padded if padded else 1.0
