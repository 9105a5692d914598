"""The conditions of a sweep's file, read against its axes."""

from __future__ import annotations

from dataclasses import dataclass, field

from fusemap.archspec.document import Document, Path, TextFault
from fusemap.archspec.expressions import Expression, parse_text
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean
from fusemap.validation.sweep_axes import Axis
from fusemap.validation.sweep_model import ConditionModel, Names, SweepModel, listed
from fusemap.validation.sweep_space import Condition


def conditions_of(document: Document, model: SweepModel, axes: tuple[Axis, ...]) -> tuple[Condition, ...]:
    """The conditions between the axes; InputError with every name that is no column, and none of its values."""
    reader = _Reader(document=document, axes=axes)
    found = tuple(reader.condition(("conditions", i), item) for i, item in enumerate(model.conditions))
    if reader.errors:
        raise InputError(tuple(reader.errors))
    return found


@dataclass(slots=True, kw_only=True)
class _Reader:
    document: Document
    axes: tuple[Axis, ...]
    errors: list[Diagnostic] = field(default_factory=list)

    def condition(self, path: Path, item: str | ConditionModel) -> Condition:
        if isinstance(item, str):
            return Condition(then=self.expression(path, item))
        names = self.chosen((*path, "if"), item.if_)
        if isinstance(item.then, str):
            return Condition(names=names, then=self.expression((*path, "then"), item.then))
        return Condition(names=names, then=self.chosen((*path, "then"), item.then))

    def expression(self, path: Path, text: str) -> Expression:
        valid = [axis.column for axis in self.axes if axis.numeric]
        place = self.document.place(path)
        try:
            found = parse_text(text, place)
        except TextFault as fault:
            raise fault.at(place) from None
        for name in sorted(found.names() - set(valid)):
            offset = text.find(name)
            hint = did_you_mean(name, valid, noun="columns") or "no column has numbers"
            self.errors.append(place.diagnostic(f'unknown name "{name}"', hint=hint, offset=offset, length=len(name)))
        return found

    def chosen(self, path: Path, names: dict[str, Names]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        by_name = {axis.column: axis.values for axis in self.axes if not axis.numeric}
        for column, wanted in names.items():
            if column not in by_name:
                hint = did_you_mean(column, list(by_name), noun="names")
                message = f"expected one of {', '.join(by_name)}, found {column}"
                self.errors.append(self.document.diagnostic((*path, column), message, hint=hint, key=True))
                continue
            for i, name in enumerate(listed(wanted)):
                if name not in by_name[column]:
                    at: Path = (*path, column, i) if isinstance(wanted, list) else (*path, column)
                    hint = did_you_mean(name, list(by_name[column]), noun=f"values of {column}")
                    message = f'no {column} of this sweep is "{name}"'
                    self.errors.append(self.document.diagnostic(at, message, hint=hint))
        return tuple((column, tuple(listed(wanted))) for column, wanted in names.items())
