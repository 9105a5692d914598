"""ONNX's Attention operator: heads at axis 1, groups of heads that share keys, masks that are added or choose."""

from __future__ import annotations

from fusemap.validation.onnx_graph.builder import UnsupportedError, literal
from fusemap.validation.onnx_graph.ranks import Value
from fusemap.validation.onnx_graph.step import Step, one_output, turned

_TAKEN = {"scale", "is_causal", "q_num_heads", "kv_num_heads", "softmax_precision"}
_OFF = {"softcap": 0.0, "qk_matmul_output_mode": 0, "left_window_size": -1, "right_window_size": -1}


def attention(step: Step) -> Value:
    """softmax(scale * Q K^T + mask) V. A mask of booleans and is_causal leave elements out; they are absent then."""
    _check(step)
    build, name = step.builder, step.wanted
    queries, keys, values = (step.value(place) for place in range(3))
    heads = queries.axes[1].extent
    keys, values = (_shared(step, value, heads, f"{name}_{what}") for value, what in ((keys, "K"), (values, "V")))
    channels = queries.axes[3].extent
    scale = step.attribute("scale", None)
    if scale is None and not isinstance(channels, int):
        raise UnsupportedError("no scale, and an unknown number of channels")
    product = build.contract(f"{name}_QK", queries, turned(keys, (0, 1, 3, 2)))
    factor = float(scale) if scale is not None else 1 / float(channels) ** 0.5
    causal = (3, 2) if step.attribute("is_causal", 0) else None
    scores = build.map(f"{name}_S", "{} * {}", product, literal(factor), not_above=causal)
    mask = step.optional(3)
    if mask is not None:
        kind = "only({}, {})" if step.node.inputs[3] in step.graph.integers else "{} + {}"
        scores = build.map(f"{name}_MS", kind, scores, mask)
    top = build.reduce(f"{name}_GM", "max", "{}", scores, {3})
    numerator = build.map(f"{name}_SN", "exp({} - {})", scores, top)
    weights = build.map(f"{name}_A", "{} / {}", numerator, build.reduce(f"{name}_SD", "sum", "{}", numerator, {3}))
    return build.contract(name, weights, values)


def _check(step: Step) -> None:
    one_output(step)
    if any(step.optional(place) is not None for place in range(4, len(step.operands))):
        raise UnsupportedError("past keys or a number of keys; masks are supported")
    for name, value in step.node.attributes.items():
        if name not in _TAKEN and value != _OFF.get(name):
            raise UnsupportedError(f"the attribute {name}")
    if any(len(step.value(place).axes) != 4 for place in range(3)):
        raise UnsupportedError("three axes; four are supported: batch, heads, positions, channels")


def _shared(step: Step, value: Value, heads: object, wanted: str) -> Value:
    """Keys or values as every head of the queries reads them: head h those of group h // G."""
    own = value.axes[1].extent
    if own == heads or own == 1:
        return value
    if not isinstance(own, int) or not isinstance(heads, int) or heads % own:
        raise UnsupportedError(f"{heads} heads of queries and {own} of keys")
    return step.builder.repeat(wanted, value, 1, heads // own)
