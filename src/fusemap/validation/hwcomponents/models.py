"""Files that name models of hwcomponents: the comparison with a table, and a table to be made of them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from fusemap.archspec.models import Identifier, ScalingModel, SourcedModel
from fusemap.archspec.schema import (
    CapacityField,
    ExpressionField,
    OwnTechnologyField,
    SpecModel,
    TechnologyField,
    WidthField,
)
from fusemap.archspec.units import QuantityText
from fusemap.validation.hwcomponents.peer import Question

Attribute = bool | int | float | str


def _class_name(text: str) -> str:
    if not re.fullmatch(r"hwcomponents\w*(\.[A-Za-z]\w*)+", text):
        raise ValueError(f'expected a class such as hwcomponents_cacti.SRAM, found "{text[:60]}"')
    return text


def _action_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z]\w*", text):
        raise ValueError(f'expected the name of an action such as read, found "{text[:60]}"')
    return text


ClassName = Annotated[str, AfterValidator(_class_name)]
ActionName = Annotated[str, AfterValidator(_action_name)]


class CallModel(SpecModel):
    """An action of a model: `read`, or with what it is told, `{action: read, arguments: {bits_per_action: 64}}`."""

    action: ActionName
    arguments: dict[str, Attribute] = Field(default_factory=dict)


def _call(value: object) -> object:
    """A name alone is an action that is told nothing."""
    return {"action": value} if isinstance(value, str) else value


_CALL_SCHEMA = {"anyOf": [{"type": "string"}, CallModel.model_json_schema()]}
CallField = Annotated[CallModel, BeforeValidator(_call), WithJsonSchema(_CALL_SCHEMA)]


class PeerModel(SourcedModel):
    """A model by its class (hwcomponents_PACKAGE.CLASS) with its attributes, but for tech_node: the technology."""

    model: ClassName
    technology: OwnTechnologyField | None = None
    attributes: dict[str, Attribute] = Field(default_factory=dict)
    actions: dict[Identifier, CallField] = Field(default_factory=dict)

    def question(self, technology_nm: float | None, **more: Attribute) -> Question:
        """What hwcomponents is asked, in a technology, with further attributes."""
        calls = {key: {"action": call.action, "arguments": dict(call.arguments)} for key, call in self.actions.items()}
        return Question(
            model=self.model, attributes={**self.attributes, **more}, technology_nm=technology_nm, actions=calls
        )

    def nanometres(self, default: float | None) -> float | None:
        """The technology of the model: its own, none, or the file's."""
        if isinstance(self.technology, QuantityText):
            return float(self.technology.evaluate({}))
        return None if self.technology == "none" else default


class RowModel(SpecModel):
    """A component of ours and what it is held against: sums of `[COUNT * ]MODEL[.ACTION]`."""

    component: str
    capacity: CapacityField | None = None
    width: WidthField | None = None
    depth: ExpressionField | None = None
    kind: Literal["same", "nearest", "none"]
    as_: str = Field(default="", alias="as")
    energy: dict[str, list[str]] = Field(default_factory=dict)
    area: list[str] = Field(default_factory=list)
    why: str = ""


class ComparisonModel(SpecModel):
    """A table of ours against hwcomponents."""

    table: str
    technology: TechnologyField
    source: str
    models: dict[str, PeerModel]
    rows: list[RowModel]


class MemorySizeModel(SpecModel):
    """A size of a memory that is asked for."""

    capacity: CapacityField
    width: WidthField


class SpecComponentModel(PeerModel):
    """A component of the table to be made; `scaling` states how its numbers come to the table's technology."""

    sizes: dict[str, MemorySizeModel] = Field(default_factory=dict)
    scaling: ScalingModel | None = None
    area: bool = Field(default=True, description="false: the table says no area")


class SpecTableModel(SourcedModel):
    """A component table to be made of hwcomponents' models."""

    description: str = ""
    technology: TechnologyField
    components: dict[Identifier, SpecComponentModel]
