"""Vectors and relevance by sentence-transformers itself: `encode` and `predict`, in batches under a token budget."""

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lib.engines.sentence_transformers.loading import memory
from lib.engines.sentence_transformers.text_tokens import TextTokens
from lib.engines.transformers.batching import answer_all
from lib.engines.transformers.loading import out_of_memory
from lib.types import Answers, TokenIds, TokenPair

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, SentenceTransformer

Ask = Callable[[Sequence[TextTokens]], npt.NDArray[np.float32]]


class _Batches:
    """What both engines share: equal requests are asked once, one shard at a time."""

    def __init__(self, model: Any, *, max_model_len: int, batch_tokens: int) -> None:
        """Take a model of the library's. batch_tokens: rows times longest row of a batch."""
        self.memory = memory(model)
        self._max_model_len = max_model_len
        self._batch_tokens = batch_tokens
        self._turn = threading.Lock()

    def _all(self, requests: Sequence[TokenIds], width: int, ask: Ask) -> Answers:
        distinct: dict[tuple[str, ...], TextTokens] = {}
        contents = []
        for request in requests:
            assert isinstance(request, TextTokens), "requests are those of this engine's own tokenizer"
            contents.append(request.content)
            distinct.setdefault(request.content, request)
        with self._turn:
            found = answer_all(
                list(distinct.values()),
                width=width,
                budget=self._batch_tokens,
                max_model_len=self._max_model_len,
                answer=ask,
                out_of_memory=out_of_memory,
            )
        numbers = {content: number for number, content in enumerate(distinct)}
        places = [numbers[content] for content in contents]
        errors = {n: found.errors[place] for n, place in enumerate(places) if place in found.errors}
        return Answers(found.values[places], errors)


class SentenceEngine(_Batches):
    """A SentenceTransformer."""

    def __init__(
        self, model: "SentenceTransformer", *, width: int, unit: bool, max_model_len: int, batch_tokens: int
    ) -> None:
        """unit: whether vectors get length one; else they are left as the model makes them."""
        super().__init__(model, max_model_len=max_model_len, batch_tokens=batch_tokens)
        self._model = model
        self._width = width
        self._unit = unit

    def embed(self, texts: Sequence[TokenIds]) -> Answers:
        """Vector of each text [n, width]: what the library's `encode` makes of it with its prompt and role."""
        return self._all(texts, self._width, self._vectors)

    def _vectors(self, batch: Sequence[TextTokens]) -> npt.NDArray[np.float32]:
        (prefix, role), *others = {(text.prefix, text.role) for text in batch}
        assert not others, "the texts of a call have one role"
        found: npt.NDArray[np.float32] = self._model.encode(
            [text.texts[0] for text in batch],
            prompt=prefix,
            batch_size=len(batch),
            show_progress_bar=False,
            normalize_embeddings=self._unit,
            **({} if role == "none" else {"task": role}),
        )
        return found.astype(np.float32, copy=False)


class PairEngine(_Batches):
    """A CrossEncoder with one output."""

    def __init__(self, model: "CrossEncoder", *, max_model_len: int, batch_tokens: int) -> None:
        super().__init__(model, max_model_len=max_model_len, batch_tokens=batch_tokens)
        self._model = model

    def relevance(self, pairs: Sequence[TokenPair]) -> Answers:
        """The model's one output for each pair, as the library's `predict` has it before the activation: [n, 1]."""
        return self._all([tokens for tokens, _ in pairs], 1, self._scores)

    def _scores(self, batch: Sequence[TextTokens]) -> npt.NDArray[np.float32]:
        from torch.nn import Identity

        pairs = [text.texts for text in batch]
        found: npt.NDArray[np.float32] = self._model.predict(
            pairs, batch_size=len(batch), show_progress_bar=False, activation_fn=Identity()
        )
        return found.astype(np.float32, copy=False).reshape(len(batch), 1)
