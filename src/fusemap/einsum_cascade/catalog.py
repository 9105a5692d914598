"""The built-in cascades, and loading a cascade by name or path."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from fusemap.diagnostics import did_you_mean, input_error
from fusemap.einsum_cascade.operators import BUILTIN, Operators
from fusemap.einsum_cascade.parser import parse, parse_file
from fusemap.einsum_cascade.types import Cascade

SUFFIX = ".cascade"


@cache
def names() -> tuple[str, ...]:
    """The names of the built-in cascades, sorted.

    >>> "attention-1pass" in names()
    True
    """
    files = _folder().iterdir()
    return tuple(sorted(f.name.removesuffix(SUFFIX) for f in files if f.name.endswith(SUFFIX)))


def load(name_or_path: str | Path, *, operators: Operators = BUILTIN) -> Cascade:
    """The built-in cascade of that name, else the cascade in the file at that path.

    A text with a path separator or the ending `.cascade` is a path. Raises InputError for an unknown
    name, a file that cannot be read, and a text that is no well-formed cascade.

    >>> [e.name for e in load("cascade-2").einsums]
    ['Y', 'X', 'Z']
    """
    text = str(name_or_path)
    known = names()
    if text in known:
        return _built_in(text)
    path = Path(text)
    if isinstance(name_or_path, Path) or text.endswith(SUFFIX) or "/" in text or "\\" in text or _exists(path):
        return parse_file(path, operators=operators)
    raise input_error(f"unknown cascade {text!r}", hint=did_you_mean(text, known, noun="cascades"))


@cache
def _built_in(name: str) -> Cascade:
    return parse((_folder() / f"{name}{SUFFIX}").read_text(encoding="utf-8"), file=f"{name}{SUFFIX}")


def _folder() -> resources.abc.Traversable:
    return resources.files("fusemap.einsum_cascade") / "library"


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
