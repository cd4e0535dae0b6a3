"""Forty real actors at once, driven by the loop that test_pool.py has a thousand simulated workers for."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from lib.data.rows.battles import BattlesConfig
from lib.data.shards import commit, unfinished
from lib.engines.dummy import DummyConfig
from lib.pipeline.executors.crew import Answered, Died, News, Ready
from lib.pipeline.executors.pool import Pool
from lib.pipeline.executors.ray_crew import RayCrew
from lib.pipeline.executors.shard_queue import ShardQueue
from lib.pipeline.run import Recipe, Run
from lib.pipeline.run_config import RunConfig
from lib.pipeline.stop import Stop
from lib.tasks.pairwise import Pairwise
from tests.pipeline.conftest import CONFIG, PROMPT

WORKERS, SHARDS, ROWS = 40, 400, 2
Battles = Callable[..., Path]


class Together(RayCrew):
    """Actors of which none is said to be ready before all are, so that all get to work, however slowly they begin."""

    ready: list[Ready]
    answered: Counter[int]
    deaths = 0

    def news(self, seconds: float) -> Iterator[News]:
        for news in super().news(seconds):
            if isinstance(news, Ready):
                self.ready.append(news)
                if len(self.ready) == WORKERS:
                    yield from self.ready
            else:
                self.answered.update([news.worker] if isinstance(news, Answered) else [])
                self.deaths += isinstance(news, Died)
                yield news


def test_forty_workers_share_the_shards(battles: Battles, ray_cluster: str, tmp_path: Path) -> None:
    data = BattlesConfig(path=str(battles(SHARDS * ROWS)))
    recipe = Recipe(data=data, engine=DummyConfig(max_model_len=512), task=Pairwise(CONFIG, PROMPT))
    run = Run.open("judge", RunConfig(dir=str(tmp_path / "run"), shard_rows=ROWS), recipe)
    crew = Together(run, room=lambda: WORKERS, cpus_per_worker=0.1, in_flight=2)
    crew.ready, crew.answered = [], Counter()
    pool = Pool(
        ShardQueue(run.manifest.shards(), in_flight=2, max_restarts=0),
        crew,
        needs="0.1 CPUs",
        commit=partial(commit, manifest=run.manifest, folder=run.folder, seconds=0.0),
        dead_row=lambda row, reason: None,
    )
    try:
        with Stop(30) as stop:
            done = [footer.shard for footer in pool.run(stop)]
    finally:
        pool.close()
    assert sorted(done) == list(range(SHARDS))
    assert unfinished(run.manifest, run.folder, retry_failed=False)[0] == []
    assert len(crew.answered) == WORKERS
    assert crew.deaths == 0
