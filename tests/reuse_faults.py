"""Planted faults of the reuse analysis, which its oracle and its laws must catch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Level, Loop, Operand, Storage
from fusemap.sim import reuse

Plant: TypeAlias = Callable[[pytest.MonkeyPatch], None]


def with_every_memory(levels: Sequence[Level], operand: Operand) -> list[Any]:
    """Words of the operand that each level is responsible for, spatial loops forgotten."""
    return [math.prod(reuse.relevant_bound(level, operand.ranks) for level in levels)] * len(levels)


def visits_by(choose: Callable[[list[Loop], frozenset[str]], list[Loop]]) -> Plant:
    """Visits as the product of those loops above that `choose` picks."""

    def visits(levels: Sequence[Level], ranks: frozenset[str]) -> tuple[list[int], list[int]]:
        _, instances = true_visits(levels, ranks)
        above = [[p for lv in levels[:i] if isinstance(lv, Storage) for p in lv.loops] for i in range(len(levels))]
        return [math.prod(loop.bound for loop in choose(loops, ranks)) for loops in above], instances

    true_visits = reuse._visits_and_instances
    return lambda patch: patch.setattr(reuse, "_visits_and_instances", visits)


def to_outermost_relevant(loops: list[Loop], ranks: frozenset[str]) -> list[Loop]:
    first = next((i for i, p in enumerate(loops) if p.rank in ranks and p.bound > 1), -1)
    return loops[: first + 1]


def tiles_of_next_level(patch: pytest.MonkeyPatch) -> None:
    tiles = reuse.tiles
    patch.setattr(reuse, "tiles", lambda levels, operand: [*tiles(levels, operand)[1:], 1])


def temporal_tiles(patch: pytest.MonkeyPatch) -> None:
    tiles = reuse.tiles

    def forgetful(levels: Sequence[Level], operand: Operand) -> list[Any]:
        return tiles([replace(lv, loops=()) if isinstance(lv, Fanout) else lv for lv in levels], operand)

    patch.setattr(reuse, "tiles", forgetful)


def every_fanout_costs(is_output: bool) -> Plant:
    """Each instance has its own access at the parent: no multicast (inputs) or no spatial reduction (outputs)."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        analyse_operand, between = reuse._analyse_operand, reuse._spatial_between

        def faulty(einsum: str, mapping: EinsumMapping, operand: Operand, rule: Any) -> Any:
            everything = frozenset(loop.rank for level in mapping.levels for loop in level.loops)
            ranks = everything if operand.is_output == is_output else operand.ranks
            patch.setattr(reuse, "_spatial_between", lambda levels, _: between(levels, ranks))
            return analyse_operand(einsum, mapping, operand, rule)

        patch.setattr(reuse, "_analyse_operand", faulty)

    return plant


def hidden_level(position: int) -> Plant:
    """As if a memory of everything lay outside (0) or inside (-1) the nest, whose own rows are not reported."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        analyse = reuse.analyse

        def faulty(space: EinsumSpace, mapping: EinsumMapping) -> Any:
            extra = (Storage(memory="hidden", keep=None),)
            levels = extra + mapping.levels if position == 0 else mapping.levels + extra
            return [row for row in analyse(space, replace(mapping, levels=levels)) if row.memory != "hidden"]

        patch.setattr(reuse, "analyse", faulty)

    return plant


def replacing(name: str, fault: Callable[..., Any]) -> Plant:
    return lambda patch: patch.setattr(reuse, name, fault)


def wrap_at_64_bits(patch: pytest.MonkeyPatch) -> None:
    analyse = reuse.analyse

    def wrapped(*args: Any) -> Any:
        return [
            replace(row, **{name: getattr(row, name) % 2**64 for name in ("reads", "fills", "updates")})
            for row in analyse(*args)
        ]

    patch.setattr(reuse, "analyse", wrapped)


def fetch_again_for_arrays(patch: pytest.MonkeyPatch) -> None:
    select = reuse._select

    def wrong(bound: Any, product: Any, visited: Any) -> Any:
        return select(bound, product, visited) if isinstance(bound, int) else product

    patch.setattr(reuse, "_select", wrong)


FAULTS: dict[str, Plant] = {  # each shows on small nests
    "loops of bound 1 fetch again": replacing("_select", lambda bound, product, visited: product),
    "visits to the outermost relevant loop only": visits_by(to_outermost_relevant),
    "visits by all loops above": visits_by(lambda loops, ranks: loops),
    "visits by relevant loops only": visits_by(lambda loops, ranks: [p for p in loops if p.rank in ranks]),
    "tile of the next level": tiles_of_next_level,
    "tile without spatial loops": temporal_tiles,
    "multicast counted per instance": every_fanout_costs(is_output=False),
    "spatial reduction counted per instance": every_fanout_costs(is_output=True),
    "relevant fanouts forgotten": replacing("_spatial_between", lambda levels, ranks: 1),
    "first writes read": replacing("exact_partition", lambda levels, operand: [0] * len(levels)),
    "partition ignores spatial loops": replacing("exact_partition", with_every_memory),
    "the home is filled from beyond": hidden_level(0),
    "units keep their word between steps": hidden_level(-1),
}

FAULTS_BEYOND_SMALL_INTEGERS: dict[str, Plant] = {
    "counts wrap at 64 bits": wrap_at_64_bits,
    "bounds of 1 in arrays fetch again": fetch_again_for_arrays,
}
