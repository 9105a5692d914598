"""Located error messages: what is wrong, where, what was expected, the nearest valid name.

Every reader of user text (cascades, YAML, expressions, command arguments) reports through this
module, so that all errors of a stage come together and look alike.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Span:
    """A place in a text: 1-based line and column; `length` characters are underlined."""

    file: str
    line: int
    column: int
    length: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One error: place, message, the source line it stands on, optional hints.

    >>> span = Span(file="a.cascade", line=1, column=5, length=2)
    >>> print(Diagnostic(span=span, message="undefined tensor QQ", source="Z = QQ", hint="did you mean QK?"))
    a.cascade:1:5: error: undefined tensor QQ
        Z = QQ
            ^~
      did you mean QK?
    """

    message: str
    span: Span | None = None
    source: str = ""
    hint: str = ""

    def __str__(self) -> str:
        if self.span is None:
            head = [f"error: {self.message}"]
        else:
            head = [f"{self.span}: error: {self.message}"]
            if self.source:
                head += _excerpt(self.source, self.span)
        return "\n".join([*head, *([f"  {self.hint}"] if self.hint else [])])


@dataclass(eq=False)
class InputError(Exception):
    """What the user gave is wrong; carries every diagnostic of the stage that refused it."""

    diagnostics: tuple[Diagnostic, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.diagnostics:
            raise ValueError("InputError needs at least one diagnostic")
        ordered = sorted(self.diagnostics, key=_order)
        self.diagnostics = tuple(dict.fromkeys(ordered))
        super().__init__(str(self))

    def __str__(self) -> str:
        return "\n".join(str(d) for d in self.diagnostics)


def input_error(message: str, *, hint: str = "") -> InputError:
    """An InputError of one diagnostic that has no place in a file (a command argument)."""
    return InputError((Diagnostic(message=message, hint=hint),))


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name closest to `name`, or None when none is close.

    >>> nearest("bandwith", ["capacity", "bandwidth"])
    'bandwidth'
    """
    names = sorted(set(valid))
    lowered = {n.lower(): n for n in names}
    if name.lower() in lowered:
        return lowered[name.lower()]
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[close[0]] if close else None


def did_you_mean(name: str, valid: Sequence[str], *, noun: str = "names") -> str:
    """A hint for an unknown name: the nearest valid one, else the list of valid ones.

    >>> did_you_mean("expp", ["exp", "log"])
    'did you mean exp?'
    >>> did_you_mean("zzz", ["exp", "log"], noun="functions")
    'valid functions: exp, log'
    """
    close = nearest(name, valid)
    if close is not None:
        return f"did you mean {close}?"
    return f"valid {noun}: {', '.join(sorted(set(valid)))}" if valid else ""


def _order(diagnostic: Diagnostic) -> tuple[str, int, int]:
    span = diagnostic.span
    return ("", 0, 0) if span is None else (span.file, span.line, span.column)


def _excerpt(source: str, span: Span, width: int = 100) -> list[str]:
    """The source line with a caret; a window of it when the line is long (a 10 MB line)."""
    start = max(0, span.column - 1 - width // 2) if len(source) > width else 0
    text = source[start : start + width].replace("\t", " ")
    at = span.column - 1 - start
    caret = " " * at + "^" + "~" * max(0, min(span.length, len(text) - at) - 1)
    return [f"    {text}", f"    {caret}"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One reason why something does not fit: what is needed, the limit, the unit, what would fit.

    >>> print(Violation(what="global_buffer", need=40, limit=32, unit="MiB", hint="P1 = 4 fits"))
    global_buffer: needs 40 MiB, limit 32 MiB (P1 = 4 fits)
    """

    what: str
    need: float
    limit: float
    unit: str
    hint: str = ""

    def __str__(self) -> str:
        tail = f" ({self.hint})" if self.hint else ""
        return f"{self.what}: needs {self.need:,.10g} {self.unit}, limit {self.limit:,.10g} {self.unit}{tail}"


@dataclass(eq=False)
class DoesNotFit(Exception):
    """The input is right and the answer is no: a command reports it and ends with exit code 1."""

    subject: str
    violations: tuple[Violation, ...]

    def __str__(self) -> str:
        lines = [f"does not fit: {self.subject}", *(f"  {violation}" for violation in self.violations)]
        return "\n".join(lines)
