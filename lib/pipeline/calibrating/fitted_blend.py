"""A blend of submissions whose weights are fitted on labels."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lib.data.atomic import write_text
from lib.data.battle_files.blended_files import read_members, require_another, write_probabilities
from lib.data.battle_files.groups import groups_of_ids
from lib.data.battle_files.label_files import read_labels
from lib.data.submission import Submission
from lib.pipeline.calibrating.labelled import meet
from lib.report.calibration_page import interval_content, interval_text
from lib.report.tables import text_table
from lib.scoring.blend_fit import BlendFit, fit_blend
from lib.scoring.metrics import normalise


def blend_fitted(
    paths: Sequence[Path],
    labels: Path,
    out: Path,
    *,
    fitted_on: Sequence[Path] = (),
    stack: bool = False,
    normalise_rows: bool = False,
) -> Submission:
    """Write the blend of submissions by weights that are fitted on the rows with labels; print what it is worth.

    fitted_on: submissions of the labelled rows by the same models in the same order, where `paths` are of other rows.
    stack: take a logistic regression in place of weights where it is better on rows held out. Beside `out` goes
    `<stem>-fit.json`. Raises ConfigError where `out` is one of the files, InputError where ids differ or the labelled
    rows are too few.
    """
    require_another(out, [*paths, *fitted_on, labels])
    ids, members = read_members(paths, normalise=normalise_rows)
    fit_ids, fit_members = read_members(fitted_on, normalise=normalise_rows) if fitted_on else (ids, members)
    truth = read_labels(labels, questions=True)
    where = (fitted_on or paths)[0]
    places, labels_of = meet(fit_ids, truth.ids, str(where), str(labels))
    groups = (groups_of_ids(truth.ids) if truth.groups is None else truth.groups)[labels_of]
    fit = fit_blend(_normalised(fit_members[places]), truth.labels[labels_of], groups, stack=stack)
    print("\n".join(_lines(fit, paths, rows=len(places))))
    written = write_probabilities(ids, fit.apply(_normalised(members)), out)
    beside = out.with_name(f"{out.stem}-fit.json")
    content = {
        "labels": str(labels),
        "rows": len(places),
        "questions": len(np.unique(groups)),
        **_content(fit, paths, fitted_on or paths),
    }
    write_text(beside, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    print(f"fit:        {beside}")
    return written


def _normalised(members: np.typing.NDArray[np.float64]) -> np.typing.NDArray[np.float64]:
    n, m, k = members.shape
    return normalise(members.reshape(n * m, k)).reshape(n, m, k)


def _lines(fit: BlendFit, paths: Sequence[Path], rows: int) -> list[str]:
    table = [
        (path.name, f"{weight:.4f}", interval_text(loss, ""), "")
        for path, weight, loss in zip(paths, fit.weights.tolist(), fit.members, strict=True)
    ]
    table.append(("blend, held out", "", interval_text(fit.blend, ""), interval_text(fit.to_best)))
    lines = [text_table(("", "weight", "log loss [95 %]", f"to {paths[fit.best].name} [95 %]"), table)]
    lines.append(f"{rows:,} labelled rows, {fit.folds} folds of whole questions.")
    if fit.to_best.value >= 0:
        lines.append(f"The blend is no better than {paths[fit.best].name} alone, on rows held out.")
    if fit.stacked is not None and fit.to_blend is not None:
        taken = "it is taken" if fit.stack_is_better else "it is no better, and the blend is taken"
        lines.append(f"Stack: {interval_text(fit.stacked, '')}, {interval_text(fit.to_blend)} to the blend; {taken}.")
    return lines


def _content(fit: BlendFit, paths: Sequence[Path], fitted_on: Sequence[Path]) -> dict[str, Any]:
    members = zip(paths, fitted_on, fit.weights.tolist(), fit.members, strict=True)
    found: dict[str, Any] = {
        "folds": fit.folds,
        "members": [
            {"submission": str(path), "fitted_on": str(fitted), "weight": weight, "log_loss": interval_content(loss)}
            for path, fitted, weight, loss in members
        ],
        "blend": {
            "log_loss": interval_content(fit.blend),
            "best": str(paths[fit.best]),
            "to_best": interval_content(fit.to_best),
        },
        "written": "stack" if fit.stack_is_better else "blend",
    }
    if fit.stack is not None and fit.stacked is not None and fit.to_blend is not None:
        found["stack"] = {
            "log_loss": interval_content(fit.stacked),
            "to_blend": interval_content(fit.to_blend),
            "parameters": fit.stack.parameters(),
        }
    return found
