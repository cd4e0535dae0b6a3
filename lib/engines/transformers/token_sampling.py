"""Token sampling for transformers' `generate`: its own processors in vLLM's order, and noise of each row's own.

A token is drawn by the Gumbel-max trick: argmax of log p(v) + G(v), with independent standard Gumbel noise G, is a draw
from p (Gumbel 1954, "Statistical theory of extreme values"; Maddison et al. 2014, "A* sampling", section 2). The noise
depends on the row's seed, the sample's number and the step alone, so that neither the batch nor the device does.
"""

from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

from lib.types import Sampling

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import LogitsProcessor

_GOLDEN, _MIX = 0x9E3779B97F4A7C15, (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def processors(sampling: Sampling, width: int, end_tokens: Collection[int]) -> "list[LogitsProcessor]":
    """What reshapes the distribution, in vLLM's order.

    width: of the padded prompts. end_tokens: ids that end a sample.
    """
    from transformers.generation import logits_process as of

    found: list[LogitsProcessor] = []
    if sampling.min_tokens:
        found.append(NoEnd(sampling.min_tokens, width, end_tokens))
    if sampling.logit_bias:
        found.append(Bias(sampling.logit_bias))
    if sampling.repetition_penalty != 1:
        found.append(of.RepetitionPenaltyLogitsProcessor(float(sampling.repetition_penalty)))
    if sampling.frequency_penalty or sampling.presence_penalty:
        found.append(CountPenalties(sampling.frequency_penalty, sampling.presence_penalty, width))
    if sampling.temperature:
        found.append(of.TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.min_p:
        found.append(of.MinPLogitsWarper(sampling.min_p))
    if sampling.top_k:
        found.append(of.TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        found.append(of.TopPLogitsWarper(sampling.top_p))
    if sampling.epsilon_cutoff:
        found.append(of.EpsilonLogitsWarper(sampling.epsilon_cutoff))
    return found


class NoEnd:
    """Leaves out what would end a sample too early."""

    def __init__(self, least: int, width: int, end_tokens: Collection[int]) -> None:
        """least: tokens of a sample. width: of the padded prompts. end_tokens: ids that end a sample."""
        self._before = width + least
        self._end_tokens = sorted(end_tokens)

    def __call__(self, ids: "Tensor", scores: "Tensor") -> "Tensor":
        """scores: [rows, vocabulary], logits."""
        import torch

        if ids.shape[1] >= self._before:
            return scores
        known = [token for token in self._end_tokens if token < scores.shape[1]]
        return scores.index_fill(1, torch.tensor(known, dtype=torch.long, device=scores.device), float("-inf"))


class Bias:
    """Adds to the logits of some tokens."""

    def __init__(self, biases: Sequence[tuple[int, float]]) -> None:
        """biases: token id and what is added."""
        self._biases = biases

    def __call__(self, ids: "Tensor", scores: "Tensor") -> "Tensor":
        """scores: [rows, vocabulary], logits."""
        import torch

        tokens, values = zip(*self._biases, strict=True)
        return scores.index_add(
            1,
            torch.tensor(tokens, device=scores.device),
            torch.tensor(values, dtype=scores.dtype, device=scores.device).expand(len(scores), -1),
        )


class CountPenalties:
    """OpenAI's penalties: logit(v) - frequency * c(v) - presence * [c(v) > 0], c(v) being how often v was written.

    OpenAI API reference, "frequency and presence penalties"; the prompt's tokens are not counted.
    """

    def __init__(self, frequency: float, presence: float, width: int) -> None:
        """width: of the padded prompts."""
        self._frequency = frequency
        self._presence = presence
        self._width = width

    def __call__(self, ids: "Tensor", scores: "Tensor") -> "Tensor":
        """scores: [rows, vocabulary], logits."""
        import torch

        written = ids[:, self._width :]
        counts = torch.zeros_like(scores).scatter_add_(1, written, torch.ones_like(written, dtype=scores.dtype))
        return scores - self._frequency * counts - self._presence * (counts > 0)


class Noise:
    """Adds each row's Gumbel noise to its scores, so that their argmax is a draw."""

    def __init__(self, streams: Sequence[tuple[int, int]], width: int) -> None:
        """streams: seed and sample number of each row. width: of the padded prompts."""
        self._streams = streams
        self._width = width

    def __call__(self, ids: "Tensor", scores: "Tensor") -> "Tensor":
        """scores: [rows, vocabulary], logits or log-probabilities."""
        step = ids.shape[1] - self._width
        keys = [key(seed, sample, step) for seed, sample in self._streams]
        return scores + gumbel(keys, scores.shape[1], scores.device)


class Finite:
    """Takes note of rows whose scores are not numbers. broken: bool [rows], once there were scores."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.broken: Tensor | None = None

    def __call__(self, ids: "Tensor", scores: "Tensor") -> "Tensor":
        """scores: [rows or rows * beams, vocabulary]; -inf, of a token that can't be, is fine."""
        broken = ~(scores < float("inf")).all(dim=1).view(self._rows, -1).all(dim=1)
        self.broken = broken if self.broken is None else self.broken | broken
        return scores


def key(seed: int, sample: int, step: int) -> int:
    """64 bits that begin the noise of one step of one sample."""
    return int.from_bytes(blake2b(f"{seed} {sample} {step}".encode(), digest_size=8).digest(), "little")


def gumbel(keys: Sequence[int], count: int, device: str = "cpu") -> "Tensor":
    """Standard Gumbel noise float32 [keys, count]: -log(-log(u)) of outputs of SplitMix64, which a key each starts.

    SplitMix64: Steele et al. 2014, "Fast splittable pseudorandom number generators".
    """
    import torch

    start = torch.tensor([_signed(key) for key in keys], device=device)[:, None]
    x = start + torch.arange(1, count + 1, device=device) * _signed(_GOLDEN)
    x = (x ^ _shifted(x, 30)) * _signed(_MIX[0])
    x = (x ^ _shifted(x, 27)) * _signed(_MIX[1])
    x = x ^ _shifted(x, 31)
    uniform = (_shifted(x, 11).double() + 0.5) / 2**53
    return -torch.log(-torch.log(uniform)).float()


def _signed(value: int) -> int:
    """The signed 64-bit integer of the same bits: torch has no arithmetic on unsigned ones."""
    return value - (1 << 64) if value >> 63 else value


def _shifted(x: "Tensor", bits: int) -> "Tensor":
    """x >> bits as if x were unsigned."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
