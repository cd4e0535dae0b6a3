"""Labels: the words that a model answers with, and how its tokenizer spells them after a prompt."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lib.errors import ConfigError
from lib.types import Answers, Label, LabelEngine, Served, TokenIds, Tokenizer, Usage

Spelled = tuple[Label, ...] | str
"""The spellings of each label after one prompt, or why there are none."""
_TAIL = 16  # tokens of a prompt that can bear on how what follows is spelled: more than a word


def label_sequences(labels: Sequence[str], tokenizer: Tokenizer, prompt: TokenIds) -> tuple[Label, ...]:
    """The token sequences by which each label continues a prompt: bare and after a blank.

    A spelling that would change the prompt's own last tokens can't follow it and is left out. Raises ConfigError where
    that leaves none of a label, and where a spelling of one label begins one of another: its probability would count
    for both.
    """
    spelled = []
    for label in labels:
        found = [tuple(ids) for text in (label, f" {label}") if (ids := tokenizer.follow(prompt, text))]
        if not found:
            raise ConfigError(
                f"prompt.labels={list(labels)}: {label!r} can't follow a prompt that ends in "
                f"{tokenizer.decode(prompt[-_TAIL:])[-20:]!r}: this engine's tokenizer would join the two; end the "
                "prompt otherwise (without a blank, say)"
            )
        spelled.append(tuple(dict.fromkeys(found)))
    for i, first in enumerate(spelled):
        for second in spelled[i + 1 :]:
            for x, y in ((x, y) for x in first for y in second):
                if x[: len(y)] == y[: len(x)]:
                    raise ConfigError(
                        f"prompt.labels={list(labels)}: to this engine's tokenizer one label begins another "
                        f"({list(x)} and {list(y)} as tokens), so it can't tell them apart; choose other labels"
                    )
    return tuple(spelled)


def spell(labels: Sequence[str], tokenizer: Tokenizer, prompts: Sequence[TokenIds]) -> list[Spelled]:
    """The labels' spellings after each prompt; why there are none is the row's own error."""
    known: dict[TokenIds, Spelled] = {}
    for tail in (tails := [tuple(prompt[-_TAIL:]) for prompt in prompts]):
        if tail not in known:
            try:
                known[tail] = label_sequences(labels, tokenizer, tail)
            except ConfigError as error:
                known[tail] = str(error)
    return [known[tail] for tail in tails]


def require_mass(mass: pa.ChunkedArray, least: float, labels: Sequence[str], *, key: str, otherwise: str = "") -> None:
    """Raise ConfigError where nearly no probability is on the labels: where the median of `mass` is below `least`.

    mass: probabilities of all labels together; nulls don't count. key: of `least`. otherwise: what else could be done.
    """
    known = mass.drop_null()
    if least and len(known) and (found := float(np.median(known))) < least:
        raise ConfigError(
            f"label mass {found:.2g}: the model gives prompt.labels={list(labels)} nearly no probability (less than "
            f"{key}={least:g}), so its answers would be noise. prompt.preview=2 shows where they begin: it may want to "
            f"think first, or answer in other words; {otherwise}{key}=0 takes them as they are"
        )


def ask_labels(engine: LabelEngine, prompts: Sequence[TokenIds], spelled: Sequence[Spelled], count: int) -> Answers:
    """Log-probabilities of `count` labels after each prompt [n, count], each prompt with its own spellings."""
    values = np.full((len(prompts), count), np.nan, dtype=np.float32)
    errors = {number: labels for number, labels in enumerate(spelled) if isinstance(labels, str)}
    usages = [Usage()]
    for labels in dict.fromkeys(labels for labels in spelled if not isinstance(labels, str)):
        rows = [number for number, own in enumerate(spelled) if own == labels]
        found = engine.label_logprobs([prompts[row] for row in rows], labels)
        values[rows] = found.values
        errors |= {rows[number]: why for number, why in found.errors.items()}
        usages.append(found.usage)
    cached = sum(usage.cached_tokens for usage in usages)
    served = sum((usage.served for usage in usages), Served())
    return Answers(values, errors, Usage(cached, max(usage.queued for usage in usages), served))


def longest(labels: Sequence[str], tokenizer: Tokenizer) -> int:
    """Tokens of the longest spelling, wherever it stands."""
    return max(len(tokenizer.encode(text)) for label in labels for text in (label, f" {label}"))


def as_lists(values: npt.NDArray[np.float32]) -> pa.FixedSizeListArray:
    """Log-probabilities [n, k] as a column."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), pa.float32()), values.shape[1])


def as_array(column: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    """A column of log-probabilities as [n, k], null as NaN."""
    count = column.type.list_size
    values = np.full((len(column), count), np.nan, np.float32)
    values[column.is_valid().to_numpy()] = pc.list_flatten(column).to_numpy().reshape(-1, count)
    return values
