"""The functions of the package that need a cascade alone, without a machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fusemap.loading import CascadeLike, WorkloadLike, as_cascade, as_workload

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fusemap.einsum_cascade.analysis import Analysis
    from fusemap.einsum_cascade.derive.search import Derivation
    from fusemap.einsum_cascade.execution import Execution
    from fusemap.validation.graph import CascadeGraph
    from fusemap.validation.taxonomy_rows import Taxonomy


def analyze(
    cascade: CascadeLike,
    sizes: Mapping[str, int] | None = None,
    workload: WorkloadLike | None = None,
    *,
    tensor: str | None = None,
    rank: str | None = None,
    loops: Sequence[str] | None = None,
) -> Analysis:
    """How often every tensor must be traversed along every rank, whatever the mapping, with the proof.

    With it the live footprints and the operation counts. A workload gives sizes, `sizes` further ones or
    others; shapes may stay open. `tensor` and `rank` restrict the passes. `loops` are rank variables,
    outermost first, in whose order live elements are counted. Raises InputError for what the cascade does
    not have.

    >>> found = analyze("attention-3pass")
    >>> str(found.label["M"]), [barrier.before for barrier in found.row("QK", "M").barriers]
    ('3', [('SN',), ('A',)])
    """
    from fusemap.einsum_cascade.analysis import analyze_cascade
    from fusemap.einsum_cascade.analysis_sizes import workload_sizes

    loaded, given = as_cascade(cascade), dict(sizes or {})
    if workload is None:
        return analyze_cascade(loaded, sizes=given, tensor=tensor, rank=rank, order=loops)
    found = as_workload(workload)
    ranks = workload_sizes(loaded, found.sizes, found.name)
    return analyze_cascade(loaded, sizes={**ranks, **given}, workload=found.name, tensor=tensor, rank=rank, order=loops)


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


def run(
    cascade: CascadeLike,
    sizes: Mapping[str, int] | None = None,
    inputs: Mapping[str, ArrayLike] | None = None,
    *,
    seed: int = 0,
    **options: Any,
) -> Execution:
    """Execute a cascade on NumPy arrays, or on standard normal inputs; a mapping from its outputs to their arrays.

    Sizes that are left open follow from the inputs or are chosen small. Options (`dtype`, `operators`) and
    errors as `fusemap.einsum_cascade.run`.

    >>> run("softmax", {"N": 1, "K": 2}, {"X": [[0.0, 0.0]]})["Y"].tolist()
    [[0.5, 0.5]]
    """
    from fusemap.einsum_cascade.execution import run_cascade

    return run_cascade(as_cascade(cascade), sizes, inputs, seed=seed, **options)
