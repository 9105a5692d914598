"""The free choices that a dataflow file names, as a space of points: every combination of one option per choice.

A point gives numbers to names of the dataflow's expressions, as overrides of `map_cascade` do. An option may set
several names (of three stationarities exactly one holds), and to expressions over other choices (what does not fit
is spilled), so that only points which mean something are in the space.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from fusemap.archspec.arithmetic import divisors
from fusemap.archspec.document import Path
from fusemap.archspec.expressions import Expression, constant
from fusemap.archspec.types import Machine, Workload, absent_names
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean, input_error
from fusemap.mappers.bind import given_names
from fusemap.mappers.dataflow import Dataflow, DivisorsModel
from fusemap.mappers.names import LazyNames

Option: TypeAlias = tuple[tuple[str, Expression], ...]
Point: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One free choice: each of its options sets the same names, to expressions."""

    name: str
    options: tuple[Option, ...]

    @property
    def sets(self) -> tuple[str, ...]:
        """The names that it sets."""
        return tuple(name for name, _ in self.options[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceSpace:
    """All points of a dataflow's choices on one workload and machine; a point is an option's number per choice.

    `values` and `expressions` are those of the dataflow's other names, `absent` says why a name has no value.
    """

    dataflow: str
    choices: tuple[Choice, ...]
    values: Mapping[str, float] = field(repr=False)
    expressions: Mapping[str, Expression] = field(repr=False)
    absent: Mapping[str, str] = field(repr=False)

    @property
    def count(self) -> int:
        """How many points there are: the product of the numbers of options (1 without choices)."""
        return math.prod(self.radices)

    @property
    def radices(self) -> Point:
        """The number of options of each choice."""
        return tuple(len(choice.options) for choice in self.choices)

    def points(self) -> Iterator[Point]:
        """Every point, the last choice varying fastest."""
        return itertools.product(*(range(n) for n in self.radices))

    def names(self, point: Point) -> LazyNames:
        """The dataflow's names at a point."""
        chosen = {n: e for c, i in zip(self.choices, point, strict=True) for n, e in c.options[i]}
        values = {name: value for name, value in self.values.items() if name not in chosen}
        return LazyNames(values, {**self.expressions, **chosen}, absent=self.absent)

    def settings(self, point: Point) -> dict[str, float]:
        """The numbers that the choices set at a point: overrides for `map_cascade`."""
        names = self.names(point)
        return {name: names[name] for choice in self.choices for name in choice.sets}

    def varies(self, expression: Expression) -> bool:
        """True when a choice reaches the expression, through whatever names."""
        free = {name for choice in self.choices for name in choice.sets}
        seen: set[str] = set()
        pending = [*expression.names()]
        while pending:
            name = pending.pop()
            if name in free:
                return True
            if name not in seen and name not in self.values and name in self.expressions:
                pending += self.expressions[name].names()
            seen.add(name)
        return False

    def sizes(self) -> str:
        """The count and the choices that it comes from, e.g. `12 = 2 Q_onchip x 6 P1`."""
        free = [f"{len(c.options):,} {c.name}" for c in self.choices if len(c.options) > 1]
        return f"{self.count:,} = {' x '.join(free)}" if free else f"{self.count:,}"


def choice_space(
    dataflow: Dataflow, workload: Workload, machine: Machine, *, sizes: Mapping[str, int] | None = None
) -> ChoiceSpace:
    """The space of a dataflow's choices; of one point when it has none.

    InputError, all faults together: a choice without options, one that sets a name which the dataflow does not have,
    options of one choice that set different names, two choices that set one name.
    """
    values, expressions = given_names(dataflow, {**workload.sizes, **(sizes or {})}, machine, {})
    known = _fixed(dataflow, values, expressions, absent_names(machine))
    choices: list[Choice] = []
    found: list[Diagnostic] = []
    for name, model in dataflow.model.choices.items():
        listed = [model] if isinstance(model, DivisorsModel) else model
        options: list[Option] = []
        for i, candidate in enumerate(listed):
            path: Path = ("choices", name) if isinstance(model, DivisorsModel) else ("choices", name, i)
            setting = candidate if isinstance(candidate, dict) else {name: candidate}
            options += _options(dataflow, path, setting, known, nested=isinstance(candidate, dict))
        found += _faults(dataflow, name, options, [*values, *expressions], [n for c in choices for n in c.sets])
        if options:
            choices.append(Choice(name=name, options=tuple(options)))
    if found:
        raise InputError(tuple(found))
    return ChoiceSpace(
        dataflow=dataflow.name,
        choices=tuple(choices),
        values=values,
        expressions=expressions,
        absent=absent_names(machine),
    )


def assignment(space: ChoiceSpace, settings: Mapping[str, float]) -> Point:
    """The point at which the choices have these settings; names that are left out may have any value.

    InputError when no point has. Where several have, the first.
    """
    options = [[i for i, option in enumerate(choice.options) if _agrees(option, settings)] for choice in space.choices]
    for point in itertools.product(*options):
        found = space.settings(point)
        if all(found.get(name, value) == value for name, value in settings.items()):
            return point
    listed = ", ".join(f"{name} = {value:g}" for name, value in settings.items())
    raise input_error(f"no point of the choices of dataflow {space.dataflow} has {listed}"[:300])


def _agrees(option: Option, settings: Mapping[str, float]) -> bool:
    """False when a constant of the option differs from a setting."""
    return all(e.evaluate({}) == settings[name] for name, e in option if name in settings and not e.names())


def _fixed(
    dataflow: Dataflow,
    values: Mapping[str, float],
    expressions: Mapping[str, Expression],
    absent: Mapping[str, str],
) -> LazyNames:
    """The names that no choice sets; lists of candidates must not depend on others."""
    free: set[str] = set()
    for name, model in dataflow.model.choices.items():
        listed = [] if isinstance(model, DivisorsModel) else model
        free |= {n for c in listed for n in (c if isinstance(c, dict) else [name])} or {name}
    reasons = dict.fromkeys(free, "candidates cannot depend on another choice")
    return LazyNames(
        {n: v for n, v in values.items() if n not in free},
        {n: e for n, e in expressions.items() if n not in free},
        absent={**absent, **reasons},
    )


def _options(
    dataflow: Dataflow,
    path: Path,
    setting: Mapping[str, Expression | DivisorsModel],
    known: LazyNames,
    *,
    nested: bool,
) -> list[Option]:
    """The options that one setting stands for: names with many candidates are combined."""
    candidates: list[list[tuple[str, Expression]]] = []
    for name, value in setting.items():
        at: Path = (*path, name) if nested else path
        if isinstance(value, DivisorsModel):
            candidates.append([(name, constant(d)) for d in _divisors(dataflow, at, value, known)])
        else:
            candidates.append([(name, dataflow.located(value, *at))])
    return list(itertools.product(*candidates)) if setting else []


def _divisors(dataflow: Dataflow, path: Path, model: DivisorsModel, known: LazyNames) -> tuple[int, ...]:
    number = dataflow.located(model.divisors_of, *path, "divisors_of").evaluate(known)
    if number != int(number) or number < 1:
        message = f"divisors of {number:g}, expected a positive integer"
        raise dataflow.document.error((*path, "divisors_of"), message)
    least, most = 1.0, math.inf
    if model.at_least is not None:
        least = dataflow.located(model.at_least, *path, "at_least").evaluate(known)
    if model.at_most is not None:
        most = dataflow.located(model.at_most, *path, "at_most").evaluate(known)
    return tuple(d for d in divisors(int(number)) if least <= d <= most)


def _faults(
    dataflow: Dataflow, name: str, options: list[Option], known: list[str], taken: list[str]
) -> Iterator[Diagnostic]:
    path: Path = ("choices", name)

    def fault(message: str, hint: str = "") -> Diagnostic:
        return dataflow.document.diagnostic(path, message, hint=hint, key=True)

    if not options:
        yield fault(f"choice {name[:60]} has no option")
        return
    first = sorted({n for n, _ in options[0]})
    if any(sorted({n for n, _ in option}) != first for option in options):
        message = f"the options of choice {name[:60]} do not all set the same names"
        yield fault(message, f"the first one sets {', '.join(first)}")
    for n in first:
        if n not in known:
            yield fault(f"dataflow {dataflow.name} has no name {n[:60]}", did_you_mean(n, sorted(known)))
        if n in taken:
            yield fault(f"another choice sets {n[:60]} too")
