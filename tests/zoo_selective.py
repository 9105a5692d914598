"""Selective and block-structured attentions in extended precision, query by query, as their papers and code say.

Written from the equations, with plain loops and sorting, without the cascades under test: `REFERENCES` gives for
every cascade a function from inputs by name and sizes by shape name to its outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = Mapping[str, Any]
Sizes = Mapping[str, int]
Reference = Callable[[Arrays, Sizes], Mapping[str, Any]]


def _wide(inputs: Arrays, *names: str) -> list[Array]:
    return [np.asarray(inputs[n], dtype=np.longdouble) for n in names]


def _softmax(logits: Sequence[Any]) -> Array:
    values = np.asarray(logits, dtype=np.longdouble)
    weights = np.exp(values - values.max())
    return np.asarray(weights / weights.sum())


def _weights(q: Array, k: Array, keys: Sequence[int], bias: Array | None = None) -> Array:
    """Softmax over `keys` of query vector q[e] times k[e,m], plus bias[m]."""
    logits = [(q * k[:, m]).sum() + (0 if bias is None else bias[m]) for m in keys]
    return _softmax(logits)


def _attend(q: Array, k: Array, v: Array, keys: Sequence[int], bias: Array | None = None) -> Array:
    """Attention of one query to the listed keys."""
    weights = _weights(q, k, keys, bias)
    return np.asarray(sum(w * v[:, m] for w, m in zip(weights, keys, strict=True)))


def _largest(scores: Mapping[int, Any], count: int) -> list[int]:
    """The coordinates of the `count` largest scores, the smaller coordinate first among equals."""
    return sorted(scores, key=lambda c: (-scores[c], c))[:count]


def landmark(inputs: Arrays, sizes: Sizes) -> Arrays:
    """Grouped softmax of landmark attention; the landmark is the last key of a block of M0 and no value of its own."""
    q, k, v = _wide(inputs, "Q", "K", "V")
    block = sizes["M0"]
    out = []
    for p in range(q.shape[1]):
        current = p // block
        own = [m for m in range(current * block, p + 1) if m % block != block - 1]
        marks = [b * block + block - 1 for b in range(current)]
        top = _weights(q[:, p], k, [*marks, *own])
        blocks = [_attend(q[:, p], k, v, range(b * block, b * block + block - 1)) for b in range(current)]
        values = [*blocks, *(v[:, m] for m in own)]
        out.append(sum(w * value for w, value in zip(top, values, strict=True)))
    return {"AV": np.stack(out, axis=1)}


def cca(inputs: Arrays, sizes: Sizes) -> Arrays:
    """Cores of the groups that ended before the window, and every token from there up to the query."""
    q, k, v = _wide(inputs, "Q", "K", "V")
    group, window = sizes["M0"], sizes["W"]
    cores = []
    for start in range(0, k.shape[1], group):
        tokens = range(start, start + group)
        last = q[:, start + group - 1]
        cores.append((_attend(last, k, k, tokens), _attend(last, k, v, tokens)))
    out = []
    for p in range(q.shape[1]):
        far = max((p + 1 - window) // group, 0)
        keys = [*(key for key, _ in cores[:far]), *(k[:, m] for m in range(far * group, p + 1))]
        values = [*(value for _, value in cores[:far]), *(v[:, m] for m in range(far * group, p + 1))]
        out.append(_attend(q[:, p], np.stack(keys, axis=1), np.stack(values, axis=1), range(len(keys))))
    return {"AV": np.stack(out, axis=1)}


def graph_of_tokens(inputs: Arrays, sizes: Sizes) -> Arrays:
    """Attention output and the routing logits of token p averaged over the tokens it attends to."""
    q, k, v, x, router = _wide(inputs, "Q", "K", "V", "X", "WR")
    keys = range(k.shape[1])
    logits = np.stack([router.T @ x[m] for m in keys], axis=1)
    attended = [_weights(q[:, p], k, keys) for p in range(q.shape[1])]
    return {
        "AV": np.stack([v @ a for a in attended], axis=1),
        "R": np.stack([logits @ a for a in attended], axis=1),
    }


REFERENCES: Mapping[str, Reference] = {
    "landmark": landmark,
    "landmark-streaming": landmark,
    "cca": cca,
    "cca-streaming": cca,
    "graph-of-tokens": graph_of_tokens,
    "graph-of-tokens-streaming": graph_of_tokens,
}
