"""The text of a cascade read with regular expressions: an oracle that shares nothing with the parser."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator


def statements(text: str) -> Iterator[tuple[str, str]]:
    """The left-hand tensor and the right-hand side of every Einsum and initialization, initializations first."""
    found = []
    for line in text.splitlines():
        match = re.fullmatch(r"\s*(init:\s*)?([A-Z]\w*)\s*(\[[^\]]*\])?\s*=\s*(.*)", line.partition("#")[0].rstrip())
        if match and not line.startswith("shape"):
            found.append((match[1] is None, match[2], match[4]))
    return ((name, right) for _, name, right in sorted(found, key=lambda f: f[0]))


def tensors_read(right: str) -> Counter[str]:
    """Names of tensors on a right-hand side: outside of brackets, or in them before a bracket (a lookup)."""
    right = re.sub(r"size\(\w+\)|val\([^()]*\)", "", right.partition(" for ")[0])
    found: Counter[str] = Counter()
    for match in re.finditer(r"\b[A-Z]\w*", right):
        depth = right[: match.start()].count("[") - right[: match.start()].count("]")
        if depth == 0 or right[match.end() : match.end() + 1] == "[":
            found[match[0]] += 1
    return found


def bare(right: str) -> str:
    """A right-hand side without indices, reduce lists, conditions and coordinates."""
    right = re.sub(r"val\([^()]*\)", "v", right.partition(" for ")[0])
    while "[" in right:
        right = re.sub(r"\[[^\[\]]*\]", "", right)
    return right
