"""The values of a model's configuration under the names of its family, and which of them were left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType

from fusemap.archspec.document import Document, Path, Place
from fusemap.archspec.expressions import Expression
from fusemap.archspec.families import FamilyModel, FieldModel
from fusemap.archspec.reader import LARGEST
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean

LONG = 70
_LEFT_OUT: tuple[object, ...] = (False, None, 0, [], {}, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Default:
    """A key that the configuration leaves out (or gives as null), and what that means."""

    key: str
    value: int
    rule: str

    def to_json(self) -> dict[str, object]:
        """The default as a JSON object."""
        return {"key": self.key, "value": self.value, "rule": self.rule}


@dataclass(slots=True, kw_only=True)
class Values:
    """Reads one configuration, the mapping at `at` of a document; `finish` raises what went wrong."""

    document: Document
    at: Path
    data: Mapping[str, object]
    family: FamilyModel
    names: dict[str, int | float] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    ruled: dict[str, Expression] = field(default_factory=dict)
    defaults: list[Default] = field(default_factory=list)
    errors: list[Diagnostic] = field(default_factory=list)

    def read(self) -> None:
        """Every field, those that are there before the defaults that follow from them; then the numbers."""
        self.errors.extend(refusals(self.document, self.at, self.data, self.family))
        fields = self.family.fields
        later = []
        for key, spec in fields.items():
            self.keys |= {name: key for name in (spec.name, *spec.words.values(), *spec.absent) if name}
            given = key in self.data and not (self.data[key] is None and self._means(spec))
            if not given:
                later.append((key, spec))
            elif spec.kind != "layers":
                _READERS[spec.kind](self, key, spec)
        self._rules([rule for key, spec in later for rule in self._absent(key, spec)])
        for key, spec in fields.items():
            if spec.kind == "layers" and self.data.get(key) is not None:
                self._layers(key, spec)
        self.finish()
        for name, expression in self.family.numbers.items():
            self.names[name] = self.number(expression)
        for what, expression in self.family.checks.items():
            if not self.number(expression):
                message = f"{what}: {self._values(expression)}"
                self.errors.append(self._at(expression).diagnostic(message))
        self.finish()

    def finish(self) -> None:
        """InputError with all that was found."""
        if self.errors:
            raise InputError(tuple(self.errors))

    def number(self, expression: Expression) -> int | float:
        """The value of an expression of the family's file in the names that are read."""
        return expression.evaluate(self.names)

    def whole(self, rank: str, expression: Expression) -> int:
        """A rank: a whole number from 1; the error stands at the last key that it is made of."""
        value = self.number(expression)
        if value == int(value) and 1 <= value <= LARGEST:
            return int(value)
        made = self.ruled.get(str(expression), expression)
        of = f"{rank} = {self.shown(made)} must be a whole number from 1"
        self.errors.append(self._at(made).diagnostic(f"{of}, found {value:g} ({self._values(made)})"))
        return 1

    def shown(self, expression: Expression) -> str:
        """The expression in the keys of the configuration; where that is long, the keys alone."""
        text = self._in_keys(expression)
        return text if len(text) <= LONG else f"from {', '.join(key for _, key in self._made_of(expression))}"

    def _in_keys(self, expression: Expression) -> str:
        text = str(expression)
        for name in sorted(expression.names(), key=len, reverse=True):
            by = self.keys.get(name, name)
            if name in self.family.numbers and name not in self.keys:
                inner = self.family.numbers[name]
                by = self._in_keys(inner)
                by = by if str(inner).isidentifier() else f"({by})"
            text = re.sub(rf"\b{name}\b", by, text)
        return text

    def _made_of(self, expression: Expression) -> list[tuple[str, str]]:
        """The names that a number is made of and their keys, through the numbers between."""
        found: dict[str, str] = {}
        pending = sorted(expression.names())
        while pending:
            name = pending.pop()
            if name in self.ruled and self.ruled[name].names():
                pending += sorted(self.ruled[name].names())
            elif name in self.keys:
                found[name] = self.keys[name]
            elif name in self.family.numbers:
                pending += sorted(self.family.numbers[name].names())
        return sorted(found.items(), key=lambda item: item[1])

    def _values(self, expression: Expression) -> str:
        return ", ".join(f"{key} = {self.names[name]:g}" for name, key in self._made_of(expression))

    def _at(self, expression: Expression) -> Place:
        places = [self.document.place((*self.at, k)) for _, k in self._made_of(expression) if k in self.data]
        return max(places, key=lambda p: (p.span.line, p.span.column), default=self.document.place(self.at))

    def fail(self, path: Path, message: str, hint: str = "") -> None:
        self.errors.append(self.document.diagnostic((*self.at, *path), message, hint=hint))

    @staticmethod
    def _means(spec: FieldModel) -> bool:
        return spec.none is not None or bool(spec.absent)

    def _absent(self, key: str, spec: FieldModel) -> Iterator[tuple[str, str, Expression]]:
        """What a key means that is left out or null: names and their rules."""
        if spec.absent:
            yield from ((key, name, rule) for name, rule in spec.absent.items())
            return
        rule = spec.none if key in self.data else spec.default
        if rule is not None:
            yield key, spec.name, rule
            return
        close = did_you_mean(key, sorted(self.data.keys() - self.family.fields.keys()), noun="other keys")
        place, hint = self.document.place(self.at), close if close.startswith("did") else ""
        self.errors.append(place.diagnostic(f'no "{key}" in this configuration', hint=hint))
        self.names[spec.name] = 1

    def _rules(self, pending: list[tuple[str, str, Expression]]) -> None:
        """Evaluate rules, each when the names that it uses have their values."""
        while pending:
            ready = [rule for rule in pending if rule[2].names() <= self.names.keys()]
            assert ready, f"rules of {self.family.description} need each other: {pending}"
            for key, name, rule in ready:
                self.names[name] = value = self.number(rule)
                self.ruled[name] = rule
                how = "null" if key in self.data else "left out"
                if value == int(value) and (value or rule.names()):
                    self.defaults.append(Default(key=key, value=int(value), rule=f"{how}: {self.shown(rule)}"))
            pending = [rule for rule in pending if rule not in ready]

    def _size(self, key: str, spec: FieldModel) -> None:
        least = 1 if spec.kind == "size" else 0
        value = self.data[key]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= LARGEST:
            self.fail((key,), f"expected a whole number from {least} for {key}, found {_shown(value)}")
            value = max(1, least)
        self.names[spec.name] = value

    def _flag(self, key: str, spec: FieldModel) -> None:
        value = self.data[key]
        if not isinstance(value, bool):
            self.fail((key,), f"expected true or false for {key}, found {_shown(value)}")
        self.names[spec.name] = int(value is True)

    def _choice(self, key: str, spec: FieldModel) -> None:
        value = self.data[key]
        if not isinstance(value, str) or value not in spec.choices:
            hint = did_you_mean(str(value), list(spec.choices), noun="values")
            self.fail((key,), f"{key} {_shown(value)} is not supported", hint)
        self.names[spec.name] = spec.choices.get(str(value), 0)

    def _words(self, key: str, spec: FieldModel) -> None:
        value = self.data[key]
        self.names |= dict.fromkeys((*spec.words.values(), *spec.absent), 0)
        layers = self.data.get(self.keys.get("LAYERS", ""))
        if not isinstance(value, list) or (isinstance(layers, int) and len(value) != layers):
            found = f"a list of {len(value)}" if isinstance(value, list) else _shown(value)
            self.fail((key,), f"expected a word for each of the {layers} layers in {key}, found {found}")
            return
        for index, word in enumerate(value):
            if not isinstance(word, str) or word not in spec.words:
                hint = f"supported: {', '.join(spec.words)}"
                self.fail((key, index), f"{key}: {_shown(word)} is not supported", hint)
                return
            self.names[spec.words[word]] += 1

    def _layers(self, key: str, spec: FieldModel) -> None:
        """How many different layers of the list count."""
        value, count = self.data[key], 0
        assert spec.each is not None, key
        layers = self.names["LAYERS"]
        if not isinstance(value, list):
            self.fail((key,), f"expected a list of layers for {key}, found {_shown(value)}")
            return
        for index, layer in enumerate(value):
            if not isinstance(layer, int) or isinstance(layer, bool) or not 0 <= layer < layers:
                self.fail((key, index), f"{key}: expected a layer from 0 to {layers - 1}, found {_shown(layer)}")
            elif layer not in value[:index]:
                count += bool(spec.each.evaluate({**self.names, "I": layer}))
        self.names[spec.name] = count


_READERS: Mapping[str, Callable[[Values, str, FieldModel], None]] = MappingProxyType(
    {
        "size": Values._size,
        "count": Values._size,
        "flag": Values._flag,
        "choice": Values._choice,
        "words": Values._words,
    }
)


def refusals(
    document: Document, at: Path, data: Mapping[str, object], family: FamilyModel, *, others: bool = True
) -> Iterator[Diagnostic]:
    """The keys that change the cost in ways that are not supported, each at its place.

    With `others` those too that other families read.
    """
    for key, value in data.items():
        if key in family.fields or key in family.noted or value in _LEFT_OUT:
            continue
        reason = next((r for pattern, r in family.refused.items() if fnmatchcase(key, pattern)), "")
        elsewhere = family.elsewhere.get(key, "") if others else ""
        what = reason or (f"{elsewhere} in this family" if elsewhere else "")
        if what:
            yield document.diagnostic((*at, key), f'"{key}": {what}: not supported', hint=family.supported, key=True)


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f'"{value[:40]}"'
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "a list" if isinstance(value, list) else "a mapping" if isinstance(value, dict) else f"{value}"[:40]
