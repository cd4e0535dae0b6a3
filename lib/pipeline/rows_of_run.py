"""The rows that a run has read, once more: for what is said about their texts, which its result does not hold."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lib.data import parquet
from lib.data.joining.shuffle import Ordered, interleave
from lib.data.manifest import Manifest
from lib.data.reading.input_file import InputFile, all_rows, require_unchanged
from lib.data.reading.readers import batches, blocks, column_names
from lib.data.reading.sources import Stat, source_of
from lib.data.rows.base import Rows
from lib.data.rows.battles import BattleColumns, BattlesConfig, Turns
from lib.data.rows.columns import canonical
from lib.data.rows.conversations import ConversationsConfig
from lib.data.rows.table import TableConfig, TableRows
from lib.data.run_folder import CONFIG, read_config
from lib.errors import RunFolderError
from lib.tasks.prompts.prompt import PromptConfig

Group = TypeVar("Group")

_ROWS = 8192
_NUMBERS = pa.schema([("row", pa.int64())])


def battles_of(folder: Path, manifest: Manifest) -> BattlesConfig:
    """How a run has read its input: by the config in its folder or, where battles were drawn, as they are written.

    Raises RunFolderError where the config can't be read so.
    """
    if manifest.job == "tournament":
        (drawn,) = manifest.inputs
        return BattlesConfig(path=drawn.source, turns=Turns.text, columns=BattleColumns(question="question"))
    found = read_config(folder).get("data")
    # The config of conversations alone names winners.
    kind = ConversationsConfig if isinstance(found, dict) and "winners" in found else BattlesConfig
    return typed_group(kind, found, folder, "data")


def slots_of(manifest: Manifest) -> list[str]:
    """The slots of a run's prompt, which are fields of its table; nothing where it has none."""
    template = manifest.identity.get("task.prompt.template")
    return sorted(PromptConfig(template=template).slots) if template else []


def table_of(folder: Path, fields: Sequence[str]) -> TableRows:
    """How a run has read certain fields of its table, by the config in its folder.

    Raises RunFolderError where it has not read a table, or the config can't be read.
    """
    found = read_config(folder).get("data")
    if not isinstance(found, dict) or "failed" not in found:  # as the config of tables alone has
        raise RunFolderError(f"{folder / CONFIG}: data: is of another kind than a table")
    known = typed_group(TableConfig, found, folder, "data")
    kept = {key: getattr(known, key) for key in ("path", "id", "columns", "failed", "separator", "quotes")}
    return TableRows(**kept, fields=tuple(fields))


def typed_group(kind: type[Group], found: object, folder: Path, name: str) -> Group:
    """A group of the config in a run folder, as its type. Raises RunFolderError where it can't be read so."""
    typed = OmegaConf.structured(kind)
    nodes = [typed, *(typed._get_node(key) for key in typed)]
    for node in nodes:
        if OmegaConf.is_config(node):
            OmegaConf.set_readonly(node, False)  # as those of frozen dataclasses are
    try:
        group = OmegaConf.to_object(OmegaConf.merge(typed, found or {}))
    except (OmegaConfBaseException, ValueError) as error:
        raise RunFolderError(f"{folder / CONFIG}: {name}: {str(error).splitlines()[0]}") from error
    assert isinstance(group, kind)
    return group


def rows_of(folder: Path, manifest: Manifest, data: Rows) -> Iterator[pa.Table]:
    """All rows of a run in canonical form, in the order of its result, some thousands at a time.

    The run folder has them itself, but those of Parquet that is read in place, and those that are remembered. Raises
    InputError where such a source was changed, or is not there; RunFolderError where the run folder is damaged.
    """
    for file in manifest.inputs:
        if file.remembered:
            yield from _from_source(file, folder, data)
        elif file.repeated:
            streams = [all_rows(file, folder, data), _tables(folder / file.repeated_parquet, data.schema)]
            yield from interleave([Ordered(stream, data.schema, "row") for stream in streams], "row")
        else:
            yield from all_rows(file, folder, data)


def rows_there(result: Path, folder: Path, manifest: Manifest, data: Rows) -> Iterator[pa.Table]:
    """The same rows, as far as a result of the run has them: one of a run that is not done lacks some."""
    with parquet.opened(result) as file:
        whole = file.metadata.num_rows == manifest.rows
    rows = rows_of(folder, manifest, data)
    if whole:
        yield from rows
        return
    sources = pa.array([file.source for file in manifest.inputs])
    read = (pa.Table.from_batches([batch]) for batch in parquet.batches(result, _ROWS, ["file", "row"]))
    there = Ordered((pa.table({"row": _places(table, sources)}, _NUMBERS) for table in read), _NUMBERS, "row")
    for table in rows:
        places = _places(table, sources)
        yield table.filter(pc.is_in(places, value_set=there.until(places[-1].as_py() + 1)["row"]))


def _places(rows: pa.Table, sources: pa.Array) -> pa.ChunkedArray:
    """Numbers in the order of a run's rows: of the input, then of the row in it."""
    return pc.add(pc.shift_left(pc.index_in(rows["file"], value_set=sources).cast(pa.int64()), 40), rows["row"])


def _from_source(file: InputFile, folder: Path, data: Rows) -> Iterator[pa.Table]:
    """The rows of a file of which some are remembered: their texts stand in the source alone."""
    source = source_of(file.source)
    require_unchanged(source, Stat(file.size, file.mtime_ns))
    paths = [file.parquet, file.remembered_parquet, *([file.repeated_parquet] if file.repeated else [])]
    streams = [Ordered(_tables(folder / path, _NUMBERS), _NUMBERS, "row") for path in paths]
    chosen = Ordered(interleave(streams, "row"), _NUMBERS, "row")
    read, row = blocks if data.in_columns else batches, 0
    options: dict[str, Any] = {"as_arrow": data.as_arrow}
    columns = data.present_columns(column_names(source, data.dialect), source.url)
    for block in read(source, columns, data.dialect, **options):
        for table, _, _ in canonical(data, block, source.url, row):
            wanted = chosen.until(row + table.num_rows)["row"].to_numpy() - row
            if len(wanted):
                yield table.take(pa.array(wanted))
            row += table.num_rows
        if chosen.bound is None:
            return


def _tables(path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    return (pa.Table.from_batches([batch], schema) for batch in parquet.batches(path, _ROWS, schema.names))
