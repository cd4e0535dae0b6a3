"""Answers of a sequence classifier: scores of a reward model or a cross-encoder, probabilities of a judge's classes."""

import inspect
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lib.engines.transformers.batching import answer_all
from lib.engines.transformers.loading import Loaded, out_of_memory
from lib.engines.transformers.neighbours import looks_ahead, together, tried_out
from lib.engines.transformers.padding import last_states, right_padded, second_mask, token_mask
from lib.types import Answers, TokenIds, TokenPair

if TYPE_CHECKING:
    from torch import Tensor


_TRIED, _UNUSED = [5, 7, 6, 9, 8], 11  # a row to try a model out with, and a token that is not in it


@dataclass(frozen=True)
class _Input:
    """Token ids, and how many of them belong to the first text."""

    tokens: TokenIds
    first: int

    def __len__(self) -> int:
        return len(self.tokens)


class ClassifierEngine:
    """Scores finished conversations, and pairs of query and passage; tells how likely each class of a text is."""

    def __init__(self, loaded: Loaded, *, max_model_len: int, batch_tokens: int) -> None:
        """Take a model. batch_tokens: rows times longest row of a batch."""
        self.memory = loaded.memory
        self._model = loaded.model
        self._max_model_len = max_model_len
        self._batch_tokens = batch_tokens
        self._width = int(loaded.model.config.num_labels)
        # Models that tell the second text from the first (BERT's token types), whatever the tokenizer says.
        self._has_types = (getattr(loaded.model.config, "type_vocab_size", None) or 0) > 1
        self._takes_mask = "attention_mask" in inspect.signature(loaded.model.forward).parameters
        with tried_out(loaded.model):
            self._looks_ahead = hasattr(loaded.model, "score") and looks_ahead(loaded.model, self._states)
            self._reads_last = hasattr(loaded.model, "score") and self._is_read_at_last_token()
            if not self._reads_last and self._searches_padding():
                loaded.model.config.pad_token_id = -1  # no token: it then takes the last one, of equally long rows
            self._together = together(loaded.model, lambda rows: self._scores([_Input(row, len(row)) for row in rows]))
        self._turn = threading.Lock()  # one shard at a time: two at once would need the memory of two

    def score(self, conversations: Sequence[TokenIds]) -> Answers:
        """The model's one output for each conversation: [n, 1]."""
        return self._answer([_Input(tokens, len(tokens)) for tokens in conversations])

    def relevance(self, pairs: Sequence[TokenPair]) -> Answers:
        """The model's one output for each pair of query and passage, without an activation: [n, 1]."""
        return self._answer([_Input(tokens, first) for tokens, first in pairs])

    def class_logprobs(self, prompts: Sequence[TokenIds]) -> Answers:
        """Natural-log probability of each of the model's classes for each text: [n, k]."""
        from scipy.special import log_softmax

        answers = self._answer([_Input(tokens, len(tokens)) for tokens in prompts])
        return replace(answers, values=log_softmax(answers.values, axis=1))

    def _answer(self, requests: Sequence[_Input]) -> Answers:
        with self._turn:
            return answer_all(
                requests,
                width=self._width,
                budget=self._batch_tokens,
                max_model_len=self._max_model_len,
                answer=self._scores,
                out_of_memory=out_of_memory,
                together=self._together,
            )

    def _scores(self, batch: Sequence[_Input]) -> npt.NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            scores = self._at_last_token(batch) if self._reads_last else self._whole(batch)
            assert scores.shape == (len(batch), self._width)
            answers: npt.NDArray[np.float32] = scores.float().cpu().numpy()
            return answers

    def _at_last_token(self, batch: Sequence[_Input]) -> "Tensor":
        """A decoder's score, read where the request ends.

        transformers itself searches for the last token that is not padding, which goes wrong where the padding
        token is the end-of-text token, as it often is: then a score depends on what else is in the batch.
        """
        rows = [request.tokens for request in batch]
        ids = right_padded(rows).to(self._model.device)
        hidden = self._states(ids, token_mask(rows).to(ids.device) if self._looks_ahead else None)
        return self._model.score(last_states(hidden, rows))

    def _states(self, ids: "Tensor", mask: "Tensor | None" = None) -> "Tensor":
        """Hidden states [rows, longest, width]. mask: where tokens could see padding."""
        masked = {} if mask is None else {"attention_mask": mask}
        hidden: Tensor = self._model.base_model(input_ids=ids, use_cache=False, **masked).last_hidden_state
        return hidden

    def _is_read_at_last_token(self) -> bool:
        """Whether the model's own score of a row is that of its last state and nothing else."""
        import torch

        row = [_Input(_TRIED, len(_TRIED))]
        with torch.inference_mode():
            own, ours = self._model(torch.tensor([_TRIED], device=self._model.device)).logits, self._at_last_token(row)
        return bool(own.shape == ours.shape and torch.allclose(own.float(), ours.float(), rtol=0.02, atol=1e-3))

    def _searches_padding(self) -> bool:
        """Whether the model scores where it finds its config's padding token, which may be among a row's own."""
        config, row = self._model.config, [_Input(_TRIED, len(_TRIED))]
        before = config.pad_token_id
        try:
            config.pad_token_id = _TRIED[-1]
            moved = self._scores(row)
            config.pad_token_id = _UNUSED
            return not np.allclose(moved, self._scores(row))
        finally:
            config.pad_token_id = before

    def _whole(self, batch: Sequence[_Input]) -> "Tensor":
        """An encoder's score: it looks both ways, so padding is masked."""
        rows, device = [request.tokens for request in batch], self._model.device
        inputs = {"input_ids": right_padded(rows), "attention_mask": token_mask(rows)}
        if not self._takes_mask:
            del inputs["attention_mask"]
        if self._has_types:
            inputs["token_type_ids"] = second_mask(rows, [request.first for request in batch])
        return self._model(**{name: tensor.to(device) for name, tensor in inputs.items()}).logits
