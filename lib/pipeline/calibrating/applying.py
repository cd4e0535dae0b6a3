"""Applying a calibration to another run, or to submissions, without an engine."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lib.data.battle_files.blended_files import read_members, require_another, write_probabilities
from lib.data.battle_files.calibration_file import Calibration, read_calibration
from lib.data.manifest import Manifest
from lib.data.submission import Submission
from lib.errors import ConfigError
from lib.log import log
from lib.pipeline.calibrating.labelled import described, inputs_of, require_whole
from lib.pipeline.calibrating.log_lengths import log_lengths
from lib.pipeline.outcomes.another_submission import Conclusion
from lib.report.predictions import Predictions
from lib.scoring.calibrating.base import Inputs
from lib.scoring.calibrating.davidson import DavidsonLength
from lib.scoring.calibrating.scaling import Stack
from lib.scoring.metrics import normalise
from lib.scoring.probabilities import FloatArray

_JOBS = {"probabilities": "judge", "ab": "judge", "ba": "judge", "score_a": "arena"}


def conclude_calibrated(path: Path, manifest: Manifest, folder: Path) -> Conclusion:
    """How the calibration in a file makes probabilities of a run's answers.

    Warns where it was fitted on another engine's answers. Raises
    ConfigError where the run has not what it needs, InputError where it can't be read, or needs the lengths of texts
    that can't be read again.
    """
    calibration, key = read_calibration(path), f"merge.calibration={path}"
    calibrator = calibration.calibrator
    _require_suit(calibration, key, manifest)
    require_whole(manifest, folder)
    _warn_of_another(calibration, key, manifest)
    lengths = log_lengths(manifest, folder) if isinstance(calibrator, DavidsonLength) else None

    def conclude(blocks: Iterable[Predictions]) -> Iterator[FloatArray]:
        first = 0
        for block in blocks:
            rows = slice(first, first + len(block.labels))
            first = rows.stop
            yield calibrator.apply(inputs_of(manifest, block, None if lengths is None else lengths[rows]))

    return conclude


def calibrate_submissions(path: Path, paths: Sequence[Path], out: Path, *, normalise_rows: bool = False) -> Submission:
    """Write the calibrated submission of one, or of several where it is a stack, in the order that it was fitted on.

    path: of the calibration. Raises ConfigError where they are too many or too few, or it needs a run's own answers,
    and as `read_calibration` and `read_members`.
    """
    require_another(out, paths)
    calibration, key = read_calibration(path), f"merge.calibration={path}"
    calibrator = calibration.calibrator
    if isinstance(calibrator, Stack):
        names = [run.get("run") for run in calibration.fitted_on.get("runs", []) if isinstance(run, dict)]
        if len(paths) != len(calibrator.weights):
            raise ConfigError(
                f"merge.submissions: {len(paths)} files, and {key} is a stack of {len(calibrator.weights)}; give those "
                f"of {', '.join(map(str, names)) or 'the same runs'}, in this order"
            )
        for name, submission in zip(names, paths, strict=False):
            log.info("%s: as %s", submission, name)
    elif len(paths) != 1:
        raise ConfigError(f"merge.submissions: {len(paths)} files, and {key} ({calibrator.name}) is for one")
    elif calibrator.uses != ("probabilities",):
        raise ConfigError(
            f"{key}: {calibrator.name} needs a run's own answers, which a submission has not; give run.dir=DIR"
        )
    ids, members = read_members(paths, normalise=normalise_rows)
    stacked = isinstance(calibrator, Stack)
    inputs = Inputs(members=members) if stacked else Inputs(probabilities=normalise(members[:, 0]))
    return write_probabilities(ids, calibrator.apply(inputs), out)


def _require_suit(calibration: Calibration, key: str, manifest: Manifest) -> None:
    """Raise ConfigError where a run has not what a calibration needs."""
    calibrator = calibration.calibrator
    if isinstance(calibrator, Stack):
        raise ConfigError(
            f"{key}: is a stack of several runs; give their submissions, in the order of calibrate.runs, as "
            "merge.submissions=[…], without run.dir"
        )
    job = _JOBS[calibrator.uses[0]]
    if job != manifest.job:
        raise ConfigError(
            f"{key}: {calibrator.name} is of answers of jobs.{job}, and this is a run of jobs.{manifest.job}; fit one "
            f"on a labelled run of jobs.{manifest.job}"
        )
    if "ba" in calibrator.uses and manifest.identity.get("task.judge.swap") == "none":
        raise ConfigError(
            f"{key}: {calibrator.name} needs a judge's answers in both orders, and this run asked in one "
            "(judge.swap=none); fit temperature_tie, vector or matrix"
        )


def _warn_of_another(calibration: Calibration, key: str, manifest: Manifest) -> None:
    """Say where a calibration was fitted on answers of another kind."""
    fitted, here = calibration.fitted_on, described(manifest)
    if "engine" not in fitted:
        log.warning("%s: was fitted on a submission; that it was of the same engine is not known", key)
        return
    of, own = (engine if isinstance(engine, dict) else {} for engine in (fitted["engine"], here["engine"]))
    differ = [name for name in sorted({*of, *own}) if of.get(name) != own.get(name)]
    if differ:
        then, now = (", ".join(f"engine.{name}={engine.get(name)}" for name in differ) for engine in (of, own))
        log.warning("%s: was fitted on answers of another engine: %s, and this run has %s", key, then, now)
    elif fitted.get("asked") != here["asked"]:
        log.warning(
            "%s: was fitted on answers to something else (another prompt, truncation or order) than this run asked", key
        )
