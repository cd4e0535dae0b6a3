"""The door between Hydra and the jobs: here OmegaConf stops, and errors become messages and exit codes."""

import atexit
import gc
import logging
import os
import re
import shlex
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import conf
from lib.command_line import (
    REFUSALS,
    Around,
    explained,
    readable,
    refuse_unknown,
    require_effect,
    require_key,
    require_option,
)
from lib.composing import composed, composed_alone, hydra_here, points_of
from lib.config import require_finite, require_unset
from lib.errors import ConfigError, ExitCode, LineRefused, OvernightError, Stopped
from lib.invoked import invocation
from lib.log import log, log_to_terminal
from lib.pipeline.command import Command, CommandAboutJob
from lib.pipeline.job import Job
from lib.pipeline.staged.staged_job import StagedJob
from lib.pipeline.stop import StopSignals
from lib.urls import without_secrets
from lib.usage.options import fitting
from lib.usage.page import help_page
from lib.usage.show import show

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
_SWEEPS = {"--multirun", "-m"}
_HELP = {"--help", "-h"}

AnyCommand = Job[Any] | StagedJob[Any] | Command[Any] | CommandAboutJob[Any]


def launch(job: AnyCommand) -> NoReturn:
    """Compose `conf/<name>.yaml` with the command line, make the typed config, run the job, exit with its code."""
    _open_streams()
    gc.disable()  # composing makes many objects, all of which are kept: a tenth of the time to a refusal
    atexit.register(gc.disable)  # else Python goes through all of them once more at its end
    conf.register(job.name, job.config)
    given = sys.argv[1:]
    sweeps = not _SWEEPS.isdisjoint(given)
    flags = job.flags if isinstance(job, (Command, CommandAboutJob)) else {}
    sys.argv[1:] = [readable(flags.get(argument, argument), sweeps) for argument in given]
    codes: list[int] = []  # one for each point of a --multirun
    log_to_terminal()
    try:
        with StopSignals() as signals:
            words = list(_words(sys.argv[1:]))
            _require_unicode(sys.argv[1:])
            for argument in given:
                require_option(argument, flags)
            for word in words:
                require_key(word)
            require_effect(words)
            if not _HELP.isdisjoint(given):
                with hydra_here():
                    whole = composed(job.name, _apart(job, words)[0])
                    show(help_page(job, whole, HydraConfig.get().runtime.choices))
            elif any(word.startswith(("-", "hydra")) and word not in _SWEEPS for word in sys.argv[1:]):
                _work_through_hydra(job, sweeps, codes, signals)
            else:
                _work(job, words, sweeps, codes, signals)
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
        compose, fit = partial(composed_alone, job.name), partial(fitting, job.name, job.config)
        why = explained(error, list(_words(sys.argv[1:])), compose, fit)
        print(without_secrets(why), file=sys.stderr)
        codes.append(ExitCode.USAGE)
    gc.enable()
    _exit(max(codes, default=ExitCode.DONE))


def _work(job: AnyCommand, words: Sequence[str], sweeps: bool, codes: list[int], signals: StopSignals) -> None:
    """Run the job, of a --multirun at each point, once all of these compose. codes: of those that are done."""
    own, passed = _apart(job, words)
    ours = points_of(own, sweeps and not isinstance(job, CommandAboutJob))
    theirs = points_of(passed, sweeps)
    with hydra_here():
        configs = [typed(composed(job.name, point)) for point in ours]
        for point, config in zip(ours, configs, strict=True):
            if len(ours) > 1:
                composed(job.name, point)  # what was chosen is now what was chosen there
            codes.extend(_run(job, config, overrides, signals) for overrides in theirs)


def _work_through_hydra(job: AnyCommand, sweeps: bool, codes: list[int], signals: StopSignals) -> None:
    """The same where the line has options of Hydra's, such as --cfg job and --config-dir."""
    own, passed = _apart(job, sys.argv[1:])
    if isinstance(job, CommandAboutJob):
        sys.argv[1:] = [word for word in own if word not in _SWEEPS]

    @hydra.main(version_base="1.3", config_path=str(Path(conf.__file__).parent), config_name=job.name)
    def entry(whole: DictConfig) -> None:
        _clean_sweep()
        with _variable("HYDRA_FULL_ERROR", None):
            config = typed(whole)
            codes.extend(_run(job, config, overrides, signals) for overrides in points_of(passed, sweeps))

    with _variable("HYDRA_FULL_ERROR", "1"):  # else Hydra prints what it refuses, and exits
        entry()


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


def _run(job: AnyCommand, config: Any, overrides: list[str], signals: StopSignals) -> int:
    """The exit code of a command that is run with its config. overrides: of the other job that it is about."""
    gc.enable()
    try:
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
    if isinstance(error, LineRefused):
        print(without_secrets(str(error)), file=sys.stderr)
        return error.exit_code
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


def _apart(command: AnyCommand, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments that are the command's own, and the overrides of the other job that it is about, if it is."""
    if not isinstance(command, CommandAboutJob):
        return list(arguments), []
    own_groups = {"hydra", *(field.name for field in fields(command.config))}
    own: list[str] = []
    passed: list[str] = []
    for argument in arguments:
        ours = argument.startswith("-") or re.split("[.@=]", argument.lstrip("+~"), maxsplit=1)[0] in own_groups
        (own if ours else passed).append(argument)
    return own, passed


def command_line() -> list[str]:
    """The overrides that this job was given; of a --multirun those of this point."""
    return list(HydraConfig.get().overrides.task)


def _shown(job: str, given: Sequence[str]) -> str:
    """The line that was given, without secrets: a password has to be put in again."""
    words = (re.sub(r"^(notify\.to=).*", r"\1…", word) for word in given)
    return f"{invocation(job)} {without_secrets(shlex.join(words))}"


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


def compose_job(job: Job[Any] | StagedJob[Any], overrides: Sequence[str]) -> Any:
    """Within a job, the typed config of another one.

    Raises ConfigError for what that job would refuse, and for what counts only where it is the command itself.
    """
    return _composed_job(job, overrides, None)


def compose_line(job: Job[Any] | StagedJob[Any], overrides: Sequence[str], config: Any) -> Any:
    """Of a command about a job, the typed config of that job. config: the command's. Raises LineRefused likewise."""
    try:
        return _composed_job(job, overrides, Around(OmegaConf.structured(config), job.name))
    except ConfigError as error:
        raise LineRefused(str(error)) from error


def _composed_job(job: Job[Any] | StagedJob[Any], overrides: Sequence[str], around: Around | None) -> Any:
    conf.register(job.name, job.config)
    try:
        overrides = [readable(override) for override in overrides]
        config = typed(composed(job.name, overrides), around)
    except REFUSALS as error:
        fit = partial(fitting, job.name, job.config)
        why = explained(error, overrides, lambda line: hydra.compose(job.name, line), fit, around)
        raise ConfigError(f"jobs.{job.name} refuses this: {why}" if around is None else why) from error
    line = f"but in python -m jobs.{job.name}"
    require_unset("array", config.array, line)
    if config.preview:
        raise ConfigError(f"prompt.preview={config.preview}: has no effect {line}; leave it out")
    return config


def kept_config(job: Job[Any], content: Mapping[str, Any]) -> Any:
    """The typed config of a job's run. content: of its config.yaml. Raises ConfigError for what isn't of that job."""
    try:
        return typed(conf.restored(job.config, content))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'config.yaml'}: {str(error).splitlines()[0]}") from error


def typed(whole: DictConfig, around: Around | None = None) -> Any:
    """The typed config of a composed one. around: the command in whose line the job's own stands.

    Raises ConfigError for a value that is missing or that its dataclass refuses.
    """
    try:
        refuse_unknown(whole, around)
        if missing := sorted(OmegaConf.missing_keys(whole)):
            raise ConfigError(f"{', '.join(missing)}: must be given on the command line, as in {missing[0]}=…")
        config = OmegaConf.to_object(whole)
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
