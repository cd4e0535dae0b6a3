import numpy as np
import pytest

from lib.report.ranking import ranking_table
from lib.report.tables import text_table
from lib.scoring.ratings import Battles, bradley_terry, wins


def battles(questions):
    """The second system wins 3 of 4 against the first; the third is as good as the first."""
    rows = [(0, 1, 1), (1, 0, 0), (0, 1, 1), (1, 0, 1), (0, 2, 0), (0, 2, 1), (1, 2, 2)] * questions
    first, second, outcome = np.array(rows).T
    return Battles(
        names=("資料なし", "rerank", "window"),
        first=first,
        second=second,
        outcomes=np.eye(3)[outcome],
        question=np.repeat(np.arange(questions), 7),
    )


def test_best_first_with_wins_interval_and_elo():
    data = battles(8)
    rated = bradley_terry(data, resamples=20)
    header, rows = ranking_table(rated, wins(data))
    assert [row[0] for row in rows] == ["rerank", "window", "資料なし"]
    assert [row[1:3] for row in rows] == [["24", "8"], ["8", "8"], ["16", "32"]]
    low, high = rated.sandwich.low[1], rated.sandwich.high[1]
    assert rows[0][3:5] == [f"{rated.ratings[1]:+.2f}", f"{low:+.2f} to {high:+.2f}"]
    assert sum(int(row[5]) for row in rows) == pytest.approx(3000, abs=2)
    assert len(text_table(header, rows).splitlines()) == 4


def test_no_interval_from_one_question():
    data = battles(1)
    _, rows = ranking_table(bradley_terry(data), wins(data))
    assert [row[4] for row in rows] == ["–"] * 3
