"""What a judge's preferences go with besides the answers' worth: longer answers, Markdown, models of its own family.

The judge's preference for A is P(A) - P(B); that of the labels is 1, -1 or 0. What both have in common may be worth;
where the judge goes further than the labels, it is bias.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.scoring.inference.estimates import ClusterSums, Estimate, Keys, estimate, ratio
from lib.scoring.metrics import Labels
from lib.scoring.probabilities import FloatArray

_FAMILIES = {  # of models, by what their names have in them
    "claude": "claude", "command-r": "command", "deepseek": "deepseek", "falcon": "falcon", "gemini": "gemini",
    "gemma": "gemma", "glm": "glm", "gpt-": "gpt", "chatgpt": "gpt", "grok": "grok", "internlm": "internlm",
    "llama": "llama", "mistral": "mistral", "mixtral": "mistral", "palm": "palm", "phi-": "phi", "qwen": "qwen",
    "smollm": "smollm", "vicuna": "llama", "alpaca": "llama", "koala": "llama", "yi-": "yi", "bagel": "yi",
}  # fmt: skip
_NOT_GPT = re.compile(r"gpt-j|gpt-neo|gpt4all|gpt-2")


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A figure of the judge and of the labels on rows that have both, and how much the judge's is more. labels, more:
    None where there are no labels; the judge's is of all scored rows then."""

    rows: int
    judge: Estimate
    labels: Estimate | None = None
    more: Estimate | None = None


def label_preference(labels: Labels) -> FloatArray:
    """[n] 1 where A won, -1 where B did, 0 for a tie; NaN where unknown (-1)."""
    return np.array([1.0, -1.0, 0.0, np.nan])[labels]


def log_ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    """ln((a + 1) / (b + 1)) [n] of counts: how much more there is of something in A than in B."""
    return np.asarray(np.log1p(a) - np.log1p(b), dtype=np.float64)


def going_with(feature: FloatArray, judge: FloatArray, labels: FloatArray, keys: Keys) -> Contrast | None:
    """Correlation (Pearson's) of preferences for A with what A has more of [n]; None where there is none.

    judge, labels: preferences [n], of labels NaN where unknown. keys: [n] of questions.
    """
    known = ~np.isnan(labels)
    if known.any():
        feature, judge, labels, keys = feature[known], judge[known], labels[known], keys[known]
        ours = _correlation(_sums(keys, feature, judge, labels), 1)
        theirs = _correlation(_sums(keys, feature, judge, labels), 2)
        if not (np.isnan(ours.value) or np.isnan(theirs.value)):
            more = estimate(lambda t: _pearson(t, 1) - _pearson(t, 2), _sums(keys, feature, judge, labels))
            return Contrast(rows=len(keys), judge=_in_unit(ours), labels=_in_unit(theirs), more=more)
    found = _correlation(_sums(keys, feature, judge, judge), 1)
    return None if np.isnan(found.value) else Contrast(rows=len(keys), judge=_in_unit(found))


def for_own(own: FloatArray, judge: FloatArray, labels: FloatArray, keys: Keys) -> Contrast | None:
    """Mean preference for answers of the judge's own family. own: [n] 1 where A's is, -1 where B's, 0 where both or
    neither are; such rows don't count. None where no row counts."""
    known = (own != 0) & ~np.isnan(labels)
    counted = known if known.any() else own != 0
    if not counted.any():
        return None
    sign = own[counted]
    ours, theirs = sign * judge[counted], sign * labels[counted]
    ones = np.ones(len(sign))
    clusters = ClusterSums(4)
    clusters.add(keys[counted], np.column_stack([ones, ours, *np.nan_to_num([theirs, ours - theirs])]))
    found, labelled, more = (ratio(clusters.sums, column, 0) for column in (1, 2, 3))
    if not known.any():
        return Contrast(rows=len(sign), judge=found)
    return Contrast(rows=len(sign), judge=found, labels=labelled, more=more)


def family(model: str) -> str | None:
    """The family of a model by its name, such as qwen for Qwen/Qwen3-32B-AWQ; None for an unknown one.

    Of names that hold several, as those of fine-tuned models do, the first counts.
    """
    name = model.rpartition("/")[2].casefold()
    found = {name.find(part): kind for part, kind in _FAMILIES.items() if part in name and not _NOT_GPT.search(name)}
    return found[min(found)] if found else None


def own_side(judge: str, model_a: npt.NDArray[Any], model_b: npt.NDArray[Any]) -> FloatArray:
    """[n] 1 where A's model alone is of the family `judge`, -1 where B's alone is, else 0. Models may be None."""
    names = {name for side in (model_a, model_b) for name in set(side.tolist())}
    ours = {name: name is not None and family(name) == judge for name in names}
    a, b = (np.array([ours[name] for name in side.tolist()], np.float64) for side in (model_a, model_b))
    return np.asarray(a - b, dtype=np.float64)


def _sums(keys: Keys, feature: FloatArray, judge: FloatArray, labels: FloatArray) -> FloatArray:
    """By cluster: rows, and sums of the three and of their products, each less its mean, so that no digits are lost."""
    columns = np.column_stack([feature - feature.mean(), judge - judge.mean(), labels - labels.mean()])
    products = [columns[:, i] * columns[:, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2))]
    clusters = ClusterSums(9)
    clusters.add(keys, np.column_stack([np.ones(len(keys)), columns, *products]))
    return clusters.sums


def _correlation(sums: FloatArray, of: int) -> Estimate:
    return estimate(lambda total: _pearson(total, of), sums)


def _pearson(total: FloatArray, of: int) -> FloatArray:
    """The correlation of the feature with the judge's (1) or the labels' (2) preference, for totals of `_sums`."""
    rows, x, y = total[..., 0], total[..., 1], total[..., 1 + of]
    spread_x, spread_y = total[..., 4] - x**2 / rows, total[..., 4 + of] - y**2 / rows
    together = total[..., 6 + of] - x * y / rows
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(np.maximum(spread_x, 0) * np.maximum(spread_y, 0))
        return np.asarray(np.where(spread > 1e-9 * rows, together / spread, np.nan))


def _in_unit(found: Estimate) -> Estimate:
    """The same within [-1, 1]."""
    if found.low is None or found.high is None:
        return found
    return Estimate(found.value, max(found.low, -1.0), min(found.high, 1.0))
