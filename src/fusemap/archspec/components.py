"""Component tables: the energy of each action and the area of each component, every number with its source.

A component has plain numbers, formulas over what uses it (`depth`, `width_bits`), or a list of published
sizes. Nothing is interpolated and nothing has a default: a number that is not there is an error when asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fusemap.archspec.arithmetic import Value
from fusemap.archspec.batches import by_value
from fusemap.archspec.decide import as_whole, written
from fusemap.archspec.document import Place
from fusemap.archspec.units import QuantityText
from fusemap.diagnostics import Diagnostic, InputError, Span, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A number in a unit, who published it, and where it is written."""

    value: Value
    unit: str
    source: str
    where: Span = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A component as one machine uses it: `label` names it with its size, `place` is where it is used.

    `key` is where a file writes its numbers (`components.sram.sizes.16MiB_4096`), `sized` whether for a size.
    """

    name: str
    label: str
    energies: tuple[tuple[str, Quantity], ...]
    area_um2: Quantity | None
    table: str
    place: Place = field(compare=False, repr=False)
    sizes_with_energy: tuple[str, ...] = ()
    sizes_with_area: tuple[str, ...] = ()
    key: str = ""
    sized: bool = False
    no_area: str = ""

    @property
    def energy_pj(self) -> Mapping[str, Quantity]:
        """The energy of each action that has one."""
        return dict(self.energies)

    def energy(self, action: str) -> Quantity:
        """The energy of an action in pJ; InputError naming component, action and file when it is not there."""
        known = self.energy_pj
        if action in known:
            return known[action]
        message = f'{self.label} has no energy for action "{action}" in {self.table}'
        hint = did_you_mean(action, list(known), noun="actions") or self._absent("energy", self.sizes_with_energy)
        raise self.place.error(message, hint=hint)

    def area(self) -> Quantity:
        """The area in um^2; InputError naming component and file when it is not there."""
        if self.area_um2 is not None:
            return self.area_um2
        message = f"{self.label} has no area in {self.table}"
        raise self.place.error(message, hint=self.no_area or self._absent("area", self.sizes_with_area))

    def _absent(self, what: str, sizes: Sequence[str]) -> str:
        """What the table has instead, and where a number of one's own goes."""
        listed = f"the table has {what} for: {', '.join(sizes)}\n  " if sizes else ""
        keys = f"capacity, width, {what}" if self.sized else what
        return f"{listed}give yours under {self.key} ({keys}, source) in a file that extends the machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A number or formula as the table writes it, with its source."""

    text: QuantityText
    source: str

    def evaluate(self, names: Mapping[str, Value]) -> Quantity:
        """The number, with the formula's names bound."""
        place = self.text.amount.place
        return Quantity(value=self.text.evaluate(names), unit=self.text.kind.unit, source=self.source, where=place.span)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One published size of a memory macro: its capacity and row width, with what is known of it."""

    label: str
    capacity_bytes: int
    width_bits: int
    energies: tuple[tuple[str, Price], ...]
    area: Price | None

    def __str__(self) -> str:
        return size_text(self.capacity_bytes, self.width_bits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A component of the table: formulas over `parameters`, or a list of sizes.

    `technology_nm` is None where the table does not say; `off_process` says that the chip's technology is not its own.
    """

    name: str
    parameters: tuple[str, ...]
    energies: tuple[tuple[str, Price], ...]
    area: Price | None
    sizes: tuple[Size, ...]
    technology_nm: Value | None = None
    off_process: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """The factors by which a machine's file turns numbers of one technology into those of its own.

    They hold for what `table` (a file) says. What the machine's own file says is in the machine's technology.
    """

    from_nm: Value
    to_nm: Value
    energy: Value
    area: Value | None
    source: str
    table: str
    where: Place = field(compare=False, repr=False)

    def holds_for(self, entry: Entry) -> bool:
        """Whether the component is in the technology that is scaled from."""
        return not entry.off_process and entry.technology_nm == self.from_nm

    def component(self, found: Component) -> Component:
        """The component in the machine's technology; InputError for a number of a third file."""
        area = found.area_um2
        lost = area is not None and self.area is None and area.where.file == self.table
        return replace(
            found,
            energies=tuple((action, self._scaled(price, self.energy)) for action, price in found.energies),
            area_um2=None if area is None or lost else self._scaled(area, self.area or 1),
            no_area="the scaling gives no factor for areas: add area: FACTOR to it" if lost else "",
        )

    def _scaled(self, price: Quantity, factor: Value) -> Quantity:
        if price.where.file == self.where.span.file:
            return price
        if price.where.file != self.table:
            scaler = self.where.span.file
            message = f"{scaler} scales from {self.from_nm} nm to {self.to_nm} nm: in which of them is this number?"
            hint = f"write it in the component table ({self.from_nm} nm) or in {scaler} ({self.to_nm} nm)"
            raise InputError((Diagnostic(message=message, span=price.where, hint=hint),))
        how = f"scaled from {self.from_nm} nm to {self.to_nm} nm by {factor}: {self.source}"
        value = by_value(lambda number: number * factor, price.value)
        return replace(price, value=value, source=f"{price.source}; {how}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentTable:
    """The components that a machine may use.

    `file` is where they are written, with the machine's file when that adds to them; `base` is the table's alone.
    """

    name: str
    file: str
    base: str
    entries: tuple[Entry, ...]
    place: Place = field(compare=False, repr=False)
    scaling: Scaling | None = None

    def names(self) -> tuple[str, ...]:
        """The names of the components."""
        return tuple(entry.name for entry in self.entries)

    def component(
        self, name: str, *, bindings: Mapping[str, Value] | None = None, place: Place | None = None
    ) -> Component:
        """The component with its formulas evaluated, or its size looked up, for `bindings`.

        A memory binds `capacity_bytes` and `width_bits`, a register file `depth`. InputError at `place`
        for an unknown component or an unbound parameter; missing energies and areas fail when asked.
        """
        place = place or self.place
        bindings = bindings or {}
        entry = next((e for e in self.entries if e.name == name), None)
        if entry is None:
            hint = did_you_mean(name, self.names(), noun="components")
            raise place.error(f'unknown component "{name}" in {self.file}', hint=hint)
        found = _sized(entry, bindings, self.file, place) if entry.sizes else self._plain(entry, bindings, place)
        return self.scaling.component(found) if self.scaling is not None and self.scaling.holds_for(entry) else found

    def _plain(self, entry: Entry, bindings: Mapping[str, Value], place: Place) -> Component:
        """The numbers of a component without sizes, its formulas evaluated."""
        name = entry.name
        absent = [parameter for parameter in entry.parameters if parameter not in bindings]
        if absent:
            message = f'component "{name}" depends on {", ".join(absent)}, which is not given here'
            raise place.error(message, hint=f"given: {', '.join(sorted(bindings)) or 'nothing'}")
        names = {parameter: bindings[parameter] for parameter in entry.parameters}
        detail = ", ".join(f"{key} {value}" for key, value in names.items())
        return Component(
            name=name,
            label=f'component "{name}"{f" ({detail})" if detail else ""}',
            energies=tuple((action, price.evaluate(names)) for action, price in entry.energies),
            area_um2=entry.area.evaluate(names) if entry.area is not None else None,
            table=self.file,
            place=place,
            key=f"components.{name}",
        )


def _sized(entry: Entry, bindings: Mapping[str, Value], file: str, place: Place) -> Component:
    """The macro of exactly the bound capacity and width; without energies and area when it is not listed."""
    wanted = (bindings.get("capacity_bytes"), bindings.get("width_bits"))
    if None in wanted:
        raise place.error(f'component "{entry.name}" needs a capacity and a width')
    capacity, width = as_whole(wanted[0] or 0), as_whole(wanted[1] or 0)
    size = next((s for s in entry.sizes if (s.capacity_bytes, s.width_bits) == (capacity, width)), None)
    return Component(
        name=entry.name,
        label=f'component "{entry.name}" ({written(size_text, capacity, width)})',
        energies=tuple((action, price.evaluate({})) for action, price in size.energies) if size else (),
        area_um2=size.area.evaluate({}) if size and size.area else None,
        table=file,
        place=place,
        sizes_with_energy=tuple(str(s) for s in entry.sizes if s.energies),
        sizes_with_area=tuple(str(s) for s in entry.sizes if s.area),
        key=f"components.{entry.name}.sizes.{size.label if size else written(_new_label, capacity, width)}",
        sized=True,
    )


def _new_label(capacity_bytes: int, width_bits: int) -> str:
    """A name for a size that the table does not have.

    >>> _new_label(16 * 2**20, 4096)
    '16MiB_4096'
    """
    return size_text(capacity_bytes, width_bits).removesuffix(" bit").replace(" x ", "_").replace(" ", "")


def size_text(capacity_bytes: int, width_bits: int) -> str:
    """A macro's size in words.

    >>> size_text(16 * 2**20, 4096)
    '16 MiB x 4096 bit'
    """
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if capacity_bytes and capacity_bytes % (1 << power) == 0:
            return f"{capacity_bytes >> power} {unit} x {width_bits} bit"
    return f"{capacity_bytes} B x {width_bits} bit"
