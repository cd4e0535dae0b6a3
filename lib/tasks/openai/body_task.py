"""What the tasks of OpenAI batch files share: requests from bodies, and one row of results for each body.

Nothing is cut: a request that is longer than the model can take has failed, as with OpenAI. An error that is the
request's own fault begins with `body: `.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from lib.tasks.base import Prepared, Result


class BodyRequests(NamedTuple):
    """What one row asks: requests as the engine gets them, and what the task wants to remember."""

    requests: Sequence[Any]
    lengths: Sequence[int]
    about: Any


class Notes(NamedTuple):
    """rows: what was remembered of each row; None where the row is not asked. errors: row number -> why it isn't."""

    requests: list[Any]
    rows: list[Any]
    errors: Mapping[int, str]


def prepare(
    rows: pa.Table, ask: Callable[[str, Mapping[str, Any]], BodyRequests], max_tokens: int, output: int = 0
) -> Prepared:
    """Requests of all rows, in `requests` their tokens and in `notes` themselves.

    ask: custom_id, body -> what is asked; a ValueError fails the row, and so does a request that, with `output` tokens
    behind it, is longer than `max_tokens`.
    """
    found: list[BodyRequests | None] = []
    errors: dict[int, str] = {}
    for row, (name, body) in enumerate(zip(rows["id"].to_pylist(), rows["body"].to_pylist(), strict=True)):
        try:
            asked = ask(name, json.loads(body))
            if (longest := max(asked.lengths)) + output > max_tokens:
                room = " for prompt and answer together" if output else ""
                raise ValueError(f"too long: {longest} tokens, and engine.max_model_len={max_tokens}{room}")
        except ValueError as error:
            errors[row] = f"body: {error}"
            found.append(None)
        else:
            found.append(asked)
    requests = [request for asked in found if asked for request in asked.requests]
    notes = Notes(requests, [asked and asked.about for asked in found], errors)
    counts = [len(asked.requests) if asked else 0 for asked in found]
    return Prepared([_tokens(request) for request in requests], [0] * len(found), notes, counts=counts)


def _tokens(request: Any) -> list[int]:
    """The tokens of a request, or of a pair."""
    return list(request[0]) if isinstance(request, tuple) else request


def result(
    prepared: Prepared,
    answers: Any,
    failed: Mapping[int, str],
    schema: pa.Schema,
    read: Callable[[Any, Any], list[Any]],
) -> Result:
    """One row for each body: its own columns, then tokens and cut.

    answers: of all requests. failed: request number -> why. read: a row's note and its answers -> its own columns.
    """
    assert prepared.counts is not None
    first = np.cumsum([0, *prepared.counts]).tolist()
    errors = dict(prepared.notes.errors)
    columns: list[list[Any]] = []
    for row, (start, stop) in enumerate(pairwise(first)):
        bad = next((number for number in range(start, stop) if number in failed), None)
        if bad is not None:
            errors[row] = failed[bad]
        own = [None] * (len(schema) - 2) if row in errors else read(prepared.notes.rows[row], answers[start:stop])
        columns.append([*own, sum(map(len, prepared.requests[start:stop])), 0])
    arrays = [pa.array([row[place] for row in columns], field.type) for place, field in enumerate(schema)]
    return Result(pa.table(arrays, schema=schema), errors)
