"""Rows of a result: carried columns, the task's own, and why a row failed."""

import pyarrow as pa
import pyarrow.compute as pc

from lib.data.rows.base import Rows
from lib.tasks.base import AnyTask

ERROR = pa.field("error", pa.string())


def stored_schema(task: AnyTask) -> pa.Schema:
    """What is kept of an answered row: what the engine answered, and why that is of no use, where it isn't."""
    return task.answered.append(ERROR)


def result_schema(data: Rows, task: AnyTask) -> pa.Schema:
    """The columns of a result."""
    return pa.schema([*(data.schema.field(name) for name in data.carried), *task.schema, ERROR])


def result_rows(
    rows: pa.Table, data: Rows, task: AnyTask, columns: pa.Table, errors: pa.Array, unanswered: pa.Array | None = None
) -> pa.Table:
    """The result of rows [n]. columns: [n], of the task's schema. unanswered: [n], which rows have no answer.

    Without an answer all of the task's columns are null; in other failed rows those are that are concluded from it.
    """
    table = rows.select(data.carried)
    for field in task.schema:
        column = columns[field.name]
        nothing = unanswered if field.name in task.answered.names else pc.is_valid(errors)
        if nothing is not None:
            column = pc.if_else(nothing, pa.scalar(None, field.type), column)
        table = table.append_column(field, column)
    return table.append_column(ERROR, errors)
