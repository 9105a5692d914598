"""Text that was put together from several files, which still knows where each piece comes from."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

from fusemap.archspec.document import Place
from fusemap.diagnostics import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file as it was read, which every piece of text points back to."""

    file: str
    text: str
    starts: tuple[int, ...] = field(repr=False)

    @staticmethod
    def of(file: str, text: str) -> Source:
        """The source of a text, with the offset at which each of its lines starts."""
        starts = [0, *(i + 1 for i, c in enumerate(text) if c == "\n")]
        return Source(file=file, text=text, starts=tuple(starts))

    def place(self, offset: int, length: int = 1, *, verbatim: bool = True) -> Place:
        """The place of `length` characters from `offset`.

        >>> str(Source.of("a.yaml", "x: 1\\ny: 2").place(8).span)
        'a.yaml:2:4'
        """
        row = bisect.bisect_right(self.starts, offset) - 1
        start = self.starts[row]
        end = self.text.find("\n", start)
        line = self.text[start : len(self.text) if end < 0 else end].rstrip("\r")
        span = Span(file=self.file, line=row + 1, column=offset - start + 1, length=max(1, length))
        return Place(span=span, source=line, verbatim=verbatim)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Text from `start` of the whole on, which stands at `offset` of a source, or replaces what stands there."""

    start: int
    source: Source
    offset: int
    verbatim: bool


@dataclass(slots=True)
class Composed:
    """Text with the origin of each of its pieces; `add` appends."""

    chunks: list[str] = field(default_factory=list)
    pieces: list[_Piece] = field(default_factory=list)
    length: int = 0

    @property
    def text(self) -> str:
        """All of it."""
        if len(self.chunks) > 1:
            self.chunks = ["".join(self.chunks)]
        return self.chunks[0] if self.chunks else ""

    def add(self, text: str, source: Source, offset: int, *, verbatim: bool = True) -> None:
        """Append a text that stands at `offset` of a source, or (not `verbatim`) is computed from what stands there."""
        if text:
            self.pieces.append(_Piece(start=self.length, source=source, offset=offset, verbatim=verbatim))
            self.chunks.append(text)
            self.length += len(text)

    def extend(self, other: Composed) -> None:
        """Append another text with its origins."""
        base = self.length
        self.pieces += [
            _Piece(start=base + p.start, source=p.source, offset=p.offset, verbatim=p.verbatim) for p in other.pieces
        ]
        self.chunks += other.chunks
        self.length += other.length

    def place(self, at: int, length: int = 1) -> Place:
        """Where the character `at` of the text comes from."""
        index = bisect.bisect_right(self.pieces, at, key=lambda piece: piece.start) - 1
        piece = self.pieces[max(index, 0)]
        offset = piece.offset + (at - piece.start if piece.verbatim else 0)
        return piece.source.place(min(offset, len(piece.source.text)), length, verbatim=piece.verbatim)
