"""A Ray that can't be had is said in a line. What it does where it can is tested in tests/ray."""

import socket
from pathlib import Path

import pytest

from lib.errors import RunFailed
from lib.pipeline.executors import ray_executor
from tests.conftest import Job

RAY = ["engine=dummy", "executor=ray", "executor.workers=1"]


def refused(quick_job: Job, folder: Path, address: str) -> str:
    said = quick_job("judge", *RAY, f"run.dir={folder / 'run'}", code=2, RAY_ADDRESS=address).stderr
    assert "Traceback" not in said
    assert "defect of ours" not in said
    return said.splitlines()[-1]


def test_an_address_where_nothing_listens(quick_job: Job, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    said = refused(quick_job, tmp_path, address)
    assert f"RAY_ADDRESS={address}: no Ray answers there ([Errno 111] Connection refused)" in said


def test_what_is_no_address(quick_job: Job, tmp_path: Path) -> None:
    said = refused(quick_job, tmp_path, "somewhere")
    assert "RAY_ADDRESS=somewhere: no Ray can be joined there (Invalid address format: somewhere)" in said


def test_a_ray_of_ones_own_that_cannot_start(quick_job: Job, tmp_path: Path) -> None:
    line = [*RAY, f"run.dir={tmp_path / 'run'}"]
    said = quick_job("judge", *line, code=1, RAY_ADDRESS="", RAY_TMPDIR="/proc/none").stderr.splitlines()[-1]
    assert "Ray did not come up here ([Errno 2] No such file or directory: '/proc/none')" in said


@pytest.mark.parametrize(("share", "whole", "times"), [(0.1, 4, 40), (1, 2, 2), (0.3, 0.9, 3), (3, 8, 2), (0.5, 0, 0)])
def test_shares_of_a_cpu_fit_as_often_as_ray_has_it(share: float, whole: float, times: int) -> None:
    assert ray_executor._times(share, whole) == times


def test_a_ray_that_is_not_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def late(**_: object) -> None:  # as ray/_private/node.py says it after 30 seconds
        raise Exception("The current node timed out during startup. This could happen because …")

    monkeypatch.setattr(ray, "init", late)
    monkeypatch.setenv("RAY_ADDRESS", "local")
    with pytest.raises(RunFailed, match=r"^Ray did not come up here \(The current node timed out during startup"):
        ray_executor._connect()
