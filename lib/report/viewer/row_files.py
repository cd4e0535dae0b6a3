"""The Parquet files that hold a run's result: the merged one or, before it is merged, those of finished shards."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from lib.data import parquet
from lib.data.joining.keys import ANSWERED, KEY
from lib.data.manifest import Manifest, read_manifest
from lib.data.run_folder import RESULT
from lib.data.shards import read_footer
from lib.errors import InputError

State = tuple[int, int, int]
"""Which file a path leads to, its bytes and its time of change."""


@dataclass(frozen=True, kw_only=True)
class RowFiles:
    """folder: of the run. paths: the files, in the order of the input, each with the columns `stored`.

    note: what is not there yet; "" where all is. states: how the files were when they were found.
    """

    folder: Path
    manifest: Manifest
    paths: tuple[Path, ...]
    stored: pa.Schema
    states: Mapping[Path, State]
    note: str = ""

    @property
    def columns(self) -> pa.Schema:
        """Those of a result."""
        return pa.schema([field for field in self.stored if field.name not in (KEY, ANSWERED)])


def find_rows(folder: Path) -> RowFiles:
    """What there is of a run's result. Raises RunFolderError where there is no run, InputError where it has no rows."""
    folder = folder.resolve()
    manifest = read_manifest(folder)
    if (result := folder / RESULT).is_file():
        return _files(folder, manifest, (result,))
    shards = manifest.shards()
    found = tuple(folder / s.path for s in shards if read_footer(s, manifest, folder) is not None)
    if not found:
        raise InputError(f"{folder}: no shard of it is finished yet; run the job again, or wait for its first rows")
    note = (
        f"This run is not merged: there are {len(found):,} of {len(shards):,} shards, without remembered and repeated "
        "rows. The job's own line finishes it."
    )
    return _files(folder, manifest, found, note)


def state_of(path: Path) -> State:
    """How a file is now."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _files(folder: Path, manifest: Manifest, paths: tuple[Path, ...], note: str = "") -> RowFiles:
    states = {path: state_of(path) for path in paths}  # before anything is read of them
    return RowFiles(
        folder=folder, manifest=manifest, paths=paths, stored=parquet.schema(paths[0]), states=states, note=note
    )
