"""Random small cascades as text, for properties of the interpreter and the counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

INPUTS = {"A": ("I", "J"), "B": ("J", "K"), "C": ("I",), "D": ("I", "J", "K")}
BINARY = ("{} + {}", "{} - {}", "{} * {}", "max({}, {})", "min({}, {})", "({} + {}) * 2")
UNARY = ("-{}", "abs({})", "relu({})", "({} + val({v}))", "{} * size(J)")
FILTERS = ("{a} <= {b}", "{a} < {b}", "{a} >= {b}", "{a} == {b}", "{b}-2 < {a} <= {b}", "{a}+{b} < 4", "{a} > 0")


@dataclass(frozen=True, slots=True)
class Program:
    """A cascade's text and the sizes of its shapes."""

    text: str
    sizes: dict[str, int]


@st.composite
def programs(draw: st.DrawFn, most: int = 4) -> Program:
    """Einsums over three ranks, filtered or not, some over a split rank and some along an iterative one."""
    sizes = {"I": draw(st.sampled_from((4, 2, 6))), "J": draw(st.integers(1, 4)), "K": draw(st.integers(1, 4))}
    tensors = dict(INPUTS)
    lines: list[str] = []
    for n in range(draw(st.integers(1, most))):
        lines += draw(st.sampled_from((_plain, _plain, _split, _running, _coupled)))(draw, f"T{n}", tensors)
    heads = ["shape I = I1*I0", "input A[i,j], B[j,k], C[i], D[i,j,k]"]
    heads += ["stop: t >= I"] if any("[t" in line for line in lines) else []
    return Program("\n".join([*heads, *lines]), {**sizes, "I0": 2})


def _plain(draw: st.DrawFn, name: str, tensors: dict[str, tuple[str, ...]]) -> list[str]:
    """Y[...] = reduce[...] of an expression, with a filter somewhere."""
    expr, used = _expression(draw, tensors, lambda rank: rank.lower())
    kept = draw(st.lists(st.sampled_from(used), unique=True))
    tensors[name] = tuple(v.upper() for v in kept)
    return [_statement(draw, name, kept, used, expr)]


def _split(draw: st.DrawFn, name: str, tensors: dict[str, tuple[str, ...]]) -> list[str]:
    """The same with I split into I1 and I0, reduced over at least one of the two."""
    expr, used = _expression(draw, tensors, lambda rank: "i1*I0+i0" if rank == "I" else rank.lower())
    flat = [v for u in used for v in (("i1", "i0") if u == "i" else (u,))]
    kept = [v for v in draw(st.lists(st.sampled_from(flat), unique=True)) if v not in ("i1", "i0")]
    tensors[name] = tuple(v.upper() for v in kept)
    return [_statement(draw, name, kept, flat, expr)]


def _running(draw: st.DrawFn, name: str, tensors: dict[str, tuple[str, ...]]) -> list[str]:
    """R[t+1] = R[t] op X[t], and the last one of it."""
    sources = [t for t, ranks in tensors.items() if ranks.count("I") == 1]
    source = draw(st.sampled_from(sources))
    others = [r.lower() for r in tensors[source] if r != "I"]
    here = ",".join("t" if r == "I" else r.lower() for r in tensors[source])
    ranks = "".join(f",{v}" for v in others)
    step = draw(st.sampled_from(BINARY[:5])).format(f"R{name}[t{ranks}]", f"{source}[{here}]")
    where = draw(st.sampled_from(("", " for t > 0", " for t <= 2")))
    tensors[name] = tuple(r for r in tensors[source] if r != "I")
    last = f"{name}[{','.join(others)}]" if others else name
    start = draw(st.sampled_from(("0", "1", "-inf") if "max" in step else ("0", "1")))
    return [f"init: R{name}[0{ranks}] = {start}", f"R{name}[t+1{ranks}] = {step}{where}", f"{last} = R{name}[I{ranks}]"]


def _coupled(draw: st.DrawFn, name: str, tensors: dict[str, tuple[str, ...]]) -> list[str]:
    """Two tensors along t that need each other, near or far; many such are cycles and are refused."""
    lines: list[str] = []
    for mine, other in ((f"P{name}", f"Q{name}"), (f"Q{name}", f"P{name}")):
        ahead, across = draw(st.integers(0, 2)), draw(st.integers(-1, 2))
        lines += [f"init: {mine}[{n}] = {n + 1}" for n in range(ahead)]
        own = f" - {mine}[t{ahead - 1:+d}]" if ahead and draw(st.booleans()) else ""
        where = f" for 0 <= t{across:+d} < {draw(st.integers(1, 4))}"
        lines.append(f"{mine}[t{ahead:+d}] = {other}[t{across:+d}] + C[t]{own}{where}")
    tensors[name] = ()
    return [*lines, f"{name} = sum[i] P{name}[i] * 2"]


def _expression(
    draw: st.DrawFn, tensors: dict[str, tuple[str, ...]], index: Callable[[str], str]
) -> tuple[str, list[str]]:
    count = draw(st.integers(1, 3))
    names = [draw(st.sampled_from(sorted(tensors))) for _ in range(count)]
    operands = [f"{n}[{','.join(index(r) for r in tensors[n])}]" if tensors[n] else n for n in names]
    used = list(dict.fromkeys(r.lower() for n in names for r in tensors[n])) or ["j"]
    expr = operands[0] if any(tensors[n] for n in names) else f"{operands[0]} + C[j-j]*0 + val(j)"
    for operand in operands[1:]:
        expr = draw(st.sampled_from(BINARY)).format(f"({expr})" if "+" in expr or "-" in expr else expr, operand)
    if draw(st.booleans()):
        anchor = "i0" if used[0] == "i" and "i1" in expr else used[0]
        expr = draw(st.sampled_from(UNARY)).format(f"({expr})", v=anchor)
    return expr, used


def _statement(draw: st.DrawFn, name: str, kept: list[str], used: list[str], expr: str) -> str:
    reduced = [v for v in used if v not in kept]
    where = draw(st.sampled_from(("none", "none", "for", "left", "reduce")))
    a, b = draw(st.sampled_from(used)), draw(st.sampled_from(used))
    condition = draw(st.sampled_from(FILTERS)).format(a=a, b=b)
    left = [f"{v}: {condition}" if where == "left" and v == a else v for v in kept]
    over = [f"{v}: {condition}" if where == "reduce" and v == a else v for v in reduced]
    operator = draw(st.sampled_from(("sum", "sum", "max", "min")))
    right = f"{operator}[{', '.join(over)}] {expr}" if reduced else expr
    target = f"{name}[{', '.join(left)}]" if kept else name
    return f"{target} = {right}" + (f" for {condition}" if where == "for" else "")
