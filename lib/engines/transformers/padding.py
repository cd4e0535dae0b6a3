"""Rows of unequal length as one tensor."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lib.types import TokenIds

if TYPE_CHECKING:
    from torch import Tensor


def right_padded(batch: Sequence[TokenIds]) -> "Tensor":
    """Token ids [rows, longest], padded with 0: any id does where unequally long rows may share a batch."""
    import torch

    padded = np.zeros((len(batch), max(map(len, batch))), dtype=np.int64)
    for row, tokens in zip(padded, batch, strict=True):
        row[: len(tokens)] = tokens
    return torch.from_numpy(padded)


def token_mask(batch: Sequence[TokenIds]) -> "Tensor":
    """Integers [rows, longest]: 1 where `right_padded` has a token, 0 where it has padding."""
    import torch

    lengths = torch.tensor([len(tokens) for tokens in batch])
    return (torch.arange(int(lengths.max())) < lengths[:, None]).long()


def left_padded(batch: Sequence[TokenIds]) -> "tuple[Tensor, Tensor]":
    """Token ids [rows, longest], padded on the left, and their mask: 1 where there is a token, 0 for padding.

    A row is padded with its own first token: what counts a row's tokens (a repetition penalty) then sees no other.
    """
    import torch

    longest = max(map(len, batch))
    ids = torch.tensor([[tokens[0]] * (longest - len(tokens)) + list(tokens) for tokens in batch])
    mask = torch.arange(longest) >= longest - torch.tensor([len(tokens) for tokens in batch])[:, None]
    return ids, mask.long()


def second_mask(batch: Sequence[TokenIds], firsts: Sequence[int]) -> "Tensor":
    """Integers [rows, longest]: 0 for the first `firsts` tokens of a row, 1 behind them (padding included)."""
    import torch

    return (torch.arange(max(map(len, batch))) >= torch.tensor(firsts)[:, None]).long()


def last_states(hidden: "Tensor", batch: Sequence[TokenIds]) -> "Tensor":
    """The states [rows, width] at each row's last token, of hidden states [rows, longest, width]."""
    import torch

    last = torch.tensor([len(tokens) - 1 for tokens in batch], device=hidden.device)
    return hidden[torch.arange(len(batch), device=hidden.device), last]
