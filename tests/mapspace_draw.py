"""Mappings drawn at random from the whole space that a search goes through, good or bad."""

from __future__ import annotations

import itertools
import random

import mapspace_brute
import numpy as np
from fused_cases import Case
from mapspace_brute import Brute
from mapspace_oracle import differences, room

from fusemap.archspec.types import Machine
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.legality import violations
from fusemap.mappers.mapspace.fit import need_words, roles_of
from fusemap.mappers.mapspace.flow import Flow, flow_of
from fusemap.mappers.mapspace.front import Point
from fusemap.mappers.mapspace.grid import Grid, extents_of
from fusemap.mappers.mapspace.plan import Plan, plans, segments
from fusemap.mappers.mapspace.settle import settled
from fusemap.mappers.mapspace.space import Mapspace
from fusemap.mappers.types import Problem

SPACE = Mapspace(recompute=2)
PLANS = 400  # of a segment from which one is drawn


def drawn(cascade: Cascade, problem: Problem, machine: Machine, rng: random.Random) -> tuple[Case, list[float]]:
    """A mapping, and the words that the search says that each of its phases needs."""
    flow = flow_of(cascade, problem)
    downsets, after = segments(flow)
    brute = Brute(cascade=cascade, problem=problem, machine=machine, space=SPACE)
    at, points, needs = downsets[0], [], []
    while at != downsets[-1]:
        later = rng.choice(after[at]) if rng.random() < 0.6 else max(after[at], key=lambda d: (len(d), rng.random()))
        ways = list(itertools.islice(plans(flow, problem, later - at, SPACE), PLANS))
        if ways:
            point = _point(brute, rng.choice(ways), rng)
            points.append(point)
            needs.append(need(point, flow))
            at = later
    sized, mapping = settled(problem, flow, machine, points)
    return Case(cascade=cascade, problem=sized, mapping=mapping, machine=machine), needs


def _point(brute: Brute, plan: Plan, rng: random.Random) -> Point:
    order = rng.choice(mapspace_brute.orders(plan))
    tiles = rng.choice(mapspace_brute.tile_sizes(plan))
    recipes = {s.name: rng.choice(brute.recipes(s, tiles)) for s in plan.spaces}
    streamed = rng.choice(list(brute.streams(plan, order, tiles)))
    return Point(
        latency_s=0.0,
        energy_pj=0.0,
        traffic_bytes=0.0,
        need_words=0.0,
        plan=plan,
        order=order,
        tiles=tuple(tiles.items()),
        recipes=tuple(recipes.items()),
        streamed=tuple(streamed.items()),
        pipelined=mapspace_brute.rounds(plan, tiles) >= len(plan.spaces),
    )


def need(point: Point, flow: Flow) -> float:
    """The words that the search counts for a point."""
    tiles = {rank: np.array([float(size)]) for rank, size in point.tiles}
    grid = Grid(tiles=tiles, extents=extents_of(point.plan), points=1)
    streams = {name: {t: np.ones(1) for t in tensors} for name, tensors in point.streamed}
    return float(need_words(point.plan, point.order, roles_of(point.plan, flow), streams, grid, flow)[0])


def wrong(case: Case, needs: list[float]) -> list[str]:
    """All in which the mapping, its execution and the search's count of room differ."""
    found = [f"{v.what}: {v.hint}" for v in violations(case.problem, case.mapping, case.machine)]
    for fusion, words in zip(case.mapping.fusion, needs, strict=True):
        if abs(room(case, fusion) - words) > 1e-9:
            found.append(f"the search counts {words} words of room, the mapping {room(case, fusion)}")
    return found + differences(case)[1]
