"""Where generated text ends: at an end token, at a stop text, or where its token budget does."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.types import Completion, TokenIds

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import StoppingCriteria

_CONTEXT = 8  # tokens before a stop text, so that it is not decoded as the beginning of a text


def split_stops(stops: Sequence[str], tokenizer: HuggingFaceTokenizer) -> tuple[list[str], list[int]]:
    """Stop texts, and the special tokens among them by id: these never show in a text that is decoded."""
    special = {stop: tokenizer.special_token(stop) for stop in stops}
    return [stop for stop in stops if special[stop] is None], [i for i in special.values() if i is not None]


class StopCriteria:
    """Says where samples end."""

    def __init__(
        self,
        tokenizer: HuggingFaceTokenizer,
        end_tokens: Collection[int],
        stops: Sequence[str],
        *,
        include: bool = False,
    ) -> None:
        """end_tokens: ids that end a sample. stops: texts that do so. include: what ended it is part of its text."""
        self.end_tokens = end_tokens
        self._tokenizer = tokenizer
        self._stops = stops
        self._include = include
        self._window = _CONTEXT + max((len(stop.encode()) for stop in stops), default=0)

    def criterion(self, width: int, budgets: Sequence[int]) -> "StoppingCriteria":
        """For transformers: which samples are over, by stop text or token budget. width: of the padded prompts.

        A stop text that it should miss costs time alone: `completion` has the last word.
        """
        import torch

        limits = torch.tensor(budgets)

        def is_over(ids: "Tensor", scores: "Tensor", **_: object) -> "Tensor":
            new = ids.shape[1] - width
            over = limits.repeat_interleave(len(ids) // len(limits)) <= new  # beams of a row stand side by side
            if self._stops:
                recent = ids[:, -min(new, self._window) :].tolist()
                over |= torch.tensor([self._holds_stop(self._tokenizer.plain_text(tokens)) for tokens in recent])
            return over.to(ids.device)

        return is_over

    def completion(self, prompt: TokenIds, tokens: Sequence[int]) -> Completion:
        """The sample that these tokens begin with. Those that ended it are counted, and as a rule not in the text."""
        text = ""
        for count, (token, piece) in enumerate(zip(tokens, self._tokenizer.continuation(prompt, tokens), strict=True)):
            if token in self.end_tokens:
                return Completion(text + piece * self._include, list(tokens[: count + 1]), "stop")
            text += piece
            if piece and self._holds_stop(text):
                at, stop = min((text.index(stop), stop) for stop in self._stops if stop in text)
                return Completion(text[: at + len(stop) * self._include], list(tokens[: count + 1]), "stop")
        return Completion(text, list(tokens), "length")

    def _holds_stop(self, text: str) -> bool:
        return any(stop in text for stop in self._stops)
