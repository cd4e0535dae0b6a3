"""The report of a model's quantised copy: sizes, times, and whether it answers as it did."""

from collections.abc import Sequence
from dataclasses import dataclass

from lib.report.page import Section, Table, render
from lib.report.tables import text_table

_HEADER = ("", "weights on disk, MiB", "in memory, MiB", "seconds to load")
_ASKED = {
    "label_logprobs": "log-probabilities of tokens (natural logarithm)",
    "class_logprobs": "log-probabilities of classes (natural logarithm)",
    "score": "scores",
    "embed": "values of unit vectors",
}


@dataclass(frozen=True, kw_only=True)
class QuantizedCopy:
    """What came out. to: the number format; dtype: of what is not quantised. device: where it was measured.

    source_bytes, copy_bytes: weights on disk (of a GGUF file, as it is converted to load). memory_bytes,
    copy_memory_bytes: the model's tensors, quantised while it was loaded, and loaded from the copy. quantising_s,
    loading_s: seconds of the two loads, one after the other in one process, without the import of libraries. asked:
    of which kind of answers (as lib/types.py calls it) so many were compared; largest_difference: 0 is bit for bit.
    """

    model: str
    to: str
    dtype: str
    device: str
    source_bytes: int
    copy_bytes: int
    memory_bytes: int
    copy_memory_bytes: int
    quantising_s: float
    loading_s: float
    asked: str
    answers: int
    largest_difference: float


def quantized_lines(copy: QuantizedCopy) -> list[str]:
    """The table as text, and what must be said about it."""
    return [text_table(_HEADER, _rows(copy)), *_notes(copy)]


def render_quantized(copy: QuantizedCopy) -> str:
    """The page as HTML."""
    table = Table(header=_HEADER, rows=_rows(copy))
    return render(f"{copy.model} in {copy.to}", _notes(copy), [Section(heading="Sizes and times", table=table)])


def _rows(copy: QuantizedCopy) -> Sequence[Sequence[str]]:
    return [
        ("quantised while loading", _mib(copy.source_bytes), _mib(copy.memory_bytes), f"{copy.quantising_s:.2f}"),
        ("copy", _mib(copy.copy_bytes), _mib(copy.copy_memory_bytes), f"{copy.loading_s:.2f}"),
    ]


def _notes(copy: QuantizedCopy) -> list[str]:
    compared = f"{copy.answers:,} {_ASKED[copy.asked]} of both were compared"
    if copy.largest_difference:
        same = f"{compared}: they differ by {copy.largest_difference:.2g} at most."
    else:
        same = f"{compared}: they are the same, bit for bit."
    return [same, f"Measured on the {copy.device}, one after the other in one process; {copy.dtype} otherwise."]


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f}"
