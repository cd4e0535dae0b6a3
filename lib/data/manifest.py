"""The plan of a run: its inputs, its shards and its fingerprint. Written once, first."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lib.data.atomic import write_new_text
from lib.data.reading.input_file import InputFile
from lib.data.run_folder import MANIFEST
from lib.errors import AnotherPlan, RunFolderError


@dataclass(frozen=True, kw_only=True)
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
        """Name of its file in the run folder's `shards/`."""
        return f"shard-{self.number:05d}.parquet"


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
        """Number of rows that the engine is asked about."""
        return sum(file.asked for file in self.inputs)

    @property
    def repeated(self) -> int:
        """Number of rows that ask what another row of the run asks."""
        return sum(file.repeated for file in self.inputs)

    def shards(self) -> list[Shard]:
        """All shards, in the order of the input; none crosses the border of a file."""
        ranges = [
            (index, start, min(start + self.shard_rows, file.asked))
            for index, file in enumerate(self.inputs)
            for start in range(0, file.asked, self.shard_rows)
        ]
        return [Shard(number=n, input=i, start=start, stop=stop) for n, (i, start, stop) in enumerate(ranges)]

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
    except FileNotFoundError:
        raise RunFolderError(f"{folder}: no run folder (it has no {MANIFEST}); give run.dir=DIR of a run") from None
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
    keys = [key for key in known if manifest.identity.get(key) != identity.get(key)]
    changes = [f"  {key}: was {_short(manifest.identity.get(key))}, now {_short(identity.get(key))}" for key in keys]
    raise AnotherPlan(
        f"{folder} holds another plan; these keys differ:\n"
        + "\n".join(changes)
        + "\nUndo the change to resume that run, or give this one another run.dir (or none).",
        keys,
    )


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:60] + f"… ({len(text)} characters)"
