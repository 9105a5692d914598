"""The page of `fusemap derive`: candidates, the steps to one of them, its text, its accuracy."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from fusemap.cli.output import table
from fusemap.einsum_cascade.derive.gate import CHUNK, CHUNKS, Gate, Regime
from fusemap.einsum_cascade.derive.search import Derivation, Derived

WIDTH = 100


def page(found: Derivation, shown: Derived | None) -> str:
    """All of it, block by block."""
    return "\n\n".join(block for block in _blocks(found, shown) if block)


def _blocks(found: Derivation, shown: Derived | None) -> Iterator[str]:
    yield heading(found)
    if found.candidates:
        yield _candidates(found)
    if shown is not None:
        yield f"{shown.name}, step by step\n{_steps(shown)}"
        yield shown.text.rstrip()
        yield f"elements live at once, for one point of the outer loops: {shown.footprint}"
        yield _executed(found, shown)
    yield _cannot(found)


def heading(found: Derivation) -> str:
    """Passes before, and what was found."""
    start = f"{found.original.name}: {_passes(found.passes)} over {found.rank}"
    best = found.best
    if best is None:
        return f"{start}; no cascade with fewer was found"
    return f"{start}; {len(found.candidates)} cascades derived, {best.name} has {_passes(best.passes)}"


def _passes(count: int) -> str:
    return f"{count} pass{'' if count == 1 else 'es'}"


def _candidates(found: Derivation) -> str:
    rows = [
        [c.name, str(c.passes) + ("" if c.exact else "+"), c.rules, f"{c.operations:,}", _accuracy(c.gate)]
        for c in found.candidates
    ]
    headers = ["cascade", "passes", "rules", "operations", "accuracy"]
    return table(rows, headers, "lrlrl", width=WIDTH + 20)


def _accuracy(gate: Gate) -> str:
    """In a word: as the original, or where it is not."""
    worse = [f"{r.verdict} at {r.name}" for r in gate.regimes if r.verdict != "equal"]
    return "; ".join(worse) or "as the original"


def _steps(shown: Derived) -> str:
    lines = []
    for step in shown.steps:
        lines += textwrap.wrap(
            f"{step.rule} {', '.join(step.applied)}: {step.identity}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
        )
        lines += [f"    where {condition}" for condition in step.conditions]
    return "\n".join(lines)


def _executed(found: Derivation, shown: Derived) -> str:
    """The errors of the original and the candidate in every regime."""
    rows = [[r.name, _error(r, r.original), _error(r, r.derived), _verdict(r)] for r in shown.gate.regimes]
    text = table(rows, ["inputs", found.original.name, shown.name, ""], "lrrl", width=WIDTH)
    exact = {True: "equal on random inputs of a prime field", False: "NOT equal in a prime field", None: ""}
    head = f"executed with {found.rank} = {CHUNKS} x {CHUNK}: errors of float64 against long double"
    return "\n\n".join(part for part in (head, text, exact[shown.gate.field]) if part)


def _error(regime: Regime, error: float) -> str:
    return f"{error:.0e}" if error < float("inf") else "not finite"


def _verdict(regime: Regime) -> str:
    if regime.verdict == "loses digits":
        return f"loses {regime.digits:.0f} digits"
    return "" if regime.verdict == "equal" else regime.verdict


def _cannot(found: Derivation) -> str:
    """What the rules could not do."""
    lines = list(found.reasons)
    lines += [f"{c.name} is refused: {_accuracy(c.gate)}" for c in found.refused]
    wrapped = [
        line for reason in lines for line in textwrap.wrap(reason, WIDTH, initial_indent="  ", subsequent_indent="    ")
    ]
    return "\n".join(["not derived", *wrapped]) if wrapped else ""
