"""What each label of a judge says about the two responses that it is shown."""

from collections.abc import Sequence

import numpy as np

from lib.errors import ConfigError
from lib.scoring.probabilities import FloatArray

MEANINGS = ("a", "b", "tie")
"""In the order of a battle's probabilities: what is shown first is better, what is shown second is, neither."""

_USUAL = {2: MEANINGS[:2], 3: MEANINGS}


def outcomes_of(labels: Sequence[str], means: Sequence[str]) -> FloatArray:
    """[k, 3] with 1 where a label has a meaning: probabilities of labels [n, k] times it are those of outcomes [n, 3].

    labels, means: of a prompt. Raises ConfigError where it is not said what a label means, or none means that a
    response is better.
    """
    means = list(means or _USUAL.get(len(labels), ()))
    if not means:
        raise ConfigError(
            f"prompt.labels={list(labels)}: say in prompt.means what each of them means ({', '.join(MEANINGS)}); "
            "without it there are three labels, in this order: A is better, B is better, a tie; or the first two"
        )
    if not {"a", "b"} <= set(means):
        raise ConfigError(f"prompt.means={means}: must have a label for a and one for b")
    return np.array([[float(meaning == word) for word in MEANINGS] for meaning in means])
