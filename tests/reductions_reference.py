"""Cascades that `fusemap derive` reduces although no paper does, in extended precision, without the cascades."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, Any]
Sizes = Mapping[str, int]


def _wide(x: Arrays, *names: str) -> list[NDArray[Any]]:
    return [np.asarray(x[n], dtype=np.longdouble) for n in names]


def _softmax(logits: NDArray[Any], axis: int) -> NDArray[Any]:
    weights = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return np.asarray(weights / weights.sum(axis=axis, keepdims=True))


def _entropy(x: Arrays, sizes: Sizes) -> Arrays:
    q, k, v = _wide(x, "Q", "K", "V")
    weights = _softmax(k.T @ q, axis=0)
    return {"AV": v @ weights, "EN": -(weights * np.log(weights)).sum(axis=0)}


def _variance(x: Arrays, sizes: Sizes) -> Arrays:
    """Query by query: the weights are probabilities, so that the variance is a mean of squares."""
    q, k, v = _wide(x, "Q", "K", "V")
    weights = _softmax(k.T @ q, axis=0)
    mean = v @ weights
    deviations = (v[:, :, None] - mean[:, None, :]) ** 2
    return {"AV": mean, "VA": np.einsum("fmp,mp->fp", deviations, weights)}


def _query_gradient(x: Arrays, sizes: Sizes) -> Arrays:
    """By the Jacobian of the softmax, diag(a) - a a^T, query by query."""
    q, k, v, do = _wide(x, "Q", "K", "V", "DO")
    columns = []
    for p in range(q.shape[1]):
        a = _softmax(k.T @ q[:, p], axis=0)
        columns.append(k @ ((np.diag(a) - np.outer(a, a)) @ (v.T @ do[:, p])))
    return {"DQ": np.stack(columns, axis=1)}


def _qk_norm(x: Arrays, sizes: Sizes) -> Arrays:
    q, k, v, gq, gk = _wide(x, "Q", "K", "V", "GQ", "GK")
    q, k = (a / np.sqrt((a**2).mean(axis=0) + 1e-6) * g[:, None] for a, g in ((q, gq), (k, gk)))
    return {"AV": v @ _softmax(k.T @ q, axis=0)}


def _layernorm_matmul(x: Arrays, sizes: Sizes) -> Arrays:
    rows, ga, be, wt = _wide(x, "X", "GA", "BE", "WT")
    scale = np.sqrt(rows.var(axis=1, keepdims=True) + 1e-5)
    return {"Z": ((rows - rows.mean(axis=1, keepdims=True)) / scale * ga + be) @ wt}


def _distillation(x: Arrays, sizes: Sizes) -> Arrays:
    student, teacher = (_softmax(a, axis=1) for a in _wide(x, "X", "T"))
    return {"KL": (teacher * np.log(teacher / student)).sum(axis=1)}


def _router(x: Arrays, sizes: Sizes) -> Arrays:
    tokens, router, experts = _wide(x, "X", "WR", "H")
    logits = router.T @ tokens
    return {
        "Y": np.einsum("kn,fkn->fn", _softmax(logits, axis=0), experts),
        "ZL": np.log(np.exp(logits).sum(axis=0)) ** 2,
    }


REFERENCES: Mapping[str, Callable[[Arrays, Sizes], Arrays]] = {
    "entropy-attention": _entropy,
    "attentive-statistics": _variance,
    "query-gradient": _query_gradient,
    "qk-norm-attention": _qk_norm,
    "layernorm-matmul": _layernorm_matmul,
    "distillation": _distillation,
    "router-z-loss": _router,
}
