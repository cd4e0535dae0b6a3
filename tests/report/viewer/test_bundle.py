import json
from pathlib import Path

import pytest

from lib.data import parquet
from lib.errors import ConfigError, RunFolderError
from lib.report.viewer.bundle import choose, write_bundle
from lib.report.viewer.selection import Selection
from tests.report.viewer.small_runs import EVIL, battles, index_of, viewer_of, write_run


def test_a_bundle_holds_all_odd_rows_and_a_sample(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", *battles(40), job="judge")
    carried = write_bundle(viewer_of(folder), tmp_path / "out", sample=3, odd=100)
    odd = {n for n in range(40) if n % 3 == 0 or n % 4 == 0 or n % 5 == 0 or n == 7}
    assert odd < set(carried.numbers)
    assert len(carried.numbers) == len(odd) + 3
    assert {int(path.stem) for path in (tmp_path / "out" / "rows").iterdir()} == set(carried.numbers)
    index = (tmp_path / "out" / "index.html").read_text()
    assert f"This folder holds {len(odd)} odd rows of {len(odd)}, and 3 of {40 - len(odd)} others" in index
    rows = json.loads((tmp_path / "out" / "rows.js").read_text().removeprefix("window.overnight = ").rstrip(";\n"))
    assert [row["n"] for row in rows["rows"]] == list(carried.numbers)
    assert rows["rows"][0]["flags"] == ["wrong", "flipped", "cut"]
    for path in (tmp_path / "out").rglob("*.html"):
        assert "<script>" not in path.read_text()
        assert "default-src &#39;none&#39;" in path.read_text()
    assert EVIL not in (tmp_path / "out" / "rows" / "3.html").read_text()
    assert "prompt of row 3" in (tmp_path / "out" / "rows" / "3.html").read_text()


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    carried = choose(index_of(write_run(tmp_path / "run", *battles(40), job="judge")), sample=0, odd=8)
    assert len(carried.numbers) <= 8
    assert 7 in carried.numbers  # the rare ones first
    assert "more that are wrong" in carried.note
    assert "view.odd=N takes more" in carried.note


def test_only_a_bundle_is_replaced(tmp_path: Path) -> None:
    viewer = viewer_of(write_run(tmp_path / "run", {"text": ["a", "b"]}))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="give another folder"):
        write_bundle(viewer, mine, sample=1, odd=1)
    assert (mine / "thesis.txt").exists()
    out = tmp_path / "out"
    (tmp_path / "run" / "report.html").write_text("figures")
    for sample in (2, 1):
        write_bundle(viewer, out, sample=sample, odd=1)
    assert (out / "report.html").read_text() == "figures"
    assert 'href="report.html"' in (out / "index.html").read_text()
    assert len(list((out / "rows").iterdir())) == 1
    for name in ("thesis.txt", "rows/notes.html"):
        (out / name).write_text("about these rows")
        with pytest.raises(ConfigError, match=f"holds {name}, which would be lost"):
            write_bundle(viewer, out, sample=1, odd=1)
        assert (out / name).read_text() == "about these rows"
        (out / name).unlink()


def test_rows_that_change_on_the_way_leave_the_bundle_that_was_there(tmp_path: Path) -> None:
    folder, out = write_run(tmp_path / "run", {"text": ["a", "b"]}), tmp_path / "out"
    viewer = viewer_of(folder)
    write_bundle(viewer, out, sample=2, odd=1)
    parquet.write(parquet.read(folder / "result.parquet").take([1, 0]), folder / "result.parquet")
    with pytest.raises(RunFolderError, match="was written again"):
        write_bundle(viewer, out, sample=1, odd=1)
    assert len(list((out / "rows").iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out")] == ["out"]


def test_a_bundle_says_how_much_of_a_row_can_be_searched(tmp_path: Path) -> None:
    viewer = viewer_of(write_run(tmp_path / "run", {"text": ["a" * 5000 + "needle"]}))
    write_bundle(viewer, tmp_path / "out", sample=1, odd=1)
    assert "needle" not in (tmp_path / "out" / "rows.js").read_text()
    assert 'placeholder="words in the first 4,000 characters of ' in (tmp_path / "out" / "index.html").read_text()
    assert 'placeholder="words in input, answers' in viewer.list_page(Selection())
