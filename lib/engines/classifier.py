"""Scores from a sequence classifier with one label: a reward model."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.engines.batching import answer_all
from lib.engines.loading import Loaded, out_of_memory
from lib.engines.padding import last_states, right_padded, token_mask
from lib.types import Answers, TokenIds


class ClassifierEngine:
    """Scores finished conversations."""

    def __init__(self, loaded: Loaded, *, max_model_len: int, batch_tokens: int) -> None:
        """Take a model. batch_tokens: rows times longest row of a batch."""
        self.memory = loaded.memory
        self._model = loaded.model
        self._max_model_len = max_model_len
        self._batch_tokens = batch_tokens
        self._turn = threading.Lock()  # one shard at a time: two at once would need the memory of two

    def score(self, conversations: Sequence[TokenIds]) -> Answers:
        """The model's one output for each conversation: [n, 1]."""
        import torch

        def answer(batch: Sequence[TokenIds]) -> npt.NDArray[np.float32]:
            with torch.inference_mode():
                scores = self._at_last_token(batch) if hasattr(self._model, "score") else self._whole(batch)
                assert scores.shape == (len(batch), 1)
                answers: npt.NDArray[np.float32] = scores.float().cpu().numpy()
                return answers

        with self._turn:
            return answer_all(
                conversations,
                width=1,
                budget=self._batch_tokens,
                max_model_len=self._max_model_len,
                answer=answer,
                out_of_memory=out_of_memory,
            )

    def _at_last_token(self, batch: Sequence[TokenIds]) -> Any:
        """A decoder's score, read where the conversation ends.

        transformers itself searches for the last token that is not padding, which goes wrong where the padding
        token is the end-of-text token, as it often is: then a score depends on what else is in the batch.
        """
        ids = right_padded(batch).to(self._model.device)
        hidden = self._model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        return self._model.score(last_states(hidden, batch))

    def _whole(self, batch: Sequence[TokenIds]) -> Any:
        """An encoder's score: it looks both ways, so padding is masked."""
        device = self._model.device
        return self._model(input_ids=right_padded(batch).to(device), attention_mask=token_mask(batch).to(device)).logits
