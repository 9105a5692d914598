"""From a mapping to tile tasks: durations, dependences and transfers of one iteration of a phase."""

from __future__ import annotations

import math
from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from fusemap.archspec.types import Machine, Memory
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.modulo_handoff import Handoff, handoffs
from fusemap.mappers.tasks import FINEST, reduced_across
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Fusion, Mapping, Phase, Problem, Storage
from fusemap.sim.accounting import PRINCIPLED, Accounting
from fusemap.sim.actions import Moved, moved_words, traffic_words
from fusemap.sim.fused_words import original
from fusemap.sim.latency import einsum_time
from fusemap.sim.tile_lag import with_lags
from fusemap.sim.tile_loops import Own, own_loops, shared_tile_loops
from fusemap.sim.tile_types import EFFECTS, Effect, Hold, Load, Need, Store, TileLoop, TileProgram, TileStage, TileTask


def tile_programs(
    cascade: Cascade,
    problem: Problem,
    mapping: Mapping,
    machine: Machine,
    *,
    accounting: Accounting = PRINCIPLED,
    effects: Sequence[Effect] = EFFECTS,
) -> tuple[TileProgram, ...]:
    """The phases of a mapping as tile tasks, one after another.

    A task takes temporal steps * cycles per point / runs. Transfers take words * word size / bandwidth, rounded up
    to 2^-20 cycles. Without the effect `drain` no result takes time to cross an array, without `operands` none to
    go through the outer memory. InputError: an Einsum does not run the loops that its phase shares.
    """
    passed = _handed(cascade, problem)
    fusion: Sequence[Fusion | None] = mapping.fusion or [None] * len(mapping.binding)
    return tuple(
        _Phase.of(problem, mapping, machine, accounting, phase, passed, fused, effects).program()
        for phase, fused in zip(mapping.binding, fusion, strict=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Phase:
    problem: Problem
    machine: Machine
    phase: Phase
    passed: tuple[Handoff, ...]
    drain: bool
    operands: bool
    order: tuple[tuple[int, str, str], ...]  # (stage, array, Einsum) in the order of work
    spaces: AbstractMapping[str, EinsumSpace]
    nests: AbstractMapping[str, EinsumMapping]
    loops: tuple[TileLoop, ...]
    own: AbstractMapping[str, tuple[Own, ...]]
    cycles: AbstractMapping[str, Fraction]  # of one run of an Einsum
    moved: AbstractMapping[str, tuple[Moved, ...]]
    ticks: int

    @staticmethod
    def of(
        problem: Problem,
        mapping: Mapping,
        machine: Machine,
        accounting: Accounting,
        phase: Phase,
        passed: tuple[Handoff, ...],
        fusion: Fusion | None,
        effects: Sequence[Effect],
    ) -> _Phase:
        order = tuple((i, a, e) for i, stage in enumerate(phase.stages) for a, work in stage.work for e in work)
        spaces = {e: problem.space(e) for _, _, e in order}
        nests = {e: mapping.nest(e) for e in spaces}
        inside = tuple(h for h in passed if h.producer in spaces and h.consumer in spaces)
        loops = shared_tile_loops(tuple(spaces.values()), tuple(nests.values()), inside, fusion)
        own = {e: own_loops(spaces[e], nests[e], loops) for e in spaces}
        times = {e: einsum_time(spaces[e], nests[e], machine, accounting).cycles for e in spaces}
        cycles = {e: Fraction(times[e], _runs(own[e])) for e in spaces}
        return _Phase(
            problem=problem,
            machine=machine,
            phase=phase,
            passed=inside,
            drain="drain" in effects,
            operands="operands" in effects,
            order=order,
            spaces=spaces,
            nests=nests,
            loops=loops,
            own=own,
            cycles=cycles,
            moved={e: moved_words(spaces[e], nests[e], machine, accounting) for e in spaces},
            ticks=math.lcm(*(c.denominator for c in cycles.values())) * FINEST,
        )

    def program(self) -> TileProgram:
        """The tasks, with the lags that the binding needs."""
        channel, buffer = self.machine.memories[0], _buffer(self.machine)
        arrays = tuple(dict.fromkeys(array for _, array, _ in self.order))
        inner_ticks, inner_memory = max(self._inner(), default=(Fraction(0), ""))
        tasks = tuple(self._task(stage, arrays.index(array), e) for stage, array, e in self.order)
        stores = tuple(self._stores(channel))
        program = TileProgram(
            phase=self.phase.name,
            ticks_per_cycle=self.ticks,
            loops=self.loops,
            arrays=arrays,
            stages=tuple(self._stage(i) for i in range(len(self.phase.stages))),
            tasks=tasks,
            loads=tuple(self._loads(channel, stores)),
            stores=stores,
            holds=tuple(self._holds(buffer)) if buffer else (),
            channel=channel.name,
            buffer=buffer.name if buffer else "",
            memory_ticks=sum((self._channel_ticks(t.words) for t in self._transfers(channel)), Fraction(0)),
            latency=_latency_ticks(channel, self.machine, self.ticks),
            ports=buffer.ports if buffer else None,
            access_bytes=Fraction(buffer.width_bits, 8) if buffer else Fraction(0),
            buffer_bytes=buffer.capacity_bytes if buffer else None,
            inner_memory=inner_memory,
            inner_ticks=inner_ticks,
        )
        return with_lags(program, operands=self.operands) if self.phase.pipelined else program

    # --- tasks ------------------------------------------------------------------------------------------

    def _number(self, einsum: str) -> int:
        return next(i for i, (_, _, e) in enumerate(self.order) if e == einsum)

    def _task(self, stage: int, array: int, einsum: str) -> TileTask:
        needs = tuple(n for h in self.passed if h.consumer == einsum for n in self._needs(h))
        made = {h.producer for h in self.passed if h.consumer == einsum}
        return TileTask(
            einsum=einsum,
            array=array,
            stage=stage,
            ticks=int(self.cycles[einsum] * self.ticks),
            skips=self._lacking(einsum),
            at_end=bool(made),
            needs=needs,
            accesses=self._accesses(einsum),
        )

    def _lacking(self, einsum: str) -> tuple[int, ...]:
        """The shared loops that an Einsum does not run."""
        runs = {loop.shared for loop in self.own[einsum]}
        return tuple(i for i in range(len(self.loops)) if i not in runs)

    def _needs(self, h: Handoff) -> list[Need]:
        """The dependence, unless it is on an earlier step within the same iteration, or on start values only."""
        extents = dict(self.spaces[h.consumer].ranks)
        if any(steps >= extents.get(rank, math.inf) for rank, steps in h.steps if steps > 0):
            return []
        loop, digit, distance = 0, 0, 0
        for rank, steps in h.steps:
            at = max((i for i, p in enumerate(self.loops) if p.rank == rank), default=None)
            if steps and at is not None:
                distance += steps * math.prod(p.bound for p in self.loops[at + 1 :])
                loop, digit = at, steps
        stepped = any(steps for _, steps in h.steps)
        if not distance and stepped and self._number(h.producer) >= self._number(h.consumer):
            return []
        delay = self._delay(h) * self.ticks if self.drain else 0
        return [
            Need(
                producer=self._number(h.producer),
                tensor=h.tensor,
                distance=distance,
                delay=delay,
                loop=loop,
                digit=digit,
            )
        ]

    def _delay(self, h: Handoff) -> int:
        """Cycles from array to array: one per element that a result is reduced over, or is handed along."""
        made, read = self.nests[h.producer], self.nests[h.consumer]
        if made.array == read.array:
            return 0
        across = [level.loops for level in made.levels if isinstance(level, Fanout)]
        drained = sum(reduced_across(self.spaces[h.producer], loops) for loops in across)
        return drained + handed_along(self.spaces[h.consumer], read, h.tensor, self.machine)

    def _stage(self, index: int) -> TileStage:
        stage = self.phase.stages[index]
        stall = sum(s.factor * self.cycles[s.einsum] for s in stage.stalls)
        return TileStage(name=stage.name, stall=int(stall * self.ticks), why="; ".join(s.why for s in stage.stalls))

    def _accesses(self, einsum: str) -> Fraction:
        """Accesses of the buffer in one run, its fills apart: a step that moves less than an access does takes one."""
        buffer = _buffer(self.machine)
        if buffer is None:
            return Fraction(0)
        steps, total = self.nests[einsum].temporal_steps, Fraction(0)
        for item in self.moved[einsum]:
            if item.count.memory == buffer.name:
                for count in (item.count.reads, item.count.updates):
                    if words := item.share * count * item.copies:
                        each = math.ceil(words / min(words, steps) / buffer.words_per_access)
                        total += Fraction(min(words, steps)) * each
        return total / _runs(self.own[einsum])

    # --- transfers --------------------------------------------------------------------------------------

    def _transfers(self, channel: Memory) -> list[_Transfer]:
        return [
            _Transfer(einsum=e, moved=item, words=words, written=written)
            for e, items in self.moved.items()
            for item in items
            if item.count.memory == channel.name
            for words, written in ((item.read_words, False), (item.written_words, True))
            if words
        ]

    def _channel_ticks(self, words: float) -> Fraction:
        return self._ticks(self.machine.memories[0], words)

    def _ticks(self, memory: Memory, words: float) -> Fraction:
        if memory.bandwidth_bytes_per_s is None:
            return Fraction(0)
        seconds = Fraction(words) * self.machine.word_bytes / Fraction(memory.bandwidth_bytes_per_s)
        return seconds * Fraction(self.machine.clock_hz) * self.ticks

    def _inner(self) -> list[tuple[Fraction, str]]:
        """The time of each memory but the outermost one that has a bandwidth."""
        return [
            (self._ticks(m, sum(traffic_words(items, m.name) for items in self.moved.values())), m.name)
            for m in self.machine.memories[1:]
            if m.bandwidth_bytes_per_s is not None
        ]

    def _loads(self, channel: Memory, stores: Sequence[Store]) -> list[Load]:
        made = {t: self._stored(t, stores) for t in self._transfers(channel) if not t.written}
        return [
            Load(
                task=self._number(t.einsum),
                tensor=t.tensor,
                ticks=math.ceil(self._channel_ticks(t.words) / pieces),
                byte_count=t.words * self.machine.word_bytes / pieces,
                skips=skips,
                depth=2 * versions + self._under_way(t, pieces),
                buffered=self._is_buffered(t),
                stored=stored,
                distance=distance,
            )
            for t, (stored, distance) in made.items()
            for skips, pieces, versions in [self._pieces(t)]
        ]

    def _stored(self, t: _Transfer, stores: Sequence[Store]) -> tuple[int | None, int]:
        """The store that makes what is loaded, and how many iterations before; sums of an Einsum's own: 1."""
        number = next((i for i, store in enumerate(stores) if store.tensor == t.tensor), None)
        if number is None:
            return None, 0
        writer, reader = stores[number].task, self._number(t.einsum)
        needs = [n for h in self.passed if h.consumer == t.einsum and h.tensor == t.tensor for n in self._needs(h)]
        if needs:
            return number, min(n.distance for n in needs)
        return (number, 1) if writer == reader and t.moved.count.operand.is_output else (None, 0)

    def _stores(self, channel: Memory) -> list[Store]:
        return [
            Store(
                task=self._number(t.einsum),
                tensor=t.tensor,
                ticks=math.ceil(self._channel_ticks(t.words) / pieces),
                byte_count=t.words * self.machine.word_bytes / pieces,
                skips=skips,
            )
            for t in self._transfers(channel)
            if t.written
            for skips, pieces, _ in [self._pieces(t)]
        ]

    def _is_buffered(self, t: _Transfer) -> bool:
        buffer = _buffer(self.machine)
        return buffer is not None and _keeps(self.nests[t.einsum], t.tensor, buffer.name)

    def _under_way(self, t: _Transfer, pieces: int) -> int:
        """Tiles to be asked for ahead so that the channel does not idle for its latency (Little's law)."""
        latency = _latency_ticks(self.machine.memories[0], self.machine, self.ticks)
        ticks = self._channel_ticks(t.words) / pieces
        return math.ceil(latency / ticks) if latency and ticks else 0

    def _pieces(self, t: _Transfer) -> tuple[tuple[int, ...], int, int]:
        """(loops at 0 when a piece comes, number of pieces, pieces of one version of the tile).

        A version is what the level that keeps the tensor holds at once: it changes with the innermost relevant
        loop above that level, and all loops around it.
        """
        operand, nest, own = t.moved.count.operand, self.nests[t.einsum], self.own[t.einsum]
        keeper = next(
            (i for i, n in enumerate(nest.levels) if i > 0 and isinstance(n, Storage) and n.keeps(operand.tensor)),
            len(nest.levels),
        )
        last = max((i for i, p in enumerate(own) if p.level < keeper and p.rank in operand.ranks), default=-1)
        inner = [p for i, p in enumerate(own) if i > last and p.shared is not None]
        skips = tuple(p.shared for p in inner if p.rank not in operand.ranks and p.shared is not None)
        pieces = math.prod(p.bound for p in own if p.shared is not None and p.shared not in skips)
        versions = math.prod(p.bound for p in inner if p.shared not in skips)
        return skips, pieces, versions

    # --- the buffer -------------------------------------------------------------------------------------

    def _holds(self, buffer: Memory) -> list[Hold]:
        """What the phase makes and some Einsum keeps in the buffer."""
        found = []
        for number, (_, _, e) in enumerate(self.order):
            output = self.spaces[e].output
            users = [e, *(h.consumer for h in self.passed if h.producer == e)]
            kept = [u for u in users if _keeps(self.nests[u], output.tensor, buffer.name)]
            if not kept:
                continue
            relevant = [p for p in self.own[e] if p.shared is not None and p.rank in output.ranks]
            state = {h.consumer for h in self.passed if h.producer == e and any(n for _, n in h.steps)}
            stepped = {rank for h in self.passed if h.producer == e for rank, n in h.steps if n} if state else set()
            own = [p for p in relevant if p.rank not in stepped]
            words = math.prod(extent for rank, extent in self.spaces[e].ranks if rank in output.ranks - stepped)
            tiles = math.prod(p.bound for p in own)
            skips = tuple(i for i, p in enumerate(self.loops) if p.rank not in {q.rank for q in own})
            last = max(self._number(u) for u in users)
            size = words / tiles * self.machine.word_bytes
            found.append(Hold(tensor=output.tensor, byte_count=size, first=number, last=last, skips=skips))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Transfer:
    einsum: str
    moved: Moved
    words: float
    written: bool

    @property
    def tensor(self) -> str:
        return self.moved.count.operand.tensor


def _handed(cascade: Cascade, problem: Problem) -> tuple[Handoff, ...]:
    """The handoffs of the cascade between the Einsums of the problem, of which some may be computed again."""
    maker, reads = {s.output.tensor: s.name for s in problem.spaces}, problem.reads
    return tuple(
        replace(h, producer=maker[tensor], consumer=space.name, tensor=tensor)
        for h in handoffs(cascade)
        for space in problem.spaces
        if original(space.name) == h.consumer
        for tensor in dict.fromkeys(reads[space.name])
        if original(tensor) == h.tensor and tensor in maker
    )


def handed_along(space: EinsumSpace, nest: EinsumMapping, tensor: str, machine: Machine) -> int:
    """Hops of a value that another array hands to this one, to all elements of a dimension that do not index it.

    0 where a memory of the machine hands it over: then it enters as all operands do.
    """
    memories = {memory.name for memory in machine.memories}
    if any(_keeps(nest, tensor, name) for name in memories):
        return 0
    ranks = frozenset[str]().union(*(o.ranks for o in space.inputs if o.tensor == tensor))
    across = [level.loops for level in nest.levels if isinstance(level, Fanout)]
    bounds = [math.prod(p.bound for p in loops if p.rank not in ranks) for loops in across]
    return sum(bound for bound in bounds if bound > 1)


def _keeps(nest: EinsumMapping, tensor: str, memory: str) -> bool:
    return any(n.memory == memory and n.keeps(tensor) for n in nest.levels if isinstance(n, Storage))


def _runs(own: Sequence[Own]) -> int:
    return math.prod(p.bound for p in own if p.shared is not None)


def _buffer(machine: Machine) -> Memory | None:
    """The outermost memory on the chip."""
    return next((m for m in machine.memories[1:] if m.on_chip), None)


def _latency_ticks(memory: Memory, machine: Machine, ticks: int) -> int | None:
    if memory.latency_s is None:
        return None
    return math.ceil(Fraction(memory.latency_s) * Fraction(machine.clock_hz) * ticks)
