"""Style control: how much longer or more marked up one answer of a pair is than the other, as covariates of a vote."""

from collections.abc import Mapping

import numpy as np

from lib.scoring.probabilities import FloatArray


def style_covariates(counts: Mapping[str, tuple[FloatArray, FloatArray]]) -> dict[str, FloatArray]:
    """name -> [n], from the counts in both answers: (a - b) / (a + b), 0 where there is nothing in either, less its
    mean and divided by its standard deviation. What is the same in all votes is left out.

    So in LMArena's "Does style matter?" (2024); its length is in tokens.
    """
    found = {}
    for name, (a, b) in counts.items():
        share = (a - b) / np.maximum(a + b, 1)
        if len(share) and (deviation := share.std()) > 1e-9:
            found[name] = np.asarray((share - share.mean()) / deviation)
    return found
