"""What `fusemap derive` writes of a candidate: a cascade, a NumPy file, a CUDA kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fusemap.cli.files import write_whole
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.derive.search import Derivation, Derived
from fusemap.einsum_cascade.emit.numpy_text import numpy_source


def written(
    found: Derivation, shown: Derived | None, *, cascade: str | None, numpy: str | None, cuda: str | None
) -> list[str]:
    """Write the candidate in each format that a path is given for; the paths. InputError: there is no candidate.

    All texts are made before the first file is written, so that what cannot be emitted leaves none.
    """
    if cascade is None and numpy is None and cuda is None:
        return []
    if shown is None:
        raise input_error(f"nothing to write: no cascade with fewer than {found.passes} passes was found")
    texts = {} if cascade is None else {cascade: shown.text}
    if numpy is not None:
        texts[numpy] = numpy_source(shown.cascade, notes=tuple(_notes(shown)))
    if cuda is not None:
        texts |= _kernel(shown, Path(cuda))
        Path(cuda).mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        write_whole(path, text.encode())
    return list(texts)


def _kernel(shown: Derived, folder: Path) -> dict[str, str]:
    from fusemap.validation.cuda_generate import generate_kernel  # pydantic and NumPy load only for it

    return {str(folder / name): text for name, text in generate_kernel(shown.cascade).files.items()}


def _notes(shown: Derived) -> Iterator[str]:
    """Where it comes from, its steps and what has to hold for it."""
    yield f"Derived from {shown.original.name} over {shown.rank}:"
    for step in shown.steps:
        yield f"- {step.rule} {', '.join(step.applied)}: {step.identity}"
        yield from (f"  where {condition}" for condition in step.conditions)
