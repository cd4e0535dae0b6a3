"""Answers of several systems, with the questions that their runs asked."""

from collections.abc import Mapping
from pathlib import Path

from lib.data import parquet
from lib.data.answers import Answer, Questions, read_answers
from lib.data.manifest import read_manifest
from lib.data.row_names import row_names
from lib.data.run_folder import MANIFEST, RESULT
from lib.pipeline.rows_of_run import rows_of, slots_of, table_of
from lib.types import slot_column

_QUESTION = "question"


def read_all_answers(places: Mapping[str, str]) -> Mapping[str, Mapping[str, Answer]]:
    """The answers of several systems, as `read_answers` gives them. places: of each system by its name."""
    return {name: read_answers(name, place, _questions(Path(place))) for name, place in places.items()}


def _questions(folder: Path) -> Questions | None:
    """What a run asked, where its result does not carry it: the slot `question` of its prompt, or the only slot.

    None where the result has a column of questions, and where it can't be known what the question was.
    """
    if not (folder / MANIFEST).is_file() or not (folder / RESULT).is_file():
        return None
    if _QUESTION in parquet.schema(folder / RESULT).names:
        return None
    manifest = read_manifest(folder)
    slots = slots_of(manifest)
    asked = _QUESTION if _QUESTION in slots else slots[0] if len(slots) == 1 else None
    if asked is None:
        return None
    found: dict[str, str] = {}
    for table in rows_of(folder, manifest, table_of(folder, [asked])):
        names = row_names(table["id"], table["row"].to_pylist())
        for name, texts in zip(names, table[slot_column(asked)].to_pylist(), strict=True):
            if name is not None:
                found[name] = "\n".join(text or "" for text in texts or ())
    return found
