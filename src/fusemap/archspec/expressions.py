"""A small arithmetic language for sizes that follow from other sizes, parsed here (nothing is executed as code).

Integers are exact; `/` gives an integer when it divides exactly, else a float; a comparison gives 1 or
0; `if(cond, a, b)` evaluates only the branch it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from fusemap.archspec.arithmetic import BINARY, FUNCTIONS, Function, Operation, Value, checked
from fusemap.archspec.document import Place, TextFault, text_place
from fusemap.archspec.syntax import COMPARISONS, Call, Name, Node, Number, parse_tree
from fusemap.diagnostics import did_you_mean

_PRECEDENCE = {**dict.fromkeys(COMPARISONS, 1), "+": 2, "-": 2, "*": 3, "/": 3, "//": 3, "%": 3, "**": 5}
_NEGATION = 4


class NoValueError(KeyError):
    """Raised by a mapping of names for one that could have a value and has none; `reason` says why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A parsed expression; equal to another one with the same tree, wherever it stands.

    >>> e = parse_expression("largest_divisor(P, 2 * pe) // pe")
    >>> e.evaluate({"P": 1024, "pe": 100}), sorted(e.names()), str(e)
    (1, ['P', 'pe'], 'largest_divisor(P, 2 * pe) // pe')
    """

    tree: Node
    text: str = field(compare=False, repr=False)
    place: Place = field(compare=False, repr=False)
    operation: Operation = field(compare=False, repr=False)

    def names(self) -> frozenset[str]:
        """The names that `evaluate` must be given (both branches of an `if` count)."""
        return frozenset(node.name for node in _walk(self.tree) if isinstance(node, Name))

    def at(self, place: Place) -> Expression:
        """The same expression, whose errors point at another place."""
        return replace(self, place=place)

    def evaluate(self, names: Mapping[str, Value]) -> Value:
        """The value, finite, under the given names; InputError points into the expression.

        Errors: an unknown name, division by zero, a result that is not a finite real number,
        `largest_divisor` with a limit below 1 (nothing fits).
        """
        try:
            return self.operation(names)
        except TextFault as fault:
            raise fault.at(self.place) from None

    def evaluate_text(self, names: Mapping[str, Value]) -> Value:
        """As `evaluate`, but raises the bare TextFault, for a caller that places the text itself."""
        return self.operation(names)

    def __str__(self) -> str:
        return _format(self.tree)[0]

    def __reduce__(self) -> tuple[Callable[[str, Place], Expression], tuple[str, Place]]:
        """Pickled as its text, because the operation is a closure."""
        return parse_text, (self.text, self.place)


def parse_expression(text: str, *, place: Place | None = None) -> Expression:
    """Parse the text of an expression that stands at `place`; InputError points into it.

    >>> parse_expression("if(P > 4, P / 3, 2 ** 10)").evaluate({"P": 3})
    1024
    """
    place = place or text_place(text, "<expression>")
    try:
        return parse_text(text, place)
    except TextFault as fault:
        raise fault.at(place) from None


def parse_text(text: str, place: Place | None = None) -> Expression:
    """As `parse_expression`, but raises the bare TextFault."""
    tree = parse_tree(text)
    place = place or text_place(text, "<expression>")
    return Expression(tree=tree, text=text, place=place, operation=_compile(tree))


def constant(value: Value, place: Place | None = None) -> Expression:
    """The expression of one number (negative ones are a negation, as when parsed)."""
    return parse_text(repr(value), place)


def _compile(node: Node) -> Operation:
    """A closure that computes the node from the names; faults carry the node's offset."""
    if isinstance(node, Number):
        value = node.value
        return lambda names: value
    if isinstance(node, Name):
        return _compile_name(node)
    operands = tuple(_compile(operand) for operand in node.operands)
    if node.function == "if":
        condition, first, second = operands
        return lambda names: first(names) if condition(names) else second(names)
    function: Function = BINARY[node.function] if node.function in BINARY else FUNCTIONS[node.function]
    length = len(node.function) if node.function != "neg" else 1
    return checked(function.apply, operands, node.offset, length)


def _compile_name(node: Name) -> Operation:
    name, offset = node.name, node.offset

    def lookup(names: Mapping[str, Value]) -> Value:
        try:
            return names[name]
        except KeyError as error:
            hint = error.reason if isinstance(error, NoValueError) else did_you_mean(name, sorted(names))
            raise TextFault(f'unknown name "{name}"', offset=offset, length=len(name), hint=hint) from None

    return lookup


def _walk(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, Call):
        for operand in node.operands:
            yield from _walk(operand)


def _format(node: Node) -> tuple[str, int]:
    """The text of a node and how tightly it binds (6: never needs parentheses)."""
    if isinstance(node, Number):
        return repr(node.value), 6
    if isinstance(node, Name):
        return node.name, 6
    if node.function == "neg":
        return f"-{_inside(node.operands[0], _NEGATION)}", _NEGATION
    if node.function not in _PRECEDENCE:
        return f"{node.function}({', '.join(_format(operand)[0] for operand in node.operands)})", 6
    level = _PRECEDENCE[node.function]
    left, right = level, level + 1
    if node.function == "**":
        left, right = 6, _NEGATION
    elif node.function in COMPARISONS:
        left = level + 1
    return f"{_inside(node.operands[0], left)} {node.function} {_inside(node.operands[1], right)}", level


def _inside(node: Node, least: int) -> str:
    text, level = _format(node)
    return text if level >= least else f"({text})"
