"""What killed processes left is removed when it is a day old; what is in use, or the user's own, is not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from lib.data.atomic import atomic_folder, atomic_path, remove_leftovers
from lib.data.run_folder import LEFTOVERS, PLANNED
from tests.running import ROOT, Job

DAY = 86_400
HEX8, HEX32 = "0a1b2c3d", "0a1b2c3d" * 4
LEFT = [
    f"plan-{HEX8}/keys/part-0.arrow",
    f"merge-{HEX8}/x",
    f".writable-{HEX32}",
    f"result.parquet.{HEX32}.tmp",
    f"input/00000.parquet.{HEX32}.tmp",
    f"remembered/00000.parquet.{HEX32}.tmp",
    f"shards/0000/shard-00000012.parquet.{HEX32}.tmp",
    f"submit/code-{HEX8}.{HEX32}.tmp/lib/x.py",
]
OWN = [
    "plan-b/x",
    "plan-a1b2c3d/x",
    "merge-results/x",
    "notes.tmp",
    "shards/0000/shard-00000012.parquet",
    "result.parquet",
    f"deeper/plan-{HEX8}/x",
    f"plan-{HEX8}.txt",
]


def make(folder: Path, names: list[str], age: float = 0) -> None:
    """Files of some age, and the folders that they lie in."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    then = time.time() - age
    for path in sorted(folder.rglob("*"), reverse=True):
        os.utime(path, (then, then))


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_old_leftovers_go_and_everything_else_stays(tmp_path: Path) -> None:
    make(tmp_path, [*LEFT, *OWN], 1.1 * DAY)
    remove_leftovers(tmp_path, LEFTOVERS)
    assert files(tmp_path) == set(OWN)
    assert not list(tmp_path.glob(f"*-{HEX8}"))
    assert not list(tmp_path.glob("submit/*"))


def test_the_names_are_those_that_we_make(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "x.json") as temporary:
        temporary.write_text("")
        os.utime(temporary, (1e9, 1e9))
        remove_leftovers(tmp_path, LEFTOVERS)
        assert not temporary.exists()
        temporary.write_text("")


@pytest.mark.parametrize("clock", [-400 * DAY, 400 * DAY])
def test_what_is_younger_stays_whatever_the_clock_of_this_machine(
    tmp_path: Path, clock: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, LEFT, 0.9 * DAY)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + clock)
    remove_leftovers(tmp_path, LEFTOVERS)
    assert files(tmp_path) == set(LEFT)


def test_a_folder_in_which_anything_was_written_today_stays(tmp_path: Path) -> None:
    make(tmp_path, [f"plan-{HEX8}/keys/a", f"plan-{HEX8}/keys/b", f"merge-{HEX8}/c"], 3 * DAY)
    (tmp_path / f"plan-{HEX8}" / "keys" / "a").write_text("more")
    remove_leftovers(tmp_path, LEFTOVERS)
    assert files(tmp_path) == {f"plan-{HEX8}/keys/a", f"plan-{HEX8}/keys/b"}


def test_a_link_goes_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "thesis.txt").write_text("")
    link = tmp_path / f"plan-{HEX8}"
    link.symlink_to(tmp_path / "there")
    os.utime(link, (1e9, 1e9), follow_symlinks=False)
    remove_leftovers(tmp_path, LEFTOVERS)
    assert not link.is_symlink()
    assert files(tmp_path) == {"there/thesis.txt"}


def test_plans_that_did_not_become_the_manifest_go(tmp_path: Path) -> None:
    kept = [f"input/00000-plan-{HEX8}-asked.parquet", f"remembered/00000-plan-{HEX8}-asked.parquet"]
    lost = [f"{name}/000000000000-plan-ffff0000-asked.parquet" for name in ("input", "remembered", "repeated")]
    make(tmp_path, [*kept, *lost, "input/mine.parquet"], 2 * DAY)
    remove_leftovers(tmp_path, PLANNED, keep=set(kept))
    assert files(tmp_path) == {*kept, "input/mine.parquet"}


def test_what_cannot_be_removed_is_told_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, [f"a.{HEX32}.tmp", f"plan-{HEX8}/x"], 2 * DAY)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("shutil.rmtree", refuse)  # as root, no folder refuses
    remove_leftovers(tmp_path, LEFTOVERS)
    assert files(tmp_path) == {f"plan-{HEX8}/x"}
    assert f"plan-{HEX8}: left by a killed process, and can't be removed (Permission denied)" in caplog.text
    monkeypatch.setattr(Path, "touch", refuse)
    remove_leftovers(tmp_path, LEFTOVERS)
    remove_leftovers(tmp_path / "none", LEFTOVERS)


def test_a_planner_that_is_killed_leaves_what_the_next_line_removes_a_day_later(
    battles: Callable[..., Path], tmp_path: Path, quick_job: Job
) -> None:
    run = tmp_path / "run"
    line = ["data=arena", f"data.path={battles(300)}", "engine=dummy", "executor=inline", f"run.dir={run}"]
    code = (
        "import os, runpy, signal\n"
        "from lib.pipeline.planning.division import Division\n"
        "Division.divide = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "runpy.run_module('jobs.judge', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *line], cwd=ROOT, check=False, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    left = {name for name in files(run) if "plan-" in name}
    assert [name.split("/")[0] for name in left] == ["input"]
    quick_job("judge", *line)
    assert left <= files(run)
    for path in sorted(run.rglob("*"), reverse=True):
        os.utime(path, (1e9, 1e9))
    said = quick_job("judge", *line).stderr
    assert not left & files(run)
    assert "left by a killed process, and removed" in said
    assert "0 shards to do" in said
    assert pa.parquet.read_metadata(run / "result.parquet").num_rows == 300


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "made"

    def half() -> None:
        with atomic_folder(target) as temporary:
            (temporary / "a").write_text("x")
            assert not target.exists()
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        half()
    assert [*tmp_path.iterdir()] == []
    target.mkdir()  # an empty folder is free
    with atomic_folder(target) as temporary:
        (temporary / "deeper").mkdir()
        (temporary / "deeper" / "a").write_text("x")
    assert files(tmp_path) == {"made/deeper/a"}
    with pytest.raises(OSError, match="not empty"), atomic_folder(target) as temporary:
        (temporary / "b").write_text("y")
    assert files(tmp_path) == {"made/deeper/a"}


def test_what_a_killed_process_of_this_machine_left_goes_at_once(tmp_path: Path) -> None:
    """And what living ones write stays, as does what is of another machine."""
    script = f"from lib.data.atomic import *\nwith atomic_path(Path({str(tmp_path / 'x.json')!r})) as temporary:\n"
    script += " temporary.touch(); print(flush=True); input()"
    command = [sys.executable, "-c", script]
    writers = [subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    (tmp_path / f"y.json.{HEX32}.tmp").touch()
    with atomic_path(tmp_path / "z.json") as own:
        own.touch()
        writers[0].kill()
        os.waitid(os.P_PID, writers[0].pid, os.WEXITED | os.WNOWAIT)  # dead, and not waited for
        remove_leftovers(tmp_path, LEFTOVERS)
        assert len(list(tmp_path.glob("x.json.*.tmp"))) == 1
        assert own.exists()
        writers[0].communicate()
        remove_leftovers(tmp_path, LEFTOVERS)
        assert len(list(tmp_path.glob("x.json.*.tmp"))) == 1
        writers[1].kill()
        writers[1].communicate()
        remove_leftovers(tmp_path, LEFTOVERS)
        assert files(tmp_path) == {f"y.json.{HEX32}.tmp", own.name}
