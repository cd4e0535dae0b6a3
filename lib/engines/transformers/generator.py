"""Text from a causal language model by transformers' own `generate`, in batches under a token budget.

Prompts are padded on the left; keys and values are kept from step to step; of a prompt's logits only the last are
computed. A sample is a row of its own. Whatever the batch, a row draws the same numbers; its probabilities differ in
the last digits with the rows beside it, as in every floating-point engine, which can turn a draw that is nearly even.
"""

import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.engines.decoding.constraint import Grammars, Mask
from lib.engines.decoding.stopping import StopCriteria, split_stops
from lib.engines.decoding.token_budget import token_budgets
from lib.engines.transformers.batching import in_batches
from lib.engines.transformers.loading import Loaded, out_of_memory
from lib.engines.transformers.neighbours import Together, together, tried_out
from lib.engines.transformers.padding import left_padded
from lib.engines.transformers.token_logprobs import LogprobRecorder
from lib.engines.transformers.token_sampling import Finite, Noise, processors
from lib.types import REFUSED, Completion, Completions, Sampling, TokenIds

if TYPE_CHECKING:
    from transformers import PreTrainedModel


_WRITTEN = 5  # the token that is written where a model is tried out


class GeneratorEngine:
    """Writes text after prompts."""

    def __init__(
        self, loaded: Loaded, tokenizer: HuggingFaceTokenizer, *, max_model_len: int, batch_tokens: int
    ) -> None:
        """Take a model. batch_tokens: rows (samples, beams) of a batch times the longest's prompt and token budget."""
        from transformers import GenerationConfig

        self.memory = loaded.memory
        self._model = loaded.model
        self._tokenizer = tokenizer
        self._max_model_len = max_model_len
        self._batch_tokens = batch_tokens
        self._end_tokens = _end_tokens(loaded.model, tokenizer)
        loaded.model.generation_config = GenerationConfig()  # the checkpoint's own sampling is not what was asked for
        self._grammars: Grammars | None = None
        with tried_out(loaded.model):
            self._together = together(loaded.model, self._first_logits)
        self._turn = threading.Lock()  # one shard at a time: two at once would need the memory of two

    def generate(self, prompts: Sequence[TokenIds], sampling: Sampling, seeds: Sequence[int]) -> Completions:
        """What follows each prompt, without the prompt.

        seeds: one for each prompt, unused where sampling is greedy; sample k draws from (seed, k) alone.
        Raises EngineError where the text is constrained and the model has no end token.
        """
        budgets, errors = token_budgets(prompts, sampling, self._max_model_len)
        if unknown := self._unknown_tokens(sampling):
            errors = dict.fromkeys(range(len(prompts)), unknown)
        copies = 1 if sampling.num_beams > 1 else sampling.n  # the beams of a request are one row of ours
        rows = [(n, sample) for n in range(len(prompts)) if n not in errors for sample in range(copies)]
        lengths = [sampling.num_beams * (len(prompts[n]) + budgets[n]) for n, _ in rows]
        sizes = [len(prompts[n]) for n, _ in rows]
        ends = self._kinds(sizes, [budgets[n] for n, _ in rows])
        alike = [0 if self._together is Together.any else size for size in sizes]
        kinds = list(zip(ends, alike, strict=True))
        order = sorted(range(len(rows)), key=lambda row: (kinds[row], lengths[row], sizes[row]), reverse=True)
        texts: list[dict[int, list[Completion]]] = [{} for _ in prompts]

        def work(batch: Sequence[int]) -> None:
            numbers = [rows[row][0] for row in batch]
            streams = [(seeds[rows[row][0]], rows[row][1]) for row in batch]
            answers = self._answer([prompts[n] for n in numbers], [budgets[n] for n in numbers], sampling, streams)
            for row, answer in zip(batch, answers, strict=True):
                number, sample = rows[row]
                if isinstance(answer, str):
                    errors[number] = answer
                else:
                    texts[number][sample] = answer

        budget = 0 if self._together is Together.none else self._batch_tokens
        with self._turn:
            failed = in_batches(order, lengths, budget=budget, work=work, out_of_memory=out_of_memory, kinds=kinds)
        errors |= {rows[row][0]: why for row, why in failed.items()}
        found = [
            [] if n in errors else [c for _, own in sorted(texts[n].items()) for c in own] for n in range(len(texts))
        ]
        return Completions(found, errors)

    def _unknown_tokens(self, sampling: Sampling) -> str | None:
        """What is wrong where token ids are named that the model doesn't have."""
        size = self._model.config.get_text_config().vocab_size
        for key, tokens in (
            ("logit_bias", [token for token, _ in sampling.logit_bias]),
            ("stop_token_ids", sampling.stop_token_ids),
        ):
            if tokens and max(tokens) >= size:
                return f"{REFUSED}{key}: the model has no token {max(tokens)}; its tokens are 0 to {size - 1}"
        return None

    def _first_logits(self, batch: Sequence[TokenIds]) -> npt.NDArray[np.float32]:
        """The logits of the first three tokens after each row [rows, 3 * vocabulary], padded as all batches are.

        The tokens are always the same, lest a near tie for one make the logits of the next quite others.
        """
        import torch
        from transformers import GenerationConfig

        ids, mask = left_padded(batch)
        config = GenerationConfig(
            do_sample=False, max_new_tokens=3, pad_token_id=0, output_logits=True, return_dict_in_generate=True
        )
        with torch.inference_mode():
            device = self._model.device
            written = torch.tensor([_WRITTEN], device=device)
            output = self._model.generate(
                ids.to(device),
                attention_mask=mask.to(device),
                generation_config=config,
                logits_processor=[lambda _, scores: torch.full_like(scores, -math.inf).index_fill_(1, written, 0.0)],
            )
            logits: npt.NDArray[np.float32] = torch.cat(output.logits, dim=1).float().cpu().numpy()
            return logits

    def _kinds(self, lengths: Sequence[int], budgets: Sequence[int]) -> list[int]:
        """Which rows may share a batch: none is carried beyond the model's last position by one with a larger budget.

        0: those that can go on as long as any row; else the row's token budget.
        """
        positions = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        most = max(budgets, default=0)
        both = zip(lengths, budgets, strict=True)
        return [budget if positions and length + most > positions else 0 for length, budget in both]

    def _answer(
        self, batch: Sequence[TokenIds], budgets: Sequence[int], sampling: Sampling, streams: Sequence[tuple[int, int]]
    ) -> list[list[Completion] | str]:
        """The samples of each row of a batch, or why it has none. streams: seed and sample number of each row."""
        import torch
        from transformers import GenerationConfig

        stops, special = split_stops(sampling.stop, self._tokenizer)
        own = frozenset() if sampling.ignore_eos else self._end_tokens
        stopping = StopCriteria(
            self._tokenizer, own | {*special, *sampling.stop_token_ids}, stops, include=sampling.include_stop
        )
        ids, mask = left_padded(batch)
        width = ids.shape[1]
        finite = Finite(len(batch))
        recorder = None if sampling.logprobs is None else LogprobRecorder(sampling.logprobs, len(batch))
        logits_processors = [
            finite,
            *([recorder] if recorder else []),
            *self._masks(sampling, len(batch), width),
            *processors(sampling, width, stopping.end_tokens),
        ]
        if sampling.temperature:
            logits_processors.append(Noise(streams, width))
        beams = {"num_beams": sampling.num_beams, "num_return_sequences": sampling.n} if sampling.num_beams > 1 else {}
        config = GenerationConfig(
            do_sample=False,  # the noise does that
            max_new_tokens=max(budgets),
            eos_token_id=sorted(stopping.end_tokens) or None,
            pad_token_id=min(stopping.end_tokens, default=0),
            **beams,
        )
        with torch.inference_mode():
            output = self._model.generate(
                ids.to(self._model.device),
                attention_mask=mask.to(self._model.device),
                generation_config=config,
                logits_processor=logits_processors,
                stopping_criteria=[stopping.criterion(width, budgets)],
            )
        if recorder:
            recorder.note(output)
        assert finite.broken is not None
        new = output[:, width:].view(len(batch), -1, output.shape[1] - width).tolist()
        return [
            "the model's output is not a finite number"
            if broken
            else [self._completion(stopping, recorder, row, batch[row], tokens[: budgets[row]]) for tokens in samples]
            for row, (samples, broken) in enumerate(zip(new, finite.broken.tolist(), strict=True))
        ]

    def _completion(
        self,
        stopping: StopCriteria,
        recorder: LogprobRecorder | None,
        row: int,
        prompt: TokenIds,
        tokens: TokenIds,
    ) -> Completion:
        found = stopping.completion(prompt, tokens)
        if recorder is None:
            return found
        return replace(found, logprobs=recorder.told(row, found.tokens, self._tokenizer))

    def _masks(self, sampling: Sampling, rows: int, width: int) -> list[Mask]:
        """The mask of a constraint, if there is one."""
        if not sampling.constrained:
            return []
        if self._grammars is None:
            vocabulary = self._model.config.get_text_config().vocab_size
            self._grammars = Grammars(self._tokenizer, vocabulary, self._end_tokens)
        return [Mask(self._grammars.compile(sampling), rows, width)]


def _end_tokens(model: "PreTrainedModel", tokenizer: HuggingFaceTokenizer) -> frozenset[int]:
    """What the checkpoint's generation config and its tokenizer end a text with."""
    ids = model.generation_config.eos_token_id
    named = ids if isinstance(ids, list) else [ids]
    return frozenset(token for token in (*named, tokenizer.huggingface.eos_token_id) if token is not None)
