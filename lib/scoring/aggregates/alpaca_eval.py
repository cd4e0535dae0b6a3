"""AlpacaEval 2: the mean probability that a system beats the baseline, and the same at equal length.

Dubois et al. 2024, "Length-Controlled AlpacaEval: A Simple Way to Debias Automatic Evaluators" (tatsu-lab/alpaca_eval).
The length-controlled win rate is that which a logistic regression of the preferences predicts where there is no
difference of length: logit P(system) = theta + phi * tanh(d / sd(d)) + psi * difficulty, d = characters of the
baseline's minus the system's. Fitted by maximum likelihood; the published fit also has an L1 penalty chosen by
cross-validation, and 0.2 of the weight on preferences against "gamed" baselines, which come with the package alone.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from lib.scoring.aggregates.judgements import Judgements, against, baseline_of, mean_of_known
from lib.scoring.aggregates.means import rate_of
from lib.scoring.probabilities import FloatArray

_RIDGE = 1e-6  # so that there is a maximum where all preferences are for one side


def alpaca_eval(judged: Judgements, baseline: str | None, difficulty: Mapping[str, float] | None) -> dict[str, Any]:
    """Of each system: win rate, discrete win rate, and the length-controlled one where lengths are known.

    difficulty: of instructions, by the id of their row; without it that term is left out (`length_controlled.terms`
    says so). Raises InputError as `baseline_of`, KeyError for a row without a difficulty.
    """
    name = baseline_of(judged, baseline)
    ab, ba = judged.orders
    preferred = mean_of_known(ab[:, :2] + ab[:, 2:] / 2, ba[:, :2] + ba[:, 2:] / 2)
    systems: dict[str, Any] = {}
    for system, own in against(judged, name).items():
        p = own.of_system(preferred)
        known, clusters = ~np.isnan(p), own.clusters(judged)
        controlled = None
        if judged.lengths is not None and known.any():
            difference = own.of_baseline(judged.lengths) - own.of_system(judged.lengths)
            hard = None
            if difficulty is not None:
                hard = np.array([difficulty[str(judged.ids[row])] for row in own.rows[known]])
            controlled = length_controlled(p[known], difference[known], hard)
        systems[system] = {
            "win_rate": asdict(rate_of(p, clusters)),
            "discrete_win_rate": asdict(rate_of(np.where(known, (np.sign(p - 0.5) + 1) / 2, np.nan), clusters)),
            "length_controlled": controlled,
            "mean_length": None if judged.lengths is None else float(own.of_system(judged.lengths).mean()),
        }
    return {"baseline": name, "systems": systems}


def length_controlled(p: FloatArray, difference: FloatArray, difficulty: FloatArray | None) -> dict[str, Any]:
    """The win rate at equal length, and the coefficients of the terms. All arrays [n]; lengths as of the module."""
    spread = float(difference.std(ddof=1)) if len(difference) > 1 else 0.0
    terms = {"intercept": np.ones(len(p))}
    if spread:
        terms["tanh(length difference)"] = np.tanh(difference / spread)
    if difficulty is not None:
        terms["instruction difficulty"] = difficulty
    fitted = _logistic_regression(np.column_stack(list(terms.values())), p)
    at_equal = np.full(len(p), fitted[0]) if difficulty is None else fitted[0] + fitted[-1] * difficulty
    return {"win_rate": float(_logistic(at_equal).mean()), "terms": dict(zip(terms, fitted.tolist(), strict=True))}


def _logistic_regression(features: FloatArray, p: FloatArray) -> FloatArray:
    """Coefficients [m] that maximise the likelihood of preferences [n] in [0, 1], given features [n, m]."""
    from scipy.optimize import minimize

    def loss(coefficients: FloatArray) -> tuple[float, FloatArray]:
        z = features @ coefficients
        value = np.logaddexp(0, z).sum() - p @ z + _RIDGE / 2 * coefficients @ coefficients
        return float(value), features.T @ (_logistic(z) - p) + _RIDGE * coefficients

    found = minimize(loss, np.zeros(features.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-9})
    return np.asarray(found.x, dtype=np.float64)


def _logistic(z: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-np.logaddexp(0, -z)), dtype=np.float64)
