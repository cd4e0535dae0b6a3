"""What tests of the pipeline share: a planned run of the dummy engine."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lib.data.rows.battles import BattlesConfig
from lib.engines.dummy import DummyConfig
from lib.errors import ExitCode, Stopped
from lib.pipeline.run import Recipe, Run
from lib.pipeline.run_config import RunConfig
from lib.tasks.base import Task
from lib.tasks.pairwise import Pairwise, PairwiseConfig
from lib.tasks.prompts.prompt import PromptConfig

PROMPT = PromptConfig(template="Q:{prompt} 1:{response_a} 2:{response_b}", labels=["A", "B", "tie"])
CONFIG = PairwiseConfig()

SIGNALS = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGUSR1: ExitCode.UNFINISHED,
}

Plan = Callable[..., Run]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Plan a run over a file of battles; `task` judges if not given."""

    def make(path: Path | str, task: Task | None = None, shard_rows: int = 10, name: str = "run", **data: Any) -> Run:
        run = RunConfig(dir=str(tmp_path / name), shard_rows=shard_rows, max_error_rate=1)
        battles = BattlesConfig(path=str(path), **data)
        engine = DummyConfig(max_model_len=512)
        return Run.open("judge", run, Recipe(data=battles, engine=engine, task=task or Pairwise(CONFIG, PROMPT)))

    return make


@contextmanager
def stops(number: signal.Signals) -> Iterator[pytest.ExceptionInfo[Stopped]]:
    """What is within ends with the stop that this signal asks for."""
    with pytest.raises(Stopped, match=f"stopped by {number.name}") as found:
        yield found
    assert found.value.exit_code == SIGNALS[number]
