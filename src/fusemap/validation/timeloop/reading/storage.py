"""The attributes of a Timeloop storage: what it holds, what an access moves, and what of it our machines lack.

Units are those of Timeloop's model (src/model/buffer.cpp): `width` and `datawidth` in bits, bandwidths in words per
cycle; one access moves `width / (datawidth * cluster_size)` words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fusemap.archspec.arithmetic import Value
from fusemap.archspec.document import Place
from fusemap.archspec.reader import LARGEST
from fusemap.diagnostics import Diagnostic, InputError
from fusemap.validation.timeloop.reading.levels import StorageSpec
from fusemap.validation.timeloop.reading.nodes import Node
from fusemap.validation.timeloop.reading.notes import Affects, Note
from fusemap.validation.timeloop.reading.values import Scope, flag, number

# Attributes that limit the time of a mapping, or change its energy, in a way our machines cannot say.
_NOT_CARRIED: Mapping[str, tuple[Affects, str]] = {
    "read_bandwidth": ("latency", "a limit of reads alone"),
    "write_bandwidth": ("latency", "a limit of writes alone"),
    "network_fill_latency": ("latency", "time to fill through a network"),
    "network_drain_latency": ("latency", "time to drain through a network"),
    "per_dataspace_bandwidth_consumption_scale": ("latency", "bandwidth per data space"),
    "bandwidth": ("latency", "bandwidth"),
    "has_power_gating": ("energy", "leakage that is gated"),
    "power_gated_at": ("energy", "leakage that is gated"),
    "min_utilization": ("search", "mappings that use less are allowed"),
}
_USED = frozenset(
    (
        *("datawidth", "width", "depth", "entries", "sizeKB", "block_size", "cluster_size", "multiple_buffering"),
        *("shared_bandwidth", "global_cycle_seconds", "reduction_supported", "allow_overbooking"),
    )
)


@dataclass(slots=True, kw_only=True)
class StorageReader:
    """Reads one storage; `attributes` are its own over those of the containers around it."""

    node: Node
    name: str
    attributes: Scope
    own: Node | None
    errors: list[Diagnostic]
    notes: list[Note]

    def read(self, parallel: tuple[int, int] | None, off_chip: bool) -> StorageSpec:
        """The storage, with 1 for what has an error."""
        self._refused()
        before = len(self.errors)
        bits = self.whole("datawidth", 1) or self._missing("datawidth", "the bits of a word")
        width = self.whole("width", 1) or self._missing("width", "the bits of a row")
        cluster, given = self.whole("cluster_size", 1) or 1, self.whole("block_size", 1)
        sound = len(self.errors) == before
        if sound and width % (bits * cluster):
            message = (
                f"{self.name}: a row of {width} bit is no whole number of words of {bits} bit in {cluster} clusters"
            )
            self.errors.append(self._place("width").diagnostic(message))
        block = given or max(1, width // (bits * cluster))
        if sound and given and width % (bits * given):
            message = f"{self.name}: a row of {width} bit is no whole number of blocks of {given} words of {bits} bit"
            self.errors.append(self._place("block_size").diagnostic(message))
        if cluster > 1:
            text = f"{self.name}: cluster_size is left out (Timeloop charges one access for a cluster of {cluster})"
            self.notes.append(Note(affects="energy", text=text, place=self._place("cluster_size")))
        self._others()
        return StorageSpec(
            name=self.name,
            word_bits=bits,
            block=block,
            words=self._words(bits, block),
            off_chip=off_chip,
            parallel=parallel,
            shared_bandwidth=self._bandwidth(),
            constraints=self.node.get("constraints"),
            place=self.node.key("name"),
        )

    def _words(self, bits: int, block: int) -> int | None:
        """The words that it holds at once; double buffering halves them."""
        words: int | None = None
        if (entries := self.whole("entries", 1)) is not None:
            words = entries
        elif (depth := self.whole("depth", 1)) is not None:
            words = depth * block
        elif (size := self.whole("sizeKB", 1)) is not None:
            words = size * 1024 * 8 // bits
        copies = self.number("multiple_buffering")
        if copies is not None and copies < 1:
            self.errors.append(
                self._place("multiple_buffering").diagnostic(f"multiple_buffering of {self.name} is below 1")
            )
            copies = None
        return words if words is None or copies is None else math.floor(words / copies)

    def _bandwidth(self) -> Value | None:
        found = self.number("shared_bandwidth")
        if found is not None and found <= 0:
            self.errors.append(
                self._place("shared_bandwidth").diagnostic(f"shared_bandwidth of {self.name} is not above 0")
            )
            return None
        return found

    def _refused(self) -> None:
        """Attributes that change counts in a way our machines cannot say."""
        for key, wanted, why in (
            ("allow_overbooking", False, "a tile must fit"),
            ("reduction_supported", True, "every memory adds partial sums"),
        ):
            node = self.own.get(key) if self.own is not None else None
            if node is not None and flag(node, key) is not wanted:
                message = f"{self.name}: {key}: {node.text} is not supported"
                self.errors.append(node.diagnostic(message, hint=f"in fusemap {why}"))

    def _others(self) -> None:
        """Notes for what is left out, and a list of what only prices depend on."""
        fields = {} if self.own is None else self.own.fields
        ignored = []
        for key, node in fields.items():
            if key in _USED:
                continue
            empty = node.empty or (node.kind == "scalar" and node.value in (0, False))
            if key not in _NOT_CARRIED:
                ignored.append(key)
            elif not empty:
                affects, what = _NOT_CARRIED[key]
                text = f"{self.name}: {key} is left out ({what})"
                assert self.own is not None
                self.notes.append(Note(affects=affects, text=text, place=self.own.key(key)))
        if ignored:
            assert self.own is not None
            text = f"{self.name}: attributes for estimating prices, which are not estimated here: {', '.join(ignored)}"
            self.notes.append(Note(affects="nothing", text=text, place=self.own.key(ignored[0])))

    def _find(self, key: str) -> tuple[Node | Value, Scope] | None:
        """What an attribute stands for, and the names that its value may use: all others, and its own further out."""
        found = self.attributes.find(key)
        if found is None:
            return None
        node, scope = found
        return None if isinstance(node, Node) and node.empty else (node, scope.without(key))

    def number(self, key: str) -> Value | None:
        found = self._find(key)
        if found is None:
            return None
        node, scope = found
        if not isinstance(node, Node):
            return node
        try:
            return number(node, scope, f"{key} of {self.name}")
        except InputError as error:
            self.errors.extend(error.diagnostics)
            return 1

    def whole(self, key: str, least: int) -> int | None:
        value = self.number(key)
        if value is None:
            return None
        if value != int(value) or not least <= value <= LARGEST:
            message = f"expected {key} of {self.name} as a whole number from {least} on, found {value:g}"
            self.errors.append(self._place(key).diagnostic(message))
            return 1
        return int(value)

    def _missing(self, key: str, what: str) -> int:
        place = self.node.key("attributes")
        self.errors.append(place.diagnostic(f'{self.name} has no "{key}": {what}'))
        return 1

    def _place(self, key: str) -> Place:
        found = self._find(key)
        return found[0].place if found is not None and isinstance(found[0], Node) else self.node.place
