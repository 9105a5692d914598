"""The discrete-event run of a phase: tile after tile on every array, loads and stores on the channel.

Each resource serves its tasks in the order of the binding, so that every start is the latest of a few known times
(a max-plus recurrence); no event needs a queue but the stores, which share the channel with the loads.

- A task starts when its array is free, its stage has begun, what it needs has been made and has arrived, and its
  tiles are loaded. All arrays begin a stage together.
- A load is asked for as soon as the tile before the last one has been used up (double buffering), occupies the
  channel, and arrives a latency later. Loads and stores are served in the order in which they are ready.
- A stage takes at least the time that its accesses of the buffer need at the ports, and the phase that of each
  memory on the chip that has a bandwidth.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from fusemap.diagnostics import input_error
from fusemap.sim.tile_slots import Op, Slot, Slots, SlotStage
from fusemap.sim.tile_state import State, first_state
from fusemap.sim.tile_steady import Steady
from fusemap.sim.tile_types import EFFECTS, Effect, TileProgram

FILL, STEADY, EMPTY = "pipeline fills", "", "pipeline empties"


@dataclass(frozen=True, slots=True, kw_only=True)
class TileEvent:
    """Something that a run recorded: a task, transfer or wait on `track`, from `start` to `end`."""

    track: str
    name: str
    kind: str
    start: int
    end: int
    iteration: int
    number: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class TileRun:
    """What a run took: `waits` are ticks by (resource, cause); an array's work and waits make up `ticks`.

    `computed` is when the arrays were done; transfers may take longer.

    `executed` tile events were run, `represented` are there in all. `moved` are (tensor, bytes read, bytes written).
    `room` are the recorded changes of what the buffer holds: (time, bytes).
    """

    program: TileProgram
    effects: tuple[Effect, ...]
    ticks: int
    computed: int
    busy: tuple[tuple[str, int], ...]
    waits: tuple[tuple[str, str, int], ...]
    moved: tuple[tuple[str, float, float], ...]
    executed: int
    represented: int
    events: tuple[TileEvent, ...] = ()
    room: tuple[tuple[int, float], ...] = ()


def run_tiles(
    program: TileProgram, *, effects: Sequence[Effect] = EFFECTS, extrapolate: bool = True, record: int = 0
) -> TileRun:
    """Run a phase; the first `record` slots are recorded, event by event.

    Without the effect `start` the pipeline is full from the beginning (the last iterations are followed by the
    first), without `operands` all data are there in time, as the closed form has it. With `extrapolate` stretches
    that repeat are skipped and counted (exact: equal states have equal futures). InputError: an effect is not known
    or the machine lacks a number that it needs.

    """
    _require(program, effects)
    return _Run(program, frozenset(effects), record).run(extrapolate=extrapolate)


class _Run:
    def __init__(self, program: TileProgram, effects: frozenset[Effect], record: int) -> None:
        self.program = program
        self.iterations, self.lag = program.iterations, program.lag
        self.effects = effects
        self.operands = "operands" in effects and "start" in effects
        self.latency = program.latency or 0 if "latency" in effects and self.operands else 0
        self.wrapped = "start" not in effects
        self.slots = Slots(program, operands=self.operands, ports="ports" in effects, wrapped=self.wrapped)
        self.state: State = first_state(program)
        self.waits: Tally[tuple[str, str]] = Tally()
        self.loads_run = [0] * len(program.loads)
        self.stores_run = [0] * len(program.stores)
        self.channel_busy = 0
        self.executed = 0
        self.record = record
        self.events: list[TileEvent] = []
        self.room: list[tuple[int, float]] = []
        self.recording = record > 0
        self.skipped_ticks = 0
        self.arrived: dict[int, int] = {}

    def run(self, *, extrapolate: bool) -> TileRun:
        """All slots, one after another."""
        count = self.iterations + (0 if self.wrapped else self.lag)
        steady = Steady(self.program, wrapped=self.wrapped) if extrapolate else None
        slot, real = 0, 0
        slots, state = self.slots, self.state
        while real < count:
            self.recording = real < self.record
            self._slot(slots.at(real), slot, self._where(real))
            slot, real = slot + 1, real + 1
            if steady is None or real < self.record:
                continue
            if jump := steady.jump(real, slot, state, self._now, self.operands):
                real += jump.slots
                self.skipped_ticks += jump.ticks
                self._add(jump.counts)
        return self._finished()

    def _where(self, real: int) -> str:
        if self.wrapped:
            return STEADY
        return FILL if real < self.lag else STEADY if real < self.iterations else EMPTY

    # --- one slot ---------------------------------------------------------------------------------------

    def _slot(self, kind: Slot, slot: int, where: str) -> None:
        free = self.state.free
        first = max(free)
        for task, lag in kind.idle:
            ring, iteration = self.state.ends[task], slot - lag
            ring[iteration % len(ring)] = ring[(iteration - 1) % len(ring)]
        self.arrived = self._loaded(kind.early, slot) if kind.early else {}
        for stage in kind.stages:
            if not stage.ops and not stage.stall:
                continue
            begin = max(free)
            for op in stage.ops:
                self._task(op, slot)
            end = max(free)
            self._settle(stage, end, where or "waits for the other arrays", "")
            if begin + stage.port_ticks > end:
                self._settle(stage, begin + stage.port_ticks, f"ports of {self.program.buffer}", "stall")
            if stage.stall:
                self._settle(stage, max(free) + stage.stall, self.program.stages[stage.number].why, "stall")
        if first + kind.port_ticks > max(free):
            self._settle(kind.stages[-1], first + kind.port_ticks, f"ports of {self.program.buffer}", "stall")

    def _loaded(self, early: tuple[tuple[int, int], ...], slot: int) -> dict[int, int]:
        """When the tiles of a slot arrive: loaded as there is room, those last that a task had to store before.

        Those that there is room for when the channel is free come in the order of the binding.
        """
        found: dict[int, int] = {}
        for again in (False, True):
            mine = [(i, lag) for i, lag in early if (self.program.loads[i].stored is not None) == again]
            asked = [(self._ready(i, slot - lag), i, lag) for i, lag in mine]
            free = self.state.channel
            for ready, i, lag in sorted(asked, key=lambda item: max(item[0], free)):
                found[i] = self._load(i, slot - lag, ready)
        return found

    def _settle(self, stage: SlotStage, end: int, cause: str, kind: str) -> None:
        """All arrays wait for the end of the stage."""
        free, arrays = self.state.free, self.program.arrays
        for array, time in enumerate(free):
            if time < end:
                self.waits[arrays[array], cause] += end - time
                if self.recording:
                    self._note(arrays[array], cause, "stall", time, end, 0)
                free[array] = end

    def _task(self, op: Op, slot: int) -> None:
        state, iteration = self.state, slot - op.lag
        start = free = state.free[op.array]
        blame = -1
        for producer, distance, delay in op.needs:
            ring = state.ends[producer]
            ready = ring[(iteration - distance) % len(ring)] + delay
            if ready > start:
                start, blame = ready, producer
        tensor = ""
        for load in op.loads:
            known = self.arrived.get(load)
            ready = self._load(load, iteration, self._ready(load, iteration)) if known is None else known
            if ready > start:
                start, tensor = ready, self.program.loads[load].tensor
        if start > free:
            self._waited(op, free, start, blame, tensor)
        end = start + op.ticks
        ring = state.ends[op.task]
        ring[iteration % len(ring)] = end
        state.free[op.array] = end
        self.executed += 1
        for load in op.uses_up:
            retired = state.retired[load]
            retired[state.uses[load] % len(retired)] = end
            state.uses[load] += 1
        for store in op.stores:
            insort(state.pending, (end, store, iteration), key=itemgetter(0))
        if self.recording:
            self._record(op, start, end, iteration)

    def _record(self, op: Op, start: int, end: int, iteration: int) -> None:
        program = self.program
        self._note(program.arrays[op.array], program.tasks[op.task].einsum, "work", start, end, iteration, op.task)
        self.room += [(start, op.takes)] if op.takes else []
        freed = op.gives + sum(program.loads[i].byte_count for i in op.uses_up if program.loads[i].buffered)
        self.room += [(end, -freed)] if freed else []

    def _waited(self, op: Op, free: int, start: int, blame: int, tensor: str) -> None:
        cause = f"load of {tensor}" if tensor else f"result of {self.program.tasks[blame].einsum}"
        array = self.program.arrays[op.array]
        self.waits[array, cause] += start - free
        if self.recording:
            self._note(array, cause, "stall", free, start, 0)

    # --- the channel ------------------------------------------------------------------------------------

    def _ready(self, number: int, iteration: int) -> int:
        """When there is room for the tile, and it is in the outer memory."""
        retired, load = self.state.retired[number], self.program.loads[number]
        ready = max(0, retired[self.state.loaded[number] % len(retired)])
        if load.stored is None or iteration < load.distance:
            return ready
        return max(ready, self._stored(load.stored, iteration - load.distance))

    def _load(self, number: int, iteration: int, ready: int) -> int:
        """When the tile arrives that can be loaded from `ready` on."""
        state, load = self.state, self.program.loads[number]
        self._serve(ready)
        begin = max(state.channel, ready)
        self._occupy(begin, load.ticks, f"load {load.tensor}", iteration, f"room for {load.tensor}")
        if self.recording and load.buffered:
            self.room.append((begin, load.byte_count))
        state.loaded[number] += 1
        self.loads_run[number] += 1
        return state.channel + self.latency

    def _stored(self, store: int, iteration: int) -> int:
        """When the tile of that iteration is in the outer memory; serves what waits before it."""
        pending = self.state.pending
        while any(s == store and i <= iteration for _, s, i in pending):
            self._store()
        ring = self.state.done[store]
        return ring[iteration % len(ring)]

    def _serve(self, ready: int) -> None:
        """Serve the stores that are ready before a load is."""
        pending = self.state.pending
        while pending and pending[0][0] <= ready:
            self._store()

    def _store(self) -> None:
        state = self.state
        ready, number, iteration = state.pending.popleft()
        store = self.program.stores[number]
        self._occupy(max(state.channel, ready), store.ticks, f"store {store.tensor}", iteration, "nothing to move")
        ring = state.done[number]
        ring[iteration % len(ring)] = state.channel
        self.stores_run[number] += 1

    def _occupy(self, begin: int, ticks: int, name: str, iteration: int, waits_for: str) -> None:
        state, channel = self.state, self.program.channel
        if begin > state.channel:
            self.waits[channel, waits_for] += begin - state.channel
        state.channel = begin + ticks
        self.channel_busy += ticks
        self.executed += 1
        if self.recording:
            self._note(channel, name, "transfer", begin, begin + ticks, iteration)

    # --- counts -----------------------------------------------------------------------------------------

    def _note(self, track: str, name: str, kind: str, start: int, end: int, iteration: int, number: int = -1) -> None:
        if end > start or kind == "work":
            self.events.append(
                TileEvent(track=track, name=name, kind=kind, start=start, end=end, iteration=iteration, number=number)
            )

    def _now(self) -> tuple[int, Tally[tuple[str, str]]]:
        """The time, what was skipped included, and everything that is counted, under one kind of key."""
        found = Tally(self.waits)
        found["#", "channel"] = self.channel_busy
        for i, n in enumerate(self.loads_run):
            found["#load", str(i)] = n
        for i, n in enumerate(self.stores_run):
            found["#store", str(i)] = n
        return min(self.state.free) + self.skipped_ticks, found

    def _add(self, counts: Tally[tuple[str, str]]) -> None:
        for (resource, cause), n in counts.items():
            if resource == "#":
                self.channel_busy += n
            elif resource == "#load":
                self.loads_run[int(cause)] += n
            elif resource == "#store":
                self.stores_run[int(cause)] += n
            else:
                self.waits[resource, cause] += n

    def _finished(self) -> TileRun:
        program, state = self.program, self.state
        while state.pending:
            self._store()
        shift = self.skipped_ticks
        computed = max(state.free) + shift
        if self.operands:
            total = max(computed, state.channel + shift)
            busy_channel = self.channel_busy
        else:
            busy_channel = math.ceil(program.memory_ticks)
            total = max(computed, busy_channel)
        inner = math.ceil(program.inner_ticks)
        last = program.channel if inner <= total else program.inner_memory
        total = max(total, inner)
        runs = [_runs_of(program, i) for i in range(len(program.tasks))]
        busy = {array: 0 for array in program.arrays}
        for task, n in zip(program.tasks, runs, strict=True):
            busy[program.arrays[task.array]] += task.ticks * n
        for i, array in enumerate(program.arrays):
            if total > state.free[i] + shift:
                self.waits[array, f"{last} moves the rest"] += total - state.free[i] - shift
        self.waits[program.channel, "nothing to move"] += (
            total - busy_channel - sum(n for (resource, _), n in self.waits.items() if resource == program.channel)
        )
        return TileRun(
            program=program,
            effects=tuple(e for e in EFFECTS if e in self.effects),
            ticks=total,
            computed=computed,
            busy=(*busy.items(), (program.channel, busy_channel)),
            waits=tuple((r, c, n) for (r, c), n in sorted(self.waits.items()) if n),
            moved=self._moved(),
            executed=self.executed,
            represented=sum(runs) + sum(self._transfers()),
            events=tuple(self.events),
            room=tuple(sorted(self.room)),
        )

    def _transfers(self) -> list[int]:
        if self.operands:
            return [*self.loads_run, *self.stores_run]
        return [_pieces(self.program, x.task, x.skips) for x in self.program.transfers]

    def _moved(self) -> tuple[tuple[str, float, float], ...]:
        p, counts = self.program, self._transfers()
        found: dict[str, list[float]] = {}
        for i, x in enumerate(p.transfers):
            found.setdefault(x.tensor, [0.0, 0.0])[int(i >= len(p.loads))] += x.byte_count * counts[i]
        return tuple((tensor, read, written) for tensor, (read, written) in found.items())


def _runs_of(program: TileProgram, task: int) -> int:
    return _pieces(program, task, ())


def _pieces(program: TileProgram, task: int, skips: Sequence[int]) -> int:
    """Iterations in which the task runs and the digits of the loops in `skips` have one value."""
    left = {*program.tasks[task].skips, *skips}
    product = 1
    for i, loop in enumerate(program.loops):
        product *= 1 if i in left else loop.bound
    return product


def _require(program: TileProgram, effects: Sequence[Effect]) -> None:
    unknown = [e for e in effects if e not in EFFECTS]
    if unknown:
        raise input_error(f'unknown effect "{unknown[0]}"', hint=f"known: {', '.join(EFFECTS)}")
    lacks: list[tuple[Effect, object, str, str]] = [
        ("latency", program.latency, program.channel, "latency"),
        ("ports", program.ports, program.buffer, "ports"),
    ]
    for effect, known, memory, key in lacks:
        if effect in effects and known is None and memory:
            raise input_error(
                f"memory {memory} has no {key}: the machine's file does not say",
                hint=f"give memories.{memory}.timing.{key} with its source, or leave out the effect {effect}",
            )
