"""Embeddings: one vector of length one for each text, from an encoder or a decoder."""

import inspect
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lib.engines.checkpoints.pooling import Pooling
from lib.engines.transformers.batching import answer_all
from lib.engines.transformers.loading import Loaded, out_of_memory
from lib.engines.transformers.neighbours import looks_ahead, together, tried_out
from lib.engines.transformers.padding import last_states, right_padded, token_mask
from lib.types import Answers, TokenIds

if TYPE_CHECKING:
    from torch import Tensor


class EmbedderEngine:
    """Turns texts into vectors."""

    def __init__(self, loaded: Loaded, *, pooling: Pooling, max_model_len: int, batch_tokens: int) -> None:
        """Take a model without a head. batch_tokens: rows times longest row of a batch."""
        self.memory = loaded.memory
        self._model = loaded.model
        self._pooling = pooling
        self._max_model_len = max_model_len
        self._batch_tokens = batch_tokens
        config = loaded.model.config.get_text_config()
        config.use_cache = False  # nothing is generated; not all models take it as an argument
        self._width: int = config.hidden_size
        self._takes_mask = "attention_mask" in inspect.signature(loaded.model.forward).parameters
        with tried_out(loaded.model):
            self._looks_ahead = looks_ahead(loaded.model, lambda ids: loaded.model(input_ids=ids).last_hidden_state)
            self._together = together(loaded.model, self._vectors)
        self._turn = threading.Lock()  # one shard at a time: two at once would need the memory of two

    def embed(self, texts: Sequence[TokenIds]) -> Answers:
        """Unit vector of each text [n, width]; equal texts are computed once."""
        distinct = {tokens: number for number, tokens in enumerate(dict.fromkeys(map(tuple, texts)))}
        with self._turn:
            answers = answer_all(
                list(distinct),
                width=self._width,
                budget=self._batch_tokens,
                max_model_len=self._max_model_len,
                answer=self._vectors,
                out_of_memory=out_of_memory,
                together=self._together,
            )
        places = [distinct[tuple(tokens)] for tokens in texts]
        errors = {n: answers.errors[place] for n, place in enumerate(places) if place in answers.errors}
        return Answers(answers.values[places], errors)

    def _vectors(self, batch: Sequence[TokenIds]) -> npt.NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            pooled = self._pool(self._states(batch), batch)
            vectors: npt.NDArray[np.float32] = (pooled / pooled.norm(dim=-1, keepdim=True)).cpu().numpy()
            return vectors

    def _states(self, batch: Sequence[TokenIds]) -> "Tensor":
        """Hidden states [rows, longest, width]. Padding is masked only where a token could see it."""
        device = self._model.device
        mask = {"attention_mask": token_mask(batch).to(device)} if self._looks_ahead and self._takes_mask else {}
        return self._model(input_ids=right_padded(batch).to(device), **mask).last_hidden_state

    def _pool(self, states: "Tensor", batch: Sequence[TokenIds]) -> "Tensor":
        """One vector a row, float32, of any length."""
        if self._pooling is Pooling.last:
            return last_states(states, batch).float()
        if self._pooling is Pooling.cls:
            return states[:, 0].float()
        mask = token_mask(batch).to(states.device)[:, :, None]
        return (states.float() * mask).sum(dim=1)  # the mean points the same way
