"""A mapping with plain numbers as the text of a dataflow file, which `map_cascade` reads back as the same mapping."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fusion, Level, Loop, Phase, Problem, Spill, Storage
from fusemap.mappers.types import Mapping as CascadeMapping

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]*( [A-Za-z0-9_.@]+)*")
_RESERVED = {"null", "true", "false"}


def dataflow_text(
    problem: Problem,
    mapping: CascadeMapping,
    *,
    tiles: Mapping[str, int],
    description: str,
    source: str,
    in_place: Iterable[Sequence[str]] = (),
) -> str:
    """The file: `tiles` are the cascade's sizes that the workload does not give.

    Evaluated on the machine and workload that the mapping is for, it has the mapping's latency, energy and traffic.
    """
    blocks = [
        [f"description: {_quoted(description)}", f"source: {_quoted(source)}", f"cascades: [{_word(problem.cascade)}]"],
        _section("tiles", (f"  {_word(name)}: {size}" for name, size in tiles.items())),
        _section("nests", (line for nest in mapping.einsums for line in _nest(nest))),
        _section("einsums", (line for s in problem.spaces for line in _entry(s, mapping.nest(s.name)))),
        _section("in_place", (f"  - {_listed(group)}" for group in in_place)),
        _section("binding", (line for phase in mapping.binding for line in _phase(phase))),
        _section("fusion", (line for fusion in mapping.fusion for line in _fusion(fusion))),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _section(name: str, lines: Iterable[str]) -> list[str]:
    found = list(lines)
    return [f"{name}:", *found] if found else []


def _nest(nest: EinsumMapping) -> Iterator[str]:
    yield f"  {_word(nest.einsum)}:"
    yield f"    array: {_word(nest.array)}"
    yield "    levels:"
    last = max(i for i, level in enumerate(nest.levels) if isinstance(level, Storage))
    for i, level in enumerate(nest.levels):
        yield f"      - {{{', '.join(_level(level, innermost=i == last))}}}"


def _level(level: Level, *, innermost: bool) -> Iterator[str]:
    yield f"memory: {_word(level.memory)}" if isinstance(level, Storage) else f"spatial: {_word(level.dim)}"
    if level.loops:
        yield f"loops: {_loops(level.loops)}"
    if isinstance(level, Storage) and not (innermost and level.keep is None):
        yield f"keep: {_listed(sorted(level.keep or ()))}"


def _entry(space: EinsumSpace, nest: EinsumMapping) -> Iterator[str]:
    parts = [f"nest: {_word(space.name)}"]
    if "@" in space.name:
        parts.append(f"copy_of: {_word(space.name.split('@')[0])}")
    copies = {o.tensor.split("@")[0]: o.tensor for o in space.inputs if "@" in o.tensor}
    if copies:
        parts.append(f"reads: {{{', '.join(f'{_word(old)}: {_word(new)}' for old, new in copies.items())}}}")
    parts += [_spill(spill) for spill in nest.spills]
    yield f"  {_word(space.name)}: {{{', '.join(parts)}}}"


def _spill(spill: Spill) -> str:
    tensors = _listed(sorted(spill.tensors))
    return f"spill: {{memory: {_word(spill.memory)}, fraction: {spill.fraction!r}, tensors: {tensors}}}"


def _phase(phase: Phase) -> Iterator[str]:
    yield f"  - phase: {_word(phase.name)}"
    if phase.pipelined:
        yield "    pipelined: true"
    yield "    stages:"
    for stage in phase.stages:
        yield f"      - name: {_word(stage.name)}"
        yield "        work:"
        for array, einsums in stage.work:
            yield f"          {_word(array)}: {_listed(einsums)}"
        for i, stall in enumerate(stage.stalls):
            yield from [] if i else ["        stalls:"]
            yield f"          - {{einsum: {_word(stall.einsum)}, factor: {stall.factor}, why: {_quoted(stall.why)}}}"


def _fusion(fusion: Fusion) -> Iterator[str]:
    yield f"  - loops: {_loops(fusion.loops)}"
    yield "    groups:"
    for group in fusion.groups:
        loops = f"loops: {_loops(group.loops)}, " if group.loops else ""
        yield f"      - {{{loops}einsums: {_listed(group.einsums)}}}"
    for key, tensors in (("held", fusion.held), ("twice", fusion.twice)):
        if tensors:
            yield f"    {key}: {_listed(sorted(tensors))}"


def _loops(loops: Iterable[Loop]) -> str:
    return f"[{', '.join(f'{_word(loop.rank)}: {loop.bound}' for loop in loops)}]"


def _listed(names: Iterable[str]) -> str:
    return f"[{', '.join(map(_word, names))}]"


def _word(name: str) -> str:
    """A name as YAML writes it: plain where it can be nothing else."""
    return name if _PLAIN.fullmatch(name) and name.lower() not in _RESERVED else _quoted(name)


def _quoted(text: str) -> str:
    """Text in double quotes.

    >>> print(_quoted("it's"))
    "it's"
    """
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
