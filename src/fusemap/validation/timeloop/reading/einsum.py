"""A problem in our language: the cascade's text, and the sizes of its ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fusemap.validation.timeloop.reading.problem import ProblemSpec, TensorSpec, Term


@dataclass(frozen=True, slots=True, kw_only=True)
class EinsumText:
    """The Einsum of a problem: `ranks` are (rank, size), `names` the tensors by data space.

    `variables` are the rank variables by dimension, `slides` the tensors that have a sum of dimensions as an index.
    """

    cascade: str
    text: str
    ranks: tuple[tuple[str, int], ...]
    names: Mapping[str, str]
    variables: Mapping[str, str]
    einsum: str
    slides: tuple[str, ...]


def variables(dimensions: Sequence[str]) -> dict[str, str]:
    """The rank variable of each dimension: its name in lower case, numbered where that is taken.

    >>> variables(["M", "Cin", "m"])
    {'M': 'm', 'Cin': 'cin', 'm': 'm2'}
    """
    found: dict[str, str] = {}
    for dimension in dimensions:
        name, n = dimension.lower(), 1
        while name in found.values():
            n += 1
            name = f"{dimension.lower()}{n}"
        found[dimension] = name
    return found


def einsum_text(problem: ProblemSpec, name: str, origin: str) -> EinsumText:
    """The cascade of one Einsum with the problem's projections; sums of dimensions become affine indices.

    A position that is a sum gets a rank of its own, whose size is that of the sum (`PR` for `[[R], [P]]`).
    """
    names = {t.name: t.name[:1].upper() + t.name[1:] for t in problem.tensors}
    of = variables(problem.dimensions)
    taken = {v.upper() for v in of.values()}
    shapes: dict[str, int] = {}
    stride: dict[tuple[str, int], str] = {}
    for term in (t for tensor in problem.inputs for terms in tensor.index for t in terms if t.factor != 1):
        key = (term.coefficient, term.factor)
        if key not in stride:
            stride[key] = _fresh(term.coefficient or f"by{term.factor}", taken, upper=True)
            shapes[stride[key]] = term.factor
    sums: dict[tuple[Term, ...], str] = {}
    for terms in (terms for tensor in problem.inputs for terms in tensor.index):
        if _is_sum(terms) and terms not in sums:
            sums[terms] = _fresh("".join(of[t.dimension] for t in terms), taken)

    def term_text(term: Term) -> str:
        own = of[term.dimension]
        return own if term.factor == 1 else f"{own}*{stride[term.coefficient, term.factor]}"

    def access(tensor: TensorSpec) -> str:
        index = (" + ".join(map(term_text, terms)) for terms in tensor.index)
        return f"{names[tensor.name]}[{', '.join(index)}]"

    def declared(tensor: TensorSpec) -> str:
        ranks = (sums[terms] if _is_sum(terms) else of[terms[0].dimension] for terms in tensor.index)
        return f"{names[tensor.name]}[{','.join(ranks)}]"

    lines = [
        f"# {origin}",
        f"cascade {name}",
        *([f"shape {', '.join(f'{shape} = {value}' for shape, value in shapes.items())}"] if shapes else []),
        f"input {', '.join(map(declared, problem.inputs))}",
        f"{access(problem.output)} = {' * '.join(map(access, problem.inputs))}",
    ]
    used = {d for t in problem.tensors for d in t.dimensions}
    ranks = [(of[d].upper(), size) for d, size in problem.sizes if d in used]
    ranks += [(rank.upper(), _extent(terms, dict(problem.sizes))) for terms, rank in sums.items()]
    slides = tuple(names[t.name] for t in problem.inputs if any(len(terms) > 1 for terms in t.index))
    return EinsumText(
        cascade=name,
        text="\n".join(lines) + "\n",
        ranks=tuple(ranks),
        names=names,
        variables=of,
        einsum=names[problem.output.name],
        slides=slides,
    )


def _is_sum(terms: tuple[Term, ...]) -> bool:
    return len(terms) != 1 or terms[0].factor != 1


def _fresh(name: str, taken: set[str], *, upper: bool = False) -> str:
    """A name that no shape has, in upper case, yet."""
    name = name[:1].upper() + name[1:] if upper else name
    while name.upper() in taken:
        name += "x"
    taken.add(name.upper())
    return name


def _extent(terms: tuple[Term, ...], sizes: Mapping[str, int]) -> int:
    """The size of a sum of dimensions: 1 + the sum of (size - 1) * coefficient."""
    return 1 + sum((sizes[t.dimension] - 1) * t.factor for t in terms)
