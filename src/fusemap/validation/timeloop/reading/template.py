"""Templates of Timeloop's files: the statements of jinja2 that public designs use, and the includes between files.

Supported are `{{ expression }}`, `{# comment #}`, `{% set name = expression %}`, `{% if %}`, `{% elif %}`,
`{% else %}`, `{% endif %}` and the functions `cwd`, `add_to_path`, `find_path`, `path_exists`, `include`, `include_all`
and `include_text` of Accelergy's reader (accelergy/utils/yaml.py). Anything else is refused where it stands. Nothing of
a file is executed as code.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from fusemap.archspec.document import TextFault
from fusemap.archspec.yamlnodes import read_text
from fusemap.diagnostics import InputError
from fusemap.validation.timeloop.reading.phrases import Function, Names, Value, compute, shown
from fusemap.validation.timeloop.reading.text import Composed, Source

MAX_FILES = 2_000
MAX_INCLUDES_INSIDE = 20
MAX_TEXT = 4 << 20
INCLUDED = "!included-"
_OPENING = re.compile(r"\{\{|\{%|\{#")
_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}
_STATEMENTS = ("set", "if", "elif", "else", "endif")
_SET = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=(?!=)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Include:
    """A value taken from the files at `paths`: what stands at `keys` in them, joined to one list if `several`."""

    paths: tuple[str, ...]
    keys: tuple[str, ...]
    several: bool
    variables: tuple[tuple[str, Value], ...]
    folders: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Library:
    """What all files of one import share: the includes by their tag, and how many files were read."""

    includes: dict[str, Include] = field(default_factory=dict)
    read: int = 0

    def source(self, path: str) -> Source:
        """The text of a file; InputError when there are too many."""
        self.read += 1
        text = read_text(path)
        source = Source.of(path, text)
        if self.read > MAX_FILES:
            raise source.place(0).error(f"the files include each other too often: more than {MAX_FILES} were read")
        return source


@dataclass(slots=True, kw_only=True)
class Template:
    """One file on its way to YAML text; `inside` are the files that include it as text."""

    source: Source
    library: Library
    variables: dict[str, Value]
    folders: list[str]
    inside: tuple[str, ...] = ()

    def rendered(self) -> Composed:
        """The YAML text, each piece of which knows where it comes from; InputError for what is not supported."""
        result = Composed()
        stack: list[_Branch] = []
        for kind, start, end, body in self._parts():
            active = all(branch.active for branch in stack)
            if kind == "text":
                result.add(body if active else "", self.source, start)
            elif kind == "{{":
                self._output(body, start, result) if active else None
            elif kind == "{%":
                self._statement(body, start, stack, active)
            if result.length > MAX_TEXT:
                raise self.source.place(start).error(f"the files give too much text: more than {MAX_TEXT} characters")
            del end
        if stack:
            raise self.source.place(stack[-1].start, 2).error("this if has no endif")
        return result

    def _parts(self) -> Iterator[tuple[str, int, int, str]]:
        """Kind, offset, end and content of each part: text, or what stands between two marks."""
        text, at = self.source.text, 0
        while at < len(text):
            match = _OPENING.search(text, at)
            if match is None:
                yield "text", at, len(text), text[at:]
                return
            if match.start() > at:
                yield "text", at, match.start(), text[at : match.start()]
            opening, closing = match.group(), _CLOSING[match.group()]
            end = text.find(closing, match.end())
            if end < 0 or (opening == "{{" and "\n" in text[match.start() : end]):
                raise self.source.place(match.start(), 2).error(f'"{opening}" is not closed: expected "{closing}"')
            yield opening, match.end(), end, text[match.end() : end]
            at = end + 2

    def _statement(self, body: str, start: int, stack: list[_Branch], active: bool) -> None:
        word = body.split(None, 1)[0] if body.split() else ""
        at = body.find(word) + len(word)
        rest = body[at:]
        outer = all(branch.active for branch in stack[:-1])
        if word == "set" and (match := _SET.match(rest)):
            if active:
                self.variables[match[1]] = self._computed(rest[match.end() :], start + at + match.end())
        elif word == "if":
            stack.append(_Branch(start=start, active=active and bool(self._computed(rest, start + at)), outer=active))
            stack[-1].taken = stack[-1].active
        elif word in ("elif", "else", "endif") and stack:
            branch = stack[-1]
            if word == "endif":
                stack.pop()
            elif word == "else":
                branch.active, branch.taken = branch.outer and not branch.taken, True
            else:
                holds = outer and branch.outer and not branch.taken and bool(self._computed(rest, start + at))
                branch.active, branch.taken = holds, branch.taken or holds
        else:
            message = (
                f'"{word[:40]}" without an if'
                if word in _STATEMENTS
                else f'the statement "{word[:40]}" is not supported'
            )
            hint = f"supported: {', '.join(_STATEMENTS)}"
            raise self.source.place(start + max(0, at - len(word)), len(word)).error(message, hint=hint)

    def _output(self, body: str, start: int, result: Composed) -> None:
        texts: list[Composed] = []
        value = self._computed(body, start, texts)
        if texts:
            for text in texts:
                result.extend(text)
        elif value is not None:
            result.add(shown(value), self.source, start - 2, verbatim=False)

    def _computed(self, body: str, start: int, texts: list[Composed] | None = None) -> Value:
        names = Names(variables=self.variables, functions=self._functions([] if texts is None else texts))
        try:
            return compute(body, names)
        except TextFault as fault:
            place = self.source.place(start + fault.offset, max(1, fault.length))
            raise place.error(fault.message, hint=fault.hint) from None

    # --- functions ------------------------------------------------------------------------------------

    def _functions(self, texts: list[Composed]) -> dict[str, Function]:
        def include_text(path: str) -> Value:
            texts.extend(self._inner(found) for found in self._found(path))
            return ""

        return {
            "cwd": Function(least=0, most=0, apply=self._folder),
            "add_to_path": Function(least=1, most=1, apply=self._add_to_path),
            "find_path": Function(least=1, most=1, apply=lambda path: self._found(path)[0]),
            "path_exists": Function(least=1, most=1, apply=lambda path: bool(self._candidates(path))),
            "include": Function(least=1, most=2, apply=lambda path, keys="": self._include(path, keys, several=False)),
            "include_all": Function(
                least=1, most=2, apply=lambda path, keys="": self._include(path, keys, several=True)
            ),
            "include_text": Function(least=1, most=1, apply=include_text),
        }

    def _folder(self) -> str:
        return os.path.dirname(os.path.abspath(self.source.file))

    def _add_to_path(self, path: str) -> Value:
        self.folders += [p for p in self._found(path) if p not in self.folders]
        return None

    def _candidates(self, pattern: str) -> list[str]:
        """Paths that a pattern names, beside this file first, then in the folders that were added."""
        bases = [""] if os.path.isabs(pattern) else [self._folder(), *self.folders]
        found = [os.path.normpath(p) for base in bases for p in sorted(glob.glob(os.path.join(base, pattern)))]
        return list(dict.fromkeys(found))

    def _found(self, pattern: str) -> list[str]:
        found = self._candidates(pattern)
        if not found:
            places = ", ".join([self._folder(), *self.folders])
            raise TextFault(f'no file "{pattern[:200]}"', hint=f"looked in {places}")
        return found

    def _include(self, pattern: str, keys: str, *, several: bool) -> Value:
        """The tag that stands for the value in the YAML text."""
        paths = self._found(pattern)
        if not several:
            paths = paths[:1]
        tag = f"{INCLUDED}{len(self.library.includes)}"
        self.library.includes[tag] = Include(
            paths=tuple(paths),
            keys=tuple(key for key in keys.split(".") if key),
            several=several,
            variables=tuple(self.variables.items()),
            folders=tuple(self.folders),
        )
        return f"{tag} included"

    def _inner(self, path: str) -> Composed:
        """The text of a file that is put in here."""
        chain = (*self.inside, os.path.abspath(self.source.file))
        if os.path.abspath(path) in chain or len(chain) > MAX_INCLUDES_INSIDE:
            raise TextFault(f'"{path}" includes itself')
        try:
            source = self.library.source(path)
        except InputError as error:
            raise TextFault(error.diagnostics[0].message) from None
        inner = Template(
            source=source,
            library=self.library,
            variables=dict(self.variables),
            folders=list(self.folders),
            inside=chain,
        )
        return inner.rendered()


@dataclass(slots=True, kw_only=True)
class _Branch:
    """An open if: whether its present branch is taken, one was taken before, and what encloses it is taken."""

    start: int
    active: bool
    outer: bool
    taken: bool = False
