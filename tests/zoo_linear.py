"""References of the linear, recurrent and pooled attentions of the library, written from the papers' equations.

Long double throughout; a recurrence is a loop over its tokens, an attention row a sum over its keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Arrays = Mapping[str, Any]
Reference = Callable[[Arrays, Mapping[str, int]], Arrays]
Array = NDArray[Any]


def _wide(value: ArrayLike) -> Array:
    return np.asarray(value, dtype=np.longdouble)


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _softmax(x: Array) -> Array:
    """Over all elements."""
    weights = np.exp(x - x.max())
    return np.asarray(weights / weights.sum())


def _softplus(x: Array) -> Array:
    return np.logaddexp(np.longdouble(0), x)


def _elu_plus_one(x: Array) -> Array:
    return np.where(x > 0, x + 1, np.exp(x))


def _em_attention(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    items, bases = _wide(x["X"]), _wide(x["MU0"])

    def responsibilities() -> Array:
        return np.stack([_softmax(bases @ item) for item in items])

    for _ in range(sizes["I"]):
        weights = responsibilities()
        with np.errstate(invalid="ignore"):  # a base that no item belongs to has no mean
            bases = (weights.T @ items) / weights.sum(axis=0)[:, None]
    return {"XR": responsibilities() @ bases}


def _gaam(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    items, offsets, scales = _wide(x["X"]), _wide(x["DE"]), 1 + np.exp(_wide(x["C"]))
    out = np.empty_like(items)
    for feature, column in enumerate(items.T):
        mean, deviation = column.mean(), np.sqrt(column.var(ddof=1) + 1e-8)
        density = np.ones_like(column)
        for offset, scale in zip(offsets, scales, strict=True):
            normalised = (column - (mean + offset)) / deviation
            density *= np.exp(-(normalised**2) / (2 * scale**2)) / np.sqrt(2 * np.longdouble(np.pi) * scale**2)
        out[:, feature] = column * density / density.sum()
    return {"Y": out}


def _decayed_states(keys: Array, values: Array, decays: Array) -> list[Array]:
    """S[t] = decays[t] S[t-1] + keys[:,t] outer values[:,t]."""
    state = np.zeros((len(keys), len(values)), dtype=np.longdouble)
    states = []
    for t, decay in enumerate(decays):
        state = decay * state + np.outer(keys[:, t], values[:, t])
        states.append(state)
    return states


def _lightning(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    q, k, v = (_wide(x[name]) for name in "QKV")
    out = np.empty((v.shape[0], q.shape[1], q.shape[2]), dtype=np.longdouble)
    for head, slope in enumerate(_softplus(_wide(x["LA"]))):
        states = _decayed_states(k[..., head], v[..., head], np.full(k.shape[1], np.exp(-slope)))
        for p, state in enumerate(states):
            out[:, p, head] = state.T @ q[:, p, head]
    return {"O": out}


def _mamba2(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    steps = _softplus(_wide(x["DT"]))
    decays = np.exp(-np.exp(_wide(x["AL"])) * steps)
    states = _decayed_states(_wide(x["B"]), _wide(x["X"]) * steps, decays)
    return {"Y": np.stack([s.T @ c for s, c in zip(states, _wide(x["C"]).T, strict=True)], axis=1)}


def _linear_attention_causal(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    q, k, v = _elu_plus_one(_wide(x["Q"])), _elu_plus_one(_wide(x["K"])), _wide(x["V"])
    rows = [np.average(v[:, : p + 1], axis=1, weights=q[:, p] @ k[:, : p + 1]) for p in range(q.shape[1])]
    return {"AV": np.stack(rows, axis=1)}


def _strip_gate(strips: Array, x: Arrays, groups: int) -> Array:
    """Depthwise convolution with zero padding along a strip, group normalisation, sigmoid; strips[c,position]."""
    kernel = _wide(x["CW"])
    half = kernel.shape[1] // 2
    padded = np.pad(strips, ((0, 0), (half, half)))
    convolved = np.stack([np.correlate(row, taps, mode="valid") for row, taps in zip(padded, kernel, strict=True)])
    normalised = [(g - g.mean()) / np.sqrt(g.var() + 1e-5) for g in np.split(convolved, groups)]
    return _sigmoid(np.concatenate(normalised) * _wide(x["GA"])[:, None] + _wide(x["BE"])[:, None])


def _ela(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    features = _wide(x["X"])
    rows = _strip_gate(features.mean(axis=2), x, sizes["G"])
    columns = _strip_gate(features.mean(axis=1), x, sizes["G"])
    return {"Y": features * rows[:, :, None] * columns[:, None, :]}


def _agent(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    q, k, v = (_wide(x[name]) for name in "QKV")
    scale = np.sqrt(np.longdouble(q.shape[0]))
    agents = [part.mean(axis=1) for part in np.split(q, sizes["G"], axis=1)]
    gathered = np.stack([v @ _softmax(a @ k / scale + x["B1"][:, g]) for g, a in enumerate(agents)], axis=1)
    rows = [gathered @ _softmax(np.stack(agents) @ row / scale + x["B2"][:, p]) for p, row in enumerate(q.T)]
    return {"O": np.stack(rows, axis=1)}


def _mala(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    q, k, v = _elu_plus_one(_wide(x["Q"])), _elu_plus_one(_wide(x["K"])), _wide(x["V"])
    keys = k.shape[1]
    rows = []
    for query in q.T:
        scores = (query @ k) / np.sqrt(np.longdouble(len(query))) / keys
        weights = (1 + 1 / scores.sum()) * scores - scores.sum() / keys
        assert abs(weights.sum() - 1) < 1e-12
        rows.append(v @ weights)
    return {"O": np.stack(rows, axis=1)}


Update = Callable[[Array, Array, Array, int], Array]


def _memory(x: Arrays, initial: Array, update: Update) -> Arrays:
    """y[t] = W[t] q[t], W[t] = update(W[t-1], its error on token t, key t, t), for keys and queries of length 1."""
    memory, out = initial, []
    for t, (query, key, value) in enumerate(zip(*(_wide(x[name]).T for name in "QKV"), strict=True)):
        key = key / np.linalg.norm(key)
        memory = update(memory, memory @ key - value, key, t)
        out.append(memory @ (query / np.linalg.norm(query)))
    return {"Y": np.stack(out, axis=1)}


def _moneta(x: Arrays, sizes: Mapping[str, int], p: int = 3, q: int = 4) -> Arrays:
    retained, rate = _sigmoid(_wide(x["AL"])), _sigmoid(_wide(x["ET"]))
    dual = _wide(x["A0"])

    def normalised() -> Array:
        return np.asarray(dual / (np.abs(dual) ** q).sum() ** (np.longdouble(q - 2) / q))

    def update(memory: Array, error: Array, key: Array, t: int) -> Array:
        nonlocal dual
        gradient = p * np.outer(np.sign(error) * np.abs(error) ** (p - 1), key)
        dual = retained[t] * dual - rate[t] * gradient
        return normalised()

    return _memory(x, normalised(), update)


def _yaad(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    retained, rate = _sigmoid(_wide(x["AL"])), _sigmoid(_wide(x["ET"]))
    threshold = _softplus(_wide(x["DL"])) * np.sqrt(np.longdouble(sizes["F"]))

    def update(memory: Array, error: Array, key: Array, t: int) -> Array:
        small = np.linalg.norm(error) <= threshold[t]
        gradient = np.outer(error, key) if small else threshold[t] * np.outer(np.sign(error), key)
        return np.asarray(retained[t] * memory - rate[t] * gradient)

    return _memory(x, _wide(x["W0"]), update)


def _memora(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    retained, rate = _sigmoid(_wide(x["AL"])), _sigmoid(_wide(x["ET"]))

    def update(memory: Array, error: Array, key: Array, t: int) -> Array:
        return _softmax(retained[t] * np.log(memory) - rate[t] * np.outer(error, key))

    return _memory(x, _softmax(_wide(x["W0"])), update)


REFERENCES: Mapping[str, Reference] = {
    "em-attention": _em_attention,
    "gaam": _gaam,
    "gaam-streaming": _gaam,
    "lightning": _lightning,
    "lightning-chunked": _lightning,
    "mamba2-ssd": _mamba2,
    "mamba2-ssd-chunked": _mamba2,
    "linear-attention-causal": _linear_attention_causal,
    "linear-attention-causal-streaming": _linear_attention_causal,
    "ela": _ela,
    "agent": _agent,
    "agent-streaming": _agent,
    "mala": _mala,
    "mala-streaming": _mala,
    "miras-moneta": _moneta,
    "miras-yaad": _yaad,
    "miras-memora": _memora,
}
