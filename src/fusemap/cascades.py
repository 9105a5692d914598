"""The functions of the package that need a cascade alone, without a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusemap.loading import CascadeLike, as_cascade

if TYPE_CHECKING:
    from fusemap.einsum_cascade.derive.search import Derivation
    from fusemap.validation.graph import CascadeGraph
    from fusemap.validation.taxonomy_rows import Taxonomy


def derive(cascade: CascadeLike, rank: str | None = None, *, safe: bool = False) -> Derivation:
    """Cascades that compute the same in fewer passes over a rank, by default the one with most passes.

    Each with its steps, side conditions, operations, footprint and the errors of its execution; `best` is the first
    with fewer passes. `safe` writes corrections that hold where whole chunks are masked. InputError: no such rank.

    >>> found = derive("softmax", "K")
    >>> found.passes, found.best.passes, found.reasons
    (3, 2, ('Y owns K and needs GM, SD complete: at least 2 passes',))
    """
    from fusemap.einsum_cascade.derive.search import derive as derived
    from fusemap.einsum_cascade.derive.search import most_passes

    loaded = as_cascade(cascade)
    return derived(loaded, rank or most_passes(loaded), safe=safe)


def graph(cascade: CascadeLike, *, tensor: str | None = None, rank: str | None = None) -> CascadeGraph:
    """The cascade as a graph: who reads what, in which pass over `rank` of `tensor`, by default of an input.

    A notebook shows it drawn. Raises InputError for a tensor or rank that the cascade does not have.

    >>> [(node.name, node.number) for node in graph("softmax").nodes]
    [('X', None), ('GM', 1), ('SN', 2), ('SD', 2), ('Y', 3)]
    """
    from fusemap.validation.graph_passes import graph_of

    return graph_of(as_cascade(cascade), tensor=tensor, rank=rank)


def latex(cascade: CascadeLike) -> str:
    """The cascade as an `align*` environment in the notation of EDGE, TeAAL and FuseMax.

    >>> print(latex("cascade-2").splitlines()[1])
    Y &= A_{k} \\cdot B_{k} \\\\
    """
    from fusemap.einsum_cascade.latex import latex as written

    return written(as_cascade(cascade))


def taxonomy() -> Taxonomy:
    """Attention algorithms by the passes of their cascades: FuseMax's Table I for every attention of the library."""
    from fusemap.validation.taxonomy_rows import taxonomy as analysed

    return analysed()
