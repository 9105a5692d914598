"""What a baseline's file may hold: the cases and tolerances that its owner writes, and what was recorded."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Discriminator, Field, StringConstraints, Tag

from fusemap.archspec.schema import SpecModel

SCHEMA = "fusemap/baseline/1"
NAME_LENGTH = 200
Number: TypeAlias = int | float
Names: TypeAlias = str | list[str]
# What can be seen, so that it can be written anywhere: no control characters.
CaseName = Annotated[str, StringConstraints(min_length=1, max_length=NAME_LENGTH, pattern=r"^\P{C}+$")]
Share = Annotated[float, Field(ge=0)]
AccountingName = Literal["principled", "published"]


class CaseModel(SpecModel):
    """A case, or with lists all their combinations, named after the case and the values.

    Names are built in, or files beside the one that names them.
    """

    cascade: Names
    arch: Names
    workload: Names = Field(description="names or files, with @LENGTH where no `length` is given")
    length: int | str | list[int | str] | None = None
    dataflow: Names = Field(default="best", description="names or files; best: the fastest built-in one that fits")
    accounting: AccountingName | list[AccountingName] = "principled"
    without: list[str] = Field(default_factory=list, description="slips of the published accounting, switched off")
    sizes: dict[str, int] = Field(default_factory=dict, description="ranks and tiles, as `--size` sets them")
    energy: bool = Field(default=True, description="false: latency and traffic alone, so that no price need be known")


class CasesModel(SpecModel):
    """A file of cases beside a baseline, which names it: `cases: FILE`."""

    description: str = ""
    cases: Annotated[dict[CaseName, CaseModel], Field(min_length=1)]


class ToleranceModel(SpecModel):
    """A number has moved when it differs by more than `absolute` and more than `relative` of what is recorded."""

    relative: Share = 0.0
    absolute: Share = 0.0


def _form(value: object) -> str:
    """Which of two forms a value has, so that an error is about that one alone."""
    return "mapping" if isinstance(value, dict) else "value"


Tolerance = Annotated[Annotated[Share, Tag("value")] | Annotated[ToleranceModel, Tag("mapping")], Discriminator(_form)]
Asked = Annotated[dict[CaseName, CaseModel], Field(min_length=1)]
Cases = Annotated[Annotated[Asked, Tag("mapping")] | Annotated[str, Tag("value")], Discriminator(_form)]


class MachineModel(SpecModel):
    """What cases of a machine share: prices of actions in pJ, areas of components in um^2."""

    clock_hz: Number
    outermost: str = ""
    unit_energy_pj: dict[str, Number] = Field(default_factory=dict)
    area_um2: dict[str, Number] = Field(default_factory=dict)


class PhaseModel(SpecModel):
    """The times of a phase, and for each of its stages the cycles of every array and of stalls."""

    compute_s: Number
    memory_s: dict[str, Number]
    cycles: dict[str, dict[str, int]]


class RecordModel(SpecModel):
    """A case's numbers: what is compared, and the phases and counts of actions that explain them."""

    cascade: str
    arch: str
    workload: str
    dataflow: str
    accounting: str
    bottleneck: str
    machine: str = Field(default="", description="its entry in `machines`, where that is not called as `arch`")
    tiles: dict[str, Number | str] = Field(default_factory=dict)
    latency_s: Number
    energy_pj: Number | None = None
    area_um2: Number | None = None
    traffic_bytes: Number
    utilization: dict[str, Number]
    energy_by_component_pj: dict[str, Number] = Field(default_factory=dict)
    phases: dict[str, PhaseModel]
    counts: dict[str, dict[str, Number]] = Field(default_factory=dict)


class RecordedModel(SpecModel):
    """The part that `fusemap regress record` writes."""

    schema_: Literal["fusemap/baseline/1"] = Field(alias="schema")
    fusemap: str = Field(description="the version that computed the numbers")
    reason: str = Field(description="why the numbers are what they are since the last time they moved")
    inputs: dict[str, str] = Field(default_factory=dict, description="digests of what the cases name")
    machines: dict[str, MachineModel] = Field(default_factory=dict)
    cases: dict[CaseName, RecordModel] = Field(default_factory=dict)
    refused: dict[CaseName, str] = Field(default_factory=dict, description="cases that nothing fits, and why")


class BaselineModel(SpecModel):
    """A baseline: cases (here or in a file beside), tolerances by metric, and, last, what was recorded."""

    description: str = ""
    cases: Cases | None = Field(default=None, description="cases, or the file beside this one that has them")
    tolerances: dict[str, Tolerance] = Field(default_factory=dict)
    recorded: RecordedModel | None = None
