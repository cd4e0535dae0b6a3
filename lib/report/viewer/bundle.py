"""The viewer as a folder of files that needs no server: all odd rows, and a sample of the others."""

import json
import random
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.data.atomic import atomic_folder
from lib.data.run_folder import REPORT
from lib.errors import ConfigError
from lib.report.viewer.details import joined
from lib.report.viewer.input_texts import input_cells
from lib.report.viewer.row_index import MODEL, RowIndex
from lib.report.viewer.selection import PAGE_ROWS, Flag, Order, Selection
from lib.report.viewer.viewer import FILES, Bundle, Viewer

INDEX = "index.html"
_COPIED = ("viewer.css", "viewer.js", "bundle.js")
_DATA, _ROWS = "rows.js", "rows"
_MARK = "overnight-view.json"  # what tells a bundle of ours from a folder of somebody else's
_SEARCHED = 4000  # characters of a row that can be searched
_ODD = (Flag.failed, Flag.wrong, Flag.flipped, Flag.differs, Flag.alone, Flag.cut, Flag.unfinished)


@dataclass(frozen=True)
class Carried:
    """The rows of a bundle, and what was left out, in words."""

    numbers: Sequence[int]
    note: str


def write_bundle(viewer: Viewer, out: Path, *, sample: int, odd: int) -> Carried:
    """Write the pages into a folder, which may hold an earlier bundle and nothing else.

    sample: rows that are nothing special. odd: at most so many of the others. Raises ConfigError for a folder in use,
    RunFolderError where the run's files were written again meanwhile.
    """
    _require_free(out)
    carried = choose(viewer.index, sample=sample, odd=odd)
    bundle = Bundle(searched=f"the first {_SEARCHED:,} characters of {viewer.index.searched}")
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out) as scratch:
        (scratch / _ROWS).mkdir()
        for name in _COPIED:
            shutil.copyfile(FILES / name, scratch / name)
        for n in carried.numbers:
            _write(scratch / _ROWS / f"{n}.html", viewer.row_page(Selection(row=n), bundle))
        page = viewer.render_list(Selection(), carried.numbers, len(carried.numbers), [carried.note], bundle)
        _write(scratch / INDEX, page)
        if (report := viewer.report) is not None:
            _write(scratch / REPORT, report)
        content = json.dumps({"page": PAGE_ROWS, "rows": _entries(viewer.index, carried.numbers)}, ensure_ascii=True)
        _write(scratch / _DATA, f"window.overnight = {content};\n")
        _write(scratch / _MARK, json.dumps({"run": str(viewer.index.files.folder)}) + "\n")
        viewer.require_unchanged()
        if out.exists():
            shutil.rmtree(out)
    return carried


def choose(index: RowIndex, *, sample: int, odd: int) -> Carried:
    """Rows for a bundle: of each flag's rows as many as fit, and a sample of those without any."""
    flags = [flag for flag in _ODD if flag in index.counts]
    chosen: set[int] = set()
    left = []
    for place, flag in enumerate(flags):
        found = [n for n in index.where_with(f"is_{flag.name}", {}) if n not in chosen]
        room = (odd - len(chosen)) // (len(flags) - place)  # what a rare flag leaves is the others'
        taken = found if len(found) <= room else random.Random(0).sample(found, max(room, 0))
        if len(taken) < len(found):
            left.append(f"{len(found) - len(taken):,} more that are {flag.name}")
        chosen.update(taken)
    plain = index.where_with(" AND ".join(["true", *(f"NOT is_{flag.name}" for flag in flags)]), {})
    taken = plain if len(plain) <= sample else random.Random(0).sample(plain, sample)
    note = f"{len(chosen):,} odd rows of {index.total - len(plain):,}, and {len(taken):,} of {len(plain):,} others"
    more = f" (not here: {', '.join(left)}; view.odd=N takes more)" if left else ""
    if len(chosen) + len(taken) == index.total:
        return Carried(range(index.total), f"{index.total:,} rows: all of the run.")
    return Carried(
        sorted(chosen.union(taken)),
        f"This folder holds {note}{more}. All of them: jobs.view run.dir={index.files.folder}",
    )


def _entries(index: RowIndex, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """What filters and orders of each row need."""
    flags, orders = list(index.counts), [name for name in index.orders if name != Order.place.name]
    names = [name for name in index.values if name != MODEL or MODEL in index.shape.names]
    sides = ["model_a", "model_b"] if MODEL in index.values and MODEL not in names else []
    keys = [index.key_of(name) for name in orders]
    columns = [f"is_{flag.name}" for flag in flags] + keys + [index.value_of(name) for name in names + sides]
    sql = f"SELECT {', '.join(['n', *columns])} FROM rows WHERE n IN (SELECT unnest($numbers)) ORDER BY n"
    rows = index.run(sql, {"numbers": list(numbers)})
    inputs = input_cells(index, numbers)
    entries = []
    for n, *found in rows:
        held, rest = found[: len(flags)], found[len(flags) :]
        measures, values = rest[: len(keys)], rest[len(keys) :]
        (cells,) = index.cells([n])
        texts = [joined(cells.get(name)) for name in index.shape.texts]
        texts += [joined(value) for value in inputs.get(n, {}).values() if isinstance(value, (str, list))]
        entries.append(
            {
                "n": n,
                "flags": [flag.name for flag, holds in zip(flags, held, strict=True) if holds],
                "orders": dict(zip(orders, measures, strict=True)) | {Order.place.name: n},
                "values": {name: [value] for name, value in zip(names, values, strict=False)}
                | ({MODEL: values[len(names) :]} if sides else {}),
                "words": "\n".join(filter(None, texts))[:_SEARCHED].lower(),
            }
        )
    return entries


def _require_free(out: Path) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / _MARK).is_file():
        raise ConfigError(f"view.export={out}: is there already, and no bundle of rows; give another folder")
    inside = [path.relative_to(out).as_posix() for pattern in ("*", f"{_ROWS}/*") for path in out.glob(pattern)]
    if others := sorted(name for name in inside if not _is_ours(name)):
        raise ConfigError(f"view.export={out}: holds {others[0]}, which would be lost; give another folder")


def _is_ours(name: str) -> bool:
    return (
        name in (INDEX, REPORT, _DATA, _MARK, _ROWS, *_COPIED) or re.fullmatch(rf"{_ROWS}/\d+\.html", name) is not None
    )


def _write(path: Path, text: str) -> None:
    # errors: half of a character that only a damaged file can hold
    path.write_text(text, encoding="utf-8", errors="replace")
