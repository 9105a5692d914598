"""Where a page's numbers come from: versions, digests of files, the command, and the source of every constant."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

from fusemap.archspec import registry
from fusemap.archspec.types import Machine, Memory
from fusemap.cli.case import Case
from fusemap.cli.explain_text import Sources
from fusemap.cli.html_elements import Html, data, join, scrolled, section, table, tag, text
from fusemap.cli.quantities import binary, number, si
from fusemap.cli.report_findings import Findings
from fusemap.cli.report_numbers import every_source, linked, source_list
from fusemap.einsum_cascade import catalog
from fusemap.mappers import dataflow
from fusemap.validation.regress_inputs import digest
from fusemap.version import VERSION

PACKAGES = ("numpy", "sympy", "matplotlib")  # what computes and draws
_BUILT_IN: Mapping[str, Callable[[], Sequence[str]]] = MappingProxyType(
    {
        "cascade": catalog.names,
        "arch": partial(registry.names, "arch"),
        "workload": partial(registry.names, "workload"),
        "dataflow": dataflow.names,
    }
)
Constant = tuple[str, float, str, str]  # name, value, as it is read, source


def versions() -> dict[str, str]:
    """What the page was made with."""
    return {"fusemap": VERSION, "Python": platform.python_version(), **{p: metadata.version(p) for p in PACKAGES}}


def inputs(case: Case, chosen: str) -> list[dict[str, str]]:
    """What the case names: the digest of its content (with what it extends) and, of a file, that of its bytes."""
    model, at, _ = (case.workload or "").rpartition("@")
    asked = {
        "cascade": case.cascade,
        "arch": case.arch or "",
        "workload": model if at else case.workload or "",
        "dataflow": case.dataflow or chosen,
    }
    full = {**asked, "workload": case.workload or ""}
    return [
        {"kind": kind, "name": name, "digest": digest(kind, full[kind]), "sha256": _sha256(kind, name)}
        for kind, name in asked.items()
    ]


def _sha256(kind: str, name: str) -> str:
    """Of a file's bytes; empty for a built-in name, also where a file is called so."""
    return "" if name in _BUILT_IN[kind]() else hashlib.sha256(Path(name).read_bytes()).hexdigest()


def repeat(case: Case, target: str) -> str:
    """The command that makes the page again."""
    return f"fusemap report {case.arguments} --html {Path(target).name}"


def provenance(found: Findings, target: str, sources: Sources) -> Html:
    """The section, with the list of all sources at its end."""
    command = scrolled(tag("pre", tag("code", text(repeat(found.case, target)))), "Command")
    of_constants = _constants(found, sources)
    every_source([term for d in found.explanation.derivations for term in d.terms], sources)
    made = tag("p", text("Made with " + ", ".join(f"{name} {version}" for name, version in versions().items()) + "."))
    return section(
        "Provenance",
        tag("h3", text("Command to repeat")),
        command,
        made,
        _inputs(found),
        of_constants,
        tag("h3", text("Sources"), id="sources"),
        source_list(sources),
    )


def _inputs(found: Findings) -> Html:
    rows = []
    for entry in inputs(found.case, found.report.dataflow):
        of_file = tag("code", text(entry["sha256"])) if entry["sha256"] else text("built in")
        rows.append([text(entry["kind"]), text(entry["name"]), tag("code", text(entry["digest"])), of_file])
    headers = ["input", "name", "digest of content", "SHA-256 of file"]
    return table("Inputs: the digest covers what a file extends, and the prices it uses", headers, rows, "llll")


def _constants(found: Findings, sources: Sources) -> Html:
    evaluation = found.explanation.evaluation
    constants = [
        *((f"rank {r.name}", float(r.size), number(r.size), r.source) for r in evaluation.workload.ranks),
        *_of_machine(evaluation.machine),
    ]
    rows = [
        [text(name), data(value, shown), linked(sources.mark(source or evaluation.workload.source), sources)]
        for name, value, shown, source in constants
    ]
    caption = "Constants of workload and machine; prices stand beside the counts above"
    return table(caption, ["constant", "value", "source"], rows, "lrl")


def _of_machine(machine: Machine) -> Iterator[Constant]:
    own = dict(machine.sources)
    clock = float(machine.clock_hz)
    yield "clock", clock, si(clock, "Hz"), own.get("clock_hz", machine.source)
    yield "word", float(machine.word_bytes), binary(machine.word_bytes), own.get("word_bytes", machine.source)
    for memory in machine.memories:
        yield from _of_memory(memory, machine.source)
    for array in machine.arrays:
        for dim in array.dims:
            yield f"{array.name}.{dim.name}", float(dim.extent), number(dim.extent), dim.source
        depth = array.registers.depth_words
        yield f"{array.name} registers", float(depth), f"{number(depth)} words", array.registers.source


def _of_memory(memory: Memory, default: str) -> Iterator[Constant]:
    own = dict(memory.sources)
    if memory.capacity_bytes is not None:
        size = memory.capacity_bytes
        yield f"{memory.name} capacity", float(size), binary(size), own.get("capacity_bytes", default)
    if memory.bandwidth_bytes_per_s is not None:
        rate = float(memory.bandwidth_bytes_per_s)
        yield f"{memory.name} bandwidth", rate, f"{binary(rate)}/s", own.get("bandwidth_bytes_per_s", default)
    width = memory.width_bits
    yield f"{memory.name} width", float(width), f"{number(width)} b", own.get("width_bits", default)
    if memory.latency_s is not None:
        wait = float(memory.latency_s)
        yield f"{memory.name} latency", wait, si(wait, "s"), own.get("latency_s", default)
    if memory.ports is not None:
        yield f"{memory.name} ports", float(memory.ports), number(memory.ports), own.get("ports", default)


def footer() -> Html:
    """The last line."""
    return tag("footer", tag("p", join([text(f"fusemap {VERSION}")]), class_="quiet"))
