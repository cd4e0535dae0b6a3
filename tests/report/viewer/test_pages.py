import re
from pathlib import Path

import pyarrow as pa

from lib.report.viewer.selection import Selection, read_query
from tests.report.viewer.small_runs import battles, viewer_of, write_run


def test_a_carried_column_keeps_its_cells_whatever_it_is_called(tmp_path: Path) -> None:
    columns = {
        "text": ["said 0", "said 1", "said 2", "said 3"],
        "n": [40, 30, 20, 10],
        "answer": ["C", "D", "C", "D"],
        "length": ["long", "short", "long", "short"],
        "": ["u", "u", "w", "w"],
    }
    viewer = viewer_of(write_run(tmp_path / "run", columns))
    page = viewer.list_page(read_query("is.answer=D"))
    assert re.findall(r'<td class="name" data-name="([^"]*)">(\w+)</td>', page) == [
        ("answer", "D"), ("length", "short"), ("", "u"),
        ("answer", "D"), ("length", "short"), ("", "w"),
    ]  # fmt: skip
    assert re.findall(r"<div>(said \d)</div>", page) == ["said 1", "said 3"]
    assert re.findall(r"<td>n</td><td>(\d+)</td>", viewer.row_page(Selection(row=1))) == ["30"]


def test_what_a_battle_asked_is_not_the_hash_that_tells_it_apart(tmp_path: Path) -> None:
    columns = {"model_a": ["a"], "model_b": ["b"], "question": ["1fd45a5352ea08f7"], "verdict": ["A"]}
    viewer = viewer_of(write_run(tmp_path / "run", columns, job="judge"))
    assert "1fd45a5352ea08f7" not in viewer.list_page(Selection())


def test_columns_and_filters_that_say_nothing_of_any_row_are_left_out(tmp_path: Path) -> None:
    columns, inputs = battles()
    for name, labels, tokens in (("all", ["A"] * 11 + [None], [7] * 12), ("none", [None] * 12, [0] * 12)):
        given = {**columns, "label": pa.array(labels, pa.string()), "tokens": pa.array(tokens, pa.int32())}
        page = viewer_of(write_run(tmp_path / name, given, inputs, job="tournament")).list_page(Selection())
        said = [f">{column}</th>" in page for column in ("label", "length")] + ["verdict is not the label" in page]
        assert said == [name == "all"] * 3


def test_what_a_prompt_has_shown_is_on_the_page_once(tmp_path: Path) -> None:
    columns = {"text": ["yes"], "passages": [["one passage", "another"]], "scores": [[0.5, 0.25]]}
    for name, shown in (("same", [["one passage", "another"]]), ("other", [["one passage"]])):
        texts = pa.array(shown, pa.list_(pa.string()))
        page = viewer_of(write_run(tmp_path / name, columns, {"slot.passages": texts})).row_page(Selection(row=0))
        assert page.count("one passage") == (1 if name == "same" else 2)
