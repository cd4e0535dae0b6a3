"""The pages of the viewer as HTML: the list of rows, and one row."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from lib.data.run_folder import REPORT
from lib.errors import InputError, OvernightError
from lib.report.viewer.details import blocks_of, short, side_by_side
from lib.report.viewer.input_texts import ReadSource, beginning, input_cells, place_of
from lib.report.viewer.pairing import other_of
from lib.report.viewer.row_index import MODEL, Cells, RowIndex
from lib.report.viewer.selection import PAGE_ROWS, Flag, Order, Selection

FILES = Path(__file__).parent / "files"
"""Templates, the style sheet and scripts."""

MakePrompts = Callable[[int, int], Sequence[str]]
"""Makes the requests about a row again, as `ReadSource` reads it; none where no model was asked."""

_LINK = re.compile(r'<a href="[^"]*">([^<]*)</a>')
_SHORT = 240  # characters of a text in the list
_LIST_NAMES = 3  # columns with few values that a list shows
_IN_LIST = ("grade", "score_a", "score_b")


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What a page has to know where it lies in a folder that no server serves. searched: what a search looks at."""

    searched: str
    policy: str = "default-src 'none'; script-src 'self' file:; style-src 'self' file:"


@dataclass(frozen=True)
class _Cell:
    text: str
    tone: str = ""


@dataclass(frozen=True, kw_only=True)
class _Line:
    n: int
    name: str
    href: str
    cells: Sequence[_Cell]
    flags: Sequence[Flag]


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """The pages of one run, or of two beside each other.

    read_source, make_prompts: raise OvernightError, whose text is then shown in their place. other: another run, paired
    with this one; paired: what came of that, in words.
    """

    index: RowIndex
    read_source: ReadSource
    make_prompts: MakePrompts
    other: RowIndex | None = None
    paired: str = ""

    @property
    def title(self) -> str:
        """Job and folder."""
        return f"{self.index.files.manifest.job}: {self.index.files.folder.name}"

    @property
    def report(self) -> str | None:
        """The run's report, without its links: they lead to files that are not served. None where there is none."""
        path = self.index.files.folder / REPORT
        if not path.is_file():
            return None
        return _LINK.sub(r"\1", path.read_text(encoding="utf-8"))

    def require_unchanged(self) -> None:
        """Raise RunFolderError where files were written again: pages that were made then may show other rows."""
        for index in (self.index, self.other):
            if index is not None:
                index.require_unchanged()

    def list_page(self, selection: Selection) -> str:
        """A page of the list. Raises InputError for a selection that this run has not."""
        total = self.index.count(selection)
        if selection.page >= (pages := _pages(total)):
            raise InputError(f"page={selection.page}: there are {pages:,} pages of these rows, numbered from 0")
        numbers = self.index.page(selection)
        return self.render_list(selection, numbers, total, [f"{self.index.total:,} rows."])

    def render_list(
        self,
        selection: Selection,
        numbers: Sequence[int],
        total: int,
        notes: Sequence[str],
        bundle: Bundle | None = None,
    ) -> str:
        """The list of these rows. total: of which they are a page."""
        index = self.index
        notes = [*notes, *([f"Beside {self.other.files.folder.name}: {self.paired}."] if self.other else [])]
        return _render(
            "list.html",
            title=self.title,
            report=REPORT if (index.files.folder / REPORT).is_file() else "",
            notes=notes,
            warnings=[index.files.note] if index.files.note else [],
            selection=selection,
            flags=list(index.counts),
            counts=index.counts,
            values=index.values,
            orders={
                name: Order[name].value if name in Order.__members__ else f"{name}, largest first"
                for name in index.orders
            },
            searched=bundle.searched if bundle else index.searched,
            total=total,
            pages=_pages(total),
            header=[*self._own_names, *self._shown_names],
            lines=self._lines(numbers, selection, bundle),
            bundle=bundle,
            root="",
        )

    def row_page(self, selection: Selection, bundle: Bundle | None = None) -> str:
        """The page of the row that is selected. Raises InputError for a number that no row has."""
        assert selection.row is not None
        index, n = self.index, selection.row
        (cells,) = index.cells([n])
        before, behind = (None, None) if bundle else index.neighbours(selection, n)
        warnings = [index.files.note] if index.files.note else []
        texts = input_cells(index, [n]).get(n)
        source, row = place_of(index, n)
        if texts is None:
            texts = self._or_why(lambda: self.read_source(source, row), warnings, "The input's texts are not shown")
        prompts: Sequence[str] = ()
        if selection.prompt or bundle:
            made = self._or_why(lambda: self.make_prompts(source, row), warnings, "The prompt is not shown")
            if selection.prompt and made == []:
                warnings.append("No model was asked, so there is no prompt.")
            prompts = made or ()
        blocks = blocks_of(cells, texts or {}, prompts)
        if self.other is not None and (there := other_of(index, n)) is not None:
            (others,) = self.other.cells([there])
            names = (index.files.folder.name, self.other.files.folder.name)
            blocks.insert(0, side_by_side(cells, others, names))
        return _render(
            "row.html",
            title=_name(cells),
            facts=self._facts(cells),
            row_flags=self._flags([n])[n],
            error=cells.get("error"),
            warnings=warnings,
            ask_prompt="" if selection.prompt or bundle else replace(selection, prompt=True).query,
            blocks=blocks,
            selection=selection,
            before=before,
            behind=behind,
            row=n,
            flags=list(index.counts),
            bundle=bundle,
            root="../" if bundle else "",
        )

    def _facts(self, cells: Cells) -> list[tuple[str, str]]:
        names = dict.fromkeys(("verdict", "label", "grade", *self.index.values))
        known = [(name, short(cells[name])) for name in names if cells.get(name) is not None]
        known += [(name, _models(cells)) for name in names if name == MODEL and name not in cells]
        return [*known, ("file", f"{Path(str(cells['file'])).name}, row {cells['row']}")] if "file" in cells else known

    def refusal(self, reason: str) -> str:
        """A page that says what is wrong with an address."""
        return _render("refused.html", title="Not to be shown", reason=reason, flags=[], bundle=None, root="")

    def _or_why(self, make: Callable[[], Any], warnings: list[str], what: str) -> Any:
        try:
            return make()
        except OvernightError as error:
            warnings.append(f"{what}: {error}")
            return None

    @property
    def _shown_names(self) -> list[str]:
        names = [name for name in self.index.values if name not in ("verdict", "label", "finish_reason")]
        return names[:_LIST_NAMES]

    @property
    def _asks(self) -> bool:
        """Whether a column has questions; that of battles may hold hashes."""
        return {"question", "model_a"} & set(self.index.files.columns.names) == {"question"}

    @property
    def _own_names(self) -> list[str]:
        index, columns = self.index, self.index.files.columns.names
        header = ["input"] if index.inputs or self._asks else []
        header += ["answer"] if {"text", "texts", "passages"} & set(columns) else []
        header += ["verdict"] if "verdict" in columns else []
        header += ["label"] if index.has_labels else []
        header += [name for name in _IN_LIST if name in columns]
        header += ["sureness"] if index.shape.sureness else []
        return [*header, "length"] if index.has_lengths else header

    def _lines(self, numbers: Sequence[int], selection: Selection, bundle: Bundle | None) -> list[_Line]:
        found = self.index.cells(numbers, _SHORT)
        inputs = input_cells(self.index, numbers, _SHORT)
        flags = self._flags(numbers)
        sql = "SELECT n, sureness, length FROM rows WHERE n IN (SELECT unnest($numbers))"
        measures = {n: rest for n, *rest in self.index.run(sql, {"numbers": list(numbers)})}
        lines = []
        for n, cells in zip(numbers, found, strict=True):
            sureness, length = measures[n]
            texts: dict[str, _Cell] = {
                "input": _Cell(beginning(inputs.get(n, {})) or str((self._asks and cells["question"]) or ""), "said"),
                "answer": _Cell(_answer(cells), "said"),
                "sureness": _Cell("" if sureness is None else f"{sureness:.3f}", "number"),
                "length": _Cell(f"{length or 0:,}", "number"),
            }
            row = [texts[name] if name in texts else _cell(cells.get(name)) for name in self._own_names]
            row += [
                _Cell(_models(cells), "name models") if name == MODEL else _cell(cells.get(name))
                for name in self._shown_names
            ]
            href = f"rows/{n}.html" if bundle else f"./?{selection.at(n).query}"
            lines.append(_Line(n=n, name=_name(cells), href=href, cells=row, flags=flags[n]))
        return lines

    def _flags(self, numbers: Sequence[int]) -> dict[int, list[Flag]]:
        names = list(self.index.counts)
        columns = ", ".join(f"is_{flag.name}" for flag in names)
        sql = f"SELECT n, {columns} FROM rows WHERE n IN (SELECT unnest($numbers))"
        found = self.index.run(sql, {"numbers": list(numbers)})
        return {n: [flag for flag, held in zip(names, holds, strict=True) if held] for n, *holds in found}


def _pages(total: int) -> int:
    return max(-(-total // PAGE_ROWS), 1)


def _name(cells: Cells) -> str:
    found = cells.get("id")
    return str(cells.get("row")) if found is None else str(found)


def _answer(cells: Cells) -> str:
    found = next((cells[name] for name in ("text", "texts", "passages") if cells.get(name)), None)
    return str(found or cells.get("error") or "")


def _models(cells: Cells) -> str:
    if "model" in cells:
        return short(cells["model"])
    return " / ".join(str(cells[name]) for name in ("model_a", "model_b") if cells.get(name))


def _cell(value: Any) -> _Cell:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _Cell(short(value), "number")
    return _Cell("" if value is None else short(value), "name")


def _render(template: str, **given: Any) -> str:
    return str(_environment().get_template(template).render(given))


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(FILES)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
