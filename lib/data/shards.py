"""Shard files: Parquet, committed by rename, with a footer that says whose they are."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lib.data.manifest import Manifest, Shard
from lib.data.parquet import UNREADABLE, opened, require_rows, write
from lib.data.run_folder import SHARDS

_KEY = b"overnight"


@dataclass(frozen=True, kw_only=True)
class Footer:
    """What a shard file says of itself.

    tokens: of the rows' requests, and of what was written for them. cached_tokens: of these, tokens that the engine's
    prefix cache spared. queued: requests inside the engine meanwhile, on average, of all shards. seconds: wall time
    since the worker's shard before this one was finished, so that the sum of a worker's shards is its engine's time.
    gpu_utilization: share of the time in which the worker's GPUs had work, in [0, 1]; peak_seconds: those that the
    model's arithmetic would have taken at the GPUs' peak; both None where there is no GPU (peak_seconds: none that we
    know). spelled: texts that spell out a control token of the model, which chats hold with a blank in it.
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
) -> Footer:
    """Write the shard's result table into the run folder, whole or not at all; the rest is for its footer."""
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
    )
    table = table.replace_schema_metadata({_KEY: json.dumps(asdict(footer)).encode()})
    write(table, folder / SHARDS / shard.file_name)
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
        metadata = pq.read_metadata(folder / SHARDS / shard.file_name)
    except UNREADABLE:  # none, or damaged: to be done again
        return None
    content = (metadata.metadata or {}).get(_KEY)
    if content is None:
        return None
    try:
        footer = Footer(**json.loads(content))
    except (TypeError, ValueError, RecursionError):  # of another version, or damaged
        return None
    whole = metadata.num_rows == footer.rows == shard.rows
    place = (footer.fingerprint, footer.shard, footer.input, footer.start)
    return footer if whole and place == (manifest.fingerprint, shard.number, shard.input, shard.start) else None


def unfinished(manifest: Manifest, folder: Path, *, retry_failed: bool) -> tuple[list[Shard], list[Footer]]:
    """The shards still to be done, and the footers of those that are done.

    With `retry_failed`, a finished shard that recorded failed rows is to be done again.
    """
    todo: list[Shard] = []
    done: list[Footer] = []
    for shard in manifest.shards():
        footer = read_footer(shard, manifest, folder)
        if footer is None or (retry_failed and footer.failed):
            todo.append(shard)
        else:
            done.append(footer)
    return todo, done


def tables(shards: Iterable[Shard], folder: Path) -> Iterator[pa.Table]:
    """The result tables of finished shards, one at a time.

    Raises RunFolderError where a file was damaged after it was written.
    """
    for shard in shards:
        with opened(folder / SHARDS / shard.file_name) as file:
            table = file.read()
            require_rows(table.num_rows, shard.rows)
        yield table
