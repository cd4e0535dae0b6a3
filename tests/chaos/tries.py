"""One try of each kind of chaos, and what came of it."""

import contextlib
import enum
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.driver import SLOW, begin, finish
from tests.chaos.sound import Sound
from tests.chaos.stores import Stores

ROWS = 30
_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 75}


class Kind(enum.Enum):
    """What is done to a run."""

    KILL = "SIGKILL of the driver"
    SIGNAL = "signal at a random point"
    TWO_DRIVERS = "two drivers, one killed"
    FULL_DISK = "disk full at a random size"
    FLIP_INPUT = "bit flipped in input/"
    FLIP_SHARD = "bit flipped in a shard"
    FLIP_MANIFEST = "bit flipped in manifest.json"
    FLIP_RESULT = "bit flipped in result.parquet"
    TWO_RUNS = "two runs on one store, one killed"
    FLIP_STORE = "bit flipped in the store"


_FLIPPED = {
    Kind.FLIP_INPUT: "input/*.parquet",
    Kind.FLIP_SHARD: "shards/*/*.parquet",
    Kind.FLIP_MANIFEST: "manifest.json",
    Kind.FLIP_RESULT: "result.parquet",
}


@dataclass
class Found:
    """What came of the tries of a kind."""

    tries: int = 0
    survived: int = 0
    bad: Counter[str] = field(default_factory=Counter)

    @property
    def clean(self) -> bool:
        """Whether every try was survived."""
        return self.tries == self.survived

    def line(self, kind: Kind) -> str:
        """The kind's line of the table."""
        bad = " | ".join(str(self.bad[what]) for what in ("lost", "doubled", "other", "traceback"))
        return f"| {kind.value} | {self.tries} | {self.survived} | {bad} |"


class Chaos:
    """Tries out kinds of chaos below a folder, each on a run of its own."""

    def __init__(self, folder: Path) -> None:
        """Make the input, an undisturbed run, and one that is half done."""
        self._folder = folder
        rows = "".join(f'{n},"[""question {n}""]","[""answer {n}""]","[""other {n}""]"\n' for n in range(ROWS))
        (folder / "battles.csv").write_text("id,prompt,response_a,response_b\n" + rows)
        self._whole, self._half = folder / "whole", folder / "half"
        begun = time.monotonic()
        code, said = finish(self._begin(self._whole, SLOW), self._whole)
        assert code == 0, said
        self._seconds = time.monotonic() - begun
        self._sound = Sound(self._whole)
        self._stores = Stores(folder / "stores")
        shutil.copytree(self._whole, self._half)
        for file in sorted(self._half.glob("shards/*/*.parquet"))[::2]:
            file.unlink()
        for name in ("result.parquet", "submission.csv", "report.html"):
            (self._half / name).unlink(missing_ok=True)

    def try_out(self, kind: Kind, tries: int, moments: random.Random) -> Found:
        """So many tries of a kind."""
        found = Found()
        for number in range(tries):
            run = self._folder / f"{kind.name}-{number}"
            problem, said = self._try(kind, run, moments)
            if "Traceback" in said or "defect of ours" in said:
                problem = "traceback"
            found.tries += 1
            found.survived += not problem
            if problem:
                found.bad[problem] += 1
                last = "\n  ".join(said.strip().splitlines()[-4:])
                print(f"{kind.value}, try {number}: {problem}\n  {last}", file=sys.stderr, flush=True)
            shutil.rmtree(run, ignore_errors=True)
        return found

    def _try(self, kind: Kind, run: Path, moments: random.Random) -> tuple[str, str]:
        """What is wrong after a try ("" if nothing), and what was said."""
        if kind is Kind.TWO_RUNS:
            return self._stores.two_runs(run, moments)
        if kind is Kind.FLIP_STORE:
            return self._stores.flip(run, moments)
        return self._flip(kind, run, moments) if kind in _FLIPPED else self._disturb(kind, run, moments)

    def _disturb(self, kind: Kind, run: Path, moments: random.Random) -> tuple[str, str]:
        """Disturb a run and begin it again."""
        after = moments.uniform(0, self._seconds)
        number = moments.choice([signal.SIGUSR1, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT])
        if kind is Kind.SIGNAL:
            code, said = finish(self._begin(run, SLOW, number=number, after=after), run)
            while code == 0:  # it ended before: that is no try
                shutil.rmtree(run)
                after = moments.uniform(0, after)
                code, said = finish(self._begin(run, SLOW, number=number, after=after), run)
            if code != _CODES[number]:
                return "other", f"{said}\nexit code {code} after {number.name}"
        elif kind is Kind.FULL_DISK:
            code, said = finish(self._begin(run, SLOW, file_size=int(2 ** moments.uniform(6, 14))), run)
        else:
            drivers = [self._begin(run, SLOW) for _ in range(2 if kind is Kind.TWO_DRIVERS else 1)]
            time.sleep(after)
            with contextlib.suppress(ProcessLookupError):
                os.kill(drivers[0], signal.SIGKILL)
            said = "".join(finish(driver, run)[1] for driver in drivers)
        code, more = finish(self._begin(run), run)
        return (self._sound.differs(run) if code == 0 else "lost"), said + more

    def _flip(self, kind: Kind, run: Path, moments: random.Random) -> tuple[str, str]:
        """Flip a bit and begin the run again: refused in words that name it, done again, or the same result."""
        shutil.copytree(self._half if kind is Kind.FLIP_INPUT else self._whole, run)
        file = moments.choice(sorted(run.glob(_FLIPPED[kind])))
        content = bytearray(file.read_bytes())
        content[moments.randrange(len(content))] ^= 1 << moments.randrange(8)
        file.write_bytes(content)
        code, said = finish(self._begin(run), run)
        if code in (1, 2):
            return ("" if str(run) in said.strip().rpartition("\n")[2] else "other"), said
        return (self._sound.differs(run) if code == 0 else "lost"), said

    def _begin(
        self,
        run: Path,
        *more: str,
        number: signal.Signals | None = None,
        after: float = 0,
        file_size: int | None = None,
    ) -> int:
        line = [f"data.path={self._folder}/battles.csv", *more]
        return begin(run, line, number=number, after=after, file_size=file_size)
