"""An imported architecture as a machine file and a component table of ours.

The machine counts in words: `word` is that of the outermost storage, and the capacities and rows of all storages are
written as their number of words times it, so that every count of words is Timeloop's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fusemap.archspec.accelergy.types import Estimate
from fusemap.diagnostics import input_error
from fusemap.validation.timeloop.reading.design import Design
from fusemap.validation.timeloop.reading.levels import StorageSpec
from fusemap.validation.timeloop.reading.notes import Note

NOTHING = "no_register_file"


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineText:
    """The two files, and the names that the levels have in them."""

    machine: str
    components: str
    storage: dict[str, str]
    dims: dict[str, str]
    array: str
    notes: tuple[Note, ...]


def machine_text(design: Design, *, name: str, operators: Sequence[str], origin: str) -> MachineText:
    """The machine `NAME-machine.yaml`, whose table is `NAME-components.yaml` beside it.

    A storage is a memory: one of the chip, or `per` the dimensions of the fanouts that it stands inside. One that is
    the only storage of each compute unit is the array's register file, so that `fusemap map` uses it.
    """
    writer = _Writer(design=design, name=name, operators=tuple(operators), origin=origin)
    return writer.text()


def identifier(text: str) -> str:
    """A name as our files have it.

    >>> identifier("L2-cache"), identifier("2nd")
    ('L2_cache', '_2nd')
    """
    plain = re.sub(r"[^A-Za-z0-9_]", "_", text)[:50]
    return plain if re.match(r"[A-Za-z_]", plain) else f"_{plain}"


def quoted(text: str) -> str:
    """Text as YAML reads it back for certain."""
    return json.dumps(text, ensure_ascii=False)


class _Writer:
    def __init__(self, *, design: Design, name: str, operators: tuple[str, ...], origin: str) -> None:
        self.design, self.name, self.operators, self.origin = design, name, operators, origin
        architecture = design.architecture
        self.array = identifier(architecture.compute)
        self.dims = _unique([dim for mesh in architecture.meshes for dim, _, _ in mesh.dims])
        self.registers = _register_file(design)
        names = _unique([s.name for s in architecture.storages])
        self.components = names
        self.storage = {
            s.name: f"{self.array}.registers" if s is self.registers else names[s.name] for s in architecture.storages
        }
        self.word_bytes = max(1, -(-architecture.storages[0].word_bits // 8))
        self.notes: list[Note] = []

    def text(self) -> MachineText:
        machine = "\n".join([*self.head(), *self.memories(), *self.arrays()]) + "\n"
        components = "\n".join(self.table()) + "\n"
        self.word_notes()
        return MachineText(
            machine=machine,
            components=components,
            storage=self.storage,
            dims=self.dims,
            array=self.array,
            notes=tuple(self.notes),
        )

    def head(self) -> Iterator[str]:
        architecture = self.design.architecture
        yield f"description: {quoted(f'imported from {self.origin}')}"
        yield f"source: {quoted(self.origin)}"
        yield f"table: {quoted(f'{self.name}-components.yaml')}"
        yield f"clock: {_hertz(architecture.cycle_s)}  # global_cycle_seconds: {architecture.cycle_s!r}"
        yield f"word: {self.word_bytes} B  # of {architecture.storages[0].name}; other storages count in such words"
        yield ""

    def memories(self) -> Iterator[str]:
        architecture = self.design.architecture
        yield "memories:  # from the outermost in"
        for storage in architecture.storages:
            if storage is self.registers:
                if storage.shared_bandwidth is not None:
                    self.bandwidth(storage, ["each unit"])
                continue
            parts = [f"component: {self.components[storage.name]}"]
            if storage.words is not None:
                parts.append(f"capacity: {storage.words * self.word_bytes} B")
            parts.append(f"width: {storage.block * self.word_bytes * 8} bit")
            per = [self.dims[dim] for dim in architecture.outside(storage)]
            parts += [f"per: [{', '.join(per)}]"] if per else []
            parts += ["on_chip: false"] if storage.off_chip else []
            if storage.shared_bandwidth is not None:
                parts += self.bandwidth(storage, per)
            yield f"  {self.storage[storage.name]}: {{{', '.join(parts)}}}"
        yield ""

    def bandwidth(self, storage: StorageSpec, per: Sequence[str]) -> list[str]:
        """The limit of reads and writes together, which only a memory of the chip has."""
        if per:
            text = f"{storage.name}: shared_bandwidth is left out (of a memory that is one of many)"
            self.notes.append(Note(affects="latency", text=text, place=storage.place))
            return []
        assert storage.shared_bandwidth is not None
        per_second = storage.shared_bandwidth * self.word_bytes / self.design.architecture.cycle_s
        return [f"bandwidth: {per_second!r} B/s"]

    def arrays(self) -> Iterator[str]:
        architecture = self.design.architecture
        dims = {self.dims[name]: extent for mesh in architecture.meshes for name, _, extent in mesh.dims}
        listed = ", ".join(f"{name}: {extent}" for name, extent in (dims or {"lanes": 1}).items())
        registers = f"{{component: {NOTHING}, depth: 1}}"
        if self.registers is not None:
            registers = f"{{component: {self.components[self.registers.name]}, depth: {self.registers.words}}}"
        yield "arrays:"
        yield f"  {self.array}:"
        yield f"    dims: {{{listed}}}"
        yield f"    registers: {registers}"
        yield "    operators:"
        yield f"      {' + '.join(self.operators)}: {{cycles: 1, actions: {{{self.array}.compute: 1}}}}"
        yield "    parts:"
        yield f"      {self.array}: {{per: pe}}"

    def table(self) -> Iterator[str]:
        tables = self.design.tables
        said = f"; prices of {', '.join(tables.files)}" if tables is not None else ", which has no prices"
        yield f"description: {quoted(f'components of {self.origin}{said}')}"
        yield f"source: {quoted(self.origin)}"
        yield ""
        yield "components:"
        for storage in self.design.architecture.storages:
            yield from self.stored(storage)
        compute = self.design.architecture.compute
        found = self.design.estimate(compute)
        self.unpriced(compute, found, ("compute",))
        yield from self.entry(self.array, found, {"compute": self.energy(found, "compute", 1)})
        if self.registers is None:
            yield f"  {NOTHING}:  # the compute unit takes its operands from the storages"
            yield f"    source: {quoted(f'{self.origin}: no storage below those that it lists')}"
            yield "    energy: {read: 0 pJ, write: 0 pJ}"
            yield "    area: 0 um^2"

    def stored(self, storage: StorageSpec) -> Iterator[str]:
        """A storage's prices of one access of a row; those of a register file are of one word."""
        found = self.design.estimate(storage.name)
        words = storage.block if storage is self.registers else 1
        self.unpriced(storage.name, found, ("read", "write"))
        energies = found.energy_pj if found is not None else {}
        if "update" in energies and energies["update"] != energies.get("write"):
            at = found.place if found is not None else None
            message = f"{storage.name}: an update costs {energies['update']} pJ and a write {energies.get('write')} pJ"
            hint = "fusemap prices both as a write: supported are tables where they are equal"
            raise at.error(message, hint=hint) if at is not None else input_error(message, hint=hint)
        if energies.get("leak"):
            text = f"{storage.name}: the energy of leaking is left out ({energies['leak']} pJ per cycle and instance)"
            self.notes.append(Note(affects="energy", text=text, place=found.place if found is not None else None))
        both = {action: self.energy(found, action, words) for action in ("read", "write")}
        yield from self.entry(self.components[storage.name], found, both)

    def energy(self, found: Estimate | None, action: str, words: int) -> str:
        value = found.energy_pj.get(action) if found is not None else None
        if value is None:
            return ""
        return f"{value!r} / {words} pJ" if words > 1 else f"{value!r} pJ"

    def unpriced(self, name: str, found: Estimate | None, actions: Sequence[str]) -> None:
        if self.design.tables is None:
            return
        missing = [a for a in actions if found is None or a not in found.energy_pj]
        if missing:
            text = f"the energy tables have no {' and no '.join(missing)} of {name}"
            self.notes.append(Note(affects="energy", text=text, place=found.place if found is not None else None))

    def entry(self, name: str, found: Estimate | None, energies: dict[str, str]) -> Iterator[str]:
        yield f"  {name}:" if found is not None else f"  {name}: {{}}"
        if found is None:
            return
        priced = ", ".join(f"{action}: {energy}" for action, energy in energies.items() if energy)
        yield f"    source: {quoted(self.source(found))}"
        if priced:
            yield f"    energy: {{{priced}}}"
        if found.area_um2 is not None:
            yield f"    area: {found.area_um2!r} um^2"

    def source(self, found: Estimate) -> str:
        tables = self.design.tables
        files = ", ".join(tables.files) if tables is not None else ""
        by = f", estimated by {', '.join(found.estimators)}" if found.estimators else ""
        return f"{found.name} in {files}{by}"

    def word_notes(self) -> None:
        """Storages whose words have another width: their bytes are those of the machine's words."""
        bits = self.word_bytes * 8
        others = [s for s in self.design.architecture.storages if s.word_bits != bits]
        if others:
            listed = ", ".join(f"{s.name} ({s.word_bits} bit)" for s in others)
            text = f"words of {listed} are written as words of {bits} bit: counts of words are the same, bytes are not"
            self.notes.append(Note(affects="nothing", text=text, place=others[0].place))
        if self.registers is not None:
            text = f"{self.registers.name} is the register file of the array {self.array}"
            self.notes.append(Note(affects="nothing", text=text, place=self.registers.place))
        inner = [s for s in self.design.architecture.storages if self.design.architecture.outside(s)]
        inside = [s.name for s in inner if s is not self.registers]
        if inside and self.design.mapping is None:
            text = f"fusemap map does not use memories inside a fanout: {', '.join(inside)}"
            self.notes.append(Note(affects="search", text=text))


def _register_file(design: Design) -> StorageSpec | None:
    """The storage that each compute unit has for itself alone: the innermost one, inside all fanouts, bounded."""
    architecture = design.architecture
    last = architecture.storages[-1]
    if len(architecture.storages) < 2 or last.words is None or last.parallel is not None:
        return None
    if architecture.levels[-1] is not last or last.off_chip:
        return None
    alone = all(not architecture.outside(s) for s in architecture.storages[:-1])
    return last if alone else None


def _unique(names: Sequence[str]) -> dict[str, str]:
    """Identifiers of names, which differ where the names do."""
    found: dict[str, str] = {}
    for name in names:
        plain, n = identifier(name), 1
        while plain in found.values() or plain == NOTHING:
            n += 1
            plain = f"{identifier(name)}_{n}"
        found[name] = plain
    return found


def _hertz(seconds: float) -> str:
    """A clock as a quantity.

    >>> _hertz(1e-9), _hertz(2e-9)
    ('1 GHz', '500 MHz')
    """
    hertz = 1 / seconds
    for scale, unit in ((1e9, "GHz"), (1e6, "MHz"), (1e3, "kHz")):
        value = round(hertz / scale, 9)
        if value >= 1:
            return f"{int(value) if value == int(value) else value} {unit}"
    return f"{hertz!r} Hz"
