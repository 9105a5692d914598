"""Sizes that a cascade leaves open: every way to cut a rank into the parts that its `shape` lines name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from fusemap.diagnostics import InputError, input_error
from fusemap.einsum_cascade.execution import run_cascade
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.search import divisors


def factorings(cascade: Cascade, sizes: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """All sizes of the factors in `M = M1*M0` whose product is known; the empty one if nothing is open.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> [f["M0"] for f in factorings(load("attention-1pass"), {"M": 6})]
    [1, 2, 3, 6]
    """
    known = {name: size for name, size in sizes.items()}
    for shape in cascade.shapes:
        if shape.constant is not None:
            known.setdefault(str(shape.name), shape.constant)
        names = [str(f) for f in shape.factors]
        whole = known.get(str(shape.name))
        if len(names) == 1 and names[0] not in known and whole is not None:
            known[names[0]] = whole
        elif len(names) == 1 and names[0] in known and whole is None:
            known[str(shape.name)] = known[names[0]]
        open_ = [n for n in names if n not in known]
        if len(names) > 1 and open_ and whole is not None:
            rest, left = divmod(whole, math.prod(known[n] for n in names if n in known))
            if not left:
                for cut in _cuts(rest, len(open_)):
                    found = dict(zip(open_, cut, strict=True))
                    for more in factorings(cascade, {**sizes, **found}):
                        yield {**found, **more}
            return
    yield {}


def _cuts(whole: int, parts: int) -> Iterator[tuple[int, ...]]:
    """All tuples of `parts` numbers whose product is `whole`, the last one growing."""
    if parts == 1:
        yield (whole,)
        return
    for last in divisors(whole):
        for first in _cuts(whole // last, parts - 1):
            yield (*first, last)


_WHOLE = 12  # coordinates of a rank that is cut in every way to see whether the cut matters


def require_free(cascade: Cascade, sizes: Mapping[str, int]) -> None:
    """InputError if a cut that is left open changes what the cascade computes, so that it is not ours to choose.

    The cascade is executed on 12 coordinates cut in several ways, with the same inputs: the number of key-value
    heads or the size of a block that is selected as one matter, the chunks of a running softmax do not.
    """
    for shape in cascade.shapes:
        names = [str(f) for f in shape.factors]
        if len(names) > 1 and str(shape.name) in sizes and not set(names) <= set(sizes) and _matters(cascade, names):
            message = f"how {shape.name} is cut into {'*'.join(names)} changes what {cascade.name} computes"
            raise input_error(message, hint=f"give it: --size {names[-1]}=...")


def _matters(cascade: Cascade, names: list[str]) -> bool:
    """Do the outputs depend on how a product of the named sizes is cut?"""
    seen: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] | None = None
    try:
        for cut in ((_WHOLE // 2, 2), (_WHOLE // 4, 4), (2, _WHOLE // 2)):
            own = dict(zip(names, (*cut, *([1] * (len(names) - 2))), strict=True))
            result = run_cascade(cascade, own)
            now = {str(n): np.ma.filled(np.ma.asarray(result[n], dtype=np.float64), np.nan) for n in result}
            if seen is not None and any(
                now[n].shape != seen[n].shape or not np.allclose(now[n], seen[n], equal_nan=True) for n in now
            ):
                return True
            seen = now
    except InputError:
        return True
    return False
