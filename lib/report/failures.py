"""Failed rows on a page: how many for which kind of reason, and the first of them."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa

from lib.data import parquet
from lib.report.page import Section, Table

_BLOCK_ROWS = 4096
_KINDS, _EXAMPLES = 20, 10
_MOST_REASONS = 10_000  # of which the most frequent are kept
# What differs between rows that fail alike; the apostrophe of a word (can't) begins no quotation.
_OWN = re.compile(r"""(?<!\w)'[^']*'(?!\w)|"[^"]*"|`[^`]*`|\d[\d.,_]*""")


def by_kind(reasons: Mapping[str, int]) -> list[tuple[str, int, str]]:
    """Kinds of reasons, the most frequent first: the kind, how many rows, and one of its reasons.

    Reasons that differ in numbers and quoted words alone are of one kind, in which these are an ellipsis.
    """
    kinds: dict[str, tuple[int, str]] = {}
    for reason, count in sorted(reasons.items()):
        kind = _OWN.sub("…", reason)
        before, example = kinds.get(kind, (0, reason))
        kinds[kind] = before + count, example
    ordered = sorted(kinds.items(), key=lambda item: (-item[1][0], item[0]))
    return [(kind, count, example) for kind, (count, example) in ordered]


def count_reasons(reasons: Counter[str], more: Mapping[str, int]) -> Counter[str]:
    """Both together; of very many, the most frequent."""
    reasons.update(more)
    return Counter(dict(reasons.most_common(_MOST_REASONS // 2))) if len(reasons) > _MOST_REASONS else reasons


def kinds_section(reasons: Mapping[str, int]) -> list[Section]:
    """The table of kinds; nothing where no row failed."""
    if not reasons:
        return []
    kinds = by_kind(reasons)
    rows = [(kind, f"{count:,}", "" if example == kind else example) for kind, count, example in kinds[:_KINDS]]
    text = [f"… and {len(kinds) - _KINDS:,} more kinds."] if len(kinds) > _KINDS else []
    table = Table(header=("kind", "rows", "such as"), rows=rows, prose=True)
    return [Section(heading="Why rows failed", text=text, table=table)]


def failure_sections(results: Sequence[Path]) -> list[Section]:
    """The kinds of reasons in some results, and the first failed rows; nothing where no row failed."""
    reasons = Counter[str]()
    for failed in _failed(results):
        reasons = count_reasons(reasons, Counter(failed["error"].to_pylist()))
    if not reasons:
        return []
    first = islice((row for failed in _failed(results) for row in failed.to_pylist()), _EXAMPLES)
    rows = [(str(row["row"]), row["id"] or "–", row["error"]) for row in first]
    table = Table(header=("row", "id", "reason"), rows=rows, prose=True)
    return [*kinds_section(reasons), Section(heading="The first failed rows", table=table)]


def _failed(results: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    for result in results:
        for batch in parquet.batches(result, _BLOCK_ROWS, ["row", "id", "error"]):
            yield batch.filter(batch["error"].is_valid())
