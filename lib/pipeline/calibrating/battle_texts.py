"""What calibration needs of a run's texts, which its result does not hold: read from its input again."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.data.battle_files.groups import Groups, groups_of
from lib.data.manifest import Manifest
from lib.data.reading.intake import take_in
from lib.data.reading.sources import look, source_of
from lib.errors import ConfigError, InputError
from lib.pipeline.battles_of_run import battles_of
from lib.scoring.probabilities import FloatArray


@dataclass(frozen=True)
class BattleTexts:
    """Of each row [n] of a run, in the order of its result: its question, and ln(length of A / length of B).

    Lengths are characters of all turns of a response, each plus 1, so that an empty one has a logarithm.
    """

    groups: Groups
    log_length: FloatArray


def read_texts(manifest: Manifest, folder: Path, place: Path) -> BattleTexts:
    """Read a run's input again. place: a folder with room for what is laid ready meanwhile.

    Raises InputError where it is not there any more, or was changed.
    """
    groups: list[Groups] = []
    lengths: list[FloatArray] = []

    def see(rows: pa.Table) -> None:
        groups.append(groups_of(rows, "prompt"))
        a, b = (_characters(rows[side]) for side in ("response_a", "response_b"))
        lengths.append(np.log((a + 1) / (b + 1)))

    with TemporaryDirectory(prefix=".input.", dir=place) as scratch:
        try:
            seen = [look(source_of(file.source)) for file in manifest.inputs]
            intake = take_in(battles_of(folder), Path(scratch), seen=seen, see=see)
        except (ConfigError, OSError) as error:
            raise InputError(f"{folder}: its input can't be read again ({error})") from error
    before, now = ([file.sha256 for file in files] for files in (manifest.inputs, intake.inputs))
    if before != now or sum(map(len, groups)) != manifest.rows:
        changed = next((old.source for old, new in zip(manifest.inputs, now, strict=True) if old.sha256 != new), folder)
        raise InputError(f"{changed}: was changed since {folder} was made of it")
    return BattleTexts(np.concatenate(groups), np.concatenate(lengths))


def _characters(turns: pa.ChunkedArray) -> FloatArray:
    """Characters [n] of lists of texts; NaN for null."""
    turns = turns.combine_chunks()
    counts = pc.fill_null(pc.list_value_length(turns), 0).to_numpy(zero_copy_only=False)
    each = pc.fill_null(pc.utf8_length(pc.list_flatten(turns)), 0).to_numpy(zero_copy_only=False)
    sums = np.concatenate([[0], np.cumsum(each)])[np.concatenate([[0], np.cumsum(counts)])]
    found = np.diff(sums).astype(np.float64)
    found[turns.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return found
