"""What is submitted, and the record of it in the run folder's `submit/`."""

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lib.cluster.snapshot import Snapshot
from lib.data.atomic import write_text
from lib.data.run_folder import SUBMIT, read_object
from lib.errors import RunFolderError

_RECORD = "submission.json"
UNKNOWN = "unknown to the scheduler"
ENDED = frozenset(  # the final states of Slurm's jobs and of Ray's
    ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE", "BOOT_FAIL", "PREEMPTED")
) | {"SUCCEEDED", "STOPPED"}


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """A job that was submitted. ids: the scheduler's; address: of Ray's dashboard, None under Slurm.

    cluster: the name of Slurm's, where it is known: another one has other jobs with these ids.
    """

    run: str
    ids: Sequence[str]
    submitted: float
    address: str | None = None
    cluster: str | None = None


@dataclass(frozen=True)
class State:
    """What the scheduler says of a job. exit_code: 128 + the signal's number where one ended it; None: not ended."""

    name: str
    exit_code: int | None

    @property
    def active(self) -> bool:
        """Whether it runs, or will."""
        return self.name not in ENDED and self.name != UNKNOWN

    def __str__(self) -> str:
        return f"{self.name} (exit code {self.exit_code})" if self.exit_code else self.name


class Desk:
    """The place in a run folder where one submission is made ready: scripts, output, a copy of the code."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.folder = run / SUBMIT / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}"
        self._snapshot = Snapshot(run / SUBMIT)
        self.code = self._snapshot.path

    def open(self, scripts: dict[str, str]) -> None:
        """Write the copy of the code and the scripts, name -> content."""
        self.folder.mkdir(parents=True)
        self._snapshot.write()
        for name, script in scripts.items():
            write_text(self.folder / name, script, private=True)  # the line may hold the password of a URL

    def record(self, ids: Sequence[str], address: str | None = None, cluster: str | None = None) -> None:
        """Keep what was submitted, for `submissions`."""
        now = round(time.time(), 3)
        submission = Dispatch(run=str(self.run), ids=ids, submitted=now, address=address, cluster=cluster)
        write_text(self.folder / _RECORD, json.dumps(asdict(submission), indent=1) + "\n", private=True)


def submissions(run: Path) -> list[Dispatch]:
    """All that was submitted for a run, in the order of time. Raises RunFolderError for a damaged record."""
    return [_read(path) for path in sorted((run / SUBMIT).glob(f"*/{_RECORD}"))]


def desks(run: Path) -> set[str]:
    """The names of the folders of all submissions of a run, recorded ones and those that were cut short."""
    return {path.name for path in (run / SUBMIT).glob("????????-??????-????")}


def _read(path: Path) -> Dispatch:
    found = read_object(path)
    try:
        return Dispatch(**found)
    except TypeError as error:
        raise RunFolderError(f"{path}: not a submission that this version can read ({error}); delete it") from error
