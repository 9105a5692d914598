"""The names that a dataflow's expressions may use, evaluated when first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fusemap.archspec.expressions import Expression, NoValueError


class LazyNames(Mapping[str, float]):
    """Numbers by name: `values` as given, `expressions` evaluated on first use over all names.

    `absent` says of names without a value why they have none.
    A tile that a cascade does not need is never evaluated, so it may use ranks the cascade lacks.

    >>> from fusemap.archspec.expressions import parse_expression
    >>> LazyNames({"P": 12}, {"P0": parse_expression("P / 4"), "P1": parse_expression("P / P0")})["P1"]
    4
    """

    __slots__ = ("_absent", "_active", "_expressions", "_values")

    def __init__(
        self,
        values: Mapping[str, float],
        expressions: Mapping[str, Expression],
        *,
        absent: Mapping[str, str] | None = None,
    ) -> None:
        self._values = dict(values)
        self._expressions = {k: e for k, e in expressions.items() if k not in self._values}
        self._absent = dict(absent or {})
        self._active: list[str] = []

    def __getitem__(self, name: str) -> float:
        if name in self._values:
            return self._values[name]
        if name not in self._expressions and name in self._absent:
            raise NoValueError(name, self._absent[name])
        expression = self._expressions[name]
        if name in self._active:
            raise expression.place.error(f"{name} depends on itself: {' -> '.join([*self._active, name])}")
        self._active.append(name)
        try:
            value = expression.evaluate(self)
        finally:
            self._active.pop()
        self._values[name] = value
        return value

    def __iter__(self) -> Iterator[str]:
        return iter({**self._values, **self._expressions})

    def __len__(self) -> int:
        return len({**self._values, **self._expressions})

    def __contains__(self, name: object) -> bool:
        return name in self._values or name in self._expressions

    def known(self, name: str) -> bool:
        """True when the name already has a value (it was given, or was asked for)."""
        return name in self._values
