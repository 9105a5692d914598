"""What a sweep's file may hold: the values of every axis, conditions between them, and how points are charged."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StringConstraints

from fusemap.archspec.schema import SpecModel

Scalar: TypeAlias = int | float | str
Names: TypeAlias = str | list[str]
AxisName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$", max_length=120)]


class RangeModel(SpecModel):
    """Values from one end to the other, both included: by a `step`, by a `factor`, or a `count` of them.

    A count is spaced evenly, with `scale: log` by an even ratio. Values of a log scale whose ends are whole numbers (of
    Hz, B or B/s) are rounded to such, and so are bytes, bits and sizes; equal ones count once.
    """

    from_: Scalar = Field(alias="from")
    to: Scalar
    step: Scalar | None = None
    factor: int | float | None = None
    count: int | None = Field(default=None, ge=1, le=1_000_000)
    scale: Literal["linear", "log"] = "linear"


Values: TypeAlias = Scalar | list[Scalar] | RangeModel


class ConditionModel(SpecModel):
    """`then` must hold where `if` does: a name or names of cascade, dataflow, arch or workload, or an expression."""

    if_: dict[str, Names] = Field(alias="if")
    then: str | dict[str, Names]


class SweepModel(SpecModel):
    """A sweep: the points are all combinations of all values, less those that a condition excludes.

    `parameters` are those of the arch's file; `machine` replaces its numbers (`clock`, `MEMORY.capacity`,
    `MEMORY.bandwidth`, `MEMORY.width`, `ARRAY.DIMENSION`); `sizes` are ranks and tiles, as `--size` sets them. A
    condition is an expression of the columns' names that is not 0, or an `if` with its `then`.
    """

    description: str = ""
    cascade: Names
    dataflow: Names = Field(default="best", description="names or files; best: the fastest built-in one that fits")
    arch: Names
    workload: Names = Field(description="names or files, with @LENGTH where no `length` is given")
    length: Values | None = None
    parameters: dict[AxisName, Values] = Field(default_factory=dict)
    machine: dict[AxisName, Values] = Field(default_factory=dict)
    sizes: dict[AxisName, Values] = Field(default_factory=dict)
    conditions: list[str | ConditionModel] = Field(default_factory=list)
    accounting: Literal["principled", "published"] = "principled"
    energy: bool = Field(default=True, description="false: latency and traffic alone, so that no price need be known")


def listed(names: Names) -> list[str]:
    """One name or several as a list.

    >>> listed("flat"), listed(["flat", "unfused"])
    (['flat'], ['flat', 'unfused'])
    """
    return names if isinstance(names, list) else [names]
