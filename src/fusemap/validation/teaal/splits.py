"""Dense partitionings as shapes of a cascade: M cut in pieces of 16 is `shape M = M1*M0`, `shape M0 = 16`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fusemap.diagnostics import Diagnostic, InputError
from fusemap.validation.imported import Note
from fusemap.validation.teaal.names import Names, variable
from fusemap.validation.teaal.types import Split

_MOST_ON_THE_LEFT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """How one rank is cut: `index` is what stands for its variable, `shapes` the declarations it needs."""

    index: str
    shapes: tuple[str, ...]


def pieces_of(
    splits: Sequence[Split], variables: Mapping[str, frozenset[str]], left: Mapping[str, Sequence[str]], names: Names
) -> dict[str, Pieces]:
    """The pieces by variable, the same in all Einsums; InputError for what shapes cannot say.

    `variables` and `left` are the variables of each Einsum and those of its left side.
    """
    faults: list[Diagnostic] = []
    found: dict[str, tuple[Split, Pieces]] = {}
    for split in splits:
        var = variable(split.rank)
        problem = _problem(split, var, variables[split.einsum], left[split.einsum])
        first = found.get(var)
        if first is not None and first[0].steps != split.steps:
            problem = (f"{split.rank} is cut differently for {first[0].einsum}", "a shape is cut in one way")
        parts = {part.upper() for part in split.parts}
        if first is None and parts & names.shapes:
            problem = (f"the file has a rank {min(parts & names.shapes)} already", "give it another name")
        if problem:
            faults.append(split.place.diagnostic(problem[0], hint=problem[1]))
        elif first is None:
            names.shapes |= parts
            found[var] = (split, _pieces(split, var, names))
    if faults:
        raise InputError(tuple(faults))
    return {var: pieces for var, (_, pieces) in found.items()}


def notes_of(splits: Sequence[Split], *, applied: bool) -> list[Note]:
    """What the file's splits mean in the cascade."""
    return [Note(message=_note(split, applied=applied), span=split.place.span) for split in splits]


def _note(split: Split, *, applied: bool) -> str:
    if not applied:
        how = f"{split.rank} of {split.einsum} in {', '.join(split.parts)}"
        return f"{how}: pieces of a dense rank compute the same; left out, --partitioned writes them"
    renamed = [
        f"TeAAL's size {size} is {'*'.join(split.parts[level + 1 :])}"
        for level, (kind, size) in enumerate(split.steps)
        if kind == "shape" and isinstance(size, str) and split.parts[level + 1 :] != (size,)
    ]
    tail = "".join(f"; {text}" for text in renamed)
    return f"{split.rank} = {'*'.join(split.parts)}: {split.rank} must be a multiple of its pieces{tail}"


def _problem(split: Split, var: str, used: frozenset[str], left: Sequence[str]) -> tuple[str, str] | None:
    if var not in used:
        return f"{split.einsum} has no variable {var} to cut", "--partitioned cuts variables of the expression"
    if any(kind == "nway" for kind, _ in split.steps[1:]):
        return "nway_shape after another step", "--partitioned takes nway_shape as the first step alone"
    if var in left and len(split.parts) > _MOST_ON_THE_LEFT:
        hint = "leave --partitioned away: the mapping may cut it more often, a cascade need not"
        return f"{split.einsum} is written along {var}, and a left-hand index is cut in two pieces at most", hint
    sizes = [size for kind, size in split.steps if kind == "shape" and isinstance(size, int)]
    for outer, inner in pairwise(sizes):
        if outer % inner:
            return f"pieces of {outer} are no multiple of pieces of {inner}", "TeAAL leaves a rest, shapes leave none"
    return None


def _pieces(split: Split, var: str, names: Names) -> Pieces:
    """`k2*K1_0+k1*K0+k0` with `shape K1_0 = K1*K0`, `shape K = K2*K1_0` and the constants."""
    parts = [part.upper() for part in split.parts]
    shapes: list[str] = []
    terms: list[str] = [parts[-1].lower()]
    inner = parts[-1]
    for part in parts[-2:0:-1]:
        terms.append(f"{part.lower()}*{inner}")
        product = names.shape(f"{part}_0")
        shapes.append(f"{product} = {part}*{inner}")
        inner = product
    terms.append(f"{parts[0].lower()}*{inner}")
    shapes.append(f"{var.upper()} = {parts[0]}*{inner}")
    shapes += [f"{name} = {size}" for name, size in _constants(split, parts)]
    return Pieces(index="+".join(reversed(terms)), shapes=tuple(shapes))


def _constants(split: Split, parts: Sequence[str]) -> list[tuple[str, int]]:
    """Extents of pieces that are numbers in the file."""
    found = []
    kind, size = split.steps[0]
    if kind == "nway" and isinstance(size, int):
        found.append((parts[0], size))
    sizes = [size if kind == "shape" else None for kind, size in split.steps]
    for level, (outer, inner) in enumerate(zip(sizes, [*sizes[1:], 1], strict=True), 1):
        if isinstance(outer, int) and isinstance(inner, int):
            found.append((parts[level], outer // inner))
    return found
