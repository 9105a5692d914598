"""Random cascades of two to five Einsums, and random machines that are too small for them."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass

from mapspace_cases import Prices, Tiny

from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.mapspace.space import Mapspace


@dataclass(frozen=True, kw_only=True)
class Puzzle:
    """A small search problem."""

    cascade: Cascade
    text: str
    sizes: dict[str, int]
    tiny: Tiny
    space: Mapspace


def puzzle(seed: int) -> Puzzle:
    """The problem of that number."""
    rng = random.Random(seed)
    text = _cascade(rng)
    big = (1, 2, 3, 4, 6) if text.count("\n") < 7 else (1, 2, 2, 3, 4)
    sizes = {name: rng.choice(big) for name in "MPF" if f"{name.lower()}" in text}
    return Puzzle(
        cascade=parse(text),
        text=text,
        sizes=sizes,
        tiny=dataclasses.replace(tiny(rng), ports=ports(seed)),
        space=Mapspace(
            recompute=rng.choice((0, 1, 2)),
            hold=rng.random() < 0.85,
            spill=rng.random() < 0.85,
            fuse=rng.random() < 0.95,
        ),
    )


def tiny(rng: random.Random) -> Tiny:
    """One or two arrays, a buffer of a few words, any prices."""
    arrays = []
    for number in range(rng.choice((1, 1, 2))):
        dims = tuple(rng.choice((1, 2, 3, 4)) for _ in range(rng.choice((1, 1, 1, 2)) if number == 0 else 1))
        arrays.append((dims, rng.choice((1, 2, 5)), number > 0 or rng.random() < 0.5))
    if not any(divides for _, _, divides in arrays):
        arrays[0] = (*arrays[0][:2], True)
    return Tiny(
        words=rng.choice((3, 4, 5, 6, 8, 10, 12, 16, 24, 40)),
        bandwidth=rng.choice((0.1, 0.5, 1.0, 2.0, 8.0)),
        arrays=tuple(arrays),
        prices=Prices(
            dram=_pair(rng, 60), buffer=_pair(rng, 8), registers=_pair(rng, 1), operation=round(rng.uniform(0, 4), 3)
        ),
    )


def ports(seed: int) -> float | None:
    """Words per cycle that pass through the buffer of that number's machine; of half of them it is no limit."""
    return random.Random(f"ports {seed}").choice((None, None, None, 0.5, 1.0, 2.0))


def _pair(rng: random.Random, most: float) -> tuple[float, float]:
    return round(rng.uniform(0, most), 3), round(rng.uniform(0, most), 3)


def _cascade(rng: random.Random) -> str:
    """Text of a random cascade: maps, reductions, broadcasts, products, softmax, running maxima."""
    lines = ["cascade puzzle"]
    kind = rng.choice(("chain", "chain", "softmax", "matmuls", "running", "chain"))
    if kind == "softmax":
        lines += ["input A[m,p]", "G[p] = max[m] A[m,p]", "X[m,p] = exp(A[m,p] - G[p])", "S[p] = sum[m] X[m,p]"]
        lines += rng.choice((["Y[m,p] = X[m,p] / S[p]"], ["Y[m,p] = X[m,p] / S[p]"], []))
    elif kind == "matmuls":
        lines += ["input A[m,p], V[m,f]", "B[m,p] = 2 * A[m,p]", "Z[f,p] = B[m,p] * V[m,f]"]
        lines += rng.choice((["Y[f,p] = relu(Z[f,p])"], ["W[p] = max[f] Z[f,p]"], []))
    elif kind == "running":
        lines += ["input A[m,p]", "stop: m >= M", "init: R[0,p] = 0"]
        lines += rng.choice((["B[m,p] = 2 * A[m,p]"], ["B[m,p] = exp(A[m,p])"]))
        lines += ["R[m+1,p] = max(R[m,p], B[m,p])"]
        lines += rng.choice((["D[m,p] = B[m,p] - R[m+1,p]"], ["O[p] = 2 * R[M,p]"], ["D[m,p] = R[m,p] - R[m+1,p]"]))
    else:
        lines += _chain(rng)
    return "\n".join(lines) + "\n"


def _chain(rng: random.Random) -> list[str]:
    """Einsums that read each others' results."""
    lines = ["input A[m,p], U[p]"]
    full, short = ["A"], ["U"]
    for name in list("BCDEG")[: rng.choice((2, 3, 3, 4))]:
        x, y = rng.choice(full), rng.choice(full)
        what = rng.choice(("map", "reduce", "reduce", "join", "broadcast", "broadcast", "vector"))
        if what == "map":
            lines.append(f"{name}[m,p] = 2 * {x}[m,p]")
        elif what == "join":
            lines.append(f"{name}[m,p] = {x}[m,p] + {y}[m,p]")
        elif what == "broadcast":
            lines.append(f"{name}[m,p] = {x}[m,p] * {short[-1]}[p]")
        elif what == "reduce":
            lines.append(f"{name}[p] = {rng.choice(('sum', 'max'))}[m] {x}[m,p]")
        else:
            lines.append(f"{name}[p] = 2 * {short[-1]}[p]")
        (short if what in ("reduce", "vector") else full).append(name)
    if not any("U" in line for line in lines[1:]):
        lines[0] = "input A[m,p]"
    if not any("A[" in line for line in lines[1:]):
        lines[0] = "input U[p]"
    return lines
