"""Names of a TeAAL file as a cascade spells them: tensors upper-case, rank variables lower-case, none twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fusemap.einsum_cascade.operators import RESERVED
from fusemap.validation.teaal.types import Spec


def upper_case(name: str) -> str:
    """The name with an upper-case letter first."""
    return name[0].upper() + name[1:] if name[0].isalpha() else f"T{name}"


def variable(name: str) -> str:
    """The rank variable that stands for a variable or rank of TeAAL, whose case does not tell ranks apart.

    >>> variable("K"), variable("i_"), variable("for"), variable("_x")
    ('k', 'i_', 'for_', 'v_x')
    """
    lowered = name.lower() if name[0].isalpha() else f"v{name.lower()}"
    return f"{lowered}_" if lowered in RESERVED else lowered


@dataclass(slots=True, kw_only=True)
class Names:
    """Tensors and scalars under their names in the cascade; `shapes` are the shape names in use."""

    tensors: dict[str, str] = field(default_factory=dict)
    scalars: dict[str, str] = field(default_factory=dict)
    shapes: set[str] = field(default_factory=set)

    def shape(self, wanted: str) -> str:
        """A shape name that is not in use, now in use."""
        name = _free(wanted, self.shapes)
        self.shapes.add(name)
        return name


def names_of(spec: Spec) -> Names:
    """The names of a file's tensors, scalars and ranks; those that are right as they stand stay."""
    names = Names()
    factors = [f for s in spec.statements for f in (s.expression.output, *s.expression.factors)]
    taken: set[str] = {name for name in spec.declaration if name[0].isupper()}
    for name in spec.declaration:
        names.tensors[name] = name if name in taken else _take(name, taken)
    for factor in factors:
        if factor.indices is None and factor.name not in names.scalars:
            names.scalars[factor.name] = _take(factor.name, taken)
        names.shapes.update(variable(v).upper() for v in factor.variables)
    names.shapes.update(variable(rank).upper() for ranks in spec.declaration.values() for rank in ranks)
    return names


def _take(name: str, taken: set[str]) -> str:
    found = _free(upper_case(name), taken)
    taken.add(found)
    return found


def _free(wanted: str, taken: Iterable[str]) -> str:
    while wanted in taken:
        wanted += "_"
    return wanted
