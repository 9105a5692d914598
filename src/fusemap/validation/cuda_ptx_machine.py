"""Run a translated PTX entry: lanes side by side, divergence by masks.

Rule of order. Every lane has a place in the program. Of the lanes that can run, those at the lowest place run its basic
block together, under a mask; so lanes of a diverged warp meet again at the first place that all of them still have to
pass, which is the join of structured control flow in the order in which compilers lay it out. Where a compiler lays it
out otherwise the values are the same, but a warp may count more requests. A warp instruction (shuffle, vote) waits
for the lanes that it names. A barrier opens for a block when nothing else can run: all its threads must wait at the
same barrier instruction, else the block ends with a dead-lock fault (CUDA leaves undefined what a GPU does then).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusemap.validation.cuda_counts import Fault
from fusemap.validation.cuda_ptx_lanes import AT_BARRIER, AT_WARP, ENDED, RUNNING, Lanes, Mask, make_lanes
from fusemap.validation.cuda_ptx_memory import Memory
from fusemap.validation.cuda_ptx_operands import UNSIGNED
from fusemap.validation.cuda_ptx_sync import ready
from fusemap.validation.cuda_ptx_translate import Operation, Program
from fusemap.validation.cuda_ptx_types import WIDTHS

MOST_LANES = 4096  # lanes side by side
MOST_TOUCHED = 1 << 25  # bytes for what the blocks side by side have loaded


def run_program(
    program: Program, memory: Memory, grid: tuple[int, int, int], block: tuple[int, int, int]
) -> NDArray[np.int64]:
    """Runs all blocks of a grid against memory; how many lanes executed each instruction."""
    executed = np.zeros(len(program.operations), np.int64)
    total, threads = grid[0] * grid[1] * grid[2], block[0] * block[1] * block[2]
    elements = sum(len(data) for data in memory.data)
    together = max(1, min(MOST_LANES // threads, MOST_TOUCHED // max(1, elements)))
    with np.errstate(all="ignore"):
        for first in range(0, total, together):
            _run_blocks(program, memory, make_lanes(grid, block, first, min(together, total - first)), executed)
    return executed


def _run_blocks(program: Program, memory: Memory, lanes: Lanes, executed: NDArray[np.int64]) -> None:
    memory.begin(lanes, program.scope.shared_words, program.scope.local_words)
    kinds = program.entry.registers.values()
    lanes.registers = [np.zeros(lanes.count, UNSIGNED[WIDTHS[kind]]) for kind in kinds]
    while _advance(program, memory, lanes, executed) or _open_barriers(program, memory, lanes):
        pass
    memory.end()


def _advance(program: Program, memory: Memory, lanes: Lanes, executed: NDArray[np.int64]) -> bool:
    """Runs the basic block at the lowest place; False: no lane can run."""
    running = lanes.state == RUNNING
    if not running.any():
        return False
    place = int(lanes.place[running].min())
    if place == len(program.operations):  # past the last instruction: as ret
        lanes.state[running] = ENDED
        return True
    here = (lanes.place == place) & (running | (lanes.state == AT_WARP))
    if program.operations[place].kind == "together":
        _together(program, lanes, place, here, executed)
        return True
    mask: Mask = None if here.all() else here
    active = int(np.count_nonzero(here))
    end = program.ends[place]
    executed[place:end] += active
    for number in range(place, end):
        operation = program.operations[number]
        if operation.kind != "step":
            _control(operation, number, lanes, here)
            return True
        assert operation.step is not None
        if operation.guard is None:
            operation.step(lanes, memory, mask)
            continue
        chosen = here & operation.guard(lanes)
        executed[number] -= active - int(np.count_nonzero(chosen))
        operation.step(lanes, memory, None if chosen.all() else chosen)
    lanes.place[here] = end
    return True


def _control(operation: Operation, number: int, lanes: Lanes, here: NDArray[np.bool_]) -> None:
    """Moves lanes: to a branch's target, past the end, or to a barrier."""
    chosen = here if operation.guard is None else here & operation.guard(lanes)
    lanes.place[here] = number + 1
    if operation.kind == "branch":
        lanes.place[chosen] = operation.target
    else:
        lanes.state[chosen] = ENDED if operation.kind == "end" else AT_BARRIER


def _together(program: Program, lanes: Lanes, place: int, here: NDArray[np.bool_], executed: NDArray[np.int64]) -> None:
    operation = program.operations[place]
    assert operation.together is not None and operation.wanted is not None
    able = ready(lanes, here, operation.wanted(lanes))
    lanes.state[here & ~able] = AT_WARP
    if able.any():
        operation.together(lanes, able)
        executed[place] += int(np.count_nonzero(able))
        lanes.state[able] = RUNNING
        lanes.place[able] = place + 1


def _open_barriers(program: Program, memory: Memory, lanes: Lanes) -> bool:
    """Lets the blocks on whose threads nothing else waits pass; the others end with a fault. False: all have ended."""
    if (lanes.state == ENDED).all():
        return False
    state, place = lanes.state.reshape(lanes.blocks, -1), lanes.place.reshape(lanes.blocks, -1)
    passing = (state == AT_BARRIER).all(axis=1) & (place == place[:, :1]).all(axis=1)
    for slot in np.flatnonzero(~passing & (state != ENDED).any(axis=1)):
        memory.faults.append(_dead_lock(program, lanes, state[slot], place[slot], int(slot)))
        state[slot] = ENDED
    state[passing] = RUNNING
    return True


def _dead_lock(program: Program, lanes: Lanes, state: NDArray[np.int8], place: NDArray[np.int64], slot: int) -> Fault:
    thread = int(np.flatnonzero(state != ENDED)[0])
    number = int(place[thread]) - (1 if state[thread] == AT_BARRIER else 0)
    at = program.operations[number].at
    waiting = int(np.count_nonzero((state == state[thread]) & (place == place[thread])))
    ended = int(np.count_nonzero(state == ENDED))
    where = f"line {at.line}, {at.name}: {waiting} of {lanes.threads} threads wait here, {ended} have ended"
    block = int(lanes.block[slot * lanes.threads])
    return Fault(kind="dead-lock", tensor="", index=0, block=block, thread=thread, where=where)
