"""A store is a folder of its own: made where there is none, and never mistaken for another."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lib.errors import ConfigError, StoreError
from lib.store.store import Store, StoreConfig
from tests.store.conftest import QUESTION, answers_to, found_in


def opened(folder: Path) -> Store:
    store = Store.open(StoreConfig(dir=str(folder)))
    assert store is not None
    return store


def test_a_store_is_made_and_found_again(tmp_path: Path) -> None:
    store = opened(tmp_path / "new" / "store")
    store.table("a", QUESTION).begin()
    assert opened(tmp_path / "new" / "store") == Store.at(store.folder) == store
    assert [table.question for table in store.tables()] == [QUESTION]


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_store_is_no_store(nothing: str | None) -> None:
    assert Store.open(StoreConfig(dir=nothing)) is None


def test_a_url_of_a_place_within_another_is_refused_without_its_secrets() -> None:
    with pytest.raises(ConfigError, match=r"store.dir=.*must be a folder, or the URL of one place") as error:
        StoreConfig(dir="zip://x::s3://user:s3cret@bucket/store.zip")
    assert "s3cret" not in str(error.value)


def test_the_url_of_a_folder_here_is_that_folder(tmp_path: Path) -> None:
    store = Store.open(StoreConfig(dir=(tmp_path / "a-store").as_uri()))
    assert store == opened(tmp_path / "a-store")
    assert StoreConfig(dir="x").absolute == str(Path("x").resolve())
    assert StoreConfig(dir="s3://bucket/x").absolute == "s3://bucket/x"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (json.dumps({"version": 2}), "is of version 2, and this code reads version 1; choose another store.dir"),
        ("{}", "cannot be read"),
        ("[]", "cannot be read"),
        ("", "cannot be read"),
        ("\x00", "cannot be read"),
    ],
)
def test_a_store_of_another_version_or_a_damaged_one_is_refused(tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "store.json").write_text(content)
    with pytest.raises(StoreError, match=why):
        opened(tmp_path)


def test_a_folder_with_other_things_and_what_is_no_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(StoreError, match=r"is a folder with other things in it .*choose another, or an empty one"):
        opened(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    for place in ("thesis.txt", "thesis.txt/store"):
        with pytest.raises(StoreError, match=r"cannot be written .*store.dir=null to do without a store"):
            opened(tmp_path / place)
    with pytest.raises(StoreError, match=r"there is no store \(it has no store.json\)"):
        Store.at(tmp_path)


def test_many_that_begin_a_store_at_once_begin_one(tmp_path: Path) -> None:
    def begin(number: int) -> None:
        table = opened(tmp_path / "store").table("a", QUESTION)
        table.begin()
        table.append(answers_to([number]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(begin, range(16)))
    (table,) = opened(tmp_path / "store").tables()
    assert found_in(table, range(20)) == list(range(16))
    assert {path.suffix for path in table.folder.iterdir()} == {".parquet", ".json"}


def test_questions_have_folders_of_their_own_whatever_a_model_is_called(tmp_path: Path) -> None:
    store = opened(tmp_path)
    tables = [store.table(name, {**QUESTION, "n": name}) for name in ("x" * 300, "日本" * 150, "../../etc", "a/b c")]
    for table in tables:
        assert not table.known
        table.begin()
        assert table.known
        assert table.folder.parent == tmp_path
    assert len(list(store.tables())) == len(tables)
    other = store.table("x" * 300, {**QUESTION, "n": "another"})
    assert other.folder != tables[0].folder


def test_a_question_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.table("a", QUESTION).begin()
    (path,) = tmp_path.glob("*/question.json")
    for content in ("{", "[]", "{}", "null"):
        path.write_text(content)
        with pytest.raises(StoreError, match=r"question.json: cannot be read .*; move the folder away"):
            list(store.tables())
