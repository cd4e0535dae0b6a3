"""The door between Hydra and the jobs: here OmegaConf stops, and errors become messages and exit codes."""

import logging
import os
import shlex
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

import conf
from lib.errors import ConfigError, ExitCode, OvernightError, Stopped
from lib.log import log, log_to_terminal
from lib.pipeline.stop import STOPPED, stopped_by_signals

Config = TypeVar("Config")


def launch(
    job: Callable[[Config], None], config_type: type[Config], name: str, flags: Mapping[str, str] | None = None
) -> NoReturn:
    """Compose `conf/<name>.yaml` with the command line, make the typed config, run the job, exit with its code.

    flags: short ways to say an override, as in {"--watch": "watch=true"}.
    """
    conf.register(name, config_type)
    sys.argv[1:] = [(flags or {}).get(argument, argument) for argument in sys.argv[1:]]
    codes: list[int] = []  # one for each point of a --multirun

    @hydra.main(version_base="1.3", config_path=str(Path(conf.__file__).parent), config_name=name)
    def entry(composed: DictConfig) -> None:
        codes.append(_run(job, composed, name))
        if codes[-1] in STOPPED:
            sys.exit(codes[-1])  # the points of a sweep that are left are not begun

    try:
        entry()
    except SystemExit as error:
        if error.code and not codes:  # Hydra refused the command line, and has said why
            codes.append(ExitCode.USAGE)
    _exit(max(codes, default=ExitCode.DONE))


def _run(job: Callable[[Config], None], composed: DictConfig, name: str) -> int:
    log_to_terminal()
    try:
        with stopped_by_signals():
            job(typed(composed))
    except Stopped as stop:
        print(f"{stop}; this line resumes it:", file=sys.stderr)
        print(f"  python -m jobs.{name} {shlex.join(sys.argv[1:])}", file=sys.stderr)
        return stop.exit_code
    except OvernightError as error:
        log.error("%s", error)
        return error.exit_code
    except OSError as error:
        log.error("the machine refused: %s. Mend that and run the same line again: it resumes", error)
        return ExitCode.FAILED
    except Exception as error:
        log.error("this is a defect of ours, please report it:\n%s", traceback.format_exc())
        log.error("%s: %s", type(error).__name__, error)
        return ExitCode.FAILED
    return ExitCode.DONE


def command_line() -> list[str]:
    """The overrides that this job was given; of a --multirun those of this point."""
    return list(HydraConfig.get().overrides.task)


def compose_job(name: str, config_type: type[Any], overrides: Sequence[str]) -> Any:
    """Within a job, the typed config of another one. Raises ConfigError for what that job would refuse."""
    conf.register(name, config_type)
    try:
        composed = hydra.compose(name, list(overrides), return_hydra_config=True)
    except HydraException as error:
        raise ConfigError(f"jobs.{name} refuses this: {error}") from error
    HydraConfig.instance().set_config(composed)  # run.name asks it what was chosen
    with open_dict(composed):
        del composed["hydra"]
    return typed(composed)


def typed(composed: DictConfig) -> Any:
    """The typed config of a composed one.

    Raises ConfigError for a value that is missing or that its dataclass refuses.
    """
    try:
        if missing := sorted(OmegaConf.missing_keys(composed)):
            raise ConfigError(f"{', '.join(missing)}: must be given on the command line, as in {missing[0]}=…")
        return OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'config'}: {str(error).splitlines()[0]}") from error


def _exit(code: int) -> NoReturn:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    if any(thread is not threading.main_thread() and not thread.daemon for thread in threading.enumerate()):
        os._exit(code)  # an abandoned shard is still in the engine, and cannot be interrupted otherwise
    sys.exit(code)
