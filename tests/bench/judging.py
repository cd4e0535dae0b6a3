"""What the benchmarks of judge runs share: real battles, a planned run, and its requests ready in memory."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir

import conf
from jobs.judge import JOB, Config
from lib.data.manifest import Shard
from lib.data.reading.input_file import read_rows
from lib.launch import typed
from lib.pipeline.run import Run
from lib.tasks.base import Prepared
from lib.types import Tokenizer

ROOT = Path(conf.__file__).parents[1]
DATA = ROOT.parent / "shared" / "data" / "autoj" / "testdata_pairwise.jsonl"


def overrides(*more: str, rows: int) -> list[str]:
    """The command line of a judge run over the first battles."""
    return ["data=autoj", f"data.path={DATA}", f"data.limit={rows}", "run.name=bench", *more]


@contextmanager
def planned(line: list[str]) -> Iterator[Run]:
    """A judge run, planned in a folder that is removed afterwards. line: the job's command line."""
    conf.register(JOB.name, Config)
    with tempfile.TemporaryDirectory() as folder:
        with initialize_config_dir(str(Path(conf.__file__).parent), version_base="1.3"):
            config: Config = typed(compose("judge", overrides=[*line, f"run.dir={folder}"]))
        yield JOB.open(config)


def prepared(run: Run, shard: Shard, tokenizer: Tokenizer) -> Prepared:
    """A shard's requests, cut and tokenized."""
    rows = read_rows(run.manifest.inputs[0], run.folder, shard.start, shard.stop, run.data)
    return run.task.prepare(rows, tokenizer, run.engine.max_tokens)
