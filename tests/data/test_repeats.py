from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lib.data import repeats
from lib.data.repeats import Repeats, text_hashes


def test_equal_texts_have_equal_hashes_and_others_have_others() -> None:
    texts = ["", "a", "aa", "ab", "ba", "\0", "\0\0", "日本", "日", *map(str, range(200_000))]
    hashes = text_hashes(pa.array(texts))
    assert len(np.unique(hashes)) == len(texts)
    assert (text_hashes(pa.array(["x", *texts, "y"])[1:-1]) == hashes).all()
    assert (text_hashes(pa.array(texts[::-1], pa.large_string()))[::-1] == hashes).all()
    assert len(text_hashes(pa.array([], pa.string()))) == 0
    assert text_hashes(pa.array(["", None], pa.string())).tolist() == hashes[[0, 0]].tolist()


@pytest.mark.parametrize("held", [10, 1000, 1 << 20])
def test_repeated_texts_are_found_in_memory_and_on_disk(
    held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "_MOST_HELD", held)
    with Repeats(tmp_path) as seen:
        for first in range(0, 5000, 500):
            seen.add(pa.array([f"row {n}" for n in range(first, first + 500)]))
        assert len(seen.found()) == 0
        seen.add(pa.array(["row 4321", "row 17", "new", "row 17"]))
        assert set(seen.found().tolist()) == set(text_hashes(pa.array(["row 17", "row 4321"])).tolist())
    assert not list(tmp_path.iterdir())
