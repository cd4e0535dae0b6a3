"""Calibrate: fit, on labelled rows, what makes better probabilities of a judge's or a reward model's answers.

python -m jobs.calibrate run.dir=LABELLED out=calibration.json
python -m jobs.calibrate submission=FILE labels=FILE out=calibration.json
python -m jobs.calibrate 'calibrate.runs=[DIR,DIR]' out=calibration.json

and then python -m jobs.merge run.dir=RUN merge.calibration=calibration.json merge.out=FILE
"""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING

from lib.config import require_local
from lib.data.battle_files.calibration_file import require_free
from lib.errors import ConfigError
from lib.launch import launch
from lib.pipeline.calibrating.fit_calibration import CalibrateConfig, fit_calibration
from lib.pipeline.calibrating.labelled import of_run, of_runs, of_submission
from lib.pipeline.command import Command
from lib.pipeline.run_config import RunDir


@dataclass(frozen=True, kw_only=True)
class Config:
    """`conf/calibrate.yaml`.

    submission, labels: a submission and a file of labels, in place of a run; normalise: take rows of it that do not sum
    to 1, divided by their sum. out: the calibration to write; one that is there is replaced, another file is not.
    """

    run: RunDir
    calibrate: CalibrateConfig
    submission: str | None = None
    labels: str | None = None
    normalise: bool = False
    out: str = MISSING

    def __post_init__(self) -> None:
        for name in ("submission", "labels", "out"):
            require_local(name, getattr(self, name))
        of_files = self.submission is not None and self.labels is not None
        if sum((self.run.dir is not None, of_files, bool(self.calibrate.runs))) != 1:
            raise ConfigError("give run.dir=DIR, or submission=FILE and labels=FILE, or calibrate.runs=[DIR,DIR]")
        if not of_files and (self.submission is not None or self.labels is not None):
            raise ConfigError("submission, labels: have an effect together only, and without a run")
        if not of_files and self.normalise:
            raise ConfigError("normalise=true: has no effect on a run; leave it out")


def main(config: Config) -> None:
    """Run the job."""
    out = Path(config.out)
    require_free(out)
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    if config.run.dir is not None:
        rows = of_run(Path(config.run.dir))
    elif config.calibrate.runs:
        rows = of_runs([Path(folder) for folder in config.calibrate.runs])
    else:
        assert config.submission is not None
        assert config.labels is not None
        rows = of_submission(Path(config.submission), Path(config.labels), normalise_rows=config.normalise)
    fit_calibration(rows, config.calibrate, out)


JOB = Command("calibrate", Config, main)

if __name__ == "__main__":
    launch(JOB)
