"""Scores from a sequence classifier with one label: a reward model, or a cross-encoder that reads two texts."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lib.engines.transformers.batching import answer_all
from lib.engines.transformers.loading import Loaded, out_of_memory
from lib.engines.transformers.padding import last_states, right_padded, second_mask, token_mask
from lib.types import Answers, TokenIds, TokenPair

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class _Input:
    """Token ids, and how many of them belong to the first text."""

    tokens: TokenIds
    first: int

    def __len__(self) -> int:
        return len(self.tokens)


class ClassifierEngine:
    """Scores finished conversations, and pairs of query and passage."""

    def __init__(self, loaded: Loaded, *, max_model_len: int, batch_tokens: int) -> None:
        """Take a model. batch_tokens: rows times longest row of a batch."""
        self.memory = loaded.memory
        self._model = loaded.model
        self._max_model_len = max_model_len
        self._batch_tokens = batch_tokens
        # Models that tell the second text from the first (BERT's token types), whatever the tokenizer says.
        self._has_types = (getattr(loaded.model.config, "type_vocab_size", None) or 0) > 1
        self._turn = threading.Lock()  # one shard at a time: two at once would need the memory of two

    def score(self, conversations: Sequence[TokenIds]) -> Answers:
        """The model's one output for each conversation: [n, 1]."""
        return self._answer([_Input(tokens, len(tokens)) for tokens in conversations])

    def relevance(self, pairs: Sequence[TokenPair]) -> Answers:
        """The model's one output for each pair of query and passage, without an activation: [n, 1]."""
        return self._answer([_Input(tokens, first) for tokens, first in pairs])

    def _answer(self, requests: Sequence[_Input]) -> Answers:
        import torch

        def answer(batch: Sequence[_Input]) -> npt.NDArray[np.float32]:
            with torch.inference_mode():
                scores = self._at_last_token(batch) if hasattr(self._model, "score") else self._whole(batch)
                assert scores.shape == (len(batch), 1)
                answers: npt.NDArray[np.float32] = scores.float().cpu().numpy()
                return answers

        with self._turn:
            return answer_all(
                requests,
                width=1,
                budget=self._batch_tokens,
                max_model_len=self._max_model_len,
                answer=answer,
                out_of_memory=out_of_memory,
            )

    def _at_last_token(self, batch: Sequence[_Input]) -> "Tensor":
        """A decoder's score, read where the request ends.

        transformers itself searches for the last token that is not padding, which goes wrong where the padding
        token is the end-of-text token, as it often is: then a score depends on what else is in the batch.
        """
        rows = [request.tokens for request in batch]
        ids = right_padded(rows).to(self._model.device)
        hidden = self._model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        return self._model.score(last_states(hidden, rows))

    def _whole(self, batch: Sequence[_Input]) -> "Tensor":
        """An encoder's score: it looks both ways, so padding is masked."""
        rows, device = [request.tokens for request in batch], self._model.device
        inputs = {"input_ids": right_padded(rows), "attention_mask": token_mask(rows)}
        if self._has_types:
            inputs["token_type_ids"] = second_mask(rows, [request.first for request in batch])
        return self._model(**{name: tensor.to(device) for name, tensor in inputs.items()}).logits
