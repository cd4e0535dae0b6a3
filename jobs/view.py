"""Look at the rows of a run: filters, orders, and each row with its prompt, answers and probabilities.

python -m jobs.view run.dir=DIR
python -m jobs.view run.dir=DIR view.other=DIR
python -m jobs.view run.dir=DIR view.export=DIR
"""

import signal
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any

from lib.config import require_local
from lib.data.manifest import Manifest
from lib.data.rows.base import RowsConfig
from lib.data.run_folder import read_config
from lib.errors import ConfigError, InputError
from lib.launch import kept_config, launch
from lib.pipeline.command import Command
from lib.pipeline.job import Job
from lib.pipeline.rows_of_run import battles_of
from lib.pipeline.run import Recipe
from lib.pipeline.run_config import RunDir
from lib.pipeline.viewing.requests_again import RequestsAgain
from lib.pipeline.viewing.source_rows import SourceRows
from lib.report.viewer.bundle import INDEX, write_bundle
from lib.report.viewer.pairing import pair_with
from lib.report.viewer.row_files import find_rows
from lib.report.viewer.row_index import open_index
from lib.report.viewer.server import address_of, make_server
from lib.report.viewer.viewer import Viewer
from lib.tasks.judging import judging_task

_PORTS = 65_536


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """port: where pages are served on this machine, 0 for any that is free. other: a run to compare with.

    export: a folder for pages that need no server; with at most `odd` odd rows, and a sample of others.
    """

    port: int = 0
    other: str | None = None
    export: str | None = None
    odd: int = 1000
    sample: int = 200

    def __post_init__(self) -> None:
        if not 0 <= self.port < _PORTS:
            raise ConfigError(f"view.port={self.port}: must be from 0 to {_PORTS - 1}")
        for key in ("odd", "sample"):
            if getattr(self, key) < 0:
                raise ConfigError(f"view.{key}={getattr(self, key)}: must not be negative")
        for key in ("other", "export"):
            require_local(f"view.{key}", getattr(self, key))
        if self.export is None:
            for key, usual in (("odd", 1000), ("sample", 200)):
                if getattr(self, key) != usual:
                    raise ConfigError(
                        f"view.{key}={getattr(self, key)}: has no effect without view.export; leave it out"
                    )
        elif self.port:
            raise ConfigError(f"view.port={self.port}: has no effect with view.export; leave one of them out")


@dataclass(frozen=True, kw_only=True)
class Config:
    """`conf/view.yaml`."""

    run: RunDir
    view: ViewConfig = field(default_factory=ViewConfig)

    def __post_init__(self) -> None:
        if self.run.dir is None:
            raise ConfigError("give run.dir=DIR")


def main(config: Config) -> None:
    """Run the job."""
    view = config.view
    viewer = open_viewer(Path(str(config.run.dir)), None if view.other is None else Path(view.other))
    if view.export is not None:
        out = Path(view.export).resolve()
        carried = write_bundle(viewer, out, sample=view.sample, odd=view.odd)
        print(f"pages:      {(out / INDEX).as_uri()}\n{carried.note}")
        return
    with make_server(viewer, view.port) as server:
        print(address_of(server), flush=True)
        print("Ctrl-C ends it", flush=True)
        for number in (signal.SIGINT, signal.SIGTERM):  # as is meant: there is nothing to be resumed
            signal.signal(number, lambda *_: Thread(target=server.shutdown).start())
        server.serve_forever()


def open_viewer(folder: Path, other: Path | None) -> Viewer:
    """The pages of a run, or of two. Raises RunFolderError and InputError for what can't be shown."""
    files = find_rows(folder)
    index = open_index(files, beside=[] if other is None else [other])
    manifest = files.manifest

    @cache
    def asked() -> RequestsAgain:
        return _asked(files.folder, manifest)

    return Viewer(
        index=index,
        read_source=lambda number, row: asked().rows.texts(number, row),
        make_prompts=lambda number, row: asked().texts(number, row),
        **({} if other is None else _beside(index, other)),
    )


def _beside(index: Any, other: Path) -> dict[str, Any]:
    beside = open_index(find_rows(other))
    return {"other": beside, "paired": pair_with(index, beside)}


def _asked(folder: Path, manifest: Manifest) -> RequestsAgain:
    """What the run has asked, by the config in its folder. Raises OvernightError where that can't be told."""
    from jobs import tournament
    from jobs.plan import JOBS  # all jobs, and what they import: most pages need none

    job = JOBS.get(manifest.job)
    if not isinstance(job, Job):
        raise InputError(f"jobs.{manifest.job} asks nothing about rows")
    config = kept_config(job, read_config(folder))
    if isinstance(config, tournament.Config):  # whose recipe would draw the battles again
        engine = config.engine
        task = judging_task(config.judge, config.generate, config.prompt, engine.check_sampling, engine.class_names)
        recipe = Recipe(data=battles_of(folder, manifest), engine=engine, task=task)
    else:
        sources = [file.source for file in manifest.inputs]
        if len(sources) == 1 and isinstance(config.data, RowsConfig):  # wherever this process was started
            config = replace(config, data=replace(config.data, path=sources[0]))
        recipe = job.recipe(config)
    return RequestsAgain(recipe, SourceRows(folder=folder, manifest=manifest, data=recipe.data))


JOB = Command("view", Config, main)

if __name__ == "__main__":
    launch(JOB)
