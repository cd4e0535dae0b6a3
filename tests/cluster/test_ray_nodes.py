"""Waiting for nodes that don't come; what comes is tested on a real Slurm in tests/slurm."""

import pytest

from lib.cluster.ray_nodes import wait_for_nodes


@pytest.mark.parametrize("kind", [Exception, ConnectionError, ValueError])
def test_a_cluster_that_does_not_come_up_in_time_has_no_nodes(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import ray

    tries = []

    def not_yet(**_: object) -> None:
        tries.append(1)
        raise kind("Head node temp_dir not found in NodeInfo, either GCS or head node's raylet may not have started")

    monkeypatch.setattr(ray, "init", not_yet)
    assert wait_for_nodes("127.0.0.1:1", 1, 0.6) == 0
    assert len(tries) > 1
    assert "no Ray cluster answers at 127.0.0.1:1: Head node temp_dir not found" in capsys.readouterr().err
