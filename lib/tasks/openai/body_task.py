"""What the tasks of OpenAI batch files share: requests from bodies, and one row of results for each body.

Nothing is cut: a request that is longer than the model can take has failed, as with OpenAI. An error that is the
request's own fault begins with `body: `.
"""

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from lib.errors import ConfigError
from lib.tasks.base import Answered, Asked, Prepared, Result, Task
from lib.tasks.sampling import row_keys
from lib.types import Tokenizer, TokenPair

Body = Mapping[str, object]
"""A request's JSON object."""

Request = TypeVar("Request")
About = TypeVar("About")
Answer = TypeVar("Answer")


class BodyRequests(NamedTuple, Generic[Request, About]):
    """What one row asks: requests as the engine gets them, and what the task wants to remember."""

    requests: Sequence[Request]
    lengths: Sequence[int]
    about: About


@dataclass(frozen=True)
class BodyNotes(Generic[Request, About]):
    """requests: as the engine gets them. rows: what was remembered of each row; None where the row is not asked.

    errors: row number -> why it isn't.
    """

    requests: list[Request]
    rows: list[About | None]
    errors: Mapping[int, str]


class BodyTask(Task[Asked, BodyNotes[Request, About], Answered], Generic[Asked, Request, About, Answer, Answered]):
    """A task whose rows are bodies. output: tokens that an answer takes at least."""

    output = 0

    @abstractmethod
    def check_body(self, body: Body) -> None:
        """Raise ValueError, saying why, for a body that can't be answered."""

    @abstractmethod
    def requests(self, key: str, body: Body, tokenizer: Tokenizer) -> BodyRequests[Request, About]:
        """What a body asks. key: of its row. Raises ValueError for one that can't be answered."""

    @abstractmethod
    def cells(self, about: About, answers: Sequence[Answer]) -> list[object]:
        """The task's own cells of a row: all but the last two of the schema, which are tokens and cut."""

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared[BodyNotes[Request, About]]:
        """Requests of all rows; a request that leaves no room for an answer within `max_tokens` fails its row."""
        found: list[BodyRequests[Request, About] | None] = []
        errors: dict[int, str] = {}
        for row, (key, body) in enumerate(zip(row_keys(rows), rows["body"].to_pylist(), strict=True)):
            try:
                asked = self.requests(key, json.loads(body), tokenizer)
                if (longest := max(asked.lengths)) + self.output > max_tokens:
                    room = " for prompt and answer together" if self.output else ""
                    raise ValueError(f"too long: {longest} tokens, and engine.max_model_len={max_tokens}{room}")
            except (ValueError, RecursionError, ConfigError) as error:  # the last of what a server can't be told
                errors[row] = f"body: {error}"
                found.append(None)
            else:
                found.append(asked)
        requests = [request for asked in found if asked for request in asked.requests]
        notes = BodyNotes(requests, [asked and asked.about for asked in found], errors)
        counts = [len(asked.requests) if asked else 0 for asked in found]
        return Prepared([_counted(request) for request in requests], [0] * len(found), notes, counts=counts)

    def rows(
        self, prepared: Prepared[BodyNotes[Request, About]], answers: Sequence[Answer], failed: Mapping[int, str]
    ) -> Result:
        """One row for each body. answers: of all requests. failed: request number -> why."""
        assert prepared.counts is not None
        first = np.cumsum([0, *prepared.counts]).tolist()
        errors = dict(prepared.notes.errors)
        rows: list[list[object]] = []
        for row, (start, stop) in enumerate(pairwise(first)):
            bad = next((number for number in range(start, stop) if number in failed), None)
            if bad is not None:
                errors[row] = failed[bad]
            about = prepared.notes.rows[row]
            own: list[object] = [None] * (len(self.schema) - 2)
            if row not in errors:
                assert about is not None
                own = self.cells(about, answers[start:stop])
            rows.append([*own, sum(map(len, prepared.requests[start:stop])), 0])
        return self.result([[row[place] for row in rows] for place in range(len(self.schema))], errors)


def _counted(request: object) -> list[int]:
    """A request as it is, or the tokens of a pair."""
    asked: list[int] | TokenPair = request  # type: ignore[assignment]
    return list(asked[0]) if isinstance(asked, tuple) else asked
