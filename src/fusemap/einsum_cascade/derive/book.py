"""What an emitter has made so far: Einsums by name, inits, the rules that were applied, and names of versions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fusemap.einsum_cascade.derive.ratio import Ratio
from fusemap.einsum_cascade.derive.roles import Roles
from fusemap.einsum_cascade.derive.step import Step
from fusemap.einsum_cascade.types import Access, Einsum, Expr

_TAYLOR = "Taylor: F_j(s') = sum over k of binomial(k, j) F_k(s) (s' - s)^(k-j), F_k = sum of f^(k)(x, s)/k!"


@dataclass
class Book:
    """Einsums in the order in which they are completed; an entry that is being made holds its place."""

    roles: Roles
    made: dict[str, Einsum] = field(default_factory=dict)
    inits: list[Einsum] = field(default_factory=list)
    rules: list[Step] = field(default_factory=list)
    _tags: dict[tuple[str, str, int], str] = field(default_factory=dict)
    _origin: dict[str, str] = field(default_factory=dict)

    def make(self, tag: str, make: Callable[[], Einsum]) -> None:
        """Enter an Einsum under its name, once; what `make` needs of it meanwhile is there already."""
        if tag in self.made:
            return
        self.made[tag] = next(iter(self.roles.einsums.values()))
        made = make()
        del self.made[tag]
        self.made[tag] = made

    def add(self, output: Access, expr: Expr) -> Access:
        """Enter a map Einsum, once; its output."""
        self.made.setdefault(str(output.tensor), Einsum(output=output, reduce=None, expr=expr))
        return output

    def init(self, output: Access, expr: Expr) -> None:
        """Enter an init."""
        self.inits.append(Einsum(output=output, reduce=None, expr=expr))

    def tag(self, letter: str, name: str, power: int = 0) -> str:
        """The name of a version of a tensor, which no tensor of the cascade has."""
        key = (letter, name, power)
        if key not in self._tags:
            inputs = (str(a.tensor) for a in self.roles.cascade.inputs)
            taken = {*inputs, *self.roles.einsums, *self._origin}
            plain = f"{name}X{power}" if power else name
            tag = next(t for t in (f"{letter}{plain}", *(f"{letter}{i}{plain}" for i in range(9))) if t not in taken)
            self._tags[key], self._origin[tag] = tag, name
        return self._tags[key]

    def rule(self, name: str, rule: str, ratio: Ratio | None = None, conditions: tuple[str, ...] = ()) -> None:
        """Note a rule, once for a tensor."""
        if any(s.rule == rule and s.applied == (name,) for s in self.rules):
            return
        identity = _TAYLOR if ratio is None else f"f(x, s') = h(s, s') f(x, s) with h = {ratio}"
        self.rules.append(Step(rule=rule, applied=(name,), identity=identity, conditions=conditions))

    def in_order(self) -> tuple[Einsum, ...]:
        """The Einsums, each with the tensor that it comes from; views first."""
        return tuple(sorted(self.made.values(), key=self._place))

    def _place(self, einsum: Einsum) -> int:
        source = self._origin.get(str(einsum.name), str(einsum.name))
        return self.roles.order.index(source) if source in self.roles.einsums else -1
