"""Labels that are drawn from known probabilities."""

import numpy as np


def draw(p, rng):
    return (rng.random((len(p), 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=2)


def rewards(n, rng, scale=1.0):
    return rng.normal(5, 2, n) * scale, rng.normal(4, 2, n) * scale


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
