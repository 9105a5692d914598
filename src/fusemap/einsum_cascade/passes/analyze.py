"""How often every tensor must be traversed along every rank, with the proof: the analysis of a whole cascade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from fusemap.diagnostics import DoesNotFit, InputError, did_you_mean, input_error
from fusemap.einsum_cascade.analysis_sizes import known_sizes
from fusemap.einsum_cascade.passes.carriers import Carriers, carriers_of
from fusemap.einsum_cascade.passes.edges import Links
from fusemap.einsum_cascade.passes.instance import Instance, instance_of
from fusemap.einsum_cascade.passes.instances import small_sizes
from fusemap.einsum_cascade.passes.lower import domains_of, least_size, lower_bound
from fusemap.einsum_cascade.passes.model import Model, model_of
from fusemap.einsum_cascade.passes.ranks import RankOf, owned_ranks
from fusemap.einsum_cascade.passes.reference import reference_levels
from fusemap.einsum_cascade.passes.sweeps import Upper, upper_bound
from fusemap.einsum_cascade.passes.transfer import TooHard
from fusemap.einsum_cascade.passes.types import Barrier, PassCount, RankPasses
from fusemap.einsum_cascade.passes.zones import Union
from fusemap.einsum_cascade.resolve import Sizes
from fusemap.einsum_cascade.scope import input_names
from fusemap.einsum_cascade.types import Cascade, ShapeName, TensorName

_ONE = PassCount(constant=1)
_POINTS = 2_000  # of an instance that is counted beside a proof


@dataclass(frozen=True, slots=True, kw_only=True)
class PassAnalysis:
    """The passes of every (tensor, rank) of a cascade that an Einsum reads.

    Static answers hold at `sizes` and for all sizes of at least `least` that are not among them; those of which a
    given size is a multiple may be smaller.
    """

    cascade: Cascade
    passes: tuple[RankPasses, ...]
    least: int
    sizes: Sizes | None = None

    @property
    def label(self) -> dict[ShapeName, PassCount]:
        """For every rank the most passes of any tensor with a fiber along it: "N-pass cascade on M"."""
        found: dict[ShapeName, PassCount] = {}
        for row in self.passes:
            known = found.get(row.rank, _ONE)
            found[row.rank] = max(known, row.passes, key=lambda c: (c.steps, c.constant))
        return found

    def row(self, tensor: str, rank: str) -> RankPasses:
        """The answer for one (tensor, rank); KeyError if nothing reads the tensor along it."""
        found = next((r for r in self.passes if (r.tensor, r.rank) == (tensor, rank)), None)
        if found is None:
            raise KeyError((tensor, rank))
        return found


def analyze(
    cascade: Cascade, *, sizes: Mapping[str, int] | None = None, tensor: str | None = None, rank: str | None = None
) -> PassAnalysis:
    """The number of passes of every (tensor, rank), or of those asked for, proven for every mapping.

    `passes` is a lower bound for any schedule, `upper` is reached by one; see `RankPasses`. `sizes`
    and what follows from them are fixed, the others stay open. InputError for a tensor or rank that the cascade
    does not have, and for sizes as `known_sizes`.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> found = analyze(load("attention-3pass"), tensor="K", rank="M").passes[0]
    >>> str(found.passes), found.exact, [b.before for b in found.barriers]
    ('3', True, [('SN',), ('A',)])
    """
    known = None if not sizes else known_sizes(cascade, sizes)[0]
    model = model_of(cascade, known, pinned=True)
    every = model_of(cascade, known, facts=model.facts)
    least = least_size(model_of(cascade, pinned=True) if known else model)  # given sizes are none of its constants
    workbench = _Workbench(model, Links(every), domains_of(model), known, least)
    rows = [workbench.row(of) for of in _asked(cascade, tensor, rank)]
    return PassAnalysis(cascade=cascade, passes=tuple(r for r in rows if r is not None), least=least, sizes=known)


def _asked(cascade: Cascade, tensor: str | None, rank: str | None) -> tuple[RankOf, ...]:
    """The ranks that are asked for; parts of a rank only by name."""
    every = owned_ranks(cascade)
    tensors = tuple(dict.fromkeys(r.tensor for r in every))
    if tensor is not None and tensor not in tensors:
        raise input_error(f"{cascade.name} has no tensor {tensor}", hint=did_you_mean(tensor, tensors, noun="tensors"))
    mine = tuple(r for r in every if tensor in (None, r.tensor))
    if rank is None:
        return mine
    wanted = tuple(r for r in mine if r.rank == rank)
    if not wanted:
        wanted = tuple(r for r in owned_ranks(cascade, parts=True) if tensor in (None, r.tensor) and r.rank == rank)
    if not wanted:
        ranks = tuple(dict.fromkeys(r.rank for r in mine))
        owner = f"{tensor} of {cascade.name}" if tensor else cascade.name
        raise input_error(f"{owner} has no rank {rank}", hint=did_you_mean(rank, ranks, noun="ranks"))
    return wanted


class _Workbench:
    """What all ranks of a cascade share."""

    def __init__(
        self, model: Model, links: Links, domains: Mapping[int, Union], sizes: Sizes | None, least: int
    ) -> None:
        self.model = model
        self.links = links
        self.domains = domains
        self.sizes = sizes
        self.least = least
        self.needs = model.facts.needs
        self.small: Instance | None = None

    def row(self, of: RankOf) -> RankPasses | None:
        """The answer for one rank; None if nothing reads the tensor."""
        carriers = carriers_of(self.model.cascade, of, facts=self.model.facts)
        if not carriers.touches:
            return None
        upper = upper_bound(self.links, of)
        base = RankPasses(
            tensor=of.tensor,
            rank=of.rank,
            passes=_ONE,
            upper=None if upper is None else self._at(upper.passes),
            direct=_ONE,
            lookahead="" if upper is None else upper.lookahead,
        )
        if upper is not None and upper.passes == _ONE:
            return replace(base, assignment=tuple((e, 1) for e in self._order(carriers)))
        return self._proven(base, of, carriers, upper)

    def _proven(self, base: RankPasses, of: RankOf, carriers: Carriers, upper: Upper | None) -> RankPasses:
        try:
            most = None if upper is None or upper.passes.steps else upper.passes.constant
            bound = partial(lower_bound, self.model, self.domains, of, sizes=self.sizes, least=self.least, most=most)
            lower = bound()
            alone = lower is None or lower.passes == _ONE  # then it is 1 with fewer touches too
            direct = lower if alone else bound(direct=True)
        except TooHard:
            lower = direct = None
        if lower is None or direct is None:
            return self._instance(base, of, carriers)
        passes = self._at(lower.passes)
        order = self._order(carriers)
        assignment = tuple(sorted(lower.assignment, key=lambda a: order.index(a[0])))
        found = replace(
            base,
            passes=passes,
            direct=self._at(direct.passes),
            assignment=assignment,
            barriers=self._barriers(assignment, carriers),
            when=lower.when,
        )
        told = found.exact or of.tensor not in input_names(self.model.cascade)
        return found if told else replace(found, note=self._formless(of, carriers))

    def _formless(self, of: RankOf, carriers: Carriers) -> str:
        """What the proof leaves out, where an index or filter is no difference bound, and the count on an instance."""
        left = [
            s.name
            for s in self.model.statements
            if s.cut.sure is None
            or any(
                slot.place is None and not slot.any
                for t in carriers.touches.get(s.name, ())
                for r in s.reads
                if r.access == t.access
                for position in t.key.positions
                for slot in r.slots[position]
            )
        ]
        small = self._small() if left else None
        if small is None or len(small.points) > _POINTS:
            return ""
        levels = reference_levels(small, of, facts=self.model.facts)
        counted = levels.passes if levels is not None else 1
        shown = ", ".join(f"{s} = {n}" for s, n in small.sizes.items())
        names = ", ".join(dict.fromkeys(left))
        return f"the proof does not follow an index or filter of {names}; an instance with {shown} needs {counted}"

    def _at(self, count: PassCount) -> PassCount:
        """The number itself where the size that it depends on is known."""
        number = count.at(self.sizes) if self.sizes else None
        return count if number is None else PassCount(constant=max(1, number))

    def _instance(self, base: RankPasses, of: RankOf, carriers: Carriers) -> RankPasses:
        """The definition on a small instance, where an index has no form or the zones are too many."""
        small = self._small()
        if small is None:
            return replace(
                base, method="instance", upper=None, note="neither zones nor a small instance gave an answer"
            )
        levels = reference_levels(small, of, facts=self.model.facts)
        alone = levels is None or levels.passes == 1  # then it is 1 with fewer touches too
        direct = levels if alone else reference_levels(small, of, direct=True, facts=self.model.facts)
        shown = ", ".join(f"{s} = {n}" for s, n in small.sizes.items())
        assignment = levels.assignment if levels is not None else ()
        return replace(
            base,
            passes=PassCount(constant=levels.passes if levels is not None else 1),
            direct=PassCount(constant=direct.passes if direct is not None else 1),
            assignment=assignment,
            barriers=self._barriers(assignment, carriers),
            method="instance",
            note=f"counted on an instance with {shown}: other sizes may need more or fewer",
        )

    def _small(self) -> Instance | None:
        if self.small is None:
            try:
                self.small = instance_of(self.model.cascade, small_sizes(self.model))
            except (InputError, DoesNotFit):
                return None
        return self.small

    def _order(self, carriers: Carriers) -> list[TensorName]:
        """Einsums that touch the fiber, in the order of the text."""
        return [e for e in dict.fromkeys(s.name for s in self.model.statements) if e in carriers.touches]

    def _barriers(self, assignment: tuple[tuple[TensorName, int], ...], carriers: Carriers) -> tuple[Barrier, ...]:
        """Where each pass but the last ends: before the Einsums of the next that need no other of it."""
        found = []
        for n, following in pairwise(sorted({n for _, n in assignment})):
            here = [e for e, p in assignment if p == n]
            ahead = [e for e, p in assignment if p == following]
            first = tuple(e for e in ahead if not any(o in self.needs.get(e, ()) for o in ahead if o != e))
            gathers = any(t.gathers for e in first for t in carriers.touches.get(e, ()))
            found.append(
                Barrier(before=first or tuple(ahead), visited_by=tuple(here), kind="data" if gathers else "order")
            )
        return tuple(found)
