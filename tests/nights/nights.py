"""Nights of one job on one store, and the same from nothing beside each."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

from lib.data.run_folder import RESULT, SUBMISSION
from tests.nights.battles import Battle, Content, Folder
from tests.nights.disturbances import Disturbance, full_disk, killed, late_file
from tests.running import Done, Job

_FILES = 6  # in all
_NIGHTLY = "nightly"
_SETTLE = "data.settle=2"


@dataclass(frozen=True)
class Asked:
    """A job and its line. reads: the cells of its request. rule: a setting of its rule, if it has one."""

    job: str
    line: Sequence[str]
    reads: Sequence[str]
    draws: bool = False
    rule: str | None = None


_BATTLE = ("prompt", "response_a", "response_b")
_ENGINE = ("engine=dummy", "executor=inline", "run.shard_rows=2")
_TABLE = ("data=table", "++data.columns.instruction=prompt", "data.carry=[winner_tie]")
_DRAWS = ("generate.n=2", "generate.temperature=0.8", "engine.max_model_len=20000")
JOBS = {
    asked.job: asked
    for asked in (
        Asked("judge", ("data=arena", *_ENGINE), _BATTLE, rule="judge.temperature=1.3"),
        Asked("arena", ("data=arena", *_ENGINE), _BATTLE, rule="arena.scale=1.3"),
        Asked("generate", (*_TABLE, *_ENGINE, *_DRAWS), ("prompt",), draws=True),
    )
}


@dataclass(frozen=True)
class Night:
    """What came of a night. computed, remembered: in rows. wrong: what is not as it should be; "" if nothing."""

    name: str
    rows: int
    computed: int
    remembered: int
    wrong: str
    seconds: float

    def line(self, job: str) -> str:
        """Its line of the table."""
        equal = f"no: {self.wrong}" if self.wrong else "yes"
        rows = f"{self.rows} | {self.computed} | {self.remembered}"
        return f"| {job} | {self.name} | {rows} | {equal} | {self.seconds:.1f} |"


class Nights:
    """Nights below a folder, each with a run folder of its own. run: how a job is run."""

    def __init__(self, folder: Path, asked: Asked, battles: Sequence[Battle], run: Job) -> None:
        self._folder, self._asked, self._run = folder, asked, run
        self._input = Folder(folder / "input")
        self._coming = self._files_to_come(battles)
        self._known: set[Content] = set()  # what the store has answers to
        self._last: set[Content] = set()  # what the night before asked
        self._number = 0

    def nights(self, file_sizes: Sequence[int]) -> Iterator[Night]:
        """All nights, one after another. file_sizes: of the full disks, in bytes."""
        first, second = next(self._coming), next(self._coming)
        yield self._night("the first")
        third = next(self._coming)
        yield self._night("a file more")
        changed, *others = self._input.read(first)
        self._input.write(first, [{**changed, "prompt": json.dumps(["What is this row about now?"])}, *others])
        rows = self._input.read(third)
        self._input.write(third, [*rows, {**rows[0], "id": "another"}])
        yield self._night("a changed row, a row twice")
        self._input.remove(second)
        yield self._night("a removed file")
        next(self._coming)
        yield self._night("a kill", disturbed=killed)
        next(self._coming)
        yield self._night("a full disk", disturbed=partial(full_disk, file_sizes))
        if self._asked.rule is not None:
            yield self._night("a changed rule", self._asked.rule)
        yield self._night("a quiet night")
        late = self._input.path / next(self._coming)
        refused = partial(self._job, self._folder / "unfinished", "store.dir=null", code=None)
        yield self._night("a late file", _SETTLE, disturbed=partial(late_file, late, refused))

    def _files_to_come(self, battles: Sequence[Battle]) -> Iterator[str]:
        """Put one file after another into the folder; yield its name."""
        size = len(battles) // _FILES
        for number in range(_FILES):
            name = f"battles-{number}.csv"
            self._input.write(name, battles[number * size : (number + 1) * size])
            yield name

    def _night(self, name: str, *more: str, disturbed: Disturbance = lambda _run, _line: "") -> Night:
        """A night, and the same from nothing. more: overrides of this night."""
        self._number += 1
        run, nothing = (self._folder / kind / f"2026-01-{self._number:02d}" for kind in (_NIGHTLY, "nothing"))
        store = f"store.dir={self._folder}/store"
        begun = time.monotonic()
        wrong = disturbed(run, (self._asked.job, *self._line(run, store, *more)))
        self._job(run, store, *more)
        seconds = time.monotonic() - begun
        self._job(nothing, "store.dir=null", *more)
        figures = json.loads((run / "metrics.json").read_text())
        wrong = wrong or _differs(run, nothing) or self._unexpected(run, figures["computed"])
        if self._asked.rule in more:
            wrong = wrong or self._without_engine(nothing)
        self._last = self._asks()
        self._known |= self._last
        return Night(name, self._input.rows, figures["computed"], figures["remembered"], wrong, seconds)

    def _unexpected(self, run: Path, computed: int) -> str:
        """What is wrong with what was computed, and with what is said of it."""
        asked, said = self._asks(), (run / "log.txt").read_text()
        if computed != (new := len(asked - self._known)):
            return f"{new} rows are new"
        if not computed and "the worker is ready" in said:
            return "an engine was loaded"
        if (gone := len(self._last - asked)) and f"at least {gone:,} rows that it asked about are gone" not in said:
            return f"{gone} rows are gone, and it does not say so"
        if not gone and "are gone" in said:
            return "it says that rows are gone"
        return ""

    def _without_engine(self, nothing: Path) -> str:
        """What is wrong with another submission, by this night's rule, of the run of the night before."""
        before, out = self._folder / _NIGHTLY / f"2026-01-{self._number - 1:02d}", self._folder / "rule.csv"
        self._run("merge", f"run.dir={before}", f"merge.out={out}", str(self._asked.rule))
        same = out.read_bytes() == (nothing / SUBMISSION).read_bytes()
        return "" if same else "jobs.merge makes another submission of the run before"

    def _job(self, run: Path, *more: str, code: int | None = 0) -> Done:
        return self._run(self._asked.job, *self._line(run, *more), code=code)

    def _line(self, run: Path, *more: str) -> list[str]:
        return [*self._asked.line, f"data.path={self._input.path}", f"run.dir={run}", *more]

    def _asks(self) -> set[Content]:
        return self._input.asks(self._asked.reads, draws=self._asked.draws)


def _differs(run: Path, nothing: Path) -> str:
    """What of a run differs from one from nothing."""
    one, other = (pq.read_table(folder / RESULT) for folder in (run, nothing))
    if not one.equals(other):
        return f"{RESULT} differs"
    submission = nothing / SUBMISSION
    if submission.exists() and (run / SUBMISSION).read_bytes() != submission.read_bytes():
        return f"{SUBMISSION} differs"
    return ""
