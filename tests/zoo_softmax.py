"""Softmax attentions of published papers in extended precision, query by query, without the cascades under test.

`REFERENCES` gives for every cascade a function from inputs by name and sizes by shape name to its outputs; NaN stands
for an element that is absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = Mapping[str, Any]
Sizes = Mapping[str, int]
Reference = Callable[[Arrays, Sizes], Mapping[str, Any]]
Seen = Callable[[int, int], bool]


def _wide(x: Arrays, *names: str) -> list[Array]:
    return [np.asarray(x[n], dtype=np.longdouble) for n in names]


def _softmax(logits: Iterable[Any]) -> Array:
    values = np.asarray(list(logits), dtype=np.longdouble)
    weights = np.exp(values - values.max())
    return np.asarray(weights / weights.sum())


def _everything(m: int, p: int) -> bool:
    return True


def _causal(m: int, p: int) -> bool:
    return m <= p


def _weights(q: Array, k: Array, seen: Seen) -> Array:
    """A[m,p]: the softmax over the keys m that p sees of q[:,p].k[:,m], and 0 elsewhere."""
    weights = np.zeros((k.shape[1], q.shape[1]), dtype=np.longdouble)
    for p in range(q.shape[1]):
        keys = [m for m in range(k.shape[1]) if seen(m, p)]
        weights[keys, p] = _softmax(q[:, p] @ k[:, m] for m in keys)
    return weights


def _attend(q: Array, k: Array, v: Array, seen: Seen) -> Array:
    """AV[f,p] = sum over m of A[m,p] v[f,m]."""
    return np.asarray(v @ _weights(q, k, seen))


def _heads(q: Array, k: Array, v: Array, seen: Callable[[int], Seen]) -> Array:
    """`_attend` for every head, the last rank of each tensor."""
    return np.stack([_attend(q[..., h], k[..., h], v[..., h], seen(h)) for h in range(q.shape[-1])], axis=-1)


def _plain(x: Arrays, sizes: Sizes) -> Arrays:
    return {"AV": _attend(*_wide(x, "Q", "K", "V"), _everything)}


def _mqa(x: Arrays, sizes: Sizes) -> Arrays:
    """Every head attends to the same keys and values."""
    q, k, v = _wide(x, "Q", "K", "V")
    return {"AV": np.stack([_attend(q[..., h], k, v, _everything) for h in range(q.shape[-1])], axis=-1)}


def _sqa(x: Arrays, sizes: Sizes) -> Arrays:
    """Heads repeat keys and values of their group; their outputs are concatenated and projected."""
    q, k, v, wo = _wide(x, "Q", "K", "V", "WO")
    group = q.shape[-1] // k.shape[-1]
    out = _heads(q, np.repeat(k, group, axis=-1), np.repeat(v, group, axis=-1), lambda h: _everything)
    joined = np.concatenate([out[..., h] for h in range(out.shape[-1])])
    return {"Y": np.concatenate([wo[..., h] for h in range(wo.shape[-1])], axis=1) @ joined}


def _isotropic3d(x: Arrays, sizes: Sizes) -> Arrays:
    """The views of an object are one sequence."""
    q, k, v = (np.concatenate([view for view in a.swapaxes(0, 1)], axis=1) for a in _wide(x, "Q", "K", "V"))
    return {"AV": _attend(q, k, v, _everything)}


def _mla(x: Arrays, sizes: Sizes) -> Arrays:
    """Per head, query and key are content and rotated part one after the other; keys and values expand the latent."""
    q, qr, c, kr, uk, uv = _wide(x, "Q", "QR", "C", "KR", "UK", "UV")
    out = []
    for h in range(q.shape[-1]):
        query = np.concatenate([q[..., h], qr[..., h]])
        key = np.concatenate([uk[..., h] @ c, kr])
        out.append(_attend(query, key, uv[..., h] @ c, _everything))
    return {"AV": np.stack(out, axis=-1)}


def _attention_sinks(x: Arrays, sizes: Sizes) -> Arrays:
    """Of the keys up to p: the first NS and the latest W."""
    return {"AV": _attend(*_wide(x, "Q", "K", "V"), lambda m, p: m <= p and (m < sizes["NS"] or p - m < sizes["W"]))}


def _sink_logit(x: Arrays, sizes: Sizes) -> Arrays:
    """The softmax over the seen keys and a sink, whose weight is dropped."""
    q, k, v, sinks = _wide(x, "Q", "K", "V", "SK")
    out = np.zeros((v.shape[0], *q.shape[1:]), dtype=np.longdouble)
    for h, sink in enumerate(sinks):
        for p in range(q.shape[1]):
            keys = range(min(p + 1, k.shape[1]))
            weights = _softmax([*(q[:, p, h] @ k[:, m, h] for m in keys), sink])[:-1]
            out[:, p, h] = sum(w * v[:, m, h] for w, m in zip(weights, keys, strict=True))
    return {"AV": out}


def _aki(x: Arrays, sizes: Sizes) -> Arrays:
    """Causal, and image tokens (the first NI) see all text."""
    image = sizes["NI"]
    return {"AV": _attend(*_wide(x, "Q", "K", "V"), lambda m, p: m <= p or (p < image <= m))}


def _saisa(x: Arrays, sizes: Sizes) -> Arrays:
    """Text query p stands behind NV visual tokens and p texts."""
    visual = sizes["NV"]
    return {"AV": _attend(*_wide(x, "Q", "K", "V"), lambda m, p: m < visual or m - visual <= p)}


def _moa(x: Arrays, sizes: Sizes) -> Arrays:
    """Head h of H sees the first NS keys and the latest (h+1)/H of all."""
    q, k, v = _wide(x, "Q", "K", "V")
    queries, heads = q.shape[1:]

    def seen(h: int) -> Seen:
        return lambda m, p: m <= p and (m < sizes["NS"] or (p - m) * heads < (h + 1) * queries)

    return {"AV": _heads(q, k, v, seen)}


def _convolved(x: Array, taps: Array) -> Array:
    """Each feature filtered along the sequence, tap s reaching s tokens back."""
    return np.stack([np.convolve(row, filter_)[: x.shape[1]] for row, filter_ in zip(x, taps, strict=True)])


def _rcmha(x: Arrays, sizes: Sizes) -> Arrays:
    """Scores of Transformer-XL on convolved queries and keys."""
    q, k, v = (_convolved(*_wide(x, name, f"W{name}")) for name in "QKV")
    r, u, w = _wide(x, "R", "BC", "BR")
    out = []
    for p in range(q.shape[1]):
        keys = range(min(p + 1, k.shape[1]))
        weights = _softmax((q[:, p] + u) @ k[:, m] + (q[:, p] + w) @ r[:, p - m] for m in keys)
        out.append(sum(a * v[:, m] for a, m in zip(weights, keys, strict=True)))
    return {"AV": np.stack(out, axis=1)}


def _waad(x: Arrays, sizes: Sizes) -> Arrays:
    q, k, v = _wide(x, "Q", "K", "V")
    weights = _weights(q, k, _causal)
    distances = [sum(weights[m, p] * min(p - m, sizes["W"]) for m in range(p + 1)) for p in range(q.shape[1])]
    return {"AV": v @ weights, "WAAD": np.array(distances)}


def _fai(x: Arrays, sizes: Sizes) -> Arrays:
    weights = _weights(*_wide(x, "Q", "K"), _causal)
    after = [weights[m, m + 1 :] for m in range(weights.shape[0])]
    return {"FAI": np.array([row.mean() if row.size else np.longdouble("nan") for row in after])}


def _gated(x: Arrays) -> tuple[Array, Array]:
    """Instances X and hidden features tanh(V X) * sigmoid(U X)."""
    items, wv, wu = _wide(x, "X", "WV", "WU")
    return items, np.tanh(wv @ items) / (1 + np.exp(-(wu @ items)))


def _aem(x: Arrays, sizes: Sizes) -> Arrays:
    items, hidden = _gated(x)
    weights = _softmax(_wide(x, "WS")[0] @ hidden)
    entropy = -sum(w * np.log(w) for w in weights if w > 0)
    return {"Z": items @ weights, "NE": -entropy}


def _acmil(x: Arrays, sizes: Sizes) -> Arrays:
    items, hidden = _gated(x)
    weights = np.stack([_softmax(row @ hidden) for row in _wide(x, "WS")[0]])
    return {"Z": weights @ items.T, "ZB": items @ weights.mean(axis=0)}


def _acmil_stkim(x: Arrays, sizes: Sizes) -> Arrays:
    """Of the J instances of largest score, those with the U largest random numbers are left out."""
    items, hidden = _gated(x)
    weights = np.zeros((x["WS"].shape[0], items.shape[1]), dtype=np.longdouble)
    for branch, (row, chance) in enumerate(zip(_wide(x, "WS")[0], x["R"], strict=True)):
        scores = row @ hidden
        top = np.argsort(-scores, kind="stable")[: sizes["J"]]
        places = np.argsort(-chance[: top.size], kind="stable")[: sizes["U"]]
        kept = np.setdiff1d(np.arange(scores.size), top[places])
        weights[branch, kept] = _softmax(scores[kept])
    return {"Z": weights @ items.T, "ZB": items @ weights.mean(axis=0)}


def _redistributed(weights: Array, sinks: list[int], others: list[int], share: Any, ratio: Any) -> Array:
    """The weights of a query and head after `share` of those on visual sinks went to the other visual tokens."""
    taken, given = weights[sinks].sum(), weights[others].sum()
    if given / (taken + given) < ratio:
        return weights
    changed = weights.copy()
    changed[sinks] = (1 - share) * weights[sinks]
    if given:
        changed[others] += share * taken * weights[others] / given
    return changed


def _var(x: Arrays, sizes: Sizes) -> Arrays:
    """Text query p stands behind NV visual tokens, of which those with PHI >= TA are sinks."""
    q, k, v = _wide(x, "Q", "K", "V")
    visual = range(min(sizes["NV"], k.shape[1]))
    sinks = [m for m in visual if x["PHI"][m] >= x["TA"]]
    others = [m for m in visual if m not in sinks]
    out = []
    for h in range(q.shape[-1]):
        weights = _weights(q[..., h], k[..., h], lambda m, p: m - sizes["NV"] <= p)
        changed = [_redistributed(column, sinks, others, x["PF"], x["RH"]) for column in weights.T]
        out.append(v[..., h] @ np.stack(changed, axis=1))
    return {"AV": np.stack(out, axis=-1)}


def _head_gates(x: Arrays, sizes: Sizes, token: Array) -> Array:
    """The weight of every head for a token: HS shared heads, and the chosen J of the others, in two balanced kinds."""
    wr, ws, wa, wb = _wide(x, "WR", "WS", "WA", "WB")
    heads, shared = wr.shape[1], min(sizes["HS"], wr.shape[1])
    balance = 2 * _softmax([wa @ token, wb @ token])
    gates = np.zeros(heads, dtype=np.longdouble)
    gates[:shared] = balance[0] * sizes["HS"] * _softmax(ws[:, h] @ token for h in range(shared))
    if shared < heads:
        routed = _softmax(wr[:, h] @ token for h in range(shared, heads))
        chosen = np.argsort(-routed, kind="stable")[: sizes["J"]]
        gates[shared + chosen] = balance[1] * sizes["J"] * routed[chosen] / routed[chosen].sum()
    return gates


def _moh(x: Arrays, sizes: Sizes) -> Arrays:
    q, k, v, tokens, wo = _wide(x, "Q", "K", "V", "X", "WO")
    out = _heads(q, k, v, lambda h: _everything)
    columns = []
    for p in range(q.shape[1]):
        gates = _head_gates(x, sizes, tokens[:, p])
        columns.append(sum(gate * wo[..., h] @ out[:, p, h] for h, gate in enumerate(gates)))
    return {"Y": np.stack(columns, axis=1)}


_BOTH: Mapping[str, Reference] = {
    "acmil": _acmil,
    "acmil-stkim": _acmil_stkim,
    "aem": _aem,
    "aki": _aki,
    "attention-sink-logit": _sink_logit,
    "attention-sinks": _attention_sinks,
    "fai": _fai,
    "isotropic3d": _isotropic3d,
    "mla": _mla,
    "mla-absorbed": _mla,
    "moa": _moa,
    "moh": _moh,
    "mqa": _mqa,
    "rcmha": _rcmha,
    "saisa": _saisa,
    "sqa": _sqa,
    "var": _var,
    "waad": _waad,
}
REFERENCES: Mapping[str, Reference] = {
    **_BOTH,
    **{f"{name}-streaming": reference for name, reference in _BOTH.items()},
    "attention-flash-1": _plain,
}

# Inputs that are thresholds: with these, some tokens, heads and queries are on either side.
GIVEN: Mapping[str, Mapping[str, float]] = {name: {"TA": 0.0, "RH": 0.5} for name in ("var", "var-streaming")}
