"""Directives of a Timeloop mapping or of constraints: factors, permutations and what is kept, for a target.

Source: src/mapping/parser.cpp (NVlabs/timeloop, 4cf6d4c) and the v4 front end. A permutation lists the innermost
loop first. A factor of 0 means the whole dimension. `P=7,3` is a loop of 7 whose last round has 3 iterations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fusemap.archspec.document import Place
from fusemap.diagnostics import Diagnostic, did_you_mean
from fusemap.validation.timeloop import vocabulary as words
from fusemap.validation.timeloop.reading.nodes import Node
from fusemap.validation.timeloop.reading.problem import ProblemSpec

KINDS = (words.TEMPORAL, words.SPATIAL, words.DATASPACE)
_OLD_NAMES = {"datatype": words.DATASPACE, "bypass": words.DATASPACE}
_FACTOR = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*?)\s*(<=|>=|=|)\s*([0-9]{1,15})(?:,([0-9]{1,15}))?(?=[\s,]|$)[\s,]*")
_ITERATION = ("factors", "permutation", "type", "target")
# Keys that change counts in a way our mappings cannot say.
_REFUSED = {
    "no_reuse": "fusemap keeps a tile until it changes, and multicasts what instances share",
    "no_temporal_reuse": "fusemap keeps a tile until it changes",
    "rmw_first_update": "in fusemap the first contribution reads nothing",
    "no_coalesce": "fusemap reads a shared word once",
    "proportion": "in fusemap a tile must fit",
}
# Keys that steer a search and are no part of a mapping.
_SEARCH = (
    *("factors_only", "default_max_factor", "default_min_factor", "remainders", "no_iteration_over_dataspaces"),
    *("must_iterate_over_dataspaces", "maximize_dims", "maximize_dims_capacity", "min"),
)
_KNOWN = frozenset(
    (*_ITERATION, *_REFUSED, *_SEARCH, "split", "no_link_transfer", "keep", "bypass", "keep_only", "bypass_only")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A loop bound of a dimension: `relation` is `=` in a mapping, `<=` or `>=` in a constraint."""

    dimension: str
    relation: str
    value: int
    place: Place


@dataclass(slots=True, kw_only=True)
class Directive:
    """What one entry says of a target."""

    target: str
    kind: str
    factors: list[Factor] = field(default_factory=list)
    permutation: list[str] | None = None
    split: int | None = None
    keep: list[str] = field(default_factory=list)
    bypass: list[str] = field(default_factory=list)
    search: list[str] = field(default_factory=list)
    place: Place


@dataclass(slots=True, kw_only=True)
class DirectiveReader:
    """Reads directives over the dimensions and data spaces of a problem; faults are collected."""

    problem: ProblemSpec
    errors: list[Diagnostic]

    def entry(self, node: Node) -> Directive | None:
        """A directive of a list, which names its target and type."""
        target, kind = node.mapping("a directive").get("target"), node.get("type")
        if target is None or kind is None:
            missing = "target" if target is None else "type"
            self.errors.append(node.diagnostic(f'a directive has no "{missing}"'))
            return None
        name = _OLD_NAMES.get(kind.text, kind.text)
        if name in ("max_overbooked_proportion", "utilization"):
            return self.read(node, target.text, name)
        if name not in KINDS:
            hint = did_you_mean(kind.text, KINDS, noun="types")
            self.errors.append(kind.diagnostic(f'the type "{kind.text[:40]}" is not supported', hint=hint))
            return None
        return self.read(node, target.text, name)

    def group(self, node: Node | None, target: str) -> Iterator[Directive]:
        """The directives among the constraints of an architecture's node."""
        valid = (*KINDS, "max_overbooked_proportion", "utilization")
        if node is None:
            return
        self.errors += node.mapping("constraints").known(valid, "constraints")
        for kind in valid:
            inner = node.get(kind)
            if inner is not None:
                yield self.read(inner.mapping(f"the {kind} constraints"), target, kind)

    def read(self, node: Node, target: str, kind: str) -> Directive:
        """The directive of a mapping node."""
        found = Directive(target=target, kind=kind, place=node.place)
        for key, value in node.fields.items():
            if key in ("target", "type") or (value.empty and key in _KNOWN):
                continue
            if key in _REFUSED:
                self.refuse(node, key, value, target)
            elif key == "no_link_transfer":
                continue  # our arrays have no links: neighbours pass nothing on
            elif key in _SEARCH:
                found.search.append(key)
            elif kind == words.DATASPACE:
                self.stored(found, node, key, value)
            elif kind in (words.TEMPORAL, words.SPATIAL):
                self.iterated(found, node, key, value)
            else:
                found.search.append(key)
        return found

    def refuse(self, node: Node, key: str, value: Node, target: str) -> None:
        if value.items or (value.kind == "scalar" and value.value not in (False, 0)):
            message = f"{key} of {target} is not supported"
            self.errors.append(node.key(key).diagnostic(message, hint=_REFUSED[key]))

    def iterated(self, found: Directive, node: Node, key: str, value: Node) -> None:
        if key == "factors":
            found.factors = list(self.factors(value))
        elif key == "permutation":
            found.permutation = self.permutation(value)
        elif key == "split" and found.kind == words.SPATIAL:
            if isinstance(value.value, int) and not isinstance(value.value, bool) and value.value >= 0:
                found.split = value.value
            else:
                found.search.append(key)
        else:
            valid = (
                *_ITERATION,
                *(("split", "no_link_transfer") if found.kind == words.SPATIAL else ()),
                *_REFUSED,
                *_SEARCH,
            )
            self.unknown(node, key, valid, f"a {found.kind} directive")

    def stored(self, found: Directive, node: Node, key: str, value: Node) -> None:
        names = [t.name for t in self.problem.tensors]
        if key not in ("keep", "bypass", "keep_only", "bypass_only"):
            self.unknown(node, key, ("keep", "bypass", "keep_only", "bypass_only"), "a dataspace directive")
            return
        listed: list[str] = []
        for item in value.listed(key):
            if item.text == "*":
                listed += names
            elif item.text in names:
                listed.append(item.text)
            else:
                hint = did_you_mean(item.text, names, noun="data spaces")
                self.errors.append(item.diagnostic(f'unknown data space "{item.text[:40]}"', hint=hint))
        others = [name for name in names if name not in listed]
        keeps, rest = (listed, others) if key.startswith("keep") else (others, listed)
        found.keep += keeps if key != "bypass" else []
        found.bypass += rest if key != "keep" else []

    def unknown(self, node: Node, key: str, valid: Sequence[str], what: str) -> None:
        hint = did_you_mean(key, valid, noun="keys")
        self.errors.append(node.key(key).diagnostic(f'{what} has an unknown key "{key[:60]}"', hint=hint))

    def factors(self, node: Node) -> Iterator[Factor]:
        """Factors as a text (`R=3 P=16`, `R3 P16`) or as a list of such texts."""
        for item in node.items if node.kind == "list" else [node]:
            if item.kind != "scalar":
                self.errors.append(item.diagnostic(f"expected factors as in R=3, found {item.described()}"))
                continue
            at = 0
            text = item.text.split("#")[0].rstrip()
            while at < len(text):
                match = _FACTOR.match(text, at)
                if match is None:
                    rest = text[at:].strip()
                    place = item.place
                    message = f'expected factors as in R=3 P=16, found "{rest[:40]}"'
                    hint = "supported: a dimension and a whole number"
                    self.errors.append(place.diagnostic(message, hint=hint, offset=at, length=max(1, len(rest))))
                    break
                factor = self.factor(match, item, at)
                at = match.end()
                if factor is not None:
                    yield factor

    def factor(self, match: re.Match[str], item: Node, at: int) -> Factor | None:
        name, relation, value, last = match[1], match[2] or "=", int(match[3]), match[4]
        offset = match.start(1)
        sizes = dict(self.problem.sizes)
        if name not in sizes:
            hint = did_you_mean(name, list(sizes), noun="dimensions")
            fault = item.place.diagnostic(
                f'unknown dimension "{name[:40]}"', hint=hint, offset=offset, length=len(name)
            )
            self.errors.append(fault)
            return None
        if last is not None and int(last) != value:
            length = match.end(4) - offset
            hint = "supported: factors that divide; a loop has as many iterations in every round"
            message = f"the remainder in {match[0].strip().rstrip(',')} is not supported"
            self.errors.append(item.place.diagnostic(message, hint=hint, offset=offset, length=length))
            return None
        return Factor(dimension=name, relation=relation, value=value or sizes[name], place=item.place)

    def permutation(self, node: Node) -> list[str]:
        """The dimensions, innermost first: a list, a text with commas, or a text of letters."""
        sizes = dict(self.problem.sizes)
        if node.kind == "list":
            parts = [(item, item.text) for item in node.items]
        else:
            listed = re.split(r"[\s,]+", node.text.strip()) if re.search(r"[\s,]", node.text) else list(node.text)
            parts = [(node, part) for part in listed if part]
        found: list[str] = []
        for item, name in parts:
            if name not in sizes:
                hint = did_you_mean(name, list(sizes), noun="dimensions")
                self.errors.append(item.diagnostic(f'unknown dimension "{name[:40]}" in a permutation', hint=hint))
            elif name in found:
                self.errors.append(item.diagnostic(f"dimension {name} stands twice in a permutation"))
            else:
                found.append(name)
        return found
