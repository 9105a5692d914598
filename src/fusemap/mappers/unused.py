"""Tiles and rules of a dataflow that nothing uses: most likely a misspelt name that should override another."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from fusemap.archspec.expressions import Expression
from fusemap.diagnostics import Diagnostic, nearest
from fusemap.mappers.dataflow import Dataflow
from fusemap.mappers.types import Problem


def unused_names(dataflow: Dataflow, problem: Problem) -> tuple[Diagnostic, ...]:
    """A fault for every tile and rule that no expression of the file names and that is no size of the cascade."""
    model = dataflow.model
    used = {name for expression in _expressions(model) for name in expression.names()}
    used |= {name for name, _ in problem.sizes}
    rules = model.parameters.rules if model.parameters is not None else {}
    sections = ((("tiles",), model.tiles), (("parameters", "rules"), rules))
    found = []
    for path, section in sections:
        for name in section:
            if name not in used:
                close = nearest(name, used)
                hint = f"did you mean {close}?" if close else "remove it, or name it in a bound"
                message = f"nothing uses {name[:60]}"
                found.append(dataflow.document.diagnostic((*path, name), message, hint=hint, key=True))
    return tuple(found)


def _expressions(value: object) -> Iterator[Expression]:
    """Every expression below a part of the model."""
    if isinstance(value, Expression):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _expressions(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from _expressions(item)
    elif isinstance(value, list):
        for item in value:
            yield from _expressions(item)
