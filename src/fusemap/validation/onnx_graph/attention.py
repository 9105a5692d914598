"""ONNX's Attention operator: heads at axis 1, groups of heads that share keys, masks that are added or choose."""

from __future__ import annotations

from fusemap.validation.onnx_graph.builder import UnsupportedError, literal
from fusemap.validation.onnx_graph.ranks import Value
from fusemap.validation.onnx_graph.reshape import reshaped
from fusemap.validation.onnx_graph.step import Step, one_output, turned

_TAKEN = {"softcap", "scale", "is_causal", "q_num_heads", "kv_num_heads", "softmax_precision"}
_OFF = {"qk_matmul_output_mode": 0, "left_window_size": -1, "right_window_size": -1}


def attention(step: Step) -> Value:
    """softmax(scale * Q K^T + mask) V. A mask of booleans and is_causal leave elements out; they are absent then.

    With three axes the heads are cut out of the last one, and joined again in the result.
    """
    _check(step)
    build, name = step.builder, step.wanted
    queries, keys, values = (_with_heads(step, place) for place in range(3))
    heads = queries.axes[1].extent
    keys, values = (_shared(step, value, heads, f"{name}_{what}") for value, what in ((keys, "K"), (values, "V")))
    channels = queries.axes[3].extent
    scale = step.attribute("scale", None)
    if scale is None and not isinstance(channels, int):
        raise UnsupportedError("no scale, and an unknown number of channels")
    product = build.contract(f"{name}_QK", queries, turned(keys, (0, 1, 3, 2)))
    factor = float(scale) if scale is not None else 1 / float(channels) ** 0.5
    causal = (3, 2) if step.attribute("is_causal", 0) else None
    cap, mask = float(step.attribute("softcap", 0.0)), step.optional(3)
    form = "{} * {}" if not cap else f"tanh({{}} * {{}} / {cap!r}) * {cap!r}"
    if mask is None:
        scores = build.map(f"{name}_S", form, product, literal(factor), not_above=causal)
    else:  # the filter stands where the mask is added: a sum skips what is absent in one operand alone
        kind = "only({}, {})" if step.node.inputs[3] in step.graph.integers else "{} + {}"
        scaled = build.map(f"{name}_S", form, product, literal(factor))
        scores = build.map(f"{name}_MS", kind, scaled, mask, not_above=causal)
    top = build.reduce(f"{name}_GM", "max", "{}", scores, {3})
    numerator = build.map(f"{name}_SN", "exp({} - {})", scores, top)
    weights = build.map(f"{name}_A", "{} / {}", numerator, build.reduce(f"{name}_SD", "sum", "{}", numerator, {3}))
    if len(step.value(0).axes) == 4:
        return build.contract(name, weights, values)
    result = turned(build.contract(f"{name}_AV", weights, values), (0, 2, 1, 3))
    batch, positions, count, width = (axis.extent for axis in result.axes)
    if not isinstance(count, int) or not isinstance(width, int):
        raise UnsupportedError("an unknown number of channels")
    return reshaped(build, name, result, (batch, positions, count * width))


def _with_heads(step: Step, place: int) -> Value:
    """An operand with heads at axis 1."""
    value = step.value(place)
    if len(value.axes) == 4:
        return value
    heads, channels = step.attribute("kv_num_heads" if place else "q_num_heads", 0), value.axes[-1].extent
    if len(value.axes) != 3 or heads < 1 or not isinstance(channels, int) or channels % heads:
        raise UnsupportedError(f"{heads} heads in {len(value.axes)} axes, the last of extent {channels}")
    batch, positions = value.axes[0].extent, value.axes[1].extent
    extents = (batch, positions, heads, channels // heads)
    return turned(reshaped(step.builder, f"{step.wanted}_{'QKV'[place]}", value, extents), (0, 2, 1, 3))


def _check(step: Step) -> None:
    one_output(step)
    if any(step.optional(place) is not None for place in range(4, len(step.operands))):
        raise UnsupportedError("past keys or a number of keys; masks are supported")
    for name, value in step.node.attributes.items():
        if name not in _TAKEN and value != _OFF.get(name):
            raise UnsupportedError(f"the attribute {name}")


def _shared(step: Step, value: Value, heads: object, wanted: str) -> Value:
    """Keys or values as every head of the queries reads them: head h those of group h // G."""
    own = value.axes[1].extent
    if own == heads or own == 1:
        return value
    if not isinstance(own, int) or not isinstance(heads, int) or heads % own:
        raise UnsupportedError(f"{heads} heads of queries and {own} of keys")
    return step.builder.repeat(wanted, value, 1, heads // own)
