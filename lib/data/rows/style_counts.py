"""What can be counted in an answer besides what it says: its length and its Markdown, without blocks of code."""

import pyarrow as pa
import pyarrow.compute as pc

STYLE = ("length", "headers", "lists", "bold")
"""Characters, header lines, items of lists, and bold passages."""

_CODE = r"(?s)```.*?```"
_PATTERNS = {
    "headers": r"(?m)^ {0,3}#{1,6}[ \t]",
    "lists": r"(?m)^[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]",
    "bold": r"\*\*[^*\n]+\*\*|__[^_\n]+__",
}


def style_counts(texts: pa.Array) -> dict[str, pa.Array]:
    """Counts (int64, [n]) by the names of STYLE of answers [n], lists of texts that may be null; null for a null
    list."""
    whole = pc.binary_join(_without_nulls(texts), "\n\n")
    prose = pc.replace_substring_regex(whole, _CODE, "")
    counts = {name: pc.count_substring_regex(prose, pattern) for name, pattern in _PATTERNS.items()}
    return {name: column.cast(pa.int64()) for name, column in {"length": pc.utf8_length(whole), **counts}.items()}


def _without_nulls(texts: pa.Array) -> pa.Array:
    """The same lists, a null in them being an empty text."""
    if texts.offset or not texts.flatten().null_count:
        texts = pa.concat_arrays([texts])  # whose values begin with the first list
    return pa.ListArray.from_arrays(texts.offsets, pc.fill_null(texts.values, ""), mask=texts.is_null())
