"""Sizes in command arguments: `--size M=4K`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from fusemap.diagnostics import input_error

_SIZE = re.compile(r"([A-Za-z][A-Za-z0-9_]*)=([0-9]{1,18})([KMG]?)", re.ASCII)
_UNITS: Mapping[str, int] = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_sizes(texts: Sequence[str]) -> dict[str, int]:
    """The sizes in `NAME=N` texts; InputError for a malformed one or two that differ.

    >>> parse_sizes(["M=4K", "P=512"])
    {'M': 4096, 'P': 512}
    """
    sizes: dict[str, int] = {}
    for text in texts:
        match = _SIZE.fullmatch(text)
        if match is None:
            raise input_error(f"--size {text[:80]} is not NAME=N", hint="write for example --size M=4096 or M=4K")
        size = int(match[2]) * _UNITS[match[3]]
        if sizes.setdefault(match[1], size) != size:
            raise input_error(f"--size gives {match[1]} twice: {sizes[match[1]]} and {size}")
    return sizes
