"""What every Einsum of a cascade is to a rank: a stream, a reduction, or neither; before or after a statistic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from graphlib import TopologicalSorter

from fusemap.einsum_cascade.scope import (
    accesses,
    depends_on_data,
    iterative_ranks,
    output_variables,
    outputs,
    plain_variable,
    rank_variables,
    shape_of,
    variables_of,
)
from fusemap.einsum_cascade.types import Access, Cascade, Einsum


class CannotStreamError(Exception):
    """A cascade that the rules do not apply to on this rank, with the reason."""


@dataclass(frozen=True)
class Roles:
    """The Einsums of a cascade by what they do with variable `var`.

    streams own it on their left side, reductions reduce it, the others do not have it. `after` names, for each Einsum,
    the reductions over the variable that it needs complete (transitively).
    """

    cascade: Cascade
    var: str
    remembered: dict[tuple[str, str], object] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def einsums(self) -> Mapping[str, Einsum]:
        """All Einsums by name."""
        return {str(e.name): e for e in self.cascade.einsums}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Names so that every Einsum comes after what it reads."""
        graph = {n: [t for t in reads(e) if t in self.einsums] for n, e in self.einsums.items()}
        return tuple(TopologicalSorter(graph).static_order())

    def is_stream(self, name: str) -> bool:
        """Does the Einsum (or input) have the variable on its left side?"""
        found = self.einsums.get(name)
        output = found.output if found is not None else self._inputs.get(name)
        return output is not None and self.var in output_variables(output)

    def is_reduction(self, name: str) -> bool:
        """Does the Einsum reduce over the variable?"""
        found = self.einsums.get(name)
        return found is not None and found.reduce is not None and any(v.var == self.var for v in found.reduce.variables)

    @cached_property
    def _inputs(self) -> Mapping[str, Access]:
        return {str(a.tensor): a for a in self.cascade.inputs}

    @cached_property
    def after(self) -> Mapping[str, frozenset[str]]:
        """The reductions over the variable that each Einsum depends on."""
        found: dict[str, frozenset[str]] = {}
        for name in self.order:
            before: set[str] = set()
            for tensor in reads(self.einsums[name]):
                before |= found.get(tensor, frozenset())
                if self.is_reduction(tensor):
                    before.add(tensor)
            found[name] = frozenset(before)
        return found

    def depends(self, tensor: str) -> bool:
        """Is the tensor a reduction over the variable, or made of one?"""
        return self.is_reduction(tensor) or bool(self.after.get(tensor))

    @property
    def reductions(self) -> tuple[str, ...]:
        """Reductions over the variable, each after those that it depends on."""
        return tuple(n for n in self.order if self.is_reduction(n))

    @property
    def dependent(self) -> tuple[str, ...]:
        """Reductions whose terms depend on another one, in order."""
        return tuple(n for n in self.reductions if self.after[n])

    @property
    def below_statistics(self) -> frozenset[str]:
        """The tensors, inputs too, that some reduction is made of which others need complete."""
        pending = [name for after in self.after.values() for name in after]
        found: set[str] = set()
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending += reads(self.einsums[name]) if name in self.einsums else ()
        return frozenset(found)

    def outputs(self) -> frozenset[str]:
        """Names of the cascade's outputs."""
        return frozenset(str(t) for t in outputs(self.cascade))


def reads(einsum: Einsum) -> tuple[str, ...]:
    """Names of the tensors that an Einsum reads."""
    return tuple(dict.fromkeys(str(a.tensor) for a in accesses(einsum)))


@lru_cache(maxsize=64)
def roles_of(cascade: Cascade, rank: str) -> Roles:
    """The roles for a rank (a shape); CannotStreamError where it is not a plain rank of plain Einsums."""
    problem = next(_problems(cascade, rank), None)
    if problem is not None:
        raise CannotStreamError(problem)
    return Roles(cascade=cascade, var=rank.lower())


def _problems(cascade: Cascade, rank: str) -> Iterator[str]:
    var = rank.lower()
    stops = iterative_ranks(cascade)
    if stops:
        yield f"it iterates over {', '.join(shape_of(v) for v in stops)} already"
    shape = next((s for s in cascade.shapes if s.name == rank), None)
    if shape is not None and (shape.factors or shape.constant is not None):
        yield f"{rank} is declared as a product, an alias or a constant"
    aliases = [s.name for s in cascade.shapes if rank in s.factors]
    if any(len(s.factors) > 1 for s in cascade.shapes if rank in s.factors):
        yield f"{rank} is a factor of {', '.join(aliases)}"
    for einsum in cascade.einsums:
        yield from _plainness(einsum, var)
    uses = [e for e in cascade.einsums if var in variables_of(e)]
    if not uses:
        yield f"no Einsum has the variable {var}"


def _plainness(einsum: Einsum, var: str) -> Iterator[str]:
    """Reasons why an Einsum uses the variable otherwise than plainly."""
    if depends_on_data(einsum):
        yield f"{einsum.name} reads or selects at coordinates that are data"
    for index in (i for a in (einsum.output, *accesses(einsum)) for i in a.indices):
        if var in rank_variables(index.expr) and plain_variable(index.expr) is None:
            yield f"{einsum.name} has {var} in a sum or quotient of an index"
    if einsum.reduce is not None and einsum.reduce.operator not in ("sum", "max", "min", "prod"):
        yield f"{einsum.name} reduces by {einsum.reduce.operator}"
