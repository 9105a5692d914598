"""A problem in our language: the cascade's text, and the sizes of its ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fusemap.validation.timeloop.reading.problem import ProblemSpec, TensorSpec, Term


@dataclass(frozen=True, slots=True, kw_only=True)
class EinsumText:
    """The Einsum of a problem: `ranks` are (rank, size), `names` the tensors by data space.

    `slides` are the tensors that have a sum of dimensions as an index.
    """

    cascade: str
    text: str
    ranks: tuple[tuple[str, int], ...]
    names: Mapping[str, str]
    einsum: str
    slides: tuple[str, ...]


def variable(dimension: str) -> str:
    """The rank variable of a dimension.

    >>> variable("Cin")
    'cin'
    """
    return dimension.lower()


def einsum_text(problem: ProblemSpec, name: str, origin: str) -> EinsumText:
    """The cascade of one Einsum with the problem's projections; sums of dimensions become affine indices.

    A position that is a sum gets a rank of its own, whose size is that of the sum (`PR` for `[[R], [P]]`).
    """
    names = {t.name: t.name[:1].upper() + t.name[1:] for t in problem.tensors}
    used = {d for t in problem.tensors for d in t.dimensions}
    taken = {d.upper() for d in problem.dimensions}
    shapes: dict[str, int] = {}
    for tensor in problem.inputs:
        for term in (t for terms in tensor.index for t in terms if t.factor != 1):
            shapes[_shape(term, taken)] = term.factor
    taken |= {shape.upper() for shape in shapes}
    sums: dict[tuple[Term, ...], str] = {}
    for tensor in problem.inputs:
        for terms in tensor.index:
            if _is_sum(terms) and terms not in sums:
                sums[terms] = _fresh("".join(variable(t.dimension) for t in terms), taken)
    inputs = ", ".join(_declared(t, names[t.name], sums) for t in problem.inputs)
    dimensions = {d.upper() for d in problem.dimensions}
    product = " * ".join(_access(t, names[t.name], dimensions) for t in problem.inputs)
    left = f"{names[problem.output.name]}[{','.join(variable(ts[0].dimension) for ts in problem.output.index)}]"
    lines = [
        f"# {origin}",
        f"cascade {name}",
        *([f"shape {', '.join(f'{shape} = {value}' for shape, value in shapes.items())}"] if shapes else []),
        f"input {inputs}",
        f"{left} = {product}",
    ]
    ranks = [(d.upper(), size) for d, size in problem.sizes if d in used]
    ranks += [(rank.upper(), _extent(terms, dict(problem.sizes))) for terms, rank in sums.items()]
    slides = tuple(names[t.name] for t in problem.inputs if any(len(terms) > 1 for terms in t.index))
    return EinsumText(
        cascade=name,
        text="\n".join(lines) + "\n",
        ranks=tuple(ranks),
        names=names,
        einsum=names[problem.output.name],
        slides=slides,
    )


def _is_sum(terms: tuple[Term, ...]) -> bool:
    return len(terms) != 1 or terms[0].factor != 1


def _shape(term: Term, taken: set[str]) -> str:
    """The constant shape of a coefficient: its name, or one made of its value."""
    name = term.coefficient or f"By{term.factor}"
    name = name[:1].upper() + name[1:]
    while name.upper() in taken:
        name += "x"
    return name


def _fresh(name: str, taken: set[str]) -> str:
    while name.upper() in taken or not name:
        name += "x"
    taken.add(name.upper())
    return name


def _declared(tensor: TensorSpec, name: str, sums: Mapping[tuple[Term, ...], str]) -> str:
    ranks = [sums[terms] if _is_sum(terms) else variable(terms[0].dimension) for terms in tensor.index]
    return f"{name}[{','.join(ranks)}]"


def _access(tensor: TensorSpec, name: str, taken: set[str]) -> str:
    index = [" + ".join(_term(term, taken) for term in terms) for terms in tensor.index]
    return f"{name}[{', '.join(index)}]"


def _term(term: Term, taken: set[str]) -> str:
    own = variable(term.dimension)
    return own if term.factor == 1 else f"{own}*{_shape(term, taken)}"


def _extent(terms: tuple[Term, ...], sizes: Mapping[str, int]) -> int:
    """The size of a sum of dimensions: 1 + the sum of (size - 1) * coefficient."""
    return 1 + sum((sizes[t.dimension] - 1) * t.factor for t in terms)
