"""OpenAI batch files: JSONL whose lines are requests, {"custom_id", "method", "url", "body"}.

The format is that of OpenAI's Batch API (platform.openai.com/docs/api-reference/batch), with /v1/score
and /v1/rerank as vLLM's `run_batch` adds them.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from lib.config import transient
from lib.data.image_files import names_in, with_images
from lib.data.reading.cells import Cells
from lib.data.reading.readers import batches, column_names, with_rows
from lib.data.reading.sources import FileFormat, Source
from lib.data.rows.base import PLACE, Canonical, CellReader, OnBadRow, Rows, RowsConfig, kind, read_name
from lib.data.rows.text_repair import repair
from lib.errors import ConfigError, InputError

JOBS = {
    "/v1/chat/completions": "generate",
    "/v1/completions": "generate",
    "/v1/responses": "generate",
    "/v1/embeddings": "embed",
    "/v1/score": "rerank",
    "/v1/rerank": "rerank",
}
"""The job that answers the requests to a url."""

_CHATS = ("/v1/chat/completions", "/v1/responses")

CUSTOM_ID, METHOD, URL, BODY = "custom_id", "method", "url", "body"
_KEYS = (CUSTOM_ID, METHOD, URL, BODY)

SCHEMA = pa.schema({**PLACE, "model": pa.string(), BODY: pa.string(), "error": pa.string()})
"""Requests. id: the custom_id. model: as the body names it. body: JSON text. The `error` of a request that can't be
used begins with the key that is at fault and a colon, or with `line ` where none of the line can be read."""


@dataclass(frozen=True, kw_only=True)
class OpenAiBatchConfig(RowsConfig):
    """An OpenAI batch file, or several whose requests are answered together: all to one url.

    on_bad_row: `record`, since a request that can't be used has its place in the file of errors. image_root: the folder
    below which chats may name files of images; null: their images are data: URLs.
    """

    on_bad_row: OnBadRow = OnBadRow.record
    image_root: str | None = transient(default=None)  # the fingerprint has the hash of what is named there

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_root is not None and not Path(self.image_root).is_dir():
            raise ConfigError(f"data.image_root={self.image_root}: no such folder")


@dataclass(frozen=True, kw_only=True)
class OpenAiBatchRows(OpenAiBatchConfig, Rows):
    """The requests to one url. check: raises ValueError for a body that can't be used; picklable."""

    url: str
    check: Callable[[Mapping[str, Any]], None] = field(metadata={"transient": True})  # the task's identity has it

    @property
    def schema(self) -> pa.Schema:
        """The columns of requests."""
        return SCHEMA

    @property
    def carried(self) -> Sequence[str]:
        """The columns that a result keeps."""
        return (*PLACE, "model")

    @property
    def content(self) -> Sequence[str]:
        """A request is its body."""
        return (BODY,)

    @property
    def id_column(self) -> str | None:
        """Every request has a custom_id."""
        return CUSTOM_ID

    @property
    def shows_files(self) -> bool:
        """Where there is a folder for them."""
        return self.image_root is not None

    def shown_files(self) -> Iterator[tuple[str, Path]]:
        """What bodies name."""
        assert self.image_root is not None
        for source in with_rows(self.sources()):
            for cells in batches(source, [BODY]):
                yield from ((name, Path(self.image_root)) for body in cells[BODY] for name in names_in(body))

    def present_columns(self, names: Sequence[str], file: str) -> list[str]:
        """The keys of a line. Raises InputError where one is in no line."""
        if missing := [key for key in _KEYS if key not in names]:
            raise InputError(
                f"{file}: no line has the key {', '.join(missing)}; each line of an OpenAI batch file is a JSON object "
                f"with {', '.join(_KEYS)}"
            )
        return list(_KEYS)

    def canonical(self, cells: Cells, file: str, first_row: int, first_source_row: int = 0) -> Canonical:
        """Requests, their bodies checked."""
        reader = CellReader(cells, file, first_row)
        reader.values["id"] = reader.read(CUSTOM_ID, cells[CUSTOM_ID], _read_id)
        reader.read(URL, cells[URL], self._read_url)
        reader.read(METHOD, cells[METHOD], _read_method)
        reader.values[BODY] = reader.read(BODY, cells[BODY], self._read_body)
        reader.values["model"] = [_model(body) for body in cells[BODY]]
        return reader.table(SCHEMA, self.needed_id(cells))

    def _read_body(self, cell: object) -> tuple[str, int]:
        if not isinstance(cell, dict):
            raise ValueError("there is none" if cell is None else f"{kind(cell)}, not an object")
        body = cell if self.image_root is None else with_images(cell, Path(self.image_root))
        text = json.dumps(body, ensure_ascii=False, allow_nan=False)
        self.check(body)
        return repair(text)

    def _read_url(self, cell: object) -> tuple[str, int]:
        if cell != self.url:
            known = "" if isinstance(cell, str) and cell in JOBS else f" (known are {', '.join(JOBS)})"
            raise ValueError(
                f"{_shown(cell)}{known}, but this batch's is {self.url}; all requests of a batch go to one url: split "
                "the file"
            )
        return self.url, 0


def batch_url(config: OpenAiBatchConfig, job: str) -> str:
    """The url of a batch's requests: the first in it that `job` answers.

    Raises InputError for files that are not JSONL or lack a key, and where the job answers none of the lines.
    """
    source = with_rows(config.sources())[0]
    _require_keys(source)
    first = other = None
    for url in (url for cells in batches(source, [URL]) for url in cells[URL]):
        answered_by = JOBS.get(url) if isinstance(url, str) else None
        if answered_by == job:
            return str(url)
        first, other = first or url, other or (answered_by and url)
    if other is None:
        raise InputError(
            f"{source.url}: no job answers the url of any line, the first of which is {_shown(first)}; known are "
            f"{', '.join(JOBS)}"
        )
    raise InputError(
        f"{source.url}: requests to {other} are answered by jobs.{JOBS[other]}, not by jobs.{job}; "
        f"run python -m jobs.{JOBS[other]} data=openai_batch"
    )


def open_batch(config: OpenAiBatchConfig, url: str, check: Callable[[Mapping[str, Any]], None]) -> OpenAiBatchRows:
    """The requests of a batch, all to `url`. check: as of OpenAiBatchRows.

    Raises ConfigError for a folder of images where requests show none.
    """
    if config.image_root is not None and url not in _CHATS:
        raise ConfigError(f"data.image_root={config.image_root}: has no effect on requests to {url}; leave it out")
    return OpenAiBatchRows(**{f.name: getattr(config, f.name) for f in fields(OpenAiBatchConfig)}, url=url, check=check)


def _require_keys(source: Source) -> None:
    if source.format is not FileFormat.JSONL:
        raise InputError(f"{source.url}: OpenAI batch files are JSONL (.jsonl, .ndjson, each also .gz or .zst)")
    if URL not in column_names(source):
        raise InputError(f"{source.url}: the lines have no url, so this is no OpenAI batch file; a table is data=table")


def _read_id(cell: object) -> tuple[str | None, int]:
    """A custom_id. What is no text counts as none, since no answer could be matched by it."""
    return read_name(cell) if isinstance(cell, str) else (None, 0)


def _read_method(cell: object) -> tuple[str, int]:
    if cell != "POST":
        raise ValueError(f"{_shown(cell)}; it must be POST")
    return "POST", 0


def _model(body: object) -> str | None:
    model = body.get("model") if isinstance(body, dict) else None
    return repair(model)[0] if isinstance(model, str) else None


def _shown(value: object) -> str:
    if value is None:
        return "there is none"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
