"""Baselines read and written: the owner's part stays as it is, the recorded part is checked and replaced."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path as FilePath

from fusemap.archspec.document import Document, Path
from fusemap.archspec.schema import load_model, validate
from fusemap.archspec.yamlnodes import Limits, parse_document, read_text
from fusemap.diagnostics import Diagnostic, InputError, input_error
from fusemap.validation.regress_cases import expand
from fusemap.validation.regress_inputs import Case
from fusemap.validation.regress_model import BaselineModel, CasesModel, MachineModel, RecordedModel, RecordModel
from fusemap.validation.regress_snapshot import TEXTS, Action, Phase, Refused, Snapshot, energy_by_component
from fusemap.validation.regress_text import Record, record_text

LIMITS = Limits(size_bytes=64 << 20, nodes=2_000_000)  # some ten thousand cases
AGREEMENT = 1e-9  # between a recorded total and its parts
_RECORDED = re.compile(r"^recorded[ \t]*:", re.M)
_MARK = "# What follows is recorded, and replaced when it is recorded anew; what stands above is yours."
_EXAMPLE = """a file that has, for a start,
  cases:
    attention:
      {cascade: attention-1pass, arch: fusemax-cloud, workload: BERT@4K}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A baseline as it was read: the owner's text and settings, the cases, and what is recorded (None: nothing yet).

    `cases` is None where the file asks for none: its results are given to it (`energy_regression`).
    """

    file: str
    head: str
    model: BaselineModel
    document: Document = field(repr=False)
    cases: tuple[Case, ...] | None
    record: Record | None

    def place(self, case: str, *keys: str) -> tuple[str, int, int]:
        """File, line and column of a recorded number, or of the nearest thing to it: its case, or who asks for it."""
        for path in (("recorded", "cases", case, *keys), ("recorded", "refused", case)):
            if path[:3] in self.document.entries:
                span = self.document.span(path, key=True)
                return span.file, span.line, span.column
        asked = next((c for c in self.cases or () if c.name == case), None)
        span = asked.document.span(asked.path, key=True) if asked else self.document.span()
        return span.file, span.line, span.column


def load_baseline(path: str | PathLike[str]) -> Baseline:
    """The baseline in a file; InputError lists every fault of the stage that refuses it, located."""
    if not FilePath(path).exists():
        raise input_error(f"there is no baseline {fspath(path)}", hint=f"write {_EXAMPLE}\nthen record it")
    return parse_baseline(read_text(path, most=LIMITS), file=fspath(path))


def parse_baseline(text: str, *, file: str) -> Baseline:
    """The baseline of a text that is named `file` in errors; files that it names are beside that."""
    document = parse_document(text, file=file, most=LIMITS)
    model = validate(document, BaselineModel)
    return Baseline(
        file=file,
        head=_head(text, document),
        model=model,
        document=document,
        cases=_cases(model, document),
        record=_record(model.recorded, document) if model.recorded else None,
    )


def empty_baseline(file: str, head: str = "") -> Baseline:
    """A baseline that is still to be written, without cases of its own."""
    document = Document(file=file, data={}, entries={(): parse_document("a: 1", file=file).entries[()]})
    return Baseline(file=file, head=head, model=BaselineModel(), document=document, cases=None, record=None)


def baseline_text(baseline: Baseline, record: Record) -> str:
    """The baseline with another record: the owner's part as it is, and the recorded part below it.

    InputError where the owner's part is written so that nothing can follow it.
    """
    head = baseline.head
    if _MARK not in head:
        head = f"{head.rstrip()}\n\n{_MARK}\n".lstrip()
    text = head + record_text(record)
    again = parse_baseline(text, file=baseline.file)
    assert again.record == record, "what was recorded must read back as it is"
    return text


def _head(text: str, document: Document) -> str:
    """The owner's part of a baseline's text: all before the key `recorded`, which has to be the last."""
    keys = list(document.data) if isinstance(document.data, dict) else []
    if "recorded" not in keys:
        return text
    if keys[-1] != "recorded":
        raise document.error((keys[-1],), '"recorded" must be the last key: move this above it', key=True)
    found = list(_RECORDED.finditer(text))
    if len(found) != 1:
        raise document.error(("recorded",), '"recorded" must stand at the start of a line, unquoted', key=True)
    return text[: found[0].start()]


def _cases(model: BaselineModel, document: Document) -> tuple[Case, ...] | None:
    if model.cases is None:
        return None
    if not isinstance(model.cases, str):
        return expand(model.cases, document)
    path = FilePath(document.file).parent / model.cases
    if not path.is_file():
        raise document.error(
            ("cases",), f'no such file: "{model.cases[:200]}"', hint="it is looked for beside this one"
        )
    found, beside = load_model(path, CasesModel)
    return expand(found.cases, beside)


def _record(model: RecordedModel, document: Document) -> Record:
    """The results in a recorded part; InputError where numbers contradict each other."""
    results: dict[str, Snapshot | Refused] = {}
    errors: list[Diagnostic] = []
    for name, case in model.cases.items():
        path: Path = ("recorded", "cases", name)
        machine = model.machines.get(case.machine or case.arch)
        if machine is None:
            errors.append(document.diagnostic(path, f'no machine "{case.machine or case.arch}" is recorded', key=True))
            continue
        try:
            results[name] = found = _snapshot(case, machine)
        except KeyError as missing:
            errors.append(document.diagnostic((*path, "counts"), f"no unit energy of {missing.args[0]} is recorded"))
            continue
        errors += [document.diagnostic((*path, *at), message) for at, message in contradictions(found)]
    for name, reason in model.refused.items():
        if name in results:
            errors.append(document.diagnostic(("recorded", "refused", name), f'"{name}" has numbers too', key=True))
        results[name] = Refused(reason=reason)
    if errors:
        hint = "baselines are written by `fusemap regress record`, and not by hand or by a merge of two"
        raise InputError((*errors[:-1], dataclasses.replace(errors[-1], hint=hint)))
    return Record(version=model.fusemap, reason=model.reason, results=results, inputs=model.inputs)


def contradictions(found: Snapshot) -> Iterator[tuple[Path, str]]:
    """Where and how recorded numbers do not go together: totals that are not the sums of their parts."""
    metrics = dict(found.metrics)
    by_component = energy_by_component(found.actions)
    for component, energy in by_component.items():
        recorded = metrics.get(f"energy_pj.{component}")
        if recorded is None or not _close(recorded, energy):
            yield ("energy_by_component_pj", component), f"{component}: counts and unit energies make {energy!r} pJ"
    if "energy_pj" in metrics and not _close(metrics["energy_pj"], sum(by_component.values())):
        yield ("energy_pj",), f"counts and unit energies make {sum(by_component.values())!r} pJ"
    latency_s = sum(phase.latency_s for phase in found.phases)
    if not _close(metrics["latency_s"], latency_s):
        yield ("latency_s",), f"the phases take {latency_s!r} s"
    for phase in found.phases:
        compute_s = sum(cycles for _, _, cycles in phase.waits()) / found.clock_hz
        if not _close(phase.compute_s, compute_s):
            yield ("phases", phase.name, "compute_s"), f"the stages take {compute_s!r} s"


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=AGREEMENT, abs_tol=0.0)


def _snapshot(case: RecordModel, machine: MachineModel) -> Snapshot:
    """A recorded case; KeyError for an action whose unit energy is not recorded."""
    single = {name: getattr(case, name) for name in ("latency_s", "energy_pj", "area_um2", "traffic_bytes")}
    metrics = {name: value for name, value in single.items() if value is not None}
    metrics |= {f"utilization.{array}": share for array, share in case.utilization.items()}
    metrics |= {f"energy_pj.{component}": energy for component, energy in case.energy_by_component_pj.items()}
    return Snapshot(
        texts=tuple((name, getattr(case, name)) for name in TEXTS),
        tiles=tuple(case.tiles.items()),
        metrics=tuple(metrics.items()),
        clock_hz=machine.clock_hz,
        phases=tuple(
            Phase(
                name=name,
                compute_s=phase.compute_s,
                memory_s=tuple(phase.memory_s.items()),
                cycles=tuple((stage, tuple(cycles.items())) for stage, cycles in phase.cycles.items()),
            )
            for name, phase in case.phases.items()
        ),
        actions=tuple(
            _action(einsum, key, count, machine.unit_energy_pj)
            for einsum, counts in case.counts.items()
            for key, count in counts.items()
        ),
        outermost=machine.outermost if case.counts else "",
        areas=tuple(machine.area_um2.items()) if case.area_um2 is not None else (),
    )


def _action(einsum: str, key: str, count: float, prices: Mapping[str, float]) -> Action:
    """An action from its line: `dram read Q` of a memory, `array_2d.mac mul + sum` of a unit."""
    component, _, rest = key.partition(" ")
    direction, _, tensor = rest.partition(" ")
    moved = direction in ("read", "write") and bool(tensor) and not tensor.startswith("+ ")
    action, tensor = (direction, tensor) if moved else (rest, "")
    price = f"{component} {action}" if moved else component
    return Action(
        einsum=einsum,
        component=component,
        action=action,
        tensor=tensor,
        count=count,
        unit_energy_pj=prices[price],
    )
