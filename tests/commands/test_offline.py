"""What only a process of its own shows: variables that a library reads when it is imported."""

from collections.abc import Callable
from pathlib import Path

from tests.conftest import Job


def test_a_model_that_is_not_to_be_had(job: Job, battles: Callable[..., Path], tmp_path: Path) -> None:
    line = ["data=arena", f"data.path={battles(10)}", "executor=inline", f"run.dir={tmp_path / 'run'}"]
    line += ["engine=qwen3_8b", "plan.gpu=L4"]
    refused = job("plan", *line, code=2, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "empty"))
    assert "engine.model=Qwen/Qwen3-8B: neither a folder here nor to be had" in refused.stderr
    assert "Traceback" not in refused.stderr
