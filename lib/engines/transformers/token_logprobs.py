"""How likely the tokens of a text were, taken down while transformers' `generate` writes it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.types import TokenIds, TokenLogprob

if TYPE_CHECKING:
    from torch import Tensor

_Step = tuple[float, Sequence[int], Sequence[float]]  # of the token that was taken; the likeliest, and theirs


class LogprobRecorder:
    """Reads each step's logits before anything changes them; what was taken shows at the step after."""

    def __init__(self, top: int, rows: int) -> None:
        """top: how many of the likeliest tokens are kept of each step."""
        self._top = top
        self._steps: list[list[_Step]] = [[] for _ in range(rows)]
        self._last: Tensor | None = None

    def __call__(self, ids: "Tensor", scores: "Tensor") -> "Tensor":
        """scores: [rows, vocabulary], logits; returned as they are."""
        self.note(ids)
        self._last = scores.float().log_softmax(dim=-1)
        return scores

    def note(self, ids: "Tensor") -> None:
        """Take down the step that the last of the ids [rows, length] ended: to be called once more at the end."""
        if self._last is None:
            return
        best = self._last.topk(self._top, dim=-1)
        taken = self._last.gather(1, ids[:, -1:]).squeeze(1).tolist()
        for row, step in enumerate(zip(taken, best.indices.tolist(), best.values.tolist(), strict=True)):
            self._steps[row].append(step)

    def told(self, row: int, tokens: TokenIds, tokenizer: HuggingFaceTokenizer) -> list[TokenLogprob]:
        """The first steps of a row, one for each of its tokens."""
        steps = self._steps[row][: len(tokens)]
        return [
            TokenLogprob(
                tokenizer.decode([token]),
                taken,
                [(tokenizer.decode([other]), value) for other, value in zip(others, values, strict=True)],
            )
            for token, (taken, others, values) in zip(tokens, steps, strict=True)
        ]
