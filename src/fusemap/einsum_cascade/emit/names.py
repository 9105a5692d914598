"""Python names for the tensors and sizes of a cascade, each different and none a word of Python."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from fusemap.einsum_cascade.scope import all_variables, known_shapes
from fusemap.einsum_cascade.types import Cascade

HELPERS = ("np", "_expsub", "_safediv", "_masked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Identifiers: a tensor keeps its name; a size that is called as a tensor becomes `size_M`."""

    function: str
    tensors: dict[str, str] = field(default_factory=dict)
    present: dict[str, str] = field(default_factory=dict)
    new: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    products: dict[str, tuple[str, ...]] = field(default_factory=dict)  # sizes that are declared as products


def names_of(cascade: Cascade) -> Names:
    """The identifiers of a cascade.

    >>> from fusemap.einsum_cascade.parser import parse
    >>> found = names_of(parse("input A[k], K\\nZ = A[k]*K"))
    >>> found.tensors["K"], found.sizes["K"], found.present["Z"]
    ('K', 'size_K', 'has_Z')
    """
    taken = {*HELPERS}
    found = Names(function=identifier(cascade.name, taken))
    written = [str(e.name) for e in (*cascade.inits, *cascade.einsums)]
    tensors = tuple(dict.fromkeys((*(str(a.tensor) for a in cascade.inputs), *written)))
    for into, prefix, given in (
        (found.tensors, "", tensors),
        (found.sizes, "size_", tuple(map(str, known_shapes(cascade)))),
        (found.variables, "at_", tuple(map(str, all_variables(cascade)))),
        (found.present, "has_", tensors),
        (found.new, "new_", tensors),
    ):
        for name in given:
            plain = f"{prefix}{name}" if prefix in ("has_", "new_") else name
            into[name] = _unique(plain, taken, prefix)
    for decl in cascade.shapes:
        if len(decl.factors) > 1:
            found.products[found.sizes[decl.name]] = tuple(found.sizes[f] for f in decl.factors)
    return found


def identifier(text: str, taken: Iterable[str] = ()) -> str:
    """The text as a Python identifier.

    >>> identifier("attention-3pass"), identifier("2pass"), identifier("lambda")
    ('attention_3pass', 'cascade_2pass', 'lambda_')
    """
    plain = re.sub(r"\W", "_", text, flags=re.ASCII) or "cascade"
    plain = f"cascade_{plain}" if plain[0].isdigit() else plain
    return f"{plain}_" if keyword.iskeyword(plain) or plain in taken else plain


def _unique(name: str, taken: set[str], prefix: str) -> str:
    chosen = name
    while chosen in taken or keyword.iskeyword(chosen):
        chosen = f"{prefix}{chosen}" if prefix and not chosen.startswith(prefix) else f"{chosen}_"
    taken.add(chosen)
    return chosen
