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
    """Attention output; for token p the J experts of largest logit, averaged over what p attends to, and gates."""
    q, k, v, x, router = _wide(inputs, "Q", "K", "V", "X", "WR")
    keys = range(k.shape[1])
    logits = np.stack([router.T @ x[m] for m in keys], axis=1)
    attended = [_weights(q[:, p], k, keys) for p in range(q.shape[1])]
    routed = [logits @ a for a in attended]
    experts = [_largest(dict(enumerate(r)), sizes["J"]) for r in routed]
    gates = [_softmax(r[chosen]) for r, chosen in zip(routed, experts, strict=True)]
    return {
        "AV": np.stack([v @ a for a in attended], axis=1),
        "EX": np.stack(experts, axis=1),
        "GA": np.stack(gates, axis=1),
    }


def act(inputs: Arrays, sizes: Sizes) -> Arrays:
    """The causal attention matrix row by row, sinks by the mean of their column, weight moved from them to the rest."""
    q, k, v = _wide(inputs, "Q", "K", "V")
    count = k.shape[1]
    matrix = np.zeros((count, count), dtype=np.longdouble)
    for p in range(count):
        matrix[p, : p + 1] = _weights(q[:, p], k, range(p + 1))
    sinks = [m for m in range(1, count) if matrix[:, m].sum() / (count - m) > 0.1]
    others = [m for m in range(count) if m not in sinks]
    for row in matrix:
        freed = row[sinks].sum() * (1 - np.longdouble(0.4))
        share = row[others] / row[others].sum()
        row[sinks] *= np.longdouble(0.4)
        row[others] += freed * share
    return {"AV": v @ matrix.T}


def dma(inputs: Arrays, sizes: Sizes) -> Arrays:
    """Per head: keys up to the query ranked by their value-derived bias, attention to the first J with that bias."""
    q, k, v, weights, slope = _wide(inputs, "Q", "K", "V", "WD", "AL")
    out = np.zeros((v.shape[0], *q.shape[1:]), dtype=np.longdouble)
    for h in range(q.shape[2]):
        steps = [(v[:, m, :] * weights[:, :, h]).sum() for m in range(k.shape[1])]
        bias = np.array([slope[h] * np.logaddexp(np.longdouble(0), step) for step in steps])
        for p in range(q.shape[1]):
            keys = _largest({m: bias[m] for m in range(p + 1)}, sizes["J"])
            out[:, p, h] = _attend(q[:, p, h], k[:, :, h], v[:, :, h], keys, bias)
    return {"AV": out}


def vmoba(inputs: Arrays, sizes: Sizes) -> Arrays:
    """The query's own block and the J-1 other blocks of best mean key, all keys of them."""
    return {"AV": _block_attention(inputs, sizes, causal=False)}


def moba(inputs: Arrays, sizes: Sizes) -> Arrays:
    """The query's own block up to the query and the J-1 earlier blocks of best mean key."""
    return {"AV": _block_attention(inputs, sizes, causal=True)}


def _block_attention(inputs: Arrays, sizes: Sizes, causal: bool) -> Array:
    q, k, v = _wide(inputs, "Q", "K", "V")
    block, blocks = sizes["M0"], sizes["M1"]
    means = [k[:, b * block : (b + 1) * block].mean(axis=1) for b in range(blocks)]
    out = []
    for p in range(q.shape[1]):
        own = p // block
        others = range(own) if causal else (b for b in range(blocks) if b != own)
        chosen = [own, *_largest({b: (q[:, p] * means[b]).sum() for b in others}, sizes["J"] - 1)]
        keys = [m for b in chosen for m in range(b * block, (b + 1) * block) if m <= p or not causal]
        out.append(_attend(q[:, p], k, v, keys))
    return np.stack(out, axis=1)


def sea(inputs: Arrays, sizes: Sizes) -> Arrays:
    """Performer estimate, block probabilities from it by a linear map, attention to the best blocks, mixed gates."""
    q, k, v, features, to_mask, to_scale, to_mix = _wide(inputs, "Q", "K", "V", "WP", "WT", "WS", "WX")
    block, count = sizes["M0"], k.shape[1]

    def phi(x: Array) -> Array:
        return np.asarray(np.maximum(features @ x, 0) + np.longdouble(0.001))

    estimates, masks = [], []
    for p in range(q.shape[1]):
        kernel = np.array([(phi(q[:, p]) * phi(k[:, m])).sum() for m in range(count)])
        estimates.append(v @ (kernel / kernel.sum()))
        masks.append(_softmax(to_mask.T @ estimates[p]))
    mean_mask = np.mean(masks, axis=0)
    context = sum(mean_mask[m // block] * v[:, m] for m in range(count))
    out = []
    for p, (estimate, mask) in enumerate(zip(estimates, masks, strict=True)):
        chosen = _largest(dict(enumerate(mask)), sizes["J"])
        keys = [m for b in chosen for m in range(b * block, (b + 1) * block)]
        scale, mix = (1 / (1 + np.exp(-(estimate * w).sum())) for w in (to_scale, to_mix))
        out.append(mix * scale * _attend(q[:, p], k, v, keys) + (1 - mix) * context)
    return {"Y": np.stack(out, axis=1)}


REFERENCES: Mapping[str, Reference] = {
    "landmark": landmark,
    "landmark-streaming": landmark,
    "cca": cca,
    "cca-streaming": cca,
    "graph-of-tokens": graph_of_tokens,
    "graph-of-tokens-streaming": graph_of_tokens,
    "act": act,
    "act-streaming": act,
    "dma": dma,
    "dma-streaming": dma,
    "sea": sea,
    "sea-streaming": sea,
    "vmoba": vmoba,
    "vmoba-streaming": vmoba,
    "moba": moba,
    "moba-streaming": moba,
}
