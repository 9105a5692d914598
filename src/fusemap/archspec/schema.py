"""Validation of plain data by pydantic models, with located errors.

A model says what a file may hold (unknown keys are refused); its fields may be quantities with units
and expressions, which are parsed while validating, so that all errors of a file come together.
"""

from __future__ import annotations

import os
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from fusemap.archspec.document import Document, TextFault, leaves
from fusemap.archspec.errors import located
from fusemap.archspec.expressions import Expression, constant, parse_text
from fusemap.archspec.units import (
    AREA,
    BANDWIDTH,
    CAPACITY,
    ENERGY,
    ENERGY_PER_BIT,
    FREQUENCY,
    TECHNOLOGY,
    TIME,
    WIDTH,
    Kind,
    QuantityText,
    quantity,
)
from fusemap.archspec.yamlnodes import load_document, parse_document
from fusemap.diagnostics import InputError


class SpecModel(BaseModel):
    """Base of every file model: strict, frozen, no unknown keys. Use `list` and `dict` fields, not tuples."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True
    )


ModelT = TypeVar("ModelT", bound=BaseModel)


def load_model(path: str | os.PathLike[str], model: type[ModelT]) -> tuple[ModelT, Document]:
    """Read a YAML file as `model`; the Document gives places for later errors. InputError lists all faults."""
    document = load_document(path)
    return validate(document, model), document


def parse_model(text: str, model: type[ModelT], *, file: str = "<text>") -> tuple[ModelT, Document]:
    """As `load_model`, of a text that is named `file` in errors."""
    document = parse_document(text, file=file)
    return validate(document, model), document


def validate(document: Document, model: type[ModelT]) -> ModelT:
    """The document's data as `model`; InputError with every fault, located and in order.

    A key without a value is always a fault: an optional value is left out together with its key.
    """
    blank = [path for path, value in leaves(document) if value is None]
    faults = [document.diagnostic(path, f'no value for "{path[-1]}"') for path in blank if path]
    try:
        validated = model.model_validate(document.data)
    except ValidationError as error:
        raise InputError((*faults, *located(error, document, model, without=blank))) from None
    if faults:
        raise InputError(tuple(faults))
    return validated


def _custom(fault: TextFault) -> PydanticCustomError:
    """A TextFault as the error that pydantic collects (the renderer reads it back)."""
    context = {"text": fault.message, "offset": fault.offset, "length": fault.length, "hint": fault.hint}
    return PydanticCustomError("text_fault", "{text}", context)


def _expression(value: object) -> Expression:
    """An expression field: text, or a bare number."""
    try:
        if isinstance(value, Expression):
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return constant(value)
        if isinstance(value, str):
            return parse_text(value)
    except TextFault as fault:
        raise _custom(fault) from None
    raise PydanticCustomError("expected", "a number or an expression")


class _QuantityOf:
    """A validator of fields that hold a quantity of one kind."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def __call__(self, value: object) -> QuantityText:
        if isinstance(value, QuantityText):
            return value
        text = value if isinstance(value, str) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            text = repr(value)
        if text is None:
            raise PydanticCustomError("expected", "{text}", {"text": f"{self.kind.noun} such as {self.kind.example}"})
        try:
            return quantity(text, self.kind)
        except TextFault as fault:
            raise _custom(fault) from None


def _own_technology(value: object) -> QuantityText | str:
    """A technology, or the word none."""
    return "none" if value == "none" else _QuantityOf(TECHNOLOGY)(value)


def _field_schema(kind: Kind) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "description": f"{kind.noun} in {kind.unit}", "examples": [kind.example]})


_AS_TEXT = PlainSerializer(str)
_EXPRESSION_SCHEMA = WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}], "description": "an expression"})

ExpressionField = Annotated[Expression, BeforeValidator(_expression), _AS_TEXT, _EXPRESSION_SCHEMA]
CapacityField = Annotated[QuantityText, BeforeValidator(_QuantityOf(CAPACITY)), _AS_TEXT, _field_schema(CAPACITY)]
BandwidthField = Annotated[QuantityText, BeforeValidator(_QuantityOf(BANDWIDTH)), _AS_TEXT, _field_schema(BANDWIDTH)]
WidthField = Annotated[QuantityText, BeforeValidator(_QuantityOf(WIDTH)), _AS_TEXT, _field_schema(WIDTH)]
FrequencyField = Annotated[QuantityText, BeforeValidator(_QuantityOf(FREQUENCY)), _AS_TEXT, _field_schema(FREQUENCY)]
TimeField = Annotated[QuantityText, BeforeValidator(_QuantityOf(TIME)), _AS_TEXT, _field_schema(TIME)]
EnergyField = Annotated[QuantityText, BeforeValidator(_QuantityOf(ENERGY)), _AS_TEXT, _field_schema(ENERGY)]
EnergyPerBitField = Annotated[
    QuantityText, BeforeValidator(_QuantityOf(ENERGY_PER_BIT)), _AS_TEXT, _field_schema(ENERGY_PER_BIT)
]
TechnologyField = Annotated[QuantityText, BeforeValidator(_QuantityOf(TECHNOLOGY)), _AS_TEXT, _field_schema(TECHNOLOGY)]
OwnTechnologyField = Annotated[
    QuantityText | str, BeforeValidator(_own_technology), _AS_TEXT, _field_schema(TECHNOLOGY)
]
AreaField = Annotated[QuantityText, BeforeValidator(_QuantityOf(AREA)), _AS_TEXT, _field_schema(AREA)]
