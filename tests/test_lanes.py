"""Numbers per lane: every operation against Python's own, lane by lane; decisions that differ; batches that split."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusemap.archspec.arithmetic import BINARY, FUNCTIONS, largest_divisor
from fusemap.archspec.batches import FEW, by_value, gathered, lanes_of, rendered, run, take
from fusemap.archspec.decide import as_whole, chosen, everywhere, is_whole, largest, smallest, somewhere, written
from fusemap.archspec.divergence import Divergence, OneByOne, Texts
from fusemap.archspec.document import TextFault
from fusemap.archspec.expressions import parse_expression
from fusemap.archspec.lanes import Lanes
from fusemap.diagnostics import input_error

INTS = st.integers(-(2**70), 2**70) | st.integers(-9, 9) | st.integers(2**53 - 3, 2**53 + 3)
FLOATS = st.floats(-1e18, 1e18) | st.sampled_from([0.0, 0.5, 3.0, 2.0**53, 1e-300])
NUMBERS = st.lists(INTS, min_size=1, max_size=6) | st.lists(FLOATS, min_size=1, max_size=6)
OPERATORS = (
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod),
    *(operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge),
)


def same(lanes: Any, expected: list[Any]) -> bool:
    """Whether the lanes hold exactly these numbers, of the same types (truth values count as ints)."""
    found = [lanes.lane(i) if isinstance(lanes, Lanes) else lanes for i in range(len(expected))]
    alike = [
        isinstance(a, float) == isinstance(b, float) and a == b and math.copysign(1, a) == math.copysign(1, b)
        for a, b in zip(found, expected, strict=True)
    ]
    return all(alike)


def attempt(apply: Callable[..., Any], *operands: Any) -> Any:
    """A result, or the kind of error."""
    try:
        with np.errstate(all="ignore"):
            return apply(*operands)
    except (ArithmeticError, ValueError) as error:
        return type(error)


def check(apply: Callable[..., Any], left: Any, right: Any, pairs: list[tuple[Any, Any]]) -> None:
    """The operation on lanes gives in each lane what Python gives; where that is an error, the lanes diverge."""
    expected = [attempt(apply, a, b) for a, b in pairs]
    try:
        found = attempt(apply, left, right)
    except Divergence as split:
        kinds = {(e if isinstance(e, type) else type(e)) for e in expected}
        assert len(kinds) > 1 and split.mask.any() and not split.mask.all()
        return
    if isinstance(found, type):
        assert set(expected) == {found}
    else:
        assert same(found, expected), (expected, found.values)


@given(NUMBERS, st.data(), st.sampled_from(OPERATORS))
def test_an_operation_on_lanes_is_python_in_each_lane(
    values: list[Any], data: st.DataObject, apply: Callable[..., Any]
) -> None:
    kind = data.draw(st.sampled_from([INTS, FLOATS]))
    others = data.draw(st.lists(kind, min_size=len(values), max_size=len(values)))
    texts = Texts()
    left, right = gathered(values, texts), gathered(others, texts)
    check(apply, left, right, list(zip(values, others, strict=True)))
    check(apply, left, others[0], [(v, others[0]) for v in values])
    check(apply, others[0], left, [(others[0], v) for v in values])


@given(NUMBERS)
def test_rounding_and_signs_are_python_in_each_lane(values: list[Any]) -> None:
    lanes = gathered(values, Texts())
    for apply in (math.floor, math.ceil, math.trunc, abs, operator.neg):
        assert same(apply(lanes), [apply(v) for v in values])
    assert is_whole(lanes) == isinstance(values[0], int)


def test_a_planted_wrap_around_is_found() -> None:
    wrapped = Lanes(np.array([2**62]) * np.array([4]), Texts())
    assert not same(wrapped, [2**64])
    assert same(gathered([2**62], Texts()) * 4, [2**64])
    assert same(gathered([2**62, 1], Texts()) * gathered([4, 0], Texts()), [2**64, 0])


@given(st.lists(st.integers(1, 5000), min_size=2, max_size=8), st.data())
def test_the_largest_divisor_is_that_of_each_lane(numbers: list[int], data: st.DataObject) -> None:
    limits = data.draw(st.lists(st.integers(1, 6000), min_size=len(numbers), max_size=len(numbers)))
    texts = Texts()
    expected = [largest_divisor(n, m) for n, m in zip(numbers, limits, strict=True)]
    assert same(largest_divisor(gathered(numbers, texts), gathered(limits, texts)), expected)
    assert same(largest_divisor(gathered(numbers, texts), 70), [largest_divisor(n, 70) for n in numbers])
    assert same(
        largest_divisor(3600, gathered([float(m) for m in limits], texts)), [largest_divisor(3600, m) for m in limits]
    )


FORMULAS = (
    *("a / b", "a // b + a % b", "largest_divisor(a, b)", "if(a > b, a - b, b / 3)", "min(a, b, 7) * max(a, 2)"),
    *("round(a / b, 3)", "ceil(log2(a)) + b ** 2", "2 ** (a % 5) == b", "floor(a / b) != a / b", "a / (b - 3)"),
)


@given(st.sampled_from(FORMULAS), st.lists(st.tuples(st.integers(1, 99), st.integers(1, 9)), min_size=1, max_size=30))
def test_an_expression_of_a_batch_is_that_of_each_point(text: str, points: list[tuple[int, int]]) -> None:
    expression, texts = parse_expression(text), Texts()
    batch = {name: lanes_of([p[i] for p in points], texts) for i, name in enumerate("ab")}
    seen: list[int] = []
    for group in run(expression.evaluate, batch, np.arange(len(points))):
        for lane, point in enumerate(group.index.tolist()):
            seen.append(point)
            names = dict(zip("ab", points[point], strict=True))
            if group.refusal is None:
                value = group.result
                assert same(value if not isinstance(value, Lanes) else value.lane(lane), [expression.evaluate(names)])
            else:
                with pytest.raises(type(group.refusal)) as refused:
                    expression.evaluate(names)
                assert group.text(str(group.refusal), lane) == str(refused.value)
    assert sorted(seen) == list(range(len(points)))


def test_every_function_of_expressions_takes_lanes() -> None:
    lanes, texts = [6, 8, 12, 20, 35, 60, 77, 96], Texts()
    for name, function in {**BINARY, **FUNCTIONS}.items():
        arguments = [3, 2, 1][: max(1, function.arity.least)][1:]
        if name != "if":
            expected = [function.apply(v, *arguments) for v in lanes]
            try:
                assert same(function.apply(gathered(lanes, texts), *arguments), expected), name
            except Divergence:  # a quotient that is whole in some lanes, log2 of a power of two
                assert len({type(v) for v in expected}) == 2, name


def test_a_decision_that_differs_names_its_lanes() -> None:
    lanes = gathered([1, 5, 2, 7], Texts())
    with pytest.raises(Divergence) as split:
        bool(lanes > 3)
    assert split.value.mask.tolist() == [False, True, False, True]
    assert bool(lanes > 0)
    assert not lanes > 9
    assert (somewhere(lanes > 6), everywhere(lanes > 6), everywhere(lanes > 0)) == (True, False, True)
    assert (somewhere(1), everywhere(0)) == (True, False)


def test_choices_keep_ints_and_floats_apart() -> None:
    texts = Texts()
    a, b = gathered([1, 5, 2**70], texts), gathered([4, 2, 3], texts)
    assert same(largest(a, b, 3), [4, 5, 2**70])
    assert same(smallest(a, b), [1, 2, 3])
    assert same(as_whole(gathered([1.5, -2.5], texts)), [1, -2])
    with pytest.raises(Divergence):
        chosen(a > b, a, 0.5)
    assert same(chosen(a > 0, a, 0.5), [1, 5, 2**70])
    with pytest.raises(Divergence):
        gathered([1, 0.5], texts)


PLAIN = (
    *(int, float, hash, list, operator.index, np.asarray, round, operator.invert),
    *(lambda lanes: divmod(lanes, 2), lambda lanes: lanes**2, lambda lanes: 2**lanes, lambda lanes: 1 << lanes),
    *(lambda lanes: lanes & 1, lambda lanes: 1 | lanes, lambda lanes: 3 in lanes, lambda lanes: range(lanes)),
)


@pytest.mark.parametrize("ask", PLAIN, ids=range(len(PLAIN)))
def test_what_needs_a_plain_number_says_so(ask: Callable[[Any], Any]) -> None:
    with pytest.raises(OneByOne):
        ask(gathered([1, 2], Texts()))


def test_numpy_leaves_lanes_alone() -> None:
    assert same(np.float64(2.0) * gathered([1.5, 2.5], Texts()), [3.0, 5.0])
    assert gathered([1], Texts()) != "1"
    with pytest.raises(TypeError):
        gathered([1], Texts()) + "1"


def test_texts_are_filled_in_for_one_lane() -> None:
    texts = Texts()
    lanes = gathered([1024, 2048], texts)
    text = f"needs {lanes:,} B, {lanes!r} or {lanes}, {written(lambda v: f'<{v}>', lanes)}"
    assert rendered(text, texts, 1) == "needs 2,048 B, 2048 or 2048, <2048>"
    assert written(str, 3) == "3"


def test_by_value_asks_once_for_each_combination() -> None:
    texts, asked = Texts(), []

    def answer(a: int, b: int) -> tuple[tuple[str, int], ...]:
        asked.append((a, b))
        if b == 0:
            raise ValueError(f"no {a}")
        return (("sum", a + b), ("product", a * b))

    found = by_value(answer, gathered([1, 2, 1, 2], texts), 3)
    assert same(found[0][1], [4, 5, 4, 5])
    assert (found[1][0], asked) == ("product", [(1, 3), (2, 3)])
    with pytest.raises(Divergence) as split:
        by_value(answer, gathered([1, 2, 1], texts), gathered([0, 1, 0], texts))
    assert split.value.mask.tolist() in ([True, False, True], [False, True, False])
    with pytest.raises(ValueError, match="no 1"):
        by_value(answer, gathered([1, 1], texts), 0)


def test_forms_that_differ_diverge() -> None:
    with pytest.raises(Divergence):
        by_value(lambda n: ("even",) if n % 2 == 0 else ("odd",), gathered([1, 2], Texts()))
    with pytest.raises(Divergence):
        by_value(lambda n: tuple(range(n)), gathered([1, 2], Texts()))


def classify(point: Mapping[str, Any]) -> Any:
    """A function with decisions, a refusal and a question for plain numbers."""
    if point["n"] % 3 == 0:
        raise input_error(f"{point['n']} is a multiple of 3")
    if point["n"] > 50:
        return int(point["n"]) * 2
    return point["n"] + point["x"] if point["x"] > 0.5 else point["n"]


def test_a_batch_splits_into_groups_that_together_have_every_point_once() -> None:
    texts, n = Texts(), 90
    points = [{"n": i, "x": i / n} for i in range(n)]
    batch = {key: lanes_of([p[key] for p in points], texts) for key in "nx"}
    groups = list(run(classify, batch, np.arange(100, 100 + n)))
    assert sorted(i for g in groups for i in g.index.tolist()) == list(range(100, 100 + n))
    for group in groups:
        for lane, number in enumerate(group.index.tolist()):
            try:
                expected = classify(points[number - 100])
            except Exception as error:
                assert group.text(str(group.refusal), lane) == str(error)
                continue
            value = group.result.lane(lane) if isinstance(group.result, Lanes) else group.result
            assert value == expected
    assert {len(g.index) for g in groups if g.plain} == {1}
    assert sum(g.plain for g in groups) == sum(n > 50 and n % 3 > 0 for n in range(n))


def test_few_points_are_evaluated_with_plain_numbers() -> None:
    seen: list[Any] = []
    batch = {"n": lanes_of(list(range(FEW)), Texts())}
    list(run(lambda point: seen.append(point["n"]), batch, np.arange(FEW)))
    assert sorted(seen) == list(range(FEW))


def test_a_tree_gives_its_lanes() -> None:
    tree = {"a": (gathered([1, 2, 2], Texts()), "text"), "b": [3.5]}
    assert same(take(tree, np.array([0, 1]))["a"][0], [1, 2])
    assert take(tree, np.array([1, 2])) == {"a": (2, "text"), "b": [3.5]}
    assert take(tree, np.array([1]))["b"] is tree["b"]


def test_a_refusal_of_a_function_points_into_the_expression() -> None:
    with pytest.raises(TextFault, match="division by zero"):
        parse_expression("a / 0").evaluate_text({"a": gathered([1, 2], Texts())})
