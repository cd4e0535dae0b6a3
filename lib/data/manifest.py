"""The plan of a run: its inputs, its shards and its fingerprint. Written once, first."""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

from lib.data.atomic import write_new_text
from lib.data.reading.input_file import InputFile
from lib.data.run_folder import MANIFEST, SHARDS
from lib.errors import AnotherPlan, RunFolderError

SHARDS_IN_FOLDER = 1000
_SHOWN = 12  # runs of a folder that is none itself


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """Rows [start, stop) of the asked rows of one input: the unit of work, of resume and of output."""

    number: int
    input: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.stop - self.start

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return f"shard-{self.number:08d}.parquet"

    @property
    def path(self) -> str:
        """Its file, relative to the run folder: every thousand have a folder, so that none is too long to list."""
        return f"{SHARDS}/{self.number // SHARDS_IN_FOLDER:04d}/{self.file_name}"


class Shards(Sequence[Shard]):
    """All shards of a plan, in the order of the input, each made when it is asked for. None crosses a file's border."""

    def __init__(self, rows: Sequence[int], shard_rows: int) -> None:
        """rows: of each input; shard_rows: of a shard."""
        self._rows, self._shard_rows = rows, shard_rows
        self._firsts = list(accumulate((-(-n // shard_rows) for n in rows), initial=0))  # first number of each input

    def __len__(self) -> int:
        return self._firsts[-1]

    @overload
    def __getitem__(self, number: int) -> Shard: ...
    @overload
    def __getitem__(self, number: slice) -> list[Shard]: ...
    def __getitem__(self, number: int | slice) -> Shard | list[Shard]:
        if isinstance(number, slice):
            return [self[n] for n in range(*number.indices(len(self)))]
        number = range(len(self))[number]  # counts a negative one from the end, and refuses what is beyond
        file = bisect_right(self._firsts, number) - 1
        start = (number - self._firsts[file]) * self._shard_rows
        stop = min(start + self._shard_rows, self._rows[file])
        return Shard(number=number, input=file, start=start, stop=stop)

    def of_input(self, number: int) -> Iterator[Shard]:
        """Those of one input."""
        return (self[n] for n in range(self._firsts[number], self._firsts[number + 1]))


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The plan of a run.

    identity: dotted key -> value of everything that changes results; `fingerprint` is its hash.
    In the file stands also `check`, the hash of all the rest.
    shard_rows: rows of a shard. It changes no result, so it is kept on resume whatever the config then says.
    """

    job: str
    fingerprint: str
    identity: Mapping[str, Any]
    inputs: tuple[InputFile, ...]
    shard_rows: int

    @property
    def rows(self) -> int:
        """Number of chosen rows of all inputs."""
        return sum(file.rows for file in self.inputs)

    @property
    def asked(self) -> int:
        """Number of rows that shards are made of."""
        return sum(file.asked for file in self.inputs)

    @property
    def computed(self) -> int:
        """Number of rows that the engine is asked about: bad rows are in shards, but ask nothing."""
        return self.asked - sum(file.bad for file in self.inputs)

    @property
    def repeated(self) -> int:
        """Number of rows that ask what another row of the run asks."""
        return sum(file.repeated for file in self.inputs)

    @property
    def division(self) -> str:
        """How many rows are computed, and how many are not, in words."""
        of = f"{self.rows:,} rows"
        known = f"{sum(file.remembered for file in self.inputs):,} of {of} are remembered from earlier runs"
        again = f"; {self.repeated:,} ask what another row asks" if self.repeated else ""
        bad = f"; {self.asked - self.computed:,} are bad" if self.computed < self.asked else ""
        return f"{known}{again}{bad}; {self.computed:,} to do"

    def shards(self) -> Shards:
        """All shards, in the order of the input; none crosses the border of a file."""
        return Shards([file.asked for file in self.inputs], self.shard_rows)

    def write(self, folder: Path) -> bool:
        """Write `manifest.json` into the run folder, unless another process that plans this run was first.

        Returns whether this one did.
        """
        content = asdict(self)
        content |= {"check": fingerprint(content)}
        return write_new_text(folder / MANIFEST, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a run folder.

    Raises RunFolderError where there is none, or none that this version can read.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        check = content.pop("check", None)
        if check not in (None, fingerprint(content)):
            raise ValueError("it was changed since it was written")
        inputs = tuple(InputFile(**file) for file in content.pop("inputs"))
        return Manifest(inputs=inputs, **content)
    except (FileNotFoundError, NotADirectoryError):
        below = sorted(path.parent.name for path in folder.glob(f"*/{MANIFEST}"))
        shown = f"; there are runs in it: {', '.join(below[:_SHOWN])}{', …' if below[_SHOWN:] else ''}" if below else ""
        raise RunFolderError(
            f"{folder}: no run folder (it has no {MANIFEST}); give run.dir=DIR of a run{shown}"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError) as error:
        raise RunFolderError(
            f"{path}: not a manifest that this version can read ({error}); use another run.dir"
        ) from error


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def fingerprint(identity: Mapping[str, Any]) -> str:
    """SHA-256 of an identity: equal for equal content, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def refuse_another_plan(manifest: Manifest, identity: Mapping[str, Any], folder: Path) -> None:
    """Raise AnotherPlan where `identity` is not the manifest's, naming the keys that differ."""
    if manifest.fingerprint == fingerprint(identity):
        return
    known = sorted(manifest.identity.keys() | identity.keys())
    was, now = ([_text(one, key) for key in known] for one in (manifest.identity, identity))
    differing = [(key, a, b) for key, a, b in zip(known, was, now, strict=True) if a != b]
    raise AnotherPlan(
        f"{folder} holds another plan; these keys differ:\n"
        + "\n".join(f"  {key}: was {_short(a)}, now {_short(b)}" for key, a, b in differing)
        + "\nUndo the change to resume that run, or give this one another run.dir (or none).",
        [key for key, _, _ in differing],
    )


def _text(identity: Mapping[str, Any], key: str) -> str:
    """A value as JSON; of a key that another version of the code knew, or knows, that there is none."""
    return json.dumps(identity[key], ensure_ascii=False) if key in identity else "not there"


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:60] + f"… ({len(text)} characters)"
