from pathlib import Path

import pyarrow as pa

from lib.data import parquet
from lib.report.failures import by_kind, failure_sections


def test_reasons_that_differ_in_numbers_and_quoted_words_are_of_one_kind() -> None:
    reasons = {
        "the prompt has 1,034 tokens": 2,
        "the prompt has 99 tokens": 1,
        "no column 'a b'": 1,
        'no column "c"': 1,
    }
    assert by_kind(reasons) == [
        ("the prompt has … tokens", 3, "the prompt has 1,034 tokens"),
        ("no column …", 2, 'no column "c"'),
    ]


def test_an_apostrophe_is_no_quotation() -> None:
    reasons = {"it can't be read, and isn't text": 1, "it can't be opened, and isn't text": 1}
    assert {kind for kind, _, _ in by_kind(reasons)} == reasons.keys()


def test_a_page_has_the_kinds_and_the_first_rows(tmp_path: Path) -> None:
    errors = [None, *(f"too long: {n} tokens" for n in range(30))]
    parquet.write(pa.table({"row": range(31), "id": [None] * 31, "error": errors}), tmp_path / "result.parquet")
    kinds, first = failure_sections([tmp_path / "result.parquet"])
    assert kinds.table is not None
    assert kinds.table.rows == [("too long: … tokens", "30", "too long: 0 tokens")]
    assert first.table is not None
    assert [row[0] for row in first.table.rows] == [str(n) for n in range(1, 11)]
    parquet.write(pa.table({"row": [0], "id": ["a"], "error": pa.nulls(1, pa.string())}), tmp_path / "fine.parquet")
    assert failure_sections([tmp_path / "fine.parquet"]) == []
