"""Shard files: Parquet, committed by rename, with a footer that says whose they are."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lib.data.atomic import make_folder
from lib.data.beside_shards import journal
from lib.data.beside_shards.footer_index import Entry, look, read_index, write_index
from lib.data.manifest import SHARDS_IN_FOLDER, Manifest, Shard
from lib.data.parquet import UNREADABLE, opened, require_rows, write
from lib.types import Served

_KEY = b"overnight"
_NOTHING = Served()
_WORTH_AN_INDEX = 100  # footers that had to be read from their shards


@dataclass(frozen=True, kw_only=True, slots=True)
class Footer:
    """What a shard file says of itself.

    tokens: of the rows' requests, and of what was written for them. cached_tokens: of these, tokens that the engine's
    prefix cache spared. queued: requests inside the engine meanwhile, on average, of all shards. seconds: wall time
    since the worker's shard before this one was finished, so that the sum of a worker's shards is its engine's time.
    gpu_utilization: share of the time in which the worker's GPUs had work, in [0, 1]; peak_seconds: those that the
    model's arithmetic would have taken at the GPUs' peak; both None where there is no GPU (peak_seconds: none that we
    know). spelled: texts that spell out a control token of the model, which chats hold with a blank in it. The others
    are those of `lib.types.Served`, where a server answered.
    """

    fingerprint: str
    shard: int
    input: int
    start: int
    rows: int
    failed: int
    tokens: int
    seconds: float
    cached_tokens: int
    queued: float
    gpu_utilization: float | None
    peak_seconds: float | None
    spelled: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    bounded: int = 0
    lost_mass: float = 0.0


def commit(
    table: pa.Table,
    shard: Shard,
    manifest: Manifest,
    folder: Path,
    *,
    seconds: float,
    cached_tokens: int = 0,
    queued: float = 0.0,
    gpu_utilization: float | None = None,
    peak_seconds: float | None = None,
    spelled: int = 0,
    served: Served = _NOTHING,
) -> Footer:
    """Write the shard's result table into the run folder, whole or not at all; the rest is for its footer.

    What is kept of its answers elsewhere is then removed.
    """
    assert table.num_rows == shard.rows
    failed = table.num_rows - table["error"].null_count
    footer = Footer(
        fingerprint=manifest.fingerprint,
        shard=shard.number,
        input=shard.input,
        start=shard.start,
        rows=shard.rows,
        failed=failed,
        tokens=_total(table, "tokens") + _total(table, "new_tokens"),
        seconds=round(seconds, 3),
        cached_tokens=cached_tokens,
        queued=round(queued, 1),
        gpu_utilization=gpu_utilization,
        peak_seconds=peak_seconds,
        spelled=spelled,
        **asdict(served),
    )
    table = table.replace_schema_metadata({_KEY: json.dumps(asdict(footer)).encode()})
    path = folder / shard.path
    make_folder(path.parent)
    write(table, path)
    journal.forget(folder, shard.number)
    return footer


def _total(table: pa.Table, name: str) -> int:
    """The sum of a column of counts, where there is one; a row of several texts has a list of them."""
    if name not in table.column_names:
        return 0
    column = table[name]
    counts = pc.list_flatten(column) if pa.types.is_list(column.type) else column
    return int(pc.sum(counts).as_py() or 0)


def read_footer(shard: Shard, manifest: Manifest, folder: Path) -> Footer | None:
    """The footer of a finished shard of this plan; None where there is none to be trusted.

    The file is opened, not looked up in a listing, since listings of shared file systems are cached.
    """
    try:
        metadata = pq.read_metadata(folder / shard.path)
        content = json.loads((metadata.metadata or {})[_KEY])
    except UNREADABLE:  # none, or damaged: to be done again
        return None
    except (KeyError, ValueError, RecursionError):
        return None
    footer = _footer(content, shard, manifest)
    return footer if footer is not None and metadata.num_rows == footer.rows else None


def unfinished(manifest: Manifest, folder: Path, *, retry_failed: bool) -> tuple[list[Shard], list[Footer]]:
    """The shards still to be done, and the footers of those that are done.

    With `retry_failed`, a finished shard that recorded failed rows is to be done again.
    """
    todo: list[Shard] = []
    done: list[Footer] = []
    for shards in _folders(manifest):
        for shard, footer in zip(shards, _footers(shards, manifest, folder), strict=True):
            if footer is None or (retry_failed and footer.failed):
                todo.append(shard)
            else:
                done.append(footer)
    return todo, done


def state(manifest: Manifest, folder: Path) -> str:
    """A hash of what all shard files are called, how long they are and when they were changed."""
    hashed = hashlib.sha256()
    for shards in _folders(manifest):
        files = look((folder / shards[0].path).parent) or {}
        found = [(shard.path, files.get(shard.file_name)) for shard in shards]
        hashed.update(json.dumps(found).encode())
    return hashed.hexdigest()


def tables(shards: Iterable[Shard], folder: Path) -> Iterator[pa.Table]:
    """The result tables of finished shards, one at a time.

    Raises RunFolderError where a file was damaged after it was written.
    """
    for shard in shards:
        with opened(folder / shard.path) as file:
            table = file.read()
            require_rows(table.num_rows, shard.rows)
        yield table


def _folders(manifest: Manifest) -> Iterator[list[Shard]]:
    """The shards of each folder."""
    shards = manifest.shards()
    for first in range(0, len(shards), SHARDS_IN_FOLDER):
        yield shards[first : first + SHARDS_IN_FOLDER]


def _footers(shards: list[Shard], manifest: Manifest, folder: Path) -> list[Footer | None]:
    """The footers of the shards of one folder: from its index, or else from the shards, which makes a new index."""
    place = (folder / shards[0].path).parent
    files = look(place)
    if files is None:  # looked up by its name, as the shards would be
        return [None] * len(shards)
    index, entries, read, footers = read_index(place), dict[str, Entry](), 0, list[Footer | None]()
    for shard in shards:
        name = shard.file_name
        file, entry = files.get(name), index.get(name)
        footer = None
        if entry is not None and entry.stat == file:
            footer = _footer(entry.footer, shard, manifest)
        if footer is None:  # also where the list lacks it: listings of shared file systems are cached
            footer = read_footer(shard, manifest, folder)
            entry = None if footer is None or file is None else Entry(file, asdict(footer))
            read += entry is not None
        if entry is not None:
            entries[name] = entry
        footers.append(footer)
    if read >= _WORTH_AN_INDEX:
        write_index(place, entries)
    return footers


def _footer(content: Mapping[str, Any], shard: Shard, manifest: Manifest) -> Footer | None:
    """What a footer says; None where it is of another plan, or of another version."""
    try:
        footer = Footer(**content)
    except TypeError:
        return None
    place = (footer.fingerprint, footer.shard, footer.input, footer.start, footer.rows)
    return footer if place == (manifest.fingerprint, shard.number, shard.input, shard.start, shard.rows) else None
