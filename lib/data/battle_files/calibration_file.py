"""`calibration.json`: a fitted calibrator, what it was fitted on, and what it is worth on rows it was not fitted on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.data.atomic import write_text
from lib.errors import ConfigError, InputError
from lib.scoring.calibrating.base import Calibrator
from lib.scoring.calibrating.choosing import METHODS

VERSION = 1

_KEYS = ("version", "method", "parameters", "fitted_on", "held_out")


@dataclass(frozen=True)
class Calibration:
    """A calibrator as it stands in its file.

    fitted_on: where its rows came from, how many they and their questions were; of a run also its job, its `engine` and
    a hash of what was `asked`. held_out: log losses of each method.
    """

    calibrator: Calibrator
    fitted_on: Mapping[str, Any]
    held_out: Mapping[str, Any]


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write it, whole or not at all."""
    calibrator = calibration.calibrator
    values = (VERSION, calibrator.name, calibrator.parameters(), calibration.fitted_on, calibration.held_out)
    content = dict(zip(_KEYS, values, strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_calibration(path: Path) -> Calibration:
    """Read it back. Raises InputError, naming file and key, for what this version does not read."""
    content = _content(path)
    version = content.get("version")
    if version != VERSION or isinstance(version, bool):
        raise InputError(
            f"{path}: version {version!r}: this program reads calibrations of version {VERSION}; fit it again with "
            "jobs.calibrate"
        )
    if missing := [key for key in _KEYS if key not in content]:
        raise InputError(f"{path}: {missing[0]} is missing; fit it again with jobs.calibrate")
    methods = {method.name: method for method in METHODS}
    name = content["method"]
    if not isinstance(name, str) or name not in methods:
        raise InputError(f"{path}: method {name!r}: there are {', '.join(methods)}")
    for key in ("fitted_on", "held_out"):
        if not isinstance(content[key], dict):
            raise InputError(f"{path}: {key}: must be an object")
    try:
        calibrator = methods[name].of(content["parameters"])
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    return Calibration(calibrator, content["fitted_on"], content["held_out"])


def require_free(path: Path) -> None:
    """Raise ConfigError where a file is there that is no calibration, and would be lost."""
    if not path.exists():
        return
    try:
        read_calibration(path)
    except InputError as error:
        raise ConfigError(f"out={path}: is there already, and is no calibration that could be replaced") from error


def _content(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}")
        return found
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; jobs.calibrate writes one") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a calibration ({str(error).splitlines()[0]})") from error
