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


def result_rows(rows: pa.Table, data: Rows, task: AnyTask, answers: pa.Table) -> pa.Table:
    """The result of answered rows [n]. answers: [n], of `stored_schema`.

    In a failed row the columns are null that are concluded from the answer.
    """
    table = rows.select(data.carried)
    concluded = task.conclude(rows, answers.select(task.answered.names))
    failed = pc.is_valid(answers["error"])
    for field in task.schema:
        column = concluded[field.name]
        if field.name not in task.answered.names:
            column = pc.if_else(failed, pa.scalar(None, field.type), column)
        table = table.append_column(field, column)
    return table.append_column(ERROR, answers["error"])
