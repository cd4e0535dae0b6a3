"""Label log-probabilities from a causal language model.

Prompts are padded on the RIGHT and no attention mask is given: causal attention never looks at what comes later, so
padding is harmless, and attention takes its fast causal path. The head sees only the last positions, so logits are
[rows, vocabulary], whatever the length. Labels of several tokens are followed up from the key-value cache.
"""

import inspect
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lib.engines.decoding.label_tokens import Tokens, distinct, next_tokens, paths
from lib.engines.transformers.batching import answer_all
from lib.engines.transformers.loading import Loaded, out_of_memory
from lib.engines.transformers.neighbours import looks_ahead, together, tried_out
from lib.engines.transformers.padding import right_padded
from lib.errors import EngineError
from lib.types import Answers, Label, TokenIds

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import DynamicCache, PreTrainedModel


_PROBE: list[list[Tokens]] = [[(5,), (6, 7)], [(8, 9, 5), (8, 9, 6)]]  # labels to try a model out with


class CausalEngine:
    """Says how likely labels are to follow prompts."""

    def __init__(self, loaded: Loaded, *, max_model_len: int, batch_tokens: int) -> None:
        """Take a model. batch_tokens: rows times longest row of a batch."""
        self.memory = loaded.memory
        self._model = loaded.model
        self._max_model_len = max_model_len
        self._batch_tokens = batch_tokens
        self._continues = _can_continue(loaded.model)
        with tried_out(loaded.model):
            if looks_ahead(loaded.model, lambda ids: loaded.model(input_ids=ids, use_cache=False).logits, sure=True):
                raise EngineError(
                    f"engine.model: {type(loaded.model).__name__} looks at the tokens to come (its config.json says "
                    "so, or it is no decoder), so it predicts no next token; choose a causal language model"
                )
            self._together = together(loaded.model, lambda batch: self._logprobs(batch, _PROBE))
        self._turn = threading.Lock()  # one shard at a time: two at once would need the memory of two

    def label_logprobs(self, prompts: Sequence[TokenIds], labels: Sequence[Label]) -> Answers:
        """Natural-log probability of each label after each prompt: [n, k].

        A label's token sequences are summed; one that begins another contains it, so the longer is left out. Labels
        may begin one another: each is then answered by itself.
        """
        sequences = [distinct(label) for label in labels]
        with self._turn:
            return answer_all(
                prompts,
                width=len(labels),
                budget=self._batch_tokens,
                max_model_len=self._max_model_len,
                answer=lambda batch: self._logprobs(batch, sequences),
                out_of_memory=out_of_memory,
                together=self._together,
            )

    def _logprobs(self, batch: Sequence[TokenIds], labels: Sequence[Sequence[Tokens]]) -> npt.NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            return self._answer(batch, labels)

    def _answer(self, batch: Sequence[TokenIds], labels: Sequence[Sequence[Tokens]]) -> npt.NDArray[np.float32]:
        import torch

        first, *others = paths(labels) or [()]
        logits, cache = self._read(batch, first, use_cache=bool(others) and self._continues)
        steps = _steps(logits, labels, first)
        lengths = torch.tensor([len(prompt) for prompt in batch])
        if cache is not None:
            _pad_left(cache, lengths)
        for path in others:
            if cache is not None:
                logits = self._continue(path, cache, lengths)
            else:
                logits, _ = self._read(batch, path, use_cache=False)
            steps |= _steps(logits, labels, path)
        per_sequence = [[sum(steps[s[: i + 1]] for i in range(len(s))) for s in label] for label in labels]
        summed = [torch.logsumexp(torch.stack(label), dim=0) for label in per_sequence]
        answers: npt.NDArray[np.float32] = torch.stack(summed, dim=1).cpu().numpy()
        return answers

    def _read(self, batch: Sequence[TokenIds], path: Tokens, *, use_cache: bool) -> "tuple[Tensor, DynamicCache]":
        """Logits [rows, 1 + len(path), vocabulary] after each prompt and each token of `path`, which follows it.

        Also the key-value cache [rows, longest + len(path)] if wanted.
        """
        import torch
        from transformers import DynamicCache

        ids = right_padded([[*prompt, *path] for prompt in batch] if path else batch).to(self._model.device)
        last = torch.tensor([len(prompt) - 1 for prompt in batch], device=ids.device)
        asked = last[:, None] + torch.arange(1 + len(path), device=ids.device)
        cache = DynamicCache() if use_cache else None
        with _head_sees(self._model, asked):
            output = self._model(input_ids=ids, past_key_values=cache, use_cache=use_cache)
        return output.logits, cache

    def _continue(self, path: Tokens, cache: "DynamicCache", lengths: "Tensor") -> "Tensor":
        """The same logits, but for those right after the prompt, from a cache padded left; leaves it as it was."""
        import torch

        device = self._model.device
        rows, width, size = len(lengths), int(lengths.max()), len(path)
        mask = torch.arange(width + size) >= width - lengths[:, None]
        output = self._model(
            input_ids=torch.tensor(path, device=device).expand(rows, size),
            attention_mask=mask.to(device, torch.long),
            position_ids=(lengths[:, None] + torch.arange(size)).to(device),
            past_key_values=cache,
            use_cache=True,
        )
        cache.crop(-size)
        return output.logits


def _can_continue(model: "PreTrainedModel") -> bool:
    """Whether the key-value cache holds all that was read, by position: not so for recurrent or chunked layers."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    positions = "position_ids" in inspect.signature(model.forward).parameters
    return positions and not model._is_stateful and kinds <= {"full_attention", "sliding_attention"}


def _steps(logits: "Tensor", labels: Sequence[Sequence[Tokens]], path: Tokens) -> "dict[Tokens, Tensor]":
    """Each prefix of a label that leaves `path` or is it -> log P(its last token | those before) [rows].

    logits: [rows, n, vocabulary] after the last n prefixes of `path`, the whole of it included.
    """
    import torch

    steps: dict[Tokens, Tensor] = {}
    for back in range(logits.shape[1]):
        prefix = path[: len(path) - back]
        tokens = next_tokens(labels, prefix)
        after = logits[:, -1 - back].float()
        logprobs = after[:, tokens] - torch.logsumexp(after, dim=-1, keepdim=True)
        steps |= {(*prefix, token): logprobs[:, column] for column, token in enumerate(tokens)}
    return steps


@contextmanager
def _head_sees(model: "PreTrainedModel", positions: "Tensor") -> Iterator[None]:
    """Within, the language-model head gets the hidden states at `positions` [rows, k] alone."""
    rows = positions.new_tensor(range(len(positions)))[:, None]
    hook = model.get_output_embeddings().register_forward_pre_hook(
        lambda _, arguments: (arguments[0][rows, positions], *arguments[1:])
    )
    try:
        yield
    finally:
        hook.remove()


def _pad_left(cache: "DynamicCache", lengths: "Tensor") -> None:
    """Move each prompt's keys and values to the right end, so that what follows stands next to what it follows.

    What was read after a prompt is dropped.

    Their rotary positions stay those of the row itself. Sliding windows, which count by index, are then right too.
    """
    import torch

    width = int(lengths.max())
    rows = torch.arange(len(lengths))[:, None]
    source = (torch.arange(width) - (width - lengths)[:, None]).clamp(min=0)
    for layer in cache.layers:
        at = (rows.to(layer.keys.device), source.to(layer.keys.device))
        layer.keys = layer.keys.transpose(1, 2)[at].transpose(1, 2)
        layer.values = layer.values.transpose(1, 2)[at].transpose(1, 2)
