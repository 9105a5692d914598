"""Attention and its relatives in extended precision, written without the cascades under test."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]


def softmax(x: ArrayLike, axis: int, mask: Array | None = None) -> Array:
    """Softmax in long double; masked-out logits weigh nothing, a line without any is NaN."""
    logits = np.asarray(x, dtype=np.longdouble)
    if mask is not None:
        logits = np.where(mask, logits, -np.inf)
    with np.errstate(invalid="ignore"):
        weights = np.exp(logits - logits.max(axis=axis, keepdims=True))
        return weights / weights.sum(axis=axis, keepdims=True)


def attention(q: ArrayLike, k: ArrayLike, v: ArrayLike, mask: Array | None = None) -> Array:
    """AV[f,p] = sum over m of softmax over m of (Q[e,p] K[e,m]) times V[f,m]; mask[m,p] says what is seen."""
    wide = [np.asarray(x, dtype=np.longdouble) for x in (q, k, v)]
    weights = softmax(wide[1].T @ wide[0], axis=0, mask=mask)
    return np.asarray(wide[2] @ weights, dtype=np.float64)


def grouped_attention(q: Array, k: Array, v: Array) -> Array:
    """Grouped-query attention: query head h of q[e,p,h] uses key head h // G of k[e,m,hk]."""
    group = q.shape[2] // k.shape[2]
    heads = [attention(q[..., h], k[..., h // group], v[..., h // group]) for h in range(q.shape[2])]
    return np.stack(heads, axis=-1)


def causal(keys: int, queries: int, strict: bool = False) -> Array:
    """mask[m,p] = m <= p (m < p if strict)."""
    m, p = np.ogrid[:keys, :queries]
    return np.asarray(m < p if strict else m <= p)


def window(keys: int, queries: int, width: int) -> Array:
    """mask[m,p] = p - width < m <= p."""
    m, p = np.ogrid[:keys, :queries]
    return np.asarray((p - width < m) & (m <= p))
