"""One try of each kind of chaos, and what came of it."""

import contextlib
import enum
import os
import random
import resource
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.judge import JOB
from lib.launch import launch

ROWS = 30
_LINE = ("data=arena", "engine=dummy", "executor=inline", "run.shard_rows=3", "run.grace_seconds=0")
_SLOW = "engine.seconds_per_request=0.005"  # changes no result
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
        self._sound = folder / "sound"
        begun = time.monotonic()
        code, said = self._finish(self._begin(self._sound, _SLOW), self._sound)
        assert code == 0, said
        self._seconds = time.monotonic() - begun
        self._result = pq.read_table(self._sound / "result.parquet")
        self._half = folder / "half"
        shutil.copytree(self._sound, self._half)
        for file in sorted(self._half.glob("shards/*/*.parquet"))[::2]:
            file.unlink()
        for name in ("result.parquet", "submission.csv", "report.html"):
            (self._half / name).unlink(missing_ok=True)

    def try_out(self, kind: Kind, tries: int, moments: random.Random) -> Found:
        """So many tries of a kind."""
        found = Found()
        for number in range(tries):
            run = self._folder / f"{kind.name}-{number}"
            problem, said = self._flip(kind, run, moments) if kind in _FLIPPED else self._disturb(kind, run, moments)
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

    def _disturb(self, kind: Kind, run: Path, moments: random.Random) -> tuple[str, str]:
        """Disturb a run and begin it again. Returns what is wrong then ("" if nothing), and what was said."""
        after = moments.uniform(0, self._seconds)
        number = moments.choice([signal.SIGUSR1, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT])
        if kind is Kind.SIGNAL:
            code, said = self._finish(self._begin(run, _SLOW, number=number, after=after), run)
            while code == 0:  # it ended before: that is no try
                shutil.rmtree(run)
                after = moments.uniform(0, after)
                code, said = self._finish(self._begin(run, _SLOW, number=number, after=after), run)
            if code != _CODES[number]:
                return "other", f"{said}\nexit code {code} after {number.name}"
        elif kind is Kind.FULL_DISK:
            code, said = self._finish(self._begin(run, _SLOW, file_size=int(2 ** moments.uniform(6, 14))), run)
        else:
            drivers = [self._begin(run, _SLOW) for _ in range(2 if kind is Kind.TWO_DRIVERS else 1)]
            time.sleep(after)
            with contextlib.suppress(ProcessLookupError):
                os.kill(drivers[0], signal.SIGKILL)
            said = "".join(self._finish(driver, run)[1] for driver in drivers)
        code, more = self._finish(self._begin(run), run)
        return (self._compare(run) if code == 0 else "lost"), said + more

    def _flip(self, kind: Kind, run: Path, moments: random.Random) -> tuple[str, str]:
        """Flip a bit and begin the run again: refused in words that name it, done again, or the same result."""
        shutil.copytree(self._half if kind is Kind.FLIP_INPUT else self._sound, run)
        file = moments.choice(sorted(run.glob(_FLIPPED[kind])))
        content = bytearray(file.read_bytes())
        content[moments.randrange(len(content))] ^= 1 << moments.randrange(8)
        file.write_bytes(content)
        code, said = self._finish(self._begin(run), run)
        if code in (1, 2):
            return ("" if str(run) in said.strip().rpartition("\n")[2] else "other"), said
        return (self._compare(run) if code == 0 else "lost"), said

    def _begin(
        self,
        run: Path,
        *more: str,
        number: signal.Signals | None = None,
        after: float = 0,
        file_size: int | None = None,
    ) -> int:
        """Begin or resume a run in a fork; a signal comes so many seconds after its handlers are in place."""
        child = os.fork()
        if child:
            return child
        said = os.open(f"{run}.{os.getpid()}.said", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        if file_size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
        if number is not None:
            threading.Thread(target=_send, args=(number, after), daemon=True).start()
        sys.argv = ["judge", *_LINE, f"data.path={self._folder}/battles.csv", f"run.dir={run}", *more]
        code = 70
        try:
            launch(JOB)
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os._exit(code)

    @staticmethod
    def _finish(child: int, run: Path) -> tuple[int, str]:
        """The exit code of a fork, minus the signal's number if one ended it, and what it said."""
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        file = Path(f"{run}.{child}.said")
        said = file.read_text(errors="replace") if file.exists() else ""
        file.unlink(missing_ok=True)
        return code, said

    def _compare(self, run: Path) -> str:
        """What differs from the undisturbed run."""
        try:
            result = pq.read_table(run / "result.parquet", page_checksum_verification=True)
        except (pa.ArrowInvalid, OSError) as error:  # a reader is told
            return "" if "crc" in str(error).lower() or "corrupt" in str(error).lower() else "other"
        rows = result["row"].to_pylist()
        if set(rows) != set(range(ROWS)):
            return "lost"
        if len(rows) != ROWS:
            return "doubled"
        same = result.drop_columns(["file"]).equals(self._result.drop_columns(["file"]))
        submission = (run / "submission.csv").read_bytes() == (self._sound / "submission.csv").read_bytes()
        return "" if same and submission else "other"


def _send(number: signal.Signals, after: float) -> None:
    while signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
        time.sleep(0.0005)
    time.sleep(after)
    os.kill(os.getpid(), number)
