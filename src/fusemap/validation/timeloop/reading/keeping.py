"""What every storage of a Timeloop mapping keeps; a data space goes through one branch of each parallel node.

Source: src/mapping/parser.cpp (what is not said is kept) and the front end's dataspace2branch.py (a branch keeps what
its storages are told to keep, and bypasses everything else).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from fusemap.diagnostics import Diagnostic
from fusemap.validation.timeloop.reading.levels import ArchitectureSpec
from fusemap.validation.timeloop.reading.problem import ProblemSpec

Branch: TypeAlias = tuple[int, int]


def kept(
    problem: ProblemSpec,
    architecture: ArchitectureSpec,
    told: Mapping[str, Mapping[str, bool]],
    passing: Sequence[tuple[Branch, str]],
    errors: list[Diagnostic],
) -> dict[str, tuple[str, ...]]:
    """The data spaces of each storage, which is `told` to keep or bypass some; `passing` are those of empty branches.

    Faults are added to `errors`: a data space that no storage keeps, or that goes through no or several branches.
    """
    names = [t.name for t in problem.tensors]
    through: dict[Branch, set[str]] = {}
    for branch, name in passing:
        through.setdefault(branch, set()).add(name)
    for storage in architecture.storages:
        if storage.parallel is not None:
            own = (name for name, keeps in told[storage.name].items() if keeps)
            through.setdefault(storage.parallel, set()).update(own)
    _check(architecture, through, names, errors)
    found = {}
    for storage in architecture.storages:
        said = dict(told[storage.name])
        if storage.parallel is not None:
            said |= {name: False for name in names if name not in through[storage.parallel]}
        found[storage.name] = tuple(name for name in names if said.get(name, True))
    absent = [name for name in names if not any(name in stored for stored in found.values())]
    if absent:
        errors.append(architecture.storages[0].place.diagnostic(f"no storage keeps {', '.join(absent)}"))
    return found


def _check(
    architecture: ArchitectureSpec, through: Mapping[Branch, set[str]], names: Sequence[str], errors: list[Diagnostic]
) -> None:
    """A data space goes through exactly one branch of each parallel node."""
    for group in dict.fromkeys(key[0] for key in through):
        own = [stored for key, stored in through.items() if key[0] == group]
        members = [s for s in architecture.storages if s.parallel is not None and s.parallel[0] == group]
        place = members[0].place if members else architecture.place
        node = f"the !Parallel node of {members[0].name}" if members else "a !Parallel node"
        for name in names:
            count = sum(name in stored for stored in own)
            if count != 1:
                where = "no branch" if count == 0 else "several branches"
                hint = "a keep constraint in one branch, or !Nothing {constraints: {dataspace: {keep: [...]}}}"
                errors.append(place.diagnostic(f"{name} goes through {where} of {node}", hint=hint))
