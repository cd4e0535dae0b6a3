"""How this process was started, for lines that the user is to type next."""

import sys
from pathlib import Path

COMMAND = "overnight"


def invocation(job: str) -> str:
    """The command of a job, in the form in which this one was typed: `overnight judge` or `python -m jobs.judge`."""
    program = Path(sys.argv[0])
    by_name = COMMAND in (program.name, program.parent.name) and program.name in (COMMAND, "__main__.py")
    return f"{COMMAND} {job}" if by_name else f"python -m jobs.{job}"
