"""A store behind a URL: machines see what others add and remove, whatever happens on the way, and show no secret."""

import os
import random
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from lib.errors import StoreError
from lib.store.answer_table import QUESTION as FILE
from lib.store.answer_table import AnswerTable
from lib.store.mirror import Mirror
from lib.store.store import Store, StoreConfig, place_of
from lib.store.upkeep import compact, holding, prune
from tests.store.conftest import QUESTION, answers_to, found_in

URL = "troubled://user:s3cret@host/store"
NAME = "troubled://host/store"


class Troubled(MemoryFileSystem):
    """Raises where `trouble` does: it is given what is done, and the name of the file or folder."""

    protocol = "troubled"
    trouble: Callable[[str, str], None]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.replace("troubled://user:s3cret@", "/"))

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        Troubled.trouble("ls", path)
        return super().ls(path, detail, **options)

    def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
        Troubled.trouble("put", rpath)
        super().put_file(lpath, rpath, **options)

    def get_file(self, rpath: str, lpath: str, **options: Any) -> None:
        Troubled.trouble("get", rpath)
        super().get_file(rpath, lpath, **options)


@pytest.fixture(autouse=True)
def there() -> Iterator[MemoryFileSystem]:
    fsspec.register_implementation("troubled", Troubled, clobber=True)
    untroubled()
    yield fsspec.filesystem("memory")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def untroubled() -> None:
    Troubled.trouble = lambda what, name: None  # type: ignore[assignment, misc]


def trouble(what: str, part: str = "") -> None:
    def raise_there(done: str, name: str) -> None:
        if done == what and part in name:
            raise ConnectionError(f"Could not connect to {URL}?key=s3cret")

    Troubled.trouble = raise_there  # type: ignore[assignment]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], AnswerTable]:
    """The table as a machine sees it that begins a run now; each has a cache of its own."""

    def on(name: str) -> AnswerTable:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        store = Store.open(StoreConfig(dir=URL))
        assert store is not None
        table = store.table("reward-dummy", QUESTION)
        table.refresh()
        table.begin()
        return table

    return on


Machine = Callable[[str], AnswerTable]


def segments_there(there: MemoryFileSystem) -> list[str]:
    return sorted(there.glob("/host/store/*/*.parquet"))


def test_two_machines_are_one_dictionary(machine: Machine, there: MemoryFileSystem) -> None:
    draw, known = random.Random(3), set[int]()
    for _ in range(40):
        table = machine(draw.choice(["one", "other"]))
        assert found_in(table, range(100)) == sorted(known)
        step = draw.random()
        if step < 0.6:
            numbers = draw.choices(range(100), k=draw.randint(1, 15))
            table.append(answers_to(numbers))
            known |= set(numbers)
            assert found_in(table, range(100)) == sorted(known)
        elif step < 0.9:
            compact(table)
        else:
            prune(table, None)
            known.clear()
        names = {Path(path).name for path in segments_there(there)}
        assert names == {path.name for path in table.folder.glob("*.parquet")}
    assert known


def test_what_was_fetched_is_not_fetched_again(machine: Machine) -> None:
    for start in (0, 10):
        machine("one").append(answers_to(range(start, start + 10)))
    machine("other")
    fetched: list[str] = []
    Troubled.trouble = lambda what, name: fetched.append(name) if what == "get" else None  # type: ignore
    machine("one").append(answers_to([30]))
    assert found_in(machine("other"), range(40)) == [*range(20), 30]
    assert sum(name.endswith(".parquet") for name in fetched) == 1


def test_what_another_machine_compacts_or_prunes_meanwhile(machine: Machine) -> None:
    for start in (0, 10):
        machine("one").append(answers_to(range(start, start + 10)))
    here, other = machine("one"), machine("other")
    assert compact(other) == (2, 1)
    assert found_in(here, range(30)) == list(range(20))  # from its copies
    with pytest.raises(StoreError, match=r"removed by another job meanwhile.*nothing was changed"):
        compact(here)
    here = machine("one")
    assert holding(here).segments == 1
    prune(here, None)
    with_copies = machine("other")
    assert found_in(with_copies, range(30)) == []


def test_what_a_process_puts_while_another_one_of_its_machine_looks_is_not_taken_for_gone(machine: Machine) -> None:
    table = machine("one")
    busy: list[bool] = []

    def appending(what: str, name: str) -> None:
        if what == "ls" and not busy:
            busy.append(True)
            table.append(answers_to([1]))

    Troubled.trouble = appending  # type: ignore[assignment]
    machine("one").refresh()
    assert busy
    assert found_in(table, [1]) == [1]


def test_uses_are_those_of_all_machines(machine: Machine) -> None:
    machine("one").note_use("run 1", 3, "x.csv", 4)
    machine("other").note_use("run 2", 5, "x.csv", 5)
    assert [use["run"] for use in machine("one").uses()] == ["run 1", "run 2"]
    store = Store.at(place_of(URL))
    assert [(holding(table).runs, holding(table).hits) for table in store.tables()] == [(2, 8)]


def test_a_damaged_segment_is_named_and_left_out_and_a_damaged_copy_fetched_anew(
    machine: Machine, there: MemoryFileSystem, caplog: pytest.LogCaptureFixture
) -> None:
    machine("one").append(answers_to(range(10)))
    (first,) = segments_there(there)
    machine("one").append(answers_to(range(10, 20)))
    whole = there.cat_file(first)
    there.pipe_file(first, whole[:150] + bytes([whole[150] ^ 1]) + whole[151:])
    assert found_in(machine("other"), range(20)) == list(range(10, 20))
    assert f"{NAME}/{Path(first).parent.name}/{Path(first).name}: damaged (" in caplog.text
    there.pipe_file(first, whole)
    assert found_in(machine("other"), range(20)) == list(range(20))
    for path in machine("other").folder.glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-9])
    assert found_in(machine("other"), range(20)) == []
    assert found_in(machine("other"), range(20)) == list(range(20))
    assert "s3cret" not in caplog.text


def test_a_file_that_cannot_be_fetched_is_named_and_left_out(
    machine: Machine, there: MemoryFileSystem, caplog: pytest.LogCaptureFixture
) -> None:
    machine("one").append(answers_to(range(10)))
    lost = Path(*segments_there(there)).name
    machine("one").append(answers_to(range(10, 20)))
    trouble("get", lost)
    assert found_in(machine("other"), range(20)) == list(range(10, 20))
    assert f"{lost}: cannot be fetched (Could not connect to {NAME}); it is left out" in caplog.text
    untroubled()
    assert found_in(machine("other"), range(20)) == list(range(20))


@pytest.mark.parametrize("what", ["ls", "get", "put"])
def test_a_store_that_cannot_be_used_is_refused_without_its_secrets(machine: Machine, what: str) -> None:
    machine("one").append(answers_to([1]))
    trouble(what)
    with pytest.raises(StoreError, match=rf"{NAME}.*cannot be (read|written) \(Could not connect to {NAME}\)") as error:
        machine("other")
    assert "s3cret" not in str(error.value)


def test_what_cannot_be_put_is_nowhere(machine: Machine, there: MemoryFileSystem) -> None:
    table = machine("one")
    trouble("put", ".parquet")
    with pytest.raises(OSError, match="Could not connect") as error:
        table.append(answers_to([1]))
    assert error.value.strerror == f"Could not connect to {NAME}"
    assert segments_there(there) == []
    assert sorted(path.name for path in table.folder.iterdir()) == [FILE]


def test_a_file_that_arrives_in_part_is_noticed(machine: Machine, there: MemoryFileSystem) -> None:
    table = machine("one")
    original = Troubled.put_file

    def put_and_lose(self: Troubled, lpath: str, rpath: str, **options: Any) -> None:
        original(self, lpath, rpath, **options)
        self.pipe_file(rpath, Path(lpath).read_bytes()[:-1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Troubled, "put_file", put_and_lose)
        with pytest.raises(OSError, match=r"bytes are there, \d+ were sent"):
            table.append(answers_to([1]))
    assert segments_there(there) == []


def test_the_copy_may_be_deleted_and_has_no_room(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = machine("one")
    table.append(answers_to(range(200)))
    for path in table.folder.iterdir():
        path.unlink()
    table.folder.rmdir()
    assert found_in(table, [1]) == []
    table.append(answers_to([300]))
    assert found_in(machine("one"), [1, 300]) == [1, 300]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # no file gets longer
    try:
        with pytest.raises(StoreError, match=r"its copy in .* cannot be written \(.*set XDG_CACHE_HOME to another"):
            machine("other")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"its copy in .* cannot be written .*set XDG_CACHE_HOME to another"):
        machine("file")


def test_names_that_lead_out_of_a_folder_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["..", ".", "x/..", "a.parquet", ".hidden.parquet", "thesis.txt"]

    def ls(self: Troubled, path: str, detail: bool = True, **options: Any) -> Any:
        return [{"name": f"{path}/{name}", "type": "file", "size": 1} for name in names]

    monkeypatch.setattr(Troubled, "ls", ls)
    monkeypatch.setattr(Troubled, "get_file", lambda self, rpath, lpath: Path(lpath).write_bytes(b"x"))
    mirror = Mirror(URL, tmp_path / "copy")
    assert mirror.listing().keys() == {"a.parquet", ".hidden.parquet", "thesis.txt"}
    mirror.refresh()
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["a.parquet"]


def test_another_store_a_foreign_folder_and_none(machine: Machine, there: MemoryFileSystem) -> None:
    with pytest.raises(StoreError, match=rf"store.dir={NAME}: there is no store \(it has no store.json\)"):
        Store.at(place_of(URL))
    table = machine("one")
    (about,) = [path for path in there.find("/") if path.endswith("store.json")]
    there.pipe_file(about, b'{"version": 2}')
    with pytest.raises(StoreError, match=rf"store.dir={NAME}: is of version 2"):
        machine("one")
    there.rm_file(about)
    with pytest.raises(StoreError, match=rf"store.dir={NAME}: is a folder with other things in it"):
        machine("one")
    there.pipe_file(about, b'{"version": 1}')
    (question,) = [path for path in there.find("/") if path.endswith(FILE)]
    there.pipe_file(question, b'{"engine.type": "Other"}')
    with pytest.raises(StoreError, match=rf"{table.name}/{FILE}: is not the question that the folder is called after"):
        machine("one")


def test_a_copy_is_found_again_with_other_keys_and_shows_none(tmp_path: Path) -> None:
    one, other = place_of("s3://a:b@bucket/store"), place_of("s3://bucket/store/")
    assert isinstance(one, Mirror)
    assert isinstance(other, Mirror)
    assert one.folder == other.folder
    assert one.below("x").name == other.below("x").name == "s3://bucket/store/x"
    assert "a:b" not in repr(one)
    assert place_of("s3://bucket/other").folder != one.folder  # type: ignore[union-attr]


def test_what_a_killed_process_was_putting_goes_a_day_later(machine: Machine) -> None:
    table = machine("one")
    for name, age in (("putting-a1b2c3_d", 1e9), ("putting-e1b2c3_d", None)):
        (table.folder / name).mkdir()
        (table.folder / name / "x.parquet").write_text("")
        if age is not None:
            for path in (table.folder / name / "x.parquet", table.folder / name):
                os.utime(path, (age, age))
    machine("one")
    assert [path.name for path in table.folder.glob("putting-*")] == ["putting-e1b2c3_d"]
