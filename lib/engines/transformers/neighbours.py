"""Whether a row's answer depends on the rows beside it: tried out on each model, since architectures differ.

A mask doesn't help where a model mixes all positions (Fourier transforms, convolutions), carries a state through
padding (recurrent layers) or looks for its last token by a padding token of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lib.engines.transformers.loading import out_of_memory
from lib.errors import EngineError
from lib.log import log

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

Answer = Callable[[Sequence[Sequence[int]]], "npt.NDArray[np.float32]"]
"""Answers n rows of token ids: [n, k]."""
_SHORT, _OTHER, _LONG = [5, 7, 6, 9, 8], [11, 8, 5, 10, 7], [6, 9, 12, 5, 8, 7, 10, 11] * 3


class Together(Enum):
    """Which rows may share a batch without changing each other's answers."""

    any = "any"
    equally_long = "equally_long"
    none = "none"


@contextmanager
def tried_out(model: "PreTrainedModel") -> Iterator[None]:
    """While entered, a model is tried out. Raises EngineError where it can't answer a row of token ids."""
    try:
        yield
    except Exception as error:  # of a model's own code: what it wants beside token ids, we don't have
        if isinstance(error, EngineError) or out_of_memory(error):
            raise
        raise EngineError(
            f"engine.model: {type(model).__name__} can't answer plain token ids ({type(error).__name__}: {error}); "
            "choose another model"
        ) from error


def together(model: "PreTrainedModel", answer: Answer) -> Together:
    """Which rows may share a batch of this model."""
    alone = answer([_SHORT])[0]
    if _batched_by_int8(model):
        return Together.any
    if _same(model, answer, _LONG, alone):
        return Together.any
    equally_long = _same(model, answer, _OTHER, alone)
    what = "equally long rows only" if equally_long else "one row"
    log.info("%s: each batch holds %s, since rows beside each other change its answers", type(model).__name__, what)
    return Together.equally_long if equally_long else Together.none


def looks_ahead(model: "PreTrainedModel", states: "Callable[[Tensor], Tensor]", *, sure: bool = False) -> bool:
    """Whether a token's state depends on the tokens after it: tried out, since decoders can be made to do so.

    Such a checkpoint says `"is_causal": false` or `use_bidirectional_attention` in its config.json, or has code of its
    own. states: token ids [1, n] -> [1, n, width]. sure: more than what sums in another order differ by.
    """
    import torch

    def state(after: int) -> "Tensor":
        return states(torch.tensor([[5, 6, after, after + 1]], device=model.device))[0, 1].float()

    with torch.inference_mode():
        one, other = state(7), state(9)
    least = _tolerance(model) * float(one.abs().max()) if sure else 0.0
    return float((one - other).abs().max()) > least


def _same(model: "PreTrainedModel", answer: Answer, beside: Sequence[int], alone: "npt.NDArray[np.float32]") -> bool:
    """Whether the short row is answered beside another row as alone."""
    try:
        found = answer([_SHORT, beside])[0]
    except (ValueError, RuntimeError, IndexError) as error:
        if out_of_memory(error):
            raise
        return False  # "Cannot handle batch sizes > 1 if no padding token is defined"
    scale = float(np.abs(alone).max())
    return bool(np.abs(found - alone).max() <= _tolerance(model) * max(scale, 1e-6))


def _tolerance(model: "PreTrainedModel") -> float:
    """Of a state or an answer, relative: what sums in another order differ by."""
    import torch

    return 1e-4 if model.dtype is torch.float32 and not getattr(model, "is_quantized", False) else 0.05


def _batched_by_int8(model: "PreTrainedModel") -> bool:
    """LLM.int8() treats columns with outliers apart, whichever row they come from: its answers always vary a bit."""
    return bool(getattr(model, "is_loaded_in_8bit", False))
