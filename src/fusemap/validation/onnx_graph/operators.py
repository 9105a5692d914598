"""The operators of ONNX that are one Einsum or a few: what each computes, after the operator's specification.

https://onnx.ai/onnx/operators/ holds the definitions; the reference evaluator of the package onnx executes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from fusemap.validation.onnx_graph.attention import attention
from fusemap.validation.onnx_graph.builder import UnsupportedError
from fusemap.validation.onnx_graph.graph import Extent
from fusemap.validation.onnx_graph.ranks import Axis, Value
from fusemap.validation.onnx_graph.reshape import reshaped, rest_of
from fusemap.validation.onnx_graph.step import Step, one_output, position, turned

MAPS: Mapping[str, str] = MappingProxyType(
    {
        **{"Exp": "exp({})", "Log": "log({})", "Sqrt": "sqrt({})", "Abs": "abs({})", "Relu": "relu({})"},
        **{"Sigmoid": "sigmoid({})", "Tanh": "tanh({})", "Neg": "-{}", "Reciprocal": "recip({})", "Sign": "sign({})"},
        **{"Softplus": "softplus({})", "Floor": "floor({})", "Cos": "cos({})", "Sin": "sin({})"},
        **{"Add": "{} + {}", "Sub": "{} - {}", "Mul": "{} * {}", "Div": "{} / {}", "Pow": "pow({}, {})"},
        **{"Greater": "gt({}, {})", "GreaterOrEqual": "ge({}, {})", "Less": "gt({1}, {0})"},
        **{"LessOrEqual": "ge({1}, {0})", "Equal": "eq({}, {})", "Where": "where({}, {}, {})", "Not": "eq({}, 0)"},
        **{"Swish": "{0} * sigmoid({0})"},
    }
)
FOLDS: Mapping[str, str] = MappingProxyType({"Sum": "({} + {})", "Max": "max({}, {})", "Min": "min({}, {})"})
REDUCTIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "ReduceSum": ("sum", "{}"),
        "ReduceMean": ("sum", "{} / {sizes}"),
        "ReduceMax": ("max", "{}"),
        "ReduceMin": ("min", "{}"),
        "ReduceProd": ("prod", "{}"),
        "ReduceSumSquare": ("sum", "square({})"),
    }
)
VIEWS = ("Identity", "Dropout", "Cast", "Transpose", "Squeeze", "Unsqueeze")


Handler: TypeAlias = Callable[[Step], Value]


def handler_of(operator: str) -> Handler | None:
    """The function that writes an operator's Einsums; None for one that is not supported."""
    if operator in MAPS:
        return _map
    if operator in FOLDS:
        return _fold
    if operator in REDUCTIONS:
        return _reduction
    return _HANDLERS.get(operator)


def _map(step: Step) -> Value:
    operator = step.node.operator
    if operator in ("Div", "Pow", "Reciprocal") and step.wanted in step.graph.integers:
        raise UnsupportedError("integers, whose division rounds")
    form = MAPS[operator]
    if operator == "Swish" and step.attribute("alpha", 1.0) != 1.0:
        form = f"{{0}} * sigmoid({step.attribute('alpha', 1.0)!r} * {{0}})"
    return step.builder.map(step.wanted, form, *(step.value(i) for i in range(len(step.operands))))


def _fold(step: Step) -> Value:
    values = [step.value(place) for place in range(len(step.operands))]
    form = "{}"
    for _ in values[1:]:
        form = FOLDS[step.node.operator].format(form, "{}")
    return step.builder.map(step.wanted, form, *values)


def _reduction(step: Step) -> Value:
    operator, form = REDUCTIONS[step.node.operator]
    value = step.value(0)
    if step.node.operator == "ReduceMean" and step.wanted in step.graph.integers:
        raise UnsupportedError("integers, whose mean rounds")
    keep = bool(step.attribute("keepdims", 1))
    return step.builder.reduce(step.wanted, operator, form, value, step.axes(value, 1), keep=keep)


def _matmul(step: Step) -> Value:
    return step.builder.contract(step.wanted, step.value(0), step.value(1))


def _gemm(step: Step) -> Value:
    left, right = step.value(0), step.value(1)
    left = turned(left, (1, 0)) if step.attribute("transA", 0) else left
    right = turned(right, (1, 0)) if step.attribute("transB", 0) else right
    alpha, beta, added = step.attribute("alpha", 1.0), step.attribute("beta", 1.0), step.optional(2)
    if alpha == 1.0 and added is None:
        return step.builder.contract(step.wanted, left, right)
    product = step.builder.contract(f"{step.wanted}_AB", left, right)
    scaled = "{}" if alpha == 1.0 else f"{alpha!r} * {{}}"
    if added is None:
        return step.builder.map(step.wanted, scaled, product)
    return step.builder.map(step.wanted, f"{scaled} + {'{}' if beta == 1.0 else f'{beta!r} * {{}}'}", product, added)


def _softmax(step: Step) -> Value:
    """exp(x - max) / sum exp(x - max); of LogSoftmax the logarithm."""
    value, build, name = step.value(0), step.builder, step.wanted
    over = {position(step.attribute("axis", -1), len(value.axes))}
    top = build.reduce(f"{name}_GM", "max", "{}", value, over)
    if step.node.operator == "LogSoftmax":
        moved = build.map(f"{name}_SH", "{} - {}", value, top)
        return build.map(name, "{} - log({})", moved, build.reduce(f"{name}_SD", "sum", "exp({})", moved, over))
    numerator = build.map(f"{name}_SN", "exp({} - {})", value, top)
    return build.map(name, "{} / {}", numerator, build.reduce(f"{name}_SD", "sum", "{}", numerator, over))


def _normalization(step: Step) -> Value:
    """(x - mean) / sqrt(var + eps) * scale + bias over the last axes; RMSNormalization takes no mean away."""
    value, build, name = step.value(0), step.builder, step.wanted
    one_output(step)
    over = set(range(position(step.attribute("axis", -1), len(value.axes)), len(value.axes)))
    moved = value
    if step.node.operator == "LayerNormalization":
        mean = build.reduce(f"{name}_MU", "sum", "{} / {sizes}", value, over)
        moved = build.map(f"{name}_C", "{} - {}", value, mean)
    spread = build.reduce(f"{name}_VAR", "sum", "square({}) / {sizes}", moved, over)
    inverse = build.map(f"{name}_R", f"rsqrt({{}} + {step.attribute('epsilon', 1e-5)!r})", spread)
    bias = step.optional(2)
    if bias is None:
        return build.map(name, "{} * {} * {}", moved, inverse, step.value(1))
    return build.map(name, "{} * {} * {} + {}", moved, inverse, step.value(1), bias)


def _gelu(step: Step) -> Value:
    if step.attribute("approximate", "none") != "tanh":
        raise UnsupportedError("the exact form, which needs erf; approximate=tanh is supported")
    form = "0.5 * {0} * (1 + tanh(0.7978845608028654 * ({0} + 0.044715 * {0} * {0} * {0})))"
    return step.builder.map(step.wanted, form, step.value(0))


def _clip(step: Step) -> Value:
    value, low, high = step.value(0), step.optional(1), step.optional(2)
    form, bounds = "{}", [bound for bound in (low, high) if bound is not None]
    form = f"max({form}, {{}})" if low is not None else form
    form = f"min({form}, {{}})" if high is not None else form
    return step.builder.map(step.wanted, form, value, *bounds)


def _view(step: Step) -> Value:
    """The same elements under other axes: no Einsum."""
    value, operator = step.value(0), step.node.operator
    one_output(step)
    if operator == "Cast" and step.wanted in step.graph.integers and not step.keeps_integers():
        raise UnsupportedError("a cast that rounds")
    if operator == "Dropout" and any(step.constant(2) or ()):
        raise UnsupportedError("training_mode, which draws at random")
    if operator == "Transpose":
        order = step.attribute("perm", range(len(value.axes))[::-1])
        return turned(value, [int(place) for place in order])
    if operator == "Squeeze":
        named = step.axes(value, 1) if len(step.node.inputs) > 1 else set(range(len(value.axes)))
        kept = [axis for place, axis in enumerate(value.axes) if place not in named or axis.extent != 1]
        return Value(text=value.text, axes=tuple(kept), own=value.own)
    if operator == "Unsqueeze":
        added = step.constant(1) or []
        count = len(value.axes) + len(added)
        places = {position(axis, count) for axis in added}
        axes = iter(value.axes)
        wide = tuple(Axis(extent=1) if place in places else next(axes) for place in range(count))
        return Value(text=value.text, axes=wide, own=value.own)
    return value


def _reshape(step: Step) -> Value:
    value, asked = step.value(0), [int(extent) for extent in step.constant(1) or []]
    if step.attribute("allowzero", 0) and 0 in asked:
        raise UnsupportedError("an extent of 0")
    if any(extent == 0 and i >= len(value.axes) for i, extent in enumerate(asked)):
        raise UnsupportedError(f"the shape {asked} of a tensor with {len(value.axes)} axes")
    extents: list[Extent] = [value.axes[i].extent if extent == 0 else extent for i, extent in enumerate(asked)]
    if -1 in extents:
        rest = rest_of([axis.extent for axis in value.axes], [extent for extent in extents if extent != -1])
        extents[extents.index(-1)] = rest
    return reshaped(step.builder, step.wanted, value, extents)


def _einsum(step: Step) -> Value:
    """A product summed over the letters that are not on the right of the arrow."""
    left, arrow, right = str(step.attribute("equation", "")).replace(" ", "").partition("->")
    terms = left.split(",")
    plain = all(term.isalpha() or not term for term in (*terms, right))
    if not arrow or not plain or any(len(set(term)) < len(term) for term in (*terms, right)):
        raise UnsupportedError("an equation other than letters, each once in a term, and ->")
    values = [step.value(place) for place in range(len(step.operands))]
    if [len(term) for term in terms] != [len(value.axes) for value in values] or not set(right) <= set(left):
        raise UnsupportedError("an equation that does not fit its operands")
    return step.builder.einsum(step.wanted, terms, right, values)


_HANDLERS: Mapping[str, Handler] = MappingProxyType(
    {
        "MatMul": _matmul,
        "Gemm": _gemm,
        "Softmax": _softmax,
        "LogSoftmax": _softmax,
        "LayerNormalization": _normalization,
        "RMSNormalization": _normalization,
        "Gelu": _gelu,
        "Clip": _clip,
        "Reshape": _reshape,
        "Attention": attention,
        "Einsum": _einsum,
        **dict.fromkeys(VIEWS, _view),
    }
)
SUPPORTED = tuple(sorted((*MAPS, *FOLDS, *REDUCTIONS, *_HANDLERS, "Constant")))
