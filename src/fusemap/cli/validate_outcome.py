"""What the checks of `fusemap validate` share: progress, the document, the exit code."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

import click

from fusemap.cli.output import emit_json

PICTURES = ("png", "pdf", "svg")


class Checked(Protocol):
    """The result of a check."""

    @property
    def agrees(self) -> bool:
        """True when nothing differs."""

    def to_json(self) -> Mapping[str, object]:
        """The result as values of JSON."""


def conclude(found: Mapping[str, Checked], blocks: Sequence[str], *, as_json: bool, written: str | None = None) -> int:
    """Print the blocks of a page, or the checks as one document; 0 when all of them agree, else 1."""
    agrees = all(part.agrees for part in found.values())
    if as_json:
        parts = {name: part.to_json() for name, part in found.items()}
        emit_json({"schema": "fusemap/validate/1", "agrees": agrees, **parts})
    else:
        click.echo("\n\n".join([*blocks, *([f"wrote {written}"] if written else [])]))
    return 0 if agrees else 1


def progress(number: int, of: int) -> None:
    """Count the configurations on a terminal."""
    if sys.stderr.isatty():
        line = f"configuration {number} of {of}" if number < of else " " * 40 + "\r"
        click.echo(f"\r{line}", err=True, nl=False)
