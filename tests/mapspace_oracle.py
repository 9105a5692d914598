"""A searched mapping held against its execution word by word."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from fused_cases import Case, check_numbers

from fusemap.einsum_cascade import scope
from fusemap.einsum_cascade.types import Index
from fusemap.mappers.room import group_words
from fusemap.mappers.types import Fusion, Storage
from fusemap.sim import fused
from fusemap.sim.best import Candidate
from fusemap.sim.evaluate import evaluate_mapping
from fusemap.sim.fused import FusedExecution
from fusemap.sim.fused_slots import Copy, Mask, Timeline


class Passing(Timeline):
    """The executor's timeline in which a held word leaves as soon as its iteration of the phase needs it no more.

    It stays if the next iteration has it again. `group_words` counts on that room: in a group that reads one held
    tensor for the last time and makes another, chunk by chunk.
    """

    def _tiles(self) -> list[dict[Copy, Mask]]:
        tiles = super()._tiles()
        last: dict[tuple[tuple[int, ...], str], dict[int, int]] = defaultdict(dict)
        for number, slot in enumerate(self.slots):
            for touch, _, found in self._touched(slot):
                if touch.tensor in self.held:
                    last[slot.outer, touch.tensor] |= dict.fromkeys(found.ravel().tolist(), number)
        order = list(dict.fromkeys(slot.outer for slot in self.slots))
        following = dict(itertools.pairwise(order))
        for number, slot in enumerate(self.slots):
            for (tensor, group), tile in list(tiles[number].items()):
                if group is None:
                    again = last[following[slot.outer], tensor] if slot.outer in following else {}
                    here = last[slot.outer, tensor]
                    gone = [word for word, at in here.items() if at < number and word not in again]
                    tile = tile.copy()
                    tile[gone] = False
                    tiles[number][tensor, group] = tile
        return tiles


@contextmanager
def passing() -> Iterator[None]:
    """Execute with `Passing`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "Timeline", Passing)
        yield


def moved(of: Case) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Words that the closed form reads from and writes to the outer memory, by Einsum and tensor."""
    report = evaluate_mapping(of.problem, of.mapping, of.machine)
    place = of.machine.memories[0].name
    found: dict[str, dict[str, dict[str, float]]] = {"read": defaultdict(dict), "write": defaultdict(dict)}
    for row in report.rows:
        if row.component == place and row.words:
            tensor = row.tensor.partition("#")[0]
            words = found[row.action][row.einsum]
            words[tensor] = words.get(tensor, 0) + row.words
    return dict(found["read"]), dict(found["write"])


def room(of: Case, fusion: Fusion) -> float:
    """The most words that the buffer holds in a phase, as the closed form has it."""
    return max(sum(g.values()) for g in group_words(of.problem, of.mapping, fusion, of.machine.memories[1].name))


def overwritten(of: Case) -> float:
    """Words that the executor keeps beside those that replace them: a slice of every state that is made.

    `RM[m1+1]` takes the place of `RM[m1]`; the executor has both until the tile is
    through, or longer if another phase reads it.
    """
    found = 0.0
    for space in of.problem.spaces:
        carried = {o.tensor for o in space.inputs} & {space.output.tensor, space.output.tensor.partition("@")[0]}
        if carried or space.output.tensor in {str(e.name) for e in of.cascade.inits}:
            nest = of.mapping.nest(space.name)
            shared = {loop.rank: loop.bound for level in nest.levels[:2] for loop in level.loops}
            ranks = [(r, n) for r, n in space.ranks if r in space.output.ranks and r not in space.sequential]
            found += math.prod(n / shared.get(r, 1) for r, n in ranks)
    return found


def shifted(of: Case) -> frozenset[str]:
    """Tensors that are touched at several places: `RM[m]`, `RM[m+1]`, `RM[M]`.

    The closed form moves the words of each place on their own, the executor those that are not there yet.
    """
    places: dict[str, set[tuple[Index, ...]]] = defaultdict(set)
    for einsum in of.cascade.einsums:
        for access in (*scope.accesses(einsum), einsum.output):
            places[str(access.tensor)].add(access.indices)
    views = dict(of.problem.views)
    for tensor in list(places):
        source = views.get(tensor, tensor)
        places[source] |= {()} if source != tensor else set()
    return frozenset(t for t, at in places.items() if len(at) > 1) | {t for t in views if len(places[t]) > 1}


def differences(of: Case) -> tuple[FusedExecution, list[str]]:
    """The execution without a limit of room, and in what it differs from what the search says."""
    buffer = of.machine.memories[1]
    memories = (of.machine.memories[0], dataclasses.replace(buffer, capacity_bytes=None))
    with passing():
        done = dataclasses.replace(of, machine=dataclasses.replace(of.machine, memories=memories)).executed()
    found = [str(f) for f in done.faults]
    if not found:
        reads, writes = moved(of)
        loose = shifted(of)
        for what, executed, counted in (("reads", done.dram_reads, reads), ("writes", done.dram_writes, writes)):
            for einsum in sorted({*executed, *counted}):
                here, there = executed.get(einsum, {}), counted.get(einsum, {})
                for tensor in sorted({*here, *there}):
                    moved_words, most = here.get(tensor, 0), there.get(tensor, 0)
                    if moved_words > most or (moved_words < most and tensor.partition("@")[0] not in loose):
                        found.append(f"{einsum} {what} {moved_words} words of {tensor}, counted {most}")
    need = max(room(of, fusion) for fusion in of.mapping.fusion)
    if done.peak_buffer_words > need * (1 + 1e-12) + overwritten(of):
        found.append(f"the buffer holds {done.peak_buffer_words} words, counted {need}")
    limit = math.inf if buffer.capacity_bytes is None else buffer.capacity_bytes / of.machine.word_bytes
    if need > limit * (1 + 1e-12):
        found.append(f"counted {need} words, there is room for {limit}")
    if not found:
        with np.errstate(all="ignore"):
            check_numbers(of, done)
    return done, found


def became(candidate: Candidate) -> frozenset[str]:
    """What became of tensors in a mapping, and what else it shows."""
    mapping, problem = candidate.mapping, candidate.problem
    shown = {"held"} if any(f.held for f in mapping.fusion) else set()
    shown |= {"recomputed"} if any("@" in nest.einsum for nest in mapping.einsums) else set()
    shown |= {"several segments"} if len(mapping.fusion) > 1 else set()
    shown |= {"several groups"} if any(len(f.groups) > 1 for f in mapping.fusion) else set()
    shown |= {"recurrence"} if any(s.sequential for s in problem.spaces) else set()
    for fusion in mapping.fusion:
        made = {problem.space(e).output.tensor for g in fusion.groups for e in g.einsums} - problem.external
        for group in fusion.groups:
            for einsum in group.einsums:
                dram, whole, tile = (level for level in mapping.nest(einsum).levels[:3] if isinstance(level, Storage))
                kept = (dram.keep or frozenset(), (whole.keep or frozenset()) | (tile.keep or frozenset()))
                shown |= {"streamed"} if kept[0] - kept[1] else set()
                read = {o.tensor for o in problem.space(einsum).inputs}
                shown |= {"spilled"} if kept[0] & read & made else set()
    return frozenset(shown)
