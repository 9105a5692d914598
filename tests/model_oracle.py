"""A decoder counted by hand, layer by layer and token by token, from its configuration alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Counted:
    """Multiply-accumulates by kind of layer, words of the caches, and weights without norms and biases."""

    macs: Mapping[str, int]
    cache_words: int
    matrices: int


def count(config: Mapping[str, Any], *, sequences: int, tokens: int, cached: int, sparse: list[bool]) -> Counted:
    """The decoder at `tokens` query positions of each sequence that see `cached` ones; `sparse` layers have experts."""
    width, heads, inner = config["hidden_size"], config["num_attention_heads"], config["intermediate_size"]
    groups = config.get("num_key_value_heads", heads)
    features = config.get("head_dim") or width // heads
    kinds = config.get("layer_types") or ["full_attention"] * config["num_hidden_layers"]
    rows = sequences * tokens
    macs = {"full attention": 0, "sliding attention": 0, "dense feed-forward": 0, "mixture of experts": 0}
    cache = matrices = 0
    for kind, experts in zip(kinds, sparse, strict=True):
        name = "sliding attention" if kind == "sliding_attention" else "full attention"
        window = config["sliding_window"] if name == "sliding attention" else cached
        products = [(width, heads * features), (width, groups * features), (width, groups * features)]
        products.append((heads * features, width))
        macs[name] += sum(rows * a * b for a, b in products)
        matrices += sum(a * b for a, b in products)
        macs[name] += sum(2 * features * heads * seen for seen in _pairs(sequences, tokens, cached, window))
        cache += 2 * groups * features * min(cached, window) * sequences
        if experts:
            chosen, routed, small = (config[k] for k in ("num_experts_per_tok", "num_experts", "moe_intermediate_size"))
            reached = min(routed, rows * chosen)
            each = -(-rows * chosen // reached)  # tokens of the experts with most
            macs["mixture of experts"] += rows * width * routed + 3 * reached * each * width * small
            matrices += width * routed + 3 * routed * width * small
        else:
            macs["dense feed-forward"] += 3 * rows * width * inner
            matrices += 3 * width * inner
    macs["logits"] = sequences * width * config["vocab_size"]
    matrices += width * config["vocab_size"]
    return Counted(macs={k: n for k, n in macs.items() if n}, cache_words=cache, matrices=matrices)


def _pairs(sequences: int, tokens: int, cached: int, window: int) -> Iterator[int]:
    """Pairs of a query and a position that are computed: all, or those that a run of queries up to a window reads."""
    if window >= cached and tokens <= window:
        yield sequences * tokens * cached
        return
    run = min(tokens, window)
    seen = min(cached, window + (run if run > 1 else 0))
    for _ in range(sequences * -(-tokens // run)):
        yield run * seen
