"""LLMBar's figures: how often a judge is right, on average of both orders, and says the same in both.

Zeng et al. 2024, "Evaluating Large Language Models at Evaluating Instruction Following" (princeton-nlp/LLMBar):
accuracy and positional agreement rate.
"""

from dataclasses import asdict
from typing import Any

import numpy as np

from lib.scoring.aggregates.judgements import Judgements, hard, mean_of_known
from lib.scoring.aggregates.means import rate_of


def llmbar(judged: Judgements) -> dict[str, Any]:
    """Accuracy on rows labelled A or B (a verdict that is a tie is half right), by order, and positional agreement."""
    ab, ba = map(hard, judged.orders)
    labelled = np.isin(judged.labels, (0, 1))
    rows, labels = np.arange(len(ab)), np.where(labelled, judged.labels, 0)
    right = [np.where(labelled, order[rows, labels] + order[:, 2] / 2, np.nan) for order in (ab, ba)]
    both = ~(np.isnan(ab) | np.isnan(ba)).any(axis=1)
    agree = np.where(both, (ab == ba).all(axis=1), np.nan)
    means = (rate_of(values, judged.clusters) for values in (mean_of_known(*right), *right, agree))
    names = ("accuracy", "accuracy_ab", "accuracy_ba", "positional_agreement")
    return {name: asdict(mean) for name, mean in zip(names, means, strict=True)}
