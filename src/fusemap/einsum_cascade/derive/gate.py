"""Is a derived cascade the same function? Executed against the original: in a prime field, and in floating point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.derive.field import in_field
from fusemap.einsum_cascade.derive.roles import CannotStreamError, roles_of
from fusemap.einsum_cascade.interpreter import execute
from fusemap.einsum_cascade.interpreter_sizes import Extents, extents_of
from fusemap.einsum_cascade.scope import known_shapes, output_variables, outputs
from fusemap.einsum_cascade.types import Cascade

Verdict: TypeAlias = Literal["equal", "loses digits", "not finite", "differs"]
ROUNDING = 1e-16
DIFFERS = 1e-4
EXACT = 1e-9  # relative error of a result that is not taken for another function
CHUNK, CHUNKS = 4, 6
_SEED = 20_240_617
REGIMES = ("N(0,1)", "1e4 N(0,1)", "1e4 + N(0,1)", "masked", "first chunk masked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """One kind of input: relative errors of the original and the derived cascade in float64 against long double.

    `finite`: the derived outputs are numbers, present where the reference's are; `reference`: the reference is finite.
    """

    name: str
    original: float
    derived: float
    finite: bool
    reference: bool

    @property
    def verdict(self) -> Verdict:
        """What the errors say: `loses digits` is more than a hundred times the original's, `differs` beyond 1e-4."""
        if not (self.reference and self.finite):
            return "not finite"
        if self.derived > DIFFERS and self.original < EXACT:
            return "differs"
        return "loses digits" if self.derived > 100 * max(self.original, ROUNDING) else "equal"

    @property
    def digits(self) -> float:
        """Decimal digits that the derived cascade loses beyond the original."""
        return max(0.0, math.log10(max(self.derived, ROUNDING) / max(self.original, ROUNDING)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What executing says: `field` None where the operators are not those of a field."""

    field: bool | None
    regimes: tuple[Regime, ...]

    @property
    def passed(self) -> bool:
        """Is it the same function, as far as executions say: on N(0,1), and in the field where there is one?"""
        first = self.regimes[0]
        return first.finite and first.derived < EXACT and self.field is not False

    @property
    def safe(self) -> bool:
        """Is it as accurate as the original on unmasked inputs of all magnitudes?"""
        return all(r.verdict == "equal" for r in self.regimes if "masked" not in r.name)

    def to_json(self) -> dict[str, object]:
        """The gate as a JSON object; an error that is no number is null."""
        regimes = [
            {
                "name": r.name,
                "original": r.original if math.isfinite(r.original) else None,
                "derived": r.derived if math.isfinite(r.derived) else None,
                "verdict": r.verdict,
            }
            for r in self.regimes
        ]
        return {"passed": self.passed, "safe": self.safe, "field": self.field, "regimes": regimes}

    def named(self, name: str) -> Regime:
        """The regime of that name."""
        return next(r for r in self.regimes if r.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Sizes of a cascade for executions: its rank in chunks, all else small and different."""

    rank: str
    sizes: Mapping[str, int]

    def inputs(self, cascade: Cascade, regime: str, only: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Inputs of a regime; magnitudes and masks are of the inputs that own the rank, or of `only` some of them."""
        random = np.random.default_rng(_SEED)
        made: dict[str, Any] = {}
        for given in cascade.inputs:
            shape = tuple(self.sizes[str(v).upper()] for v in output_variables(given))
            values: NDArray[Any] = random.standard_normal(shape)
            variables = [str(v).upper() for v in output_variables(given)]
            if self.rank in variables and (not only or str(given.tensor) in only):
                values = _scaled(values, regime)
                values = self._masked(values, variables.index(self.rank), regime)
            made[str(given.tensor)] = values
        return made

    def _masked(self, values: NDArray[Any], axis: int, regime: str) -> Any:
        if "masked" not in regime:
            return values
        length = values.shape[axis]
        gone: NDArray[np.bool_] = np.arange(length) < length // CHUNKS
        if regime == "masked":
            gone = np.asarray(np.random.default_rng(_SEED + 1).random(length) < 0.3)
            gone[0] = False
        shape = [1] * values.ndim
        shape[axis] = length
        return np.ma.array(values, mask=np.broadcast_to(gone.reshape(shape), values.shape))


def _scaled(values: NDArray[Any], regime: str) -> NDArray[Any]:
    if regime.startswith("1e4 N"):
        return 1e4 * values
    return 1e4 + values if regime.startswith("1e4 +") else values


def trial_of(cascade: Cascade, rank: str, *, chunk: int = CHUNK, chunks: int = CHUNKS) -> Trial:
    """Sizes for a trial; InputError where there are none that the cascade can be run with."""
    declared = {str(s.name): s for s in cascade.shapes}
    sizes: dict[str, int] = {rank: chunk * chunks}
    small = iter((3, 5, 2, 7, 4, 6, 9, 8, 10, 11, 12, 13))
    for name in map(str, known_shapes(cascade)):
        if name not in sizes and (name not in declared or not (declared[name].factors or declared[name].constant)):
            sizes[name] = next(small)
    for name in _products(cascade):
        shape = declared[name]
        if shape.constant is not None:
            sizes[name] = shape.constant
        elif all(str(f) in sizes for f in shape.factors):
            sizes[name] = math.prod(sizes[str(f)] for f in shape.factors)
    return Trial(rank=rank, sizes=sizes)


def _products(cascade: Cascade) -> Iterator[str]:
    for _ in cascade.shapes:
        yield from (str(s.name) for s in cascade.shapes if s.factors or s.constant is not None)


def gate(original: Cascade, derived: Cascade, trial: Trial, *, inner: str | None) -> Gate:
    """Both cascades executed on the same inputs in every regime; `inner` is the derived one's chunk shape."""
    more = {} if inner is None else {inner: CHUNK}
    known = _originals(original, trial.rank, tuple(trial.sizes.items()))
    base = {n: s for n, s in trial.sizes.items() if not _is_product(original, n)}
    sizes = {**base, **more}
    try:
        extents = extents_of(derived, sizes)
    except InputError:
        regimes = tuple(_refused(of) for of in known)
    else:
        regimes = tuple(_regime(derived, sizes, extents, of) for of in known)
    return Gate(field=in_field(original, derived, trial.sizes, more), regimes=regimes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Original:
    """Inputs of a regime, and what the original makes of them in long double and in float64."""

    name: str
    inputs: Mapping[str, Any]
    wanted: Mapping[str, Any]
    first: Mapping[str, Any]


@lru_cache(maxsize=4)
def _originals(original: Cascade, rank: str, sizes: tuple[tuple[str, int], ...]) -> tuple[_Original, ...]:
    """The original executed once for all candidates."""
    trial = Trial(rank=rank, sizes=dict(sizes))
    base = {n: s for n, s in sizes if not _is_product(original, n)}
    extents = extents_of(original, base)
    found = []
    for name, only in (*((name, frozenset[str]()) for name in REGIMES), *_alone(original, rank)):
        inputs = trial.inputs(original, name, only)
        wanted = _outputs(original, base, extents, inputs, np.longdouble)
        first = _outputs(original, base, extents, inputs)
        found.append(_Original(name=name, inputs=inputs, wanted=wanted, first=first))
    return tuple(found)


def _outputs(
    cascade: Cascade, sizes: Mapping[str, int], extents: Extents, inputs: Mapping[str, Any], dtype: Any = np.float64
) -> dict[str, Any]:
    """As `run`, with extents that are known: finding them takes longer than executing."""
    found = execute(cascade, sizes, inputs, dtype=dtype, extents=extents)
    return {str(name): found[name].array() for name in outputs(cascade)}


def _alone(cascade: Cascade, rank: str) -> Iterator[tuple[str, frozenset[str]]]:
    """A regime for the inputs that statistics are taken of, where others have the rank too.

    Large values of those others make the outputs large, and small the relative error of what cancels in a statistic.
    """
    try:
        roles = roles_of(cascade, rank)
    except CannotStreamError:
        return
    owners = frozenset(str(a.tensor) for a in cascade.inputs if roles.is_stream(str(a.tensor)))
    found = owners & roles.below_statistics
    if found and owners - found:
        yield f"{REGIMES[2]} in {', '.join(sorted(found))} alone", found


def _refused(of: _Original) -> Regime:
    return Regime(name=of.name, original=0.0, derived=math.inf, finite=False, reference=True)


def _regime(derived: Cascade, sizes: Mapping[str, int], extents: Extents, of: _Original) -> Regime:
    wanted, first = of.wanted, of.first
    try:
        found = _outputs(derived, sizes, extents, of.inputs)
    except InputError:
        return _refused(of)
    errors = [(_error(first[t], wanted[t]), _error(found[t], wanted[t])) for t in wanted]
    reference = all(np.isfinite(_data(w)).all() for w in wanted.values())
    return Regime(
        name=of.name,
        original=max(e for e, _ in errors),
        derived=max(e for _, e in errors),
        finite=all(math.isfinite(e) for _, e in errors),
        reference=reference,
    )


def _is_product(cascade: Cascade, name: str) -> bool:
    return any(str(s.name) == name and (s.factors or s.constant is not None) for s in cascade.shapes)


def _data(values: Any) -> NDArray[Any]:
    return np.asarray(np.ma.filled(values, 0.0))


def _error(found: Any, wanted: Any) -> float:
    """The largest difference over the largest value; infinite where a value or the presence differs."""
    if not np.array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(wanted)):
        return math.inf
    with np.errstate(invalid="ignore"):  # infinities give NaN, which is infinite here
        difference = np.abs(_data(found).astype(np.longdouble) - _data(wanted))
    largest = float(np.abs(_data(wanted)).max(initial=0.0))
    error = float(difference.max(initial=0.0)) / (largest or 1.0)
    return math.inf if math.isnan(error) else error
