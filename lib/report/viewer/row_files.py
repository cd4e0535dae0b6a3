"""The Parquet files that hold a run's result: the merged one or, before it is merged, those of finished shards."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from lib.data import parquet
from lib.data.joining.keys import ANSWERED, KEY
from lib.data.manifest import Manifest, read_manifest
from lib.data.run_folder import RESULT
from lib.data.shards import read_footer
from lib.errors import InputError


@dataclass(frozen=True, kw_only=True)
class RowFiles:
    """folder: of the run. paths: the files, in the order of the input. columns: those of a result.

    note: what is not there yet; "" where all is.
    """

    folder: Path
    manifest: Manifest
    paths: tuple[Path, ...]
    columns: pa.Schema
    note: str = ""


def find_rows(folder: Path) -> RowFiles:
    """What there is of a run's result. Raises RunFolderError where there is no run, InputError where it has no rows."""
    folder = folder.resolve()
    manifest = read_manifest(folder)
    if (result := folder / RESULT).is_file():
        return RowFiles(folder=folder, manifest=manifest, paths=(result,), columns=_columns(result))
    shards = manifest.shards()
    found = tuple(folder / s.path for s in shards if read_footer(s, manifest, folder) is not None)
    if not found:
        raise InputError(f"{folder}: no shard of it is finished yet; run the job again, or wait for its first rows")
    note = (
        f"This run is not merged: there are {len(found):,} of {len(shards):,} shards, without remembered and repeated "
        "rows. The job's own line finishes it."
    )
    return RowFiles(folder=folder, manifest=manifest, paths=found, columns=_columns(found[0]), note=note)


def _columns(path: Path) -> pa.Schema:
    return pa.schema([field for field in parquet.schema(path) if field.name not in (KEY, ANSWERED)])
