"""The cascades that `derive` gives, without the executions that it ranks and refuses them by: a tenth of the time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from fusemap.einsum_cascade import format_cascade, load, parse
from fusemap.einsum_cascade.derive.search import _drafts
from fusemap.einsum_cascade.types import Cascade


@cache
def derived(name: str, rank: str, text: str = "") -> Mapping[str, Cascade]:
    """Candidates of a cascade (of the library, or of `text`) by their names without its own."""
    cascade = parse(text) if text else load(name)
    found = (d.cascade for d in _drafts(cascade, rank, False, {}))
    return {c.name.removeprefix(f"{name}-"): parse(format_cascade(c)) for c in found}
