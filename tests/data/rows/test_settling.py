"""`data.settle`: files that somebody may still be writing are waited for, by a clock that doesn't jump."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.data.rows import settling
from lib.data.rows.settling import settled
from lib.errors import InputError
from tests.conftest import Job

DAY = 24 * 3600.0


class Clocks:
    """In the place of `time`: both clocks go on by sleeping; `then` happens in each sleep."""

    def __init__(self, then: Callable[["Clocks"], None] = lambda clocks: None) -> None:
        self.now, self.today, self.slept = 100.0, 1e9, 0.0
        self._then = then

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.today

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        self.today += seconds
        self.slept += seconds
        self._then(self)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "night" / "a.csv"
    path.parent.mkdir()
    path.write_text("id,text\n1,x\n")
    return path


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Clocks]:
    def make(*then: Callable[[Clocks], None]) -> Clocks:
        found = Clocks(*then)
        monkeypatch.setattr(settling, "time", found)
        return found

    return make


def changed(path: Path, at: float) -> None:
    os.utime(path, (at, at))


@pytest.mark.parametrize(
    ("age", "waited"),
    [(DAY, 0), (60, 0), (59, 1), (3, 57), (0, 60), (-0.5, 60), (-DAY, 60)],
    ids=["yesterday", "just settled", "nearly", "3 s ago", "now", "a little ahead", "of the future"],
)
def test_a_file_is_waited_for_until_it_is_old_enough(
    age: float, waited: float, file: Path, clocks: Callable[..., Clocks]
) -> None:
    clock = clocks()
    changed(file, clock.today - age)
    assert [source.url for source in settled(str(file), 60)] == [str(file)]
    assert clock.slept == pytest.approx(waited)


@pytest.mark.parametrize("jump", [-DAY, DAY, 30.0])
def test_a_clock_that_jumps_changes_nothing(jump: float, file: Path, clocks: Callable[..., Clocks]) -> None:
    def leap(clock: Clocks) -> None:
        if clock.slept == 1:
            clock.today += jump

    clock = clocks(leap)
    changed(file, clock.today - 20)
    settled(str(file), 60)
    assert clock.slept == pytest.approx(40)


def test_a_change_while_waiting_begins_it_anew(file: Path, clocks: Callable[..., Clocks]) -> None:
    def write(clock: Clocks) -> None:
        if clock.slept == 30:
            file.write_text("id,text\n1,x\n2,y\n")
            changed(file, clock.today - DAY)  # however old it says that it is

    clock = clocks(write)
    changed(file, clock.today)
    settled(str(file), 60)
    assert clock.slept == pytest.approx(90)


def test_a_file_that_comes_meanwhile_is_waited_for_as_well(file: Path, clocks: Callable[..., Clocks]) -> None:
    late = file.with_name("b.csv")

    def write(clock: Clocks) -> None:
        if clock.slept == 50:
            late.write_text("id,text\n2,y\n")
            changed(late, clock.today)

    clock = clocks(write)
    changed(file, clock.today)
    assert [source.url for source in settled(str(file.parent), 60)] == [str(file), str(late)]
    assert clock.slept == pytest.approx(110)


@pytest.mark.parametrize(("seconds", "patience"), [(5, 600), (200, 2000)])
def test_patience_ends(seconds: int, patience: int, file: Path, clocks: Callable[..., Clocks]) -> None:
    clock = clocks(lambda clock: changed(file, clock.today))
    changed(file, clock.today)
    said = rf"a\.csv: is still being changed after {patience // 10}\d s \(data\.settle={seconds}\); run the same"
    with pytest.raises(InputError, match=said):
        settled(str(file), seconds)
    assert patience <= clock.slept <= patience + 2


def test_a_file_that_is_written_now_is_read_when_it_is_whole(file: Path, quick_job: Job, tmp_path: Path) -> None:
    """With real clocks: a run begins while a file grows in the middle of a row."""

    def write() -> None:
        with file.open("a") as text:
            for number in range(2, 12):
                text.write(f"{number},some")
                text.flush()
                time.sleep(0.1)
                text.write(f"thing {number}\n")

    writer = threading.Thread(target=write)
    writer.start()
    line = ["data=table", f"data.path={file}", "prompt=complete", "++data.columns.prompt=text", "engine=dummy"]
    line += ["executor=inline", f"run.dir={tmp_path / 'run'}"]
    said = quick_job("generate", *line, "data.settle=0.5").stderr
    assert not writer.is_alive()
    writer.join()
    assert f"waiting for {file}, which was changed 0 s ago" in said
    assert "11 of 11 rows taken" in said
    said = quick_job("generate", *line, "data.settle=0.1").stderr  # it is no part of the plan
    assert "0 shards to do" in said


def test_seconds_before_zero_are_refused(quick_job: Job) -> None:
    said = quick_job("judge", "data=arena", "data.path=x.csv", "data.settle=-1", code=2).stderr
    assert "data.settle=-1: must not be negative" in said
