"""Downloading ahead what engines read of the hub, for machines without network."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from lib.config import transient
from lib.durations import count, shown
from lib.engines.base import EngineConfig, HubFiles
from lib.engines.checkpoints import hub
from lib.engines.checkpoints.hub import Survey
from lib.errors import HubUnreachable, RunFailed, Unfinished
from lib.pipeline.planning.sizes import size


@dataclass(frozen=True, kw_only=True)
class FetchConfig:
    """job: the job whose line stands beside `fetch`, and whose engines are meant."""

    job: str = transient(default="judge")


def engines_of(config: Any) -> list[EngineConfig]:
    """The engines of a job's config."""
    values = (getattr(config, field.name) for field in fields(config))
    return [value for value in values if isinstance(value, EngineConfig)]


def fetch(engines: Sequence[EngineConfig]) -> None:
    """Download what engines read of the hub and its cache here lacks, and say what lies where.

    What was there is not asked for again, so that the same line goes on after any interruption, file by file. Raises
    ConfigError for what can't be had, RunFailed where it has no room, Unfinished where the hub goes away.
    """
    wanted = list(dict.fromkeys(files for engine in engines for files in engine.hub_files()))
    if not wanted:
        print("nothing to fetch: no engine of this line reads anything of the hub")
        return
    hub.require_online()
    try:
        surveys = {files: hub.survey(files) for files in wanted}
        _require_room(surveys)
        for files, survey in surveys.items():
            _fetch(files, survey)
    except HubUnreachable as error:
        raise Unfinished(
            f"{error}. Where this machine never has network, run the line on one that has, with the same HF_HOME; else "
            "run it again: what is here is not fetched twice"
        ) from error
    print(f"cache:      {hub.place()} (below HF_HOME: set the same where the job runs; HF_HUB_OFFLINE=1 asks nobody)")


def _fetch(files: HubFiles, survey: Survey) -> None:
    start = time.monotonic()
    if survey.missing:
        print(f"fetching:   {files.model}, {_amount(survey.missing)} of {_amount(survey.sizes)}", flush=True)
    path = hub.download(files)
    new = f", in {shown(time.monotonic() - start)}" if survey.missing else ""
    what = "fetched" if survey.missing else "was here"
    pinned = f"engine.revision={survey.commit}"
    print(f"{what + ':':12}{files.model}, {_amount(survey.missing or survey.sizes)}{new}, in {path} ({pinned} pins it)")


def _amount(sizes: Mapping[str, int]) -> str:
    return f"{count(len(sizes), 'file')} of {size(sum(sizes.values()))}"


def _require_room(surveys: Mapping[HubFiles, Survey]) -> None:
    """Raise RunFailed where the disk of the cache has less room than all that is missing takes."""
    needed = sum(sum(survey.missing.values()) for survey in surveys.values())
    place = next(path for path in (hub.place(), *hub.place().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        models = ", ".join(files.model for files, survey in surveys.items() if survey.missing)
        raise RunFailed(
            f"{models}: {size(needed)} to be fetched, but {place.resolve()} has {size(free)} free; make room, or set "
            "HF_HOME to a folder on a larger disk, here and where the job runs"
        )
