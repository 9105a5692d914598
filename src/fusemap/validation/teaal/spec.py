"""A TeAAL file as a `Spec`: all faults at once, and a note for everything that a cascade does not hold."""

from __future__ import annotations

import os

from fusemap.archspec.document import Document
from fusemap.archspec.yamlnodes import load_document
from fusemap.validation.teaal.einsum_section import read_einsum
from fusemap.validation.teaal.mapping_section import note_hardware, read_format, read_mapping
from fusemap.validation.teaal.reader import Reader
from fusemap.validation.teaal.types import Spec, Split

SECTIONS = ("einsum", "mapping", "format", "architecture", "bindings")


def load_spec(path: str | os.PathLike[str], *, einsum_only: bool = False) -> Spec:
    """The file's declaration, expressions and dense splits; InputError with everything that is not supported.

    With `einsum_only` the other sections are not looked into, so that the dense meaning of a sparse
    accelerator's Einsums can be read.
    """
    return read_spec(load_document(path), einsum_only=einsum_only)


def read_spec(document: Document, *, einsum_only: bool = False) -> Spec:
    """The same of a document that is loaded.

    >>> from fusemap.archspec.yamlnodes import parse_document
    >>> text = "einsum: {declaration: {A: [K], Z: []}, expressions: ['Z[] = A[k]']}"
    >>> read_spec(parse_document(text)).declaration
    {'A': ('K',), 'Z': ()}
    """
    reader = Reader(document=document)
    sections = reader.mapping((), document.data)
    reader.known_keys((), sections, SECTIONS)
    if "einsum" not in sections:
        reader.fault((), 'missing key "einsum"', "a TeAAL file has an einsum section: declaration and expressions")
        reader.finish()
    declaration, statements = read_einsum(reader, sections["einsum"])
    einsums = tuple(declaration) if reader.faults else tuple(s.expression.output.name for s in statements)
    splits: tuple[Split, ...] = ()
    if einsum_only:
        for name in (s for s in SECTIONS[1:] if s in sections):
            reader.note((name,), f"{name} is not looked into (--einsum-only)")
    else:
        splits = read_mapping(reader, sections.get("mapping"), declaration, einsums)
        read_format(reader, sections.get("format"), declaration)
        for name in ("architecture", "bindings"):
            if name in sections:
                note_hardware(reader, name, sections[name])
    reader.finish()
    return Spec(
        file=document.file,
        declaration=declaration,
        statements=statements,
        splits=splits,
        notes=tuple(reader.notes),
    )
