"""What `fusemap derive` writes of a candidate: a cascade, a NumPy file, a CUDA kernel."""

from __future__ import annotations

from collections.abc import Iterator

from fusemap.cli.files import write_whole
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.derive.search import Derivation, Derived
from fusemap.einsum_cascade.emit.numpy_text import numpy_source


def written(found: Derivation, shown: Derived | None, *, cascade: str | None, numpy: str | None) -> list[str]:
    """Write the candidate in each format that a path is given for; the paths. InputError: there is no candidate."""
    wanted = [path for path in (cascade, numpy) if path is not None]
    if not wanted:
        return []
    if shown is None:
        raise input_error(f"nothing to write: no cascade with fewer than {found.passes} passes was found")
    if numpy is not None:
        # Made first: what cannot be emitted leaves no other file behind.
        write_whole(numpy, numpy_source(shown.cascade, notes=tuple(_notes(shown))).encode())
    if cascade is not None:
        write_whole(cascade, shown.text.encode())
    return wanted


def _notes(shown: Derived) -> Iterator[str]:
    """Where it comes from, its steps and what has to hold for it."""
    yield f"Derived from {shown.original.name} over {shown.rank}:"
    for step in shown.steps:
        yield f"- {step.rule} {', '.join(step.applied)}: {step.identity}"
        yield from (f"  where {condition}" for condition in step.conditions)
