"""A published study as data: configurations, claims, and the slips of its accounting as switches.

The file format is documented by the models below; `studies/` holds one file per study.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from typing import Literal

from pydantic import Field, model_validator

from fusemap.archspec.document import Document
from fusemap.archspec.schema import CapacityField, ExpressionField, SpecModel, validate
from fusemap.archspec.yamlnodes import parse_document
from fusemap.diagnostics import did_you_mean, input_error
from fusemap.sim.accounting import Accounting, OperatorCycles, Projection, RegisterInstances, Uncharged


class ConfigurationModel(SpecModel):
    """A cascade on a machine under a dataflow, and what the figures call it."""

    label: str
    cascade: str
    arch: str
    dataflow: str


class ClaimModel(SpecModel):
    """A headline number: the mean over models and lengths of metric(numerator) / metric(denominator).

    Of the attention alone, or `end_to_end` with the linear layers.
    With `component`: the component's share in the energy of `configuration`; `pick` takes the least
    instead of the mean. `short` heads the claim's column in a table.
    """

    claim: str
    short: str
    end_to_end: bool = False
    metric: Literal["latency_s", "energy_pj", "area_um2", "traffic_bytes"] = "energy_pj"
    numerator: str | None = None
    denominator: str | None = None
    configuration: str | None = None
    component: str | None = None
    pick: Literal["mean", "least"] = "mean"

    @model_validator(mode="after")
    def _one_form(self) -> ClaimModel:
        if (self.component is None) == (self.numerator is None or self.denominator is None):
            raise ValueError("a claim has numerator and denominator, or configuration and component")
        if self.end_to_end and (self.component is not None or self.metric == "area_um2"):
            raise ValueError("a claim end to end is a ratio of latencies, energies or traffic")
        return self

    @property
    def configurations(self) -> tuple[str, ...]:
        """The configurations that the claim compares, the numerator first."""
        return tuple(c for c in (self.numerator, self.denominator, self.configuration) if c is not None)


class LinearModel(SpecModel):
    """The linear layers: a file of `layers/`, and their `configurations`.

    `beside` says which of them goes with each configuration of the attention.
    """

    layers: str
    configurations: dict[str, ConfigurationModel]
    beside: dict[str, str]


class ParetoModel(SpecModel):
    """Machines of many sizes: a configuration's cascade and dataflow on `arch`, for every model at one length.

    `points` are values of one of its parameters each, `sizes` parameters that are expressions of the model's
    ranks. `doubles` names the parameter that is doubled from 1 while memory takes longer than `array`.
    """

    configuration: str
    arch: str
    length: str
    points: dict[str, list[int]]
    sizes: dict[str, ExpressionField] = Field(default_factory=dict)
    doubles: str
    array: str

    @model_validator(mode="after")
    def _one_parameter(self) -> ParetoModel:
        if len(self.points) != 1:
            raise ValueError("points has one parameter")
        return self

    @property
    def parameter(self) -> str:
        """The parameter that the points vary."""
        return next(iter(self.points))


class ProjectionModel(SpecModel):
    """See `sim.accounting.Projection`."""

    einsum: str
    tensor: str
    dropped: list[str]


class UnchargedModel(SpecModel):
    """See `sim.accounting.Uncharged`."""

    component: str
    einsum: str = ""
    tensor: str = ""


class OperatorCyclesModel(SpecModel):
    """See `sim.accounting.OperatorCycles`."""

    array: str
    pattern: list[str]
    cycles: int


class RuleModel(SpecModel):
    """Fields of `sim.accounting.Accounting` that a slip replaces."""

    register_instances: RegisterInstances | None = None
    partition_bits: int | None = None
    spill_keeps_buffer: bool | None = None
    projections: list[ProjectionModel] = Field(default_factory=list)
    uncharged: list[UnchargedModel] = Field(default_factory=list)
    operator_cycles: list[OperatorCyclesModel] = Field(default_factory=list)
    names: dict[str, CapacityField] = Field(default_factory=dict)


class SlipModel(SpecModel):
    """A switch of the accounting; `dataflows` that it concerns (default: all)."""

    title: str
    what: str
    dataflows: list[str] | None = None
    rule: RuleModel


class WhatIfModel(SlipModel):
    """A reading other than the published one, with some slips switched off."""

    without: list[str] = Field(default_factory=list)


class FigureModel(SpecModel):
    """A figure of the study: one quantity for every configuration and workload.

    Bars of `quantity`, with `relative_to` over that configuration's value (`inverted`: that value over it);
    or, with `array`, the `parts` of an array's time for one `model`: label -> the Einsums that it stands for;
    or, with `against`, the study's machines by that quantity on the x axis. `study` says which rows it shows.
    """

    shows: str
    axis: str
    study: Literal["attention", "end_to_end", "pareto"] = "attention"
    quantity: str | None = None
    against: str | None = None
    against_axis: str = ""
    relative_to: str | None = None
    inverted: bool = False
    array: str | None = None
    model: str | None = None
    configurations: list[str] = Field(default_factory=list)
    parts: dict[str, list[str]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_form(self) -> FigureModel:
        if (self.quantity is None) == (self.array is None or self.model is None or not self.parts):
            raise ValueError("a figure has a quantity, or array, model and parts")
        if (self.study == "pareto") != (self.against is not None) or (self.parts and self.study != "attention"):
            raise ValueError("a figure of the Pareto study has against, others do not; parts are of the attention")
        return self


class PictureModel(SpecModel):
    """The study in one picture: configurations with their names in it, the first one the baseline.

    `energy` groups components by name, the first match counts and `other` takes the rest; `resources` names
    what the configurations wait for; `sensitivity` is the name of the study's sensitivity in it.
    """

    file: str
    configurations: dict[str, str]
    energy: dict[str, list[str]]
    sensitivity: str
    resources: dict[str, str]


class StudyModel(SpecModel):
    """A study file; `experiment` is the published values' name for its rows.

    `sensitivity` names the what-if that is shown beside every claim it concerns.
    """

    description: str
    source: str
    published: str
    experiment: str
    models: list[str]
    lengths: list[str]
    configurations: dict[str, ConfigurationModel]
    utilization: dict[str, str]
    linear: LinearModel | None = None
    pareto: ParetoModel | None = None
    claims: list[ClaimModel]
    slips: dict[str, SlipModel]
    what_if: dict[str, WhatIfModel] = Field(default_factory=dict)
    sensitivity: str | None = None
    figures: dict[str, FigureModel] = Field(default_factory=dict)
    picture: PictureModel | None = None
    not_modelled: dict[str, str] = Field(default_factory=dict)
    limits: list[str] = Field(default_factory=list)

    @property
    def parts(self) -> dict[str, ConfigurationModel]:
        """All configurations by name: the attention's and those of the linear layers."""
        return self.configurations | (self.linear.configurations if self.linear is not None else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A validated study with its name."""

    name: str
    model: StudyModel
    document: Document = field(repr=False)


def study_names() -> tuple[str, ...]:
    """Names of the built-in studies.

    >>> study_names()
    ('fusemax',)
    """
    files = (resources.files("fusemap.validation") / "studies").iterdir()
    return tuple(sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml")))


def load_study(name: str) -> Study:
    """A built-in study; InputError when there is none of that name."""
    if name not in study_names():
        raise input_error(f"unknown study {name}", hint=did_you_mean(name, study_names(), noun="studies"))
    path = resources.files("fusemap.validation") / "studies" / f"{name}.yaml"
    document = parse_document(path.read_text(encoding="utf-8"), file=f"{name}.yaml")
    return Study(name=name, model=validate(document, StudyModel), document=document)


def apply_rule(accounting: Accounting, rule: RuleModel, *, name: str) -> Accounting:
    """The accounting with a slip's rule switched on."""
    pattern = [OperatorCycles(array=o.array, pattern=tuple(o.pattern), cycles=o.cycles) for o in rule.operator_cycles]
    uncharged = [Uncharged(component=u.component, einsum=u.einsum, tensor=u.tensor) for u in rule.uncharged]
    projected = [Projection(einsum=p.einsum, tensor=p.tensor, dropped=frozenset(p.dropped)) for p in rule.projections]
    keeps = accounting.spill_keeps_buffer if rule.spill_keeps_buffer is None else rule.spill_keeps_buffer
    return Accounting(
        name=name,
        register_instances=rule.register_instances or accounting.register_instances,
        partition_bits=rule.partition_bits or accounting.partition_bits,
        spill_keeps_buffer=keeps,
        projections=(*accounting.projections, *projected),
        operator_cycles=(*pattern, *accounting.operator_cycles),
        uncharged=(*accounting.uncharged, *uncharged),
        names=(*accounting.names, *((n, q.evaluate({})) for n, q in rule.names.items())),
    )
