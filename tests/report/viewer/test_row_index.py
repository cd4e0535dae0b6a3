import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from lib.data.manifest import read_manifest
from lib.data.shards import commit
from lib.errors import InputError, RunFolderError
from lib.report.viewer.row_files import find_rows
from lib.report.viewer.row_index import open_index
from lib.report.viewer.selection import Flag, read_query
from tests.report.viewer.small_runs import EVIL, JAPANESE, battles, index_of, numbers, write_run


def test_filters_are_those_of_the_rows(tmp_path: Path) -> None:
    index = index_of(write_run(tmp_path / "run", *battles(), job="judge"))
    assert index.counts == {Flag.wrong: 4, Flag.flipped: 3, Flag.cut: 3, Flag.failed: 1}
    assert numbers(index, "wrong=1") == [0, 3, 6, 9]
    assert numbers(index, "wrong=1&flipped=1") == [0]
    assert numbers(index, "failed=1") == [7]
    assert numbers(index, "is.model=m2") == [2, 5, 8, 11]
    assert index.values["model"] == {"m0": 8, "m1": 8, "m2": 4}
    assert numbers(index, "is.label=B&cut=1") == [0]
    assert index.count(read_query("wrong=1")) == 4


def test_orders_put_unknown_values_last_either_way(tmp_path: Path) -> None:
    index = index_of(write_run(tmp_path / "run", *battles(), job="judge"))
    assert numbers(index, "order=least_sure") == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 7]
    assert numbers(index, "order=least_sure&up=1")[:2] == [11, 10]
    assert numbers(index, "order=least_sure&up=1")[-1] == 7
    assert numbers(index, "order=longest")[:3] == [11, 10, 9]
    assert numbers(index, "order=p_a&wrong=1") == [9, 6, 3, 0]


@pytest.mark.parametrize(
    "query", ["", "order=least_sure", "order=p_a&up=1", "order=cut_prompt", "wrong=1&order=longest"]
)
def test_neighbours_walk_through_the_list(query: str, tmp_path: Path) -> None:
    index = index_of(write_run(tmp_path / "run", *battles(), job="judge"))
    selection = read_query(query.replace("cut_prompt", "ab_p_a"))  # which is equal in many rows
    listed = index.page(selection)
    for place, n in enumerate(listed):
        before = listed[place - 1] if place else None
        behind = listed[place + 1] if place + 1 < len(listed) else None
        assert index.neighbours(selection, n) == (before, behind)
    assert index.neighbours(read_query("wrong=1"), 4) == (3, 6)  # of a row that is not in the list


def test_words_are_found_in_input_answer_and_error(tmp_path: Path) -> None:
    index = index_of(write_run(tmp_path / "run", *battles(), job="judge"))
    assert numbers(index, "words=QUESTION+11%3F") == [11]  # no pattern
    assert numbers(index, f"words={JAPANESE[2:5]}") == [2]
    assert numbers(index, "words=engine+said") == [7]
    assert numbers(index, "words=sky&wrong=1") == [0, 3, 6, 9]
    assert numbers(index, "words=M2") == numbers(index, "is.model=m2")  # of a column with few values
    assert numbers(index, "words=somewhere") == []  # the input's path is no text of the row
    assert numbers(index, "words=%27+OR+1%3D1+--") == []
    for word in "abcdefgh":  # more than are remembered
        numbers(index, f"words={word}")
    assert numbers(index, f"words={JAPANESE}") == [2]
    assert index.searched == "input, answers and carried columns"


def test_odd_names_and_values_stay_names_and_values(tmp_path: Path) -> None:
    name = 'a"; DROP TABLE rows; --'
    columns = {
        name: ["x' OR '1'='1", "y"] * 3,
        'n"': [1.5, float("nan"), None, float("inf"), 2, 3],
        "when": pa.array([0] * 6, pa.timestamp("us", "Asia/Tokyo")),
        "money": pa.array([None] * 6, pa.decimal128(9, 2)),
        "nested": pa.array([{"a": [1, 2]}] * 6),
        "bytes": pa.array([b"\x00\xff"] * 6),
        "half": pa.array([1.5] * 6, pa.float16()),
        "coded": pa.array(["u", "v"] * 3).dictionary_encode(),
        "vector": pa.array([[0.0] * 3] * 6, pa.list_(pa.float32(), 3)),
        "text": [EVIL, "", None, "x", "y", "z"],
    }
    folder = write_run(tmp_path / "odd [x]*?", columns)
    index = index_of(folder)
    assert numbers(index, "is.a%22%3B+DROP+TABLE+rows%3B+--=x%27+OR+%271%27%3D%271") == [0, 2, 4]
    assert numbers(index, "order=n%22") == [3, 5, 4, 0, 1, 2]
    (cells,) = index.cells([0])
    assert cells["nested"] == {"a": [1, 2]}
    assert cells["text"] == EVIL
    for query in ("is.nothing=1", "order=nothing", "wrong=1", "order=least_sure"):
        with pytest.raises(InputError):
            numbers(index, query)
    with pytest.raises(InputError, match="there are 6 rows"):
        index.cells([6])


def test_names_that_differ_in_capitals_alone_are_of_different_columns(tmp_path: Path) -> None:
    columns = {
        "Verdict": ["x", "y", "x", "y"],  # before ours
        "ID": ["1", "01", "1.0", "１"],
        "": ["u", "v", "u", "v"],
        "file_row_number": [7, 7, 7, 7],
        "n": [40, 30, 20, 10],
        "Score": [1.0, 2.0, 3.0, 4.0],
        "score": [4.0, 3.0, 2.0, 1.0],
        "label": ["A", "A", "B", "B"],
        "verdict": ["A", "A", "A", "B"],
        "^verdict": ["c", "c", "d", "d"],
        "Error": ["none", "none", "none", "none"],
    }
    index = index_of(write_run(tmp_path / "run", columns))
    assert index.counts == {Flag.wrong: 1, Flag.failed: 0}
    assert numbers(index, "wrong=1") == [2]
    assert numbers(index, "is.Verdict=x") == [0, 2]
    assert numbers(index, "is.verdict=B") == [3]
    assert numbers(index, "is.%5Everdict=c") == [0, 1]
    assert numbers(index, "is.=v") == [1, 3]
    assert numbers(index, "order=n") == [0, 1, 2, 3]
    assert numbers(index, "order=Score") == [3, 2, 1, 0]
    assert numbers(index, "order=score") == [0, 1, 2, 3]
    assert numbers(index, "words=01") == [1]
    for n, cells in enumerate(index.cells(range(4))):
        assert {name: cells[name] for name in columns} == {name: values[n] for name, values in columns.items()}
        assert cells["id"] == f"id{n}"


def test_columns_of_another_kind_than_ours_of_that_name_are_only_carried(tmp_path: Path) -> None:
    columns = {
        "label": [1, 2], "verdict": ["A", "B"], "p_a": ["0.1", "0.2"], "p_b": [0.2, 0.3], "p_tie": [0.3, 0.4],
        "finish_reason": [{"length": 1}] * 2, "unfinished": ["u", "v"], "cut_prompt": ["left", "right"],
        **{f"{order}_{name}": ["x", "y"] for order in ("ab", "ba") for name in ("p_a", "p_b", "p_tie")},
    }  # fmt: skip
    index = index_of(write_run(tmp_path / "run", columns))
    assert index.counts == {Flag.failed: 0}
    assert index.orders == ["place", "longest", "label", "p_b", "p_tie"]


def test_what_a_form_cannot_send_is_no_filter(tmp_path: Path) -> None:
    columns = {"lines": ["a\nb", "c"] * 3, "some": ["", "x", "y"] * 2, "plain": ["u", "v"] * 3}
    index = index_of(write_run(tmp_path / "run", columns))
    assert index.values == {"some": {"x": 2, "y": 2}, "plain": {"u": 3, "v": 3}}
    assert numbers(index, "words=a%0Ab") == [0, 2, 4]


def test_searches_at_once_do_not_get_each_others_rows(tmp_path: Path) -> None:
    index = index_of(write_run(tmp_path / "run", {"text": [f"word{n:02}" for n in range(12)]}))

    def search(place: int) -> bool:
        n = place * 5 % 12
        selection = read_query(f"words=word{n:02}")
        return (index.count(selection), index.page(selection), index.neighbours(selection, n)) == (1, [n], (None, None))

    with ThreadPoolExecutor(6) as threads:
        assert all(threads.map(search, range(120)))


@pytest.mark.parametrize("name", ["result.parquet", "input/0.parquet"])
def test_a_file_that_is_gone_is_not_called_damaged(name: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {"text": ["a", "b"]}, {"prompt": ["c", "d"]})
    index = index_of(folder)
    (folder / name).unlink()
    with pytest.raises(RunFolderError, match=r"start jobs\.view again"):
        numbers(index, "words=c")


@pytest.mark.parametrize(("name", "like"), [("run[1]", "run1"), ("r*", "run"), ("ru?", "run"), ("r{un,}", "run")])
def test_a_folder_whose_name_is_a_pattern_is_no_other(name: str, like: str, tmp_path: Path) -> None:
    other = write_run(tmp_path / like, {"text": ["theirs"] * 3})
    files = find_rows(write_run(tmp_path / name, {"text": ["mine"] * 2}, {"prompt": ["asked"] * 2}))
    for beside in ([], [other]):
        index = open_index(files, beside=beside)
        assert [cells["text"] for cells in index.cells(range(index.total))] == ["mine"] * 2
        assert numbers(index, "words=mine") == numbers(index, "words=asked") == [0, 1]


def test_a_run_of_failed_rows_only(tmp_path: Path) -> None:
    columns = {"text": pa.nulls(3, pa.string()), "tokens": pa.nulls(3, pa.int32()), "error": ["no"] * 3}
    index = index_of(write_run(tmp_path / "run", columns))
    assert index.counts[Flag.failed] == index.total == 3
    assert numbers(index, "order=longest") == [0, 1, 2]


def test_an_unfinished_run_shows_the_shards_that_are_there(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {"text": [f"answer {n}" for n in range(20)]})
    from lib.data import parquet

    result = parquet.read(folder / "result.parquet")
    (folder / "result.parquet").unlink()
    with pytest.raises(InputError, match="no shard of it is finished yet"):
        find_rows(folder)
    manifest = read_manifest(folder)
    (folder / "shards").mkdir()
    for shard in (manifest.shards()[0], manifest.shards()[2]):
        commit(result.slice(shard.start, shard.rows), shard, manifest, folder, seconds=1.0)
    index = index_of(folder)
    assert "2 of 3 shards" in index.files.note
    assert index.total == 12
    assert [cells["text"] for cells in index.cells([11, 0, 8])] == ["answer 19", "answer 0", "answer 16"]
    assert numbers(index, "words=answer+17") == [9]


def test_a_damaged_result_is_called_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {"text": [str(n) * 99 for n in range(99)]})
    path = folder / "result.parquet"
    files = find_rows(folder)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(RunFolderError):
        open_index(replace(files, note=""))


def test_cells_that_are_too_large_are_not_called_damaged(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {"text": [f"{n} word " * 200_000 for n in range(40)]})
    with pytest.raises(RunFolderError, match="too large for the little memory"):
        open_index(find_rows(folder), memory="16MB")


def test_rows_that_memory_does_not_hold_are_laid_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rows = 600_000
    columns = {"text": pa.array(["x"] * rows), **{name: pa.array(range(rows), pa.float64()) for name in "abcdef"}}
    index = open_index(find_rows(write_run(tmp_path / "run", columns)), memory="32MB")
    assert [path for path in Path(index.spill.name).iterdir() if path.stat().st_size]
    assert numbers(index, "order=d")[:2] == [rows - 1, rows - 2]
    assert numbers(index, "order=a&up=1")[:3] == [0, 1, 2]
    spill = Path(index.spill.name)
    del index
    gc.collect()
    assert not spill.exists()
