"""Several submissions of the same ids: their rows side by side, and a blend of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.data.battle_files.submission_csv import write_csv
from lib.data.submission import Submission, read_submission, require_simplex
from lib.errors import ConfigError, InputError
from lib.scoring.probabilities import FloatArray, blend


def read_members(paths: Sequence[Path], *, normalise: bool = False) -> tuple[pa.Array, FloatArray]:
    """Ids [n] in the order of the first submission, and the probabilities [n, members, 3] of all.

    normalise: as of `read_submission`. Raises InputError where the ids differ.
    """
    submissions = [read_submission(path, normalise=normalise) for path in paths]
    return submissions[0].ids, aligned(list(map(str, paths)), submissions)


def aligned(names: Sequence[str], submissions: Sequence[Submission]) -> FloatArray:
    """Probabilities [n, members, 3] in the order of the first one's ids. Raises InputError where others have others."""
    ids = submissions[0].ids
    found = [submissions[0].probabilities]
    for name, submission in zip(names[1:], submissions[1:], strict=True):
        positions = pc.index_in(ids, submission.ids)
        if positions.null_count or len(submission.ids) != len(ids):
            missing = ids.filter(pc.is_null(positions))[:5].to_pylist()
            foreign = submission.ids.filter(pc.is_null(pc.index_in(submission.ids, ids)))[:5].to_pylist()
            raise InputError(
                f"{name}: {len(submission.ids)} ids, but {len(ids)} in {names[0]}; missing here: {missing or 'none'}, "
                f"missing there: {foreign or 'none'}"
            )
        found.append(submission.probabilities[positions.to_numpy()])
    return np.stack(found, axis=1)


def blend_submissions(
    paths: Sequence[Path], weights: Sequence[float], out: Path, *, normalise: bool = False
) -> Submission:
    """Write the weighted mean of several submissions of the same ids, in the order of the first.

    normalise: as of `read_submission`.

    Raises ConfigError where the weights are no simplex or `out` is one of the files, InputError where the ids differ.
    """
    require_simplex(weights, "merge.weights", size=len(paths))
    require_another(out, paths)
    ids, members = read_members(paths, normalise=normalise)
    return write_probabilities(ids, blend([members[:, m] for m in range(len(paths))], list(weights)), out)


def require_another(out: Path, paths: Sequence[Path]) -> None:
    """Raise ConfigError where `out` is one of the files that it is made of."""
    if out.resolve() in [path.resolve() for path in paths]:
        raise ConfigError(f"merge.out={out}: is one of merge.submissions, which would be lost; choose another file")


def write_probabilities(ids: pa.Array, probabilities: FloatArray, out: Path) -> Submission:
    """Write a submission of ids [n] and probabilities [n, 3], and read it back."""
    out.parent.mkdir(parents=True, exist_ok=True)
    write_csv(out, [(ids, probabilities)])
    return read_submission(out)
