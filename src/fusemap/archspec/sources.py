"""Numbers without a source: one error for each omission, at the block that lacks it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

from fusemap.archspec.document import Document, Path, Place
from fusemap.diagnostics import Diagnostic

# Keys of mappings from names to blocks or numbers; they take no `source:` themselves.
_MAPS = frozenset(
    ("parameters", "memories", "arrays", "parts", "components", "dims", "operators", "actions", "energy", "sizes")
) | {"ranks"}


def missing_sources(document: Document, paths: Iterable[Path]) -> list[Diagnostic]:
    """The numbers at `paths`, which have no source: an error per file, at the innermost block around them all."""
    files: dict[str, list[Path]] = {}
    for path in sorted(paths, key=lambda path: _order(_place(document, path))):
        files.setdefault(_place(document, path).span.file, []).append(path)
    return [_missing(document, file, group) for file, group in files.items()]


def _missing(document: Document, file: str, paths: list[Path]) -> Diagnostic:
    first, block = _place(document, paths[0]), common_block(paths)
    place = document.place(block, key=True)
    if len(paths) == 1 or place.span.file != file:
        more = "" if len(paths) == 1 else f" and {len(paths) - 1} more in this file"
        return first.diagnostic(f'no source for this number{more}: add "source:" here or in an enclosing block')
    name = paths[0][-1 if paths[0] in document.entries else -2]  # a count that is left out stands for its part
    where = f'"{block[-1]}"' if block else "this file"
    message = f'no source for {len(paths)} numbers, the first "{name}" on line {first.span.line}'
    return place.diagnostic(f'{message}: add "source:" to {where}')


def common_block(paths: Iterable[Path]) -> Path:
    """The innermost block around all the paths that may have a `source:`.

    >>> common_block([("memories", "dram", "width"), ("memories", "dram", "bandwidth")])
    ('memories', 'dram')
    >>> common_block([("memories", "dram", "width"), ("memories", "buffer", "width")])
    ()
    """
    parents = [path[:-1] for path in paths]
    common = tuple(parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, zip(*parents, strict=False)))
    block: Path = ()
    inside_map = False
    for depth, part in enumerate(common, start=1):
        inside_map = not inside_map and part in _MAPS
        if not inside_map:
            block = common[:depth]
    return block


def _place(document: Document, path: Path) -> Place:
    return document.place(path, key=True)


def _order(place: Place) -> tuple[str, int, int]:
    return place.span.file, place.span.line, place.span.column
