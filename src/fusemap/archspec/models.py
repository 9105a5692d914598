"""What the files may hold: machines, component tables and workloads as pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from fusemap.archspec.expressions import constant
from fusemap.archspec.schema import (
    AreaField,
    BandwidthField,
    CapacityField,
    EnergyField,
    ExpressionField,
    FrequencyField,
    OwnTechnologyField,
    SpecModel,
    TechnologyField,
    TimeField,
    WidthField,
)

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=60)]
_SOURCE = "who published these numbers; holds for the enclosed blocks too"


class SourcedModel(SpecModel):
    """A block with numbers: they need a source, here or in an enclosing block of the same file."""

    source: str | None = Field(default=None, description=_SOURCE)


class SizeModel(SourcedModel):
    """One published size of a memory macro."""

    capacity: CapacityField
    width: WidthField = Field(description="row width: what one access moves")
    energy: dict[Identifier, EnergyField] = Field(default_factory=dict)
    area: AreaField | None = None


class ComponentModel(SourcedModel):
    """A component: numbers, formulas over `parameters`, or published `sizes`."""

    technology: OwnTechnologyField | None = Field(
        default=None, description="where it is not the table's; `none` for what is not made in the chip's technology"
    )
    parameters: list[Identifier] = Field(default_factory=list)
    energy: dict[Identifier, EnergyField] = Field(default_factory=dict)
    area: AreaField | None = None
    sizes: dict[str, SizeModel] = Field(default_factory=dict)


class ComponentsModel(SourcedModel):
    """A component table."""

    description: str = ""
    technology: TechnologyField | None = Field(default=None, description="that of all components without their own")
    components: dict[Identifier, ComponentModel]


class ScalingModel(SourcedModel):
    """How the table's numbers become those of the machine's technology: number in the table * factor."""

    from_: TechnologyField = Field(alias="from")
    to: TechnologyField
    energy: ExpressionField
    area: ExpressionField | None = None


class TimingModel(SourcedModel):
    """What simulations in time need to know of a memory beyond its bandwidth."""

    latency: TimeField | None = Field(default=None, description="from a request to its first word")
    ports: ExpressionField | None = Field(default=None, description="accesses per cycle, reads and writes together")


class MemoryModel(SourcedModel):
    """A storage level; without capacity it is unbounded, without bandwidth that is no limit."""

    capacity: CapacityField | None = None
    bandwidth: BandwidthField | None = None
    width: WidthField = Field(description="what one access moves")
    component: str = Field(description="name in the component table")
    on_chip: bool = True
    per: Identifier | list[Identifier] = Field(
        default_factory=list[Identifier],
        description="a dimension of an array, or several, of which each coordinate has one; without it there is one",
    )
    timing: TimingModel | None = None


class RegistersModel(SourcedModel):
    """The register file of each processing element."""

    component: str
    depth: ExpressionField = Field(description="words")


class OperatorModel(SourcedModel):
    """What one evaluation costs: cycles, and actions of components (`mac: 6`, `sram.read: 1`)."""

    cycles: ExpressionField
    actions: dict[str, ExpressionField]


class PartModel(SourcedModel):
    """Instances of a component, for the area."""

    per: Literal["pe", "column", "array", "chip"]
    count: ExpressionField = Field(default_factory=lambda: constant(1))


class ArrayModel(SourcedModel):
    """A spatial array; an operator's key is a name (`exp`) or a fused chain (`sub + exp`)."""

    dims: Annotated[dict[Identifier, ExpressionField], Field(min_length=1)]
    registers: RegistersModel
    operators: dict[str, OperatorModel]
    parts: dict[str, PartModel] = Field(default_factory=dict)


class ArchModel(SourcedModel):
    """A machine; memories are listed from the outermost in."""

    name: str | None = None
    description: str = ""
    table: str = Field(description="component table: a built-in name or a path")
    technology: TechnologyField | None = Field(default=None, description="that of the chip, and of the table")
    scaling: ScalingModel | None = Field(default=None, description="from the table's technology to the machine's")
    parameters: Annotated[dict[Identifier, ExpressionField], Field(max_length=100)] = Field(default_factory=dict)
    clock: FrequencyField
    word: CapacityField
    memories: Annotated[dict[Identifier, MemoryModel], Field(min_length=1)]
    arrays: Annotated[dict[Identifier, ArrayModel], Field(min_length=1)]
    parts: dict[str, PartModel] = Field(default_factory=dict)
    components: dict[Identifier, ComponentModel] = Field(default_factory=dict)


class ArchFileModel(ArchModel):
    """An arch file for editors: with the key that the loader resolves before validating."""

    extends: str | None = Field(default=None, description="a built-in name or a path to override")


class WorkloadModel(SourcedModel):
    """A model's rank sizes; `LENGTH` in an expression is the number after the `@` of its name."""

    description: str = ""
    ranks: Annotated[dict[Identifier, ExpressionField], Field(min_length=1, max_length=100)]
    batch: list[Identifier] = Field(default_factory=list)
    block: str | list[str] = Field(
        default_factory=list, description="layers of the whole model: a built-in name or a path, or a list of parts"
    )
    extends: str = Field(default="", description="a built-in name or a path to override (resolved by the loader)")
