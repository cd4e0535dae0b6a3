"""Perplexity against its definition: each token's log-probability from a forward pass of its own."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lib.engines.measuring.perplexity import perplexity, token_logprobs, windows
from tests.engines.transformers.test_causal import random_prompts, tiny


def direct(model: Any, tokens: list[int], length: int, stride: int) -> npt.NDArray[np.float64]:
    """Token i is judged in the first window that holds it, which begins at a multiple of the stride."""
    import torch

    found = []
    for i in range(1, len(tokens)):
        start = next(start for start in range(0, len(tokens), stride) if i < start + length)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([tokens[start:i]]), use_cache=False).logits[0, -1].double()
        found.append(float(torch.log_softmax(logits, dim=-1)[tokens[i]]))
    return np.array(found)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gemma3", "gpt2"])
@pytest.mark.parametrize(
    ("length", "stride", "at_once"), [(64, 32, 1 << 20), (16, 8, 1 << 20), (16, 12, 64 * 5), (9, 1, 1)]
)
def test_tokens_are_judged_as_the_definition_says(name: str, length: int, stride: int, at_once: int) -> None:
    model = tiny(name)
    (tokens,) = random_prompts([50])
    expected = direct(model, tokens, length, stride)
    assert expected.std() > 0.1
    found = token_logprobs(model, tokens, length=length, stride=stride, at_once=at_once)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert perplexity(found) == pytest.approx(np.exp(-expected.mean()), rel=1e-5)


def test_a_model_that_knows_nothing_is_as_perplexed_as_its_vocabulary_is_large() -> None:
    assert perplexity(np.full(20, -np.log(64))) == pytest.approx(64)
    assert np.isnan(perplexity([-1.0, float("nan")]))


@pytest.mark.parametrize(
    ("count", "length", "stride"), [(2, 8, 4), (8, 8, 4), (9, 8, 4), (50, 8, 1), (50, 8, 7), (50, 7, 3)]
)
def test_windows_judge_each_token_once_with_enough_before_it(count: int, length: int, stride: int) -> None:
    found = windows(count, length, stride)
    assert [token for _, first, stop in found for token in range(first, stop)] == list(range(1, count))
    for start, first, stop in found:
        assert start % stride == 0
        assert stop - start <= length
        assert first - start >= min(length - stride, first)


def test_one_token_has_nothing_to_be_judged_by() -> None:
    assert windows(1, 8, 4) == []
