"""The door between Hydra and the jobs: here OmegaConf stops, and errors become messages and exit codes."""

import logging
import os
import re
import shlex
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

import conf
from lib.command_line import REFUSALS, explained, readable, refuse_unknown, require_effect, require_key
from lib.config import require_finite, require_unset
from lib.errors import ConfigError, ExitCode, OvernightError, Stopped
from lib.log import log, log_to_terminal
from lib.pipeline.command import Command, CommandAboutJob
from lib.pipeline.job import Job
from lib.pipeline.staged.staged_job import StagedJob
from lib.pipeline.stop import StopSignals
from lib.urls import without_secrets

_OPTIONS_WITH_A_WORD = {
    "--cfg",
    "-c",
    "--package",
    "-p",
    "--config-path",
    "-cp",
    "--config-name",
    "-cn",
    "--config-dir",
}
_OPTIONS_WITH_A_WORD |= {"-cd", "--experimental-rerun", "--info", "-i"}

AnyCommand = Job[Any] | StagedJob[Any] | Command[Any] | CommandAboutJob[Any]


def launch(job: AnyCommand) -> NoReturn:
    """Compose `conf/<name>.yaml` with the command line, make the typed config, run the job, exit with its code."""
    _open_streams()
    conf.register(job.name, job.config)
    given = sys.argv[1:]
    sweeps = not {"--multirun", "-m"}.isdisjoint(given)
    flags = job.flags if isinstance(job, (Command, CommandAboutJob)) else {}
    sys.argv[1:] = [readable(flags.get(argument, argument), sweeps) for argument in given]
    points: list[list[str]] = [[]]
    codes: list[int] = []  # one for each point of a --multirun

    @hydra.main(version_base="1.3", config_path=str(Path(conf.__file__).parent), config_name=job.name)
    def entry(composed: DictConfig) -> None:
        _clean_sweep()
        with _variable("HYDRA_FULL_ERROR", None):
            for point in points:
                codes.append(_run(job, composed, point, signals))

    log_to_terminal()
    try:
        with StopSignals() as signals:
            _require_unicode(sys.argv[1:])
            for argument in _words(sys.argv[1:]):
                require_key(argument)
            require_effect(_words(sys.argv[1:]))
            if isinstance(job, CommandAboutJob):
                sys.argv[1:], points = _apart(job, sys.argv[1:])
            with _variable("HYDRA_FULL_ERROR", "1"):  # else Hydra prints what it refuses, and exits
                entry()
    except Stopped as stop:
        print(f"{stop}; this line resumes it:\n  {_shown(job.name, given)}", file=sys.stderr)
        codes.append(stop.exit_code)
    except SystemExit as error:
        if error.code and not codes:  # Hydra refused an option, and has said why
            codes.append(ExitCode.USAGE)
    except ConfigError as error:
        print(without_secrets(str(error)), file=sys.stderr)
        codes.append(ExitCode.USAGE)
    except REFUSALS as error:
        why = explained(error, list(_words(sys.argv[1:])), partial(_compose, job.name))
        print(without_secrets(why), file=sys.stderr)
        codes.append(ExitCode.USAGE)
    _exit(max(codes, default=ExitCode.DONE))


def _open_streams() -> None:
    """Let output go nowhere where the shell has closed it (>&-): else the next file that is opened would get it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the process ends


def _require_unicode(arguments: Sequence[str]) -> None:
    """Raise ConfigError for an argument with bytes that this process's encoding has not (they come as surrogates)."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise ConfigError(
                f"{argument!a}: is not {sys.getfilesystemencoding().upper()}; rename what is called so, or, where the "
                "terminal writes UTF-8, set PYTHONUTF8=1"
            ) from None


def _run(job: AnyCommand, composed: DictConfig, overrides: list[str], signals: StopSignals) -> int:
    """The exit code of a command that is run with a composed config. overrides: of the other job that it is about."""
    try:
        config = typed(composed)
        if isinstance(job, CommandAboutJob):
            job.main(config, overrides)
        else:
            job.main(config)
    except Exception as error:  # the last door: whatever comes here is said whole, and ends in an exit code
        signals.raise_if_caught()  # some library made something else of it
        return _said(error)
    return ExitCode.DONE


def _said(error: Exception) -> int:
    """The exit code of what ended a command, which is told."""
    if isinstance(error, OvernightError):
        log.error("%s", error)
        return error.exit_code
    if isinstance(error, (OSError, MemoryError)):
        why = "there is not enough memory" if isinstance(error, MemoryError) else error
        log.error("the machine refused: %s. Mend that and run the same line again: it resumes", why)
        return ExitCode.FAILED
    log.error("this is a defect of ours, please report it:\n%s", "".join(traceback.format_exception(error)))
    log.error("%s: %s", type(error).__name__, error)
    return ExitCode.FAILED


def _apart(command: CommandAboutJob[Any], arguments: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The arguments that are the command's own, and the overrides of the other job: of a --multirun for each point."""
    own_groups = {"hydra", *(field.name for field in fields(command.config))}
    own, passed, sweeps = [], [], False
    for argument in arguments:
        if argument in ("--multirun", "-m"):
            sweeps = True
        elif argument.startswith("-") or re.split("[.@=]", argument.lstrip("+~"), maxsplit=1)[0] in own_groups:
            own.append(argument)
        else:
            passed.append(argument)
    if not sweeps:
        return own, [passed]
    choices = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else [str(override.input_line)]
        for override in OverridesParser.create().parse_overrides(passed)
    ]
    return own, [list(point) for point in product(*choices)]


def command_line() -> list[str]:
    """The overrides that this job was given; of a --multirun those of this point."""
    return list(HydraConfig.get().overrides.task)


def _shown(job: str, given: Sequence[str]) -> str:
    """The line that was given, without secrets: a password has to be put in again."""
    words = (re.sub(r"^(notify\.to=).*", r"\1…", word) for word in given)
    return f"python -m jobs.{job} {without_secrets(shlex.join(words))}"


def _clean_sweep() -> None:
    """Of a --multirun, take the secrets out of the line that Hydra has written down."""
    config = HydraConfig.get()
    if config.mode is RunMode.MULTIRUN and (path := Path(config.sweep.dir) / "multirun.yaml").exists():
        text = path.read_text(encoding="utf-8")
        if (clean := without_secrets(text)) != text:
            path.write_text(clean, encoding="utf-8")


def _words(arguments: Sequence[str]) -> Iterator[str]:
    """The overrides among the arguments: without options, and without what belongs to one, as in --cfg job."""
    takes_one = False
    for argument in arguments:
        if not takes_one and not argument.startswith("-"):
            yield argument
        takes_one = argument in _OPTIONS_WITH_A_WORD


@contextmanager
def _variable(name: str, value: str | None) -> Iterator[None]:
    """Set a variable of the environment, or unset it, for a while."""
    before = os.environ.get(name)
    _set(name, value)
    try:
        yield
    finally:
        _set(name, before)


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _compose(job: str, overrides: list[str]) -> DictConfig:
    with hydra.initialize_config_dir(str(Path(conf.__file__).parent.resolve()), version_base="1.3"):
        return hydra.compose(job, overrides)


def compose_job(job: Job[Any] | StagedJob[Any], overrides: Sequence[str]) -> Any:
    """Within a job, the typed config of another one.

    Raises ConfigError for what that job would refuse, and for what counts only where it is the command itself.
    """
    conf.register(job.name, job.config)
    try:
        overrides = [readable(override) for override in overrides]
        composed = hydra.compose(job.name, overrides, return_hydra_config=True)
    except REFUSALS as error:
        why = explained(error, overrides, lambda line: hydra.compose(job.name, line))
        raise ConfigError(f"jobs.{job.name} refuses this: {why}") from error
    HydraConfig.instance().set_config(composed)  # run.name asks it what was chosen
    with open_dict(composed):
        del composed["hydra"]
    config = typed(composed)
    line = f"but in python -m jobs.{job.name}"
    require_unset("array", config.array, line)
    if config.preview:
        raise ConfigError(f"prompt.preview={config.preview}: has no effect {line}; leave it out")
    return config


def typed(composed: DictConfig) -> Any:
    """The typed config of a composed one.

    Raises ConfigError for a value that is missing or that its dataclass refuses.
    """
    try:
        refuse_unknown(composed)
        if missing := sorted(OmegaConf.missing_keys(composed)):
            raise ConfigError(f"{', '.join(missing)}: must be given on the command line, as in {missing[0]}=…")
        config = OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'config'}: {str(error).splitlines()[0]}") from error
    require_finite(config)
    return config


def _exit(code: int) -> NoReturn:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    if any(thread is not threading.main_thread() and not thread.daemon for thread in threading.enumerate()):
        os._exit(code)  # an abandoned shard is still in the engine, and cannot be interrupted otherwise
    sys.exit(code)
