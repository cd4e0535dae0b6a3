"""The errors a user can meet. Each says what was wrong, where, and what to do next."""

from collections.abc import Collection
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every job. 130 and 143 are 128 + the signal's number."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNFINISHED = 75
    INTERRUPTED = 130
    TERMINATED = 143


class OvernightError(Exception):
    """Base of all errors of ours; `exit_code` is what the job exits with."""

    exit_code: int = ExitCode.FAILED


class ConfigError(OvernightError):
    """A config value that cannot be used: names the key and what it may be."""

    exit_code = ExitCode.USAGE


class LineRefused(ConfigError):
    """A line that is none of the job that it is about; it is said as it is, since nothing has begun."""


class NotDownloaded(ConfigError):
    """A model that is neither here nor to be had from the hub: says why."""


class HubUnreachable(NotDownloaded):
    """The same, since the hub doesn't answer or is not to be asked; `jobs.fetch` gets it where there is network."""


class InputError(OvernightError):
    """Input data that cannot be used: names the file, row and column."""

    exit_code = ExitCode.USAGE


class RunFolderError(OvernightError):
    """A run folder that cannot be used: unwritable, damaged, or of another plan."""

    exit_code = ExitCode.USAGE


class StoreError(OvernightError):
    """A store of answers that cannot be used: unwritable, of another version, or damaged."""

    exit_code = ExitCode.USAGE


class AnotherPlan(RunFolderError):
    """A run folder that holds another plan; `keys` of the two identities differ."""

    def __init__(self, message: str, keys: Collection[str]) -> None:
        super().__init__(message)
        self.keys = keys


class EngineError(OvernightError):
    """The engine cannot go on (not one row's fault): names the engine and what to change."""


class Unfinished(OvernightError):
    """The run can't go on now, by no row's fault (server gone, budget spent); the same line resumes it."""

    exit_code: int = ExitCode.UNFINISHED


class RunFailed(OvernightError):
    """The run ended without a usable result: the message says why."""


class CalibrationError(OvernightError):
    """A calibration that is worth nothing: says what it was measured against."""


class DeliveryError(OvernightError):
    """A finished run that could not be copied or published: says what, why, and that the run itself is whole."""


class ClusterError(OvernightError):
    """The cluster refuses or can't be reached: says which of its commands said what."""


class JobEnded(OvernightError):
    """A submitted job has ended otherwise than well; `exit_code` is the job's."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Stopped(BaseException):
    """The run was stopped by a signal before its end; the same command resumes it.

    No Exception, so that whoever handles errors on the way does not take it for one.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
