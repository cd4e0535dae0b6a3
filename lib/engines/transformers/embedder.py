"""Embeddings: one vector of length one for each text, from an encoder or a decoder."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lib.engines.checkpoints.pooling import Pooling
from lib.engines.transformers.batching import answer_all
from lib.engines.transformers.loading import Loaded, out_of_memory
from lib.engines.transformers.padding import last_states, right_padded, token_mask
from lib.types import Answers, TokenIds

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


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
        self._looks_ahead = _looks_ahead(loaded.model)
        self._turn = threading.Lock()  # one shard at a time: two at once would need the memory of two

    def embed(self, texts: Sequence[TokenIds]) -> Answers:
        """Unit vector of each text [n, width]; equal texts are computed once."""
        import torch

        def answer(batch: Sequence[TokenIds]) -> npt.NDArray[np.float32]:
            with torch.inference_mode():
                pooled = self._pool(self._states(batch), batch)
                vectors: npt.NDArray[np.float32] = (pooled / pooled.norm(dim=-1, keepdim=True)).cpu().numpy()
                return vectors

        distinct = {tokens: number for number, tokens in enumerate(dict.fromkeys(map(tuple, texts)))}
        with self._turn:
            answers = answer_all(
                list(distinct),
                width=self._width,
                budget=self._batch_tokens,
                max_model_len=self._max_model_len,
                answer=answer,
                out_of_memory=out_of_memory,
            )
        places = [distinct[tuple(tokens)] for tokens in texts]
        errors = {n: answers.errors[place] for n, place in enumerate(places) if place in answers.errors}
        return Answers(answers.values[places], errors)

    def _states(self, batch: Sequence[TokenIds]) -> "Tensor":
        """Hidden states [rows, longest, width]. Padding is masked only where a token could see it."""
        device = self._model.device
        mask = {"attention_mask": token_mask(batch).to(device)} if self._looks_ahead else {}
        return self._model(input_ids=right_padded(batch).to(device), **mask).last_hidden_state

    def _pool(self, states: "Tensor", batch: Sequence[TokenIds]) -> "Tensor":
        """One vector a row, float32, of any length."""
        if self._pooling is Pooling.last:
            return last_states(states, batch).float()
        if self._pooling is Pooling.cls:
            return states[:, 0].float()
        mask = token_mask(batch).to(states.device)[:, :, None]
        return (states.float() * mask).sum(dim=1)  # the mean points the same way


def _looks_ahead(model: "PreTrainedModel") -> bool:
    """Whether a token's state depends on the tokens after it: tried out, since decoders can be made to do so.

    Such a checkpoint says `"is_causal": false` in its config.json, or has code of its own.
    """
    import torch

    def state(after: int) -> "Tensor":
        return model(input_ids=torch.tensor([[5, 6, after]], device=model.device)).last_hidden_state[0, 1]

    with torch.inference_mode():
        return not torch.equal(state(7), state(8))
