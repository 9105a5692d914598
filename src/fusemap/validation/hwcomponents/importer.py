"""A component table made of hwcomponents' models, each number with the model, the versions and the technology it is of.

A model that hwcomponents would scale from another technology is refused, unless the file says by which factors and
why, or takes the component in the technology that its numbers are of.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from fusemap.archspec.accelergy.table import ImportedTable
from fusemap.archspec.arithmetic import Value
from fusemap.archspec.components import size_text
from fusemap.archspec.document import Document, Path, with_sources
from fusemap.archspec.reader import Reader
from fusemap.archspec.schema import validate
from fusemap.archspec.tables import parse_components
from fusemap.archspec.yamlnodes import load_document
from fusemap.diagnostics import InputError, input_error
from fusemap.validation.hwcomponents.models import SpecComponentModel, SpecTableModel
from fusemap.validation.hwcomponents.peer import HOW_TO_GET, Answer, Peer, Question, ask, named_python

Ask = Callable[[Sequence[Question]], Peer]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """One question of a component: for a size or, with label "", for the component as it is."""

    name: str
    label: str
    price: str
    question: Question
    technology: Value | None
    factors: tuple[Value, Value, str] | None


def import_hwcomponents(spec: str | os.PathLike[str], *, python: str | None = None) -> ImportedTable:
    """The component table of the models that a file names, asked of the hwcomponents of another Python.

    InputError for a model of another technology than the one asked for, unless the file states the factors, and
    where no Python is named by the argument or by FUSEMAP_HWCOMPONENTS_PYTHON.
    """
    found = named_python(python)

    def asked(questions: Sequence[Question]) -> Peer:
        if found is None:
            raise input_error("no Python with hwcomponents is named", hint=HOW_TO_GET)
        return ask(found, questions)

    return import_models(spec, asked)


def import_models(path: str | os.PathLike[str], answers_of: Ask) -> ImportedTable:
    """The component table that a file of models makes, asked of hwcomponents by `answers_of`.

    InputError for faults of the file, and for models that are of another technology than the one asked for.
    """
    document = with_sources(load_document(path))
    model = validate(document, SpecTableModel)
    spec = _Spec(document=document, model=model, reader=Reader(document=document))
    wanted = [w for name, component in model.components.items() for w in spec.wanted(name, component)]
    spec.reader.finish()
    peer = answers_of([w.question for w in wanted])
    answers = [(w, answer) for w in wanted if (answer := spec.answer(w, peer)) is not None]
    spec.reader.finish()
    text = spec.text(answers, peer)
    parse_components(text, file="the imported table")
    notes = tuple(dict.fromkeys(note for w, answer in answers for note in _notes(w, answer)))
    return ImportedTable(origin="hwcomponents", text=text, components=tuple(model.components), notes=notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spec:
    """The file, as it is read."""

    document: Document
    model: SpecTableModel
    reader: Reader = field(repr=False)

    def wanted(self, name: str, component: SpecComponentModel) -> Iterator[_Wanted]:
        """The questions of a component; faults are noted with the reader."""
        path: Path = ("components", name)
        if not component.actions and not component.area:
            self.reader.fail(path, f"nothing is asked of {name}: no actions, and no area", key=True)
        target = component.nanometres(float(self.reader.quantity(("technology",), self.model.technology)[0]))
        asked, factors = target, None
        if component.scaling is not None:
            at: Path = (*path, "scaling")
            asked = float(self.reader.quantity((*at, "from"), component.scaling.from_)[0])
            to = float(self.reader.quantity((*at, "to"), component.scaling.to)[0])
            if to != target:
                self.reader.fail((*at, "to"), f"the scaling leads to {to:g} nm, and {name} is in {_nm(target)}")
            energy = self.reader.number((*at, "energy"), component.scaling.energy) or 1
            area = self.reader.number((*at, "area"), component.scaling.area) if component.scaling.area else None
            if area is None and component.area:
                self.reader.fail(
                    at, "no factor for the area", hint='add "area: FACTOR", or "area: false" to the model', key=True
                )
            factors = (energy, area or 1, self.reader.source((*at, "energy"), component.scaling.energy))
        if not component.sizes:
            yield self._wanted(name, "", "", component.question(asked), target, factors)
        for label, size in component.sizes.items():
            at = (*path, "sizes", label)
            capacity = int(self.reader.quantity((*at, "capacity"), size.capacity)[0])
            width = int(self.reader.quantity((*at, "width"), size.width)[0])
            price = f"capacity: {size_text(capacity, width).partition(' x ')[0]}, width: {width} bit, "
            question = component.question(asked, size=capacity * 8, width=width)
            yield self._wanted(name, label, price, question, target, factors)

    def _wanted(
        self,
        name: str,
        label: str,
        price: str,
        question: Question,
        target: Value | None,
        factors: tuple[Value, Value, str] | None,
    ) -> _Wanted:
        return _Wanted(name=name, label=label, price=price, question=question, technology=target, factors=factors)

    def answer(self, w: _Wanted, peer: Peer) -> Answer | None:
        """What a model says; None after a fault: it refuses, or its numbers are of another technology."""
        path: Path = ("components", w.name, "model")
        try:
            answer = peer.answer(w.question)
        except InputError as error:
            for fault in error.diagnostics:
                self.reader.fail(path, fault.message, hint=fault.hint)
            return None
        if w.question.technology_nm is not None and answer.technology_nm is None:
            self.reader.fail(path, f"{w.question} takes no technology", hint='say "technology: none"')
        elif answer.scaled:
            self.refuse(w, answer)
        return answer

    def refuse(self, w: _Wanted, answer: Answer) -> None:
        """The fault of a model whose numbers are of another technology than the one asked for."""
        native = ", ".join(f"{nm:g} nm" for nm in answer.native_nm)
        asked = w.question.technology_nm
        message = f"{w.question} is of {native}, and hwcomponents would make it {_nm(asked)}"
        if answer.factor("energy") != 1 or answer.factor("area") != 1:
            message += (
                f" by factors of its own (energy {answer.factor('energy'):.6g}, area {answer.factor('area'):.6g})"
            )
        one = f"{answer.native_nm[0]:g} nm"
        scaling = f"scaling: {{from: {one}, to: {_nm(w.technology)}, energy: FACTOR, area: FACTOR, source: ...}}"
        hint = f"take it as it is with technology: {one}, or state the factors: {scaling}"
        self.reader.fail(("components", w.name, "model"), message, hint=hint)

    def text(self, answers: Sequence[tuple[_Wanted, Answer]], peer: Peer) -> str:
        """The component table as YAML."""
        default = self.model.technology.evaluate({})
        own = self.document.source(("technology",))
        lines = [f"description: {json.dumps(self.model.description)}"] if self.model.description else []
        lines.append(f"source: {json.dumps('; '.join([own, peer.name]) if own else peer.name)}")
        lines += [f"technology: {default} nm", "", "components:"]
        for name, component in self.model.components.items():
            rows = [(w, answer) for w, answer in answers if w.name == name]
            lines += [f"  {name}:", f"    source: {json.dumps(_source(rows[0][0], rows[0][1], peer))}"]
            if rows[0][0].technology is None:
                lines.append("    technology: none")
            elif rows[0][0].technology != default:
                lines.append(f"    technology: {_nm(rows[0][0].technology)}")
            if component.sizes:
                lines.append("    sizes:")
                lines += [
                    f"      {w.label}: {{{w.price}{', '.join(_prices(w, answer, component.area))}}}"
                    for w, answer in rows
                ]
            else:
                lines += [f"    {price}" for price in _prices(*rows[0], component.area)]
        return "\n".join(lines) + "\n"


def _prices(w: _Wanted, answer: Answer, area: bool) -> list[str]:
    """Energies and area, times the stated factors."""
    energy_factor, area_factor, _ = w.factors or (1, 1, "")
    energies = [f"{action}: {float(_digits(pj * energy_factor))!r} pJ" for action, pj in answer.energy_pj.items()]
    prices = [f"energy: {{{', '.join(energies)}}}"] if energies else []
    return [*prices, f"area: {float(_digits(answer.area_um2 * area_factor))!r} um^2"] if area else prices


def _digits(value: float) -> str:
    """Twelve digits: hwcomponents counts in joules and square metres, and the last ones are of the conversion."""
    return f"{value:.12g}"


def _source(w: _Wanted, answer: Answer, peer: Peer) -> str:
    """The model with its version, the technology, and every scaling that was done."""
    package = w.question.model.partition(".")[0]
    words = [f"{package} {peer.versions.get(package, 'of no known version')}, {w.question}"]
    words.append(f"in {_nm(w.question.technology_nm)}" if w.question.technology_nm is not None else "of no technology")
    if answer.technology_nm is not None and not answer.native_nm:
        words.append("whose own technology was not seen")
    for scaling in answer.scalings:
        if scaling["attribute"] != "tech_node":
            factors = f"energy x{scaling['energy']:.6g}, area x{scaling['area']:.6g}"
            words.append(
                f"{scaling['model']} from {scaling['attribute']} {scaling['from']} to {scaling['to']} ({factors})"
            )
    if w.factors is not None:
        energy, area, source = w.factors
        words.append(f"scaled to {_nm(w.technology)} (energy x{energy}, area x{area}): {source}")
    return "; ".join(words)


def _notes(w: _Wanted, answer: Answer) -> Iterator[str]:
    if answer.technology_nm is not None and not answer.native_nm:
        asked = _nm(answer.technology_nm)
        yield f"{w.name}: of which technology {w.question} is was not seen; it was asked for {asked}"


def _nm(value: Value | None) -> str:
    return "no technology" if value is None else f"{value:g} nm"
