"""A component table of ours beside what hwcomponents gives for the same components, the nearest ones, or none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from fusemap.archspec.arithmetic import Value
from fusemap.archspec.components import Component, ComponentTable, Quantity
from fusemap.archspec.schema import parse_model
from fusemap.archspec.tables import load_components
from fusemap.validation.hwcomponents.models import ComparisonModel, RowModel
from fusemap.validation.hwcomponents.peer import Answer, Peer, Question, ask, named_python, packaged

TOLERANCE = 1e-6  # relative, of what is said to be the same: CACTI prints six digits
_TERM = re.compile(r"(?:(?P<count>[0-9]+) \* )?(?P<model>\w+)(?:\.(?P<action>\w+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One number of ours (pJ or um^2, None: the table has none) beside the peer's (None: it has no such component)."""

    component: str
    size: str
    quantity: str
    unit: str
    ours: Value | None
    source: str
    peer: float | None
    kind: str
    model: str
    nodes: str
    why: str

    @property
    def ratio(self) -> float | None:
        """ours / peer."""
        return float(self.ours) / self.peer if self.ours is not None and self.peer else None

    @property
    def agrees(self) -> bool:
        """Whether what is said to be the same is the same."""
        return self.kind != "same" or (self.ratio is not None and abs(self.ratio - 1) <= TOLERANCE)

    def to_json(self) -> dict[str, object]:
        """The row as values of JSON."""
        names = ("component", "size", "quantity", "unit", "ours", "source", "peer", "ratio", "kind", "model", "nodes")
        return {**{name: getattr(self, name) for name in names}, "why": self.why, "agrees": self.agrees}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All rows, what ran, and which recorded answers the run does not repeat."""

    table: str
    technology_nm: Value
    peer: str
    versions: Mapping[str, str]
    rows: tuple[Compared, ...]
    moved: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """True where every same is the same, and a live run repeats the recording."""
        return not self.moved and all(row.agrees for row in self.rows)

    def to_json(self) -> dict[str, object]:
        """The comparison as values of JSON."""
        return {
            "table": self.table,
            "technology_nm": self.technology_nm,
            "peer": self.peer,
            "versions": dict(self.versions),
            "moved": list(self.moved),
            "rows": [row.to_json() for row in self.rows],
        }


def compare_components(*, python: str | None = None) -> Comparison:
    """The shipped 45 nm table beside hwcomponents, as recorded or, with `python`, as another interpreter answers now.

    >>> compare_components().agrees
    True
    """
    found = named_python(python) if python else None
    return compare(ask(found, questions()) if found is not None else None)


def compare(peer: Peer | None = None) -> Comparison:
    """The table beside hwcomponents' answers, by default those of the package's recording.

    >>> found = compare()
    >>> row = next(r for r in found.rows if (r.component, r.size, r.quantity) == ("sram", "16 MiB x 4096 bit", "read"))
    >>> found.agrees, row.kind, round(row.ratio, 9)
    (True, 'same', 1.0)
    """
    spec, recorded = comparison(), packaged()
    peer = peer or recorded
    table = load_components(spec.table)
    rows = tuple(found for row in spec.rows for found in _compared(spec, table, row, peer))
    return Comparison(
        table=spec.table,
        technology_nm=spec.technology.evaluate({}),
        peer=peer.name,
        versions=peer.versions,
        rows=rows,
        moved=tuple(_moved(peer, recorded)),
    )


@cache
def comparison() -> ComparisonModel:
    """What is held against what: the package's file."""
    place = resources.files("fusemap.validation.hwcomponents").joinpath("45nm.yaml")
    return parse_model(place.read_text(encoding="utf-8"), ComparisonModel, file="hwcomponents/45nm.yaml")[0]


def questions() -> list[Question]:
    """All that hwcomponents is asked for the comparison."""
    return list(_questions(comparison()).values())


def _questions(spec: ComparisonModel) -> dict[str, Question]:
    default = float(spec.technology.evaluate({}))
    return {name: model.question(model.nanometres(default)) for name, model in spec.models.items()}


def _compared(spec: ComparisonModel, table: ComponentTable, row: RowModel, peer: Peer) -> Iterator[Compared]:
    component, size = _component(table, row)
    asked = _questions(spec)
    wanted: dict[str, Sequence[str]] = dict(row.energy)
    ours: dict[str, tuple[Quantity, str]] = {action: (q, "pJ") for action, q in component.energies}
    if component.area_um2 is not None:
        ours["area"] = (component.area_um2, "um^2")
    if row.area:
        wanted["area"] = row.area
    for name in ours if row.kind == "none" else [name for name in ours if name in wanted]:
        quantity, unit = ours[name]
        terms = [_term(text) for text in wanted.get(name, ())]
        answers = [(count, peer.answer(asked[model]), action) for count, model, action in terms]
        yield Compared(
            component=row.component,
            size=size,
            quantity=name,
            unit=unit,
            ours=quantity.value,
            source=quantity.source,
            peer=sum(_amount(*term) for term in answers) if terms else None,
            kind=row.kind,
            model=row.as_,
            nodes=_nodes([answer for _, answer, _ in answers]),
            why=" ".join(row.why.split()),
        )


def _component(table: ComponentTable, row: RowModel) -> tuple[Component, str]:
    """The component of ours, at its size, and the size in words."""
    bindings: dict[str, Value] = {}
    if row.width is not None:
        bindings["width_bits"] = row.width.evaluate({})
    if row.capacity is not None:
        bindings["capacity_bytes"] = row.capacity.evaluate({})
    if row.depth is not None:
        bindings["depth"] = row.depth.evaluate({})
    words = [str(row.capacity)] if row.capacity is not None else []
    words += [str(row.width)] if row.width is not None else []
    size = " x ".join(words) if row.depth is None else f"{bindings['depth']} words"
    return table.component(row.component, bindings=bindings), size


def _term(text: str) -> tuple[int, str, str | None]:
    """`2 * adder.add` as its count, model and action; no action is the area."""
    match = _TERM.fullmatch(text)
    if match is None:
        raise ValueError(f"no term of a comparison: {text!r}")
    return int(match["count"] or 1), match["model"], match["action"]


def _amount(count: int, answer: Answer, action: str | None) -> float:
    return count * (answer.area_um2 if action is None else answer.energy_pj[action])


def _nodes(answers: Sequence[Answer]) -> str:
    """The technologies of the numbers, and the factors of those that hwcomponents scaled."""
    found = []
    for answer in answers:
        native = ", ".join(f"{nm:g} nm" for nm in answer.native_nm)
        if answer.scaled:
            energy, area = answer.factor("energy"), answer.factor("area")
            native += f" scaled to {answer.technology_nm:g} nm (energy x{energy:.4g}, area x{area:.4g})"
        found.append(native or "of no technology")
    return "; ".join(dict.fromkeys(found))


def _moved(peer: Peer, recorded: Peer) -> Iterator[str]:
    """The questions whose answers a run does not repeat to a part in a million."""
    for question in questions():
        new, old = peer.answer(question), recorded.answer(question)
        pairs = [(new.area_um2, old.area_um2), *((new.energy_pj[a], old.energy_pj[a]) for a in old.energy_pj)]
        if any(abs(x - y) > TOLERANCE * max(abs(x), abs(y)) for x, y in pairs):
            yield str(question)
