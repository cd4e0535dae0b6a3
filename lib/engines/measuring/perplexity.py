"""How well a causal language model foresees a text: the log-probability of each token, and the perplexity.

Perplexity is exp(-mean log P(token | those before it)) (Jelinek et al. 1977). A text longer than the model's window is
read in overlapping windows, so that no token is judged with hardly any context: transformers' documentation,
"Perplexity of fixed-length models".
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lib.types import TokenIds

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LOGITS = 1 << 25  # at once: 128 MiB in float32


def windows(count: int, length: int, stride: int) -> list[tuple[int, int, int]]:
    """Windows (start, first, stop) over a text of `count` tokens, each at most `length` long, each `stride` further on.

    Of the tokens [start, stop) those from `first` on are judged; together, the windows judge each token but the text's
    first, once. Where stride < length, a token has at least length - stride tokens before it, if the text has.
    """
    assert 0 < stride < length
    found = []
    start, first = 0, 1
    while first < count:
        stop = min(start + length, count)
        found.append((start, first, stop))
        start, first = start + stride, stop
    return found


def token_logprobs(
    model: "PreTrainedModel", tokens: TokenIds, *, length: int, stride: int, at_once: int = _LOGITS
) -> npt.NDArray[np.float64]:
    """Natural-log probability [n - 1] of each token of a text but the first, under a transformers model.

    length, stride: of `windows`. at_once: logits that are computed at once, at most (one token has as many as the
    vocabulary): a window is read in blocks, with the key-value cache between them.
    """
    import torch
    from transformers import DynamicCache

    block = max(at_once // model.config.get_text_config().vocab_size, 1)
    found = np.full(len(tokens), np.nan)
    with torch.inference_mode():
        for start, first, stop in windows(len(tokens), length, stride):
            cache = DynamicCache()
            for begin in range(start, stop - 1, block):
                end = min(begin + block, stop - 1)
                ids = torch.tensor([[*tokens[begin:end]]], device=model.device)
                logits = model(input_ids=ids, past_key_values=cache, use_cache=True).logits[0]
                seen = max(first - 1 - begin, 0)  # positions whose next token an earlier window has judged
                if seen < end - begin:
                    following = torch.tensor(tokens[begin + 1 + seen : end + 1], device=model.device)
                    logprobs = -torch.nn.functional.cross_entropy(logits[seen:].float(), following, reduction="none")
                    found[begin + 1 + seen : end + 1] = logprobs.cpu().numpy()
    return found[1:]


def perplexity(logprobs: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """exp of the mean negative log-probability of tokens [n]; NaN where one of them is."""
    return float(np.exp(-np.mean(logprobs)))
