"""What a derivation is made of: rules applied one after another, each with the reason why it is valid."""

from __future__ import annotations

from dataclasses import dataclass

from fusemap.einsum_cascade.types import Cascade


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A rule applied: to which Einsums, the identity that makes it valid, and what has to hold for it."""

    rule: str
    applied: tuple[str, ...]
    identity: str
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A cascade on its way, with the steps that made it."""

    cascade: Cascade
    steps: tuple[Step, ...] = ()
