"""Instructions that the lanes of a warp execute together: shuffles, votes and the warp's barrier."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusemap.validation.cuda_counts import WARP_THREADS
from fusemap.validation.cuda_ptx_float import Array
from fusemap.validation.cuda_ptx_lanes import ENDED, Lanes
from fusemap.validation.cuda_ptx_operands import Reader, Scope
from fusemap.validation.cuda_ptx_types import Instruction, Pair

Together: TypeAlias = Callable[[Lanes, NDArray[np.bool_]], None]
SHUFFLES = ("up", "down", "bfly", "idx")
VOTES = ("any", "all", "uni", "ballot")


def translate_together(scope: Scope, at: Instruction) -> tuple[Together, Reader]:
    """What a warp instruction does to the lanes that execute it, and the lanes each of them waits for (bits)."""
    if at.opcode == "shfl":
        return _shuffle(scope, at)
    if at.opcode == "vote":
        return _vote(scope, at)
    if len(at.operands) != 1 or at.modifiers != ("warp", "sync"):
        raise scope.error(at, "unknown opcode")
    return lambda lanes, mask: None, scope.reader(at, at.operands[0], "b32")


def ready(lanes: Lanes, here: NDArray[np.bool_], wanted: Array) -> NDArray[np.bool_]:
    """Which of the lanes that are here find all lanes here that they want and that have not ended."""
    bit = np.uint32(1) << lanes.lane_in_warp.astype(np.uint32)
    present, live = np.zeros(lanes.warps, np.uint32), np.zeros(lanes.warps, np.uint32)
    np.bitwise_or.at(present, lanes.warp[here], bit[here])
    alive = lanes.state != ENDED
    np.bitwise_or.at(live, lanes.warp[alive], bit[alive])
    missing = wanted & live[lanes.warp] & ~present[lanes.warp]
    return np.asarray(here & (missing == 0))


def _shuffle(scope: Scope, at: Instruction) -> tuple[Together, Reader]:
    """shfl.sync (PTX ISA, 9.7.9.6); a lane that reads a lane that takes no part keeps its own value."""
    if len(at.modifiers) != 3 or at.modifiers[1] not in SHUFFLES or at.modifiers[::2] != ("sync", "b32"):
        raise scope.error(at, "only shfl.sync.{up,down,bfly,idx}.b32 is modelled")
    if len(at.operands) != 5:
        raise scope.error(at, "expected five operands")
    target, *rest = at.operands
    first = target.first if isinstance(target, Pair) else target
    write = scope.writer(at, first, "b32")
    flag = scope.writer(at, target.second, "pred") if isinstance(target, Pair) else None
    value, offset, clamp, wanted = (scope.reader(at, operand, "b32") for operand in rest)
    mode = at.modifiers[1]

    def step(lanes: Lanes, mask: NDArray[np.bool_]) -> None:
        source, inside = _source(mode, lanes.lane_in_warp, offset(lanes), clamp(lanes))
        place = np.minimum(lanes.warp_start + source, lanes.count - 1)
        place = np.where(mask[place] & (lanes.warp[place] == lanes.warp), place, np.arange(lanes.count))
        found = np.broadcast_to(value(lanes), mask.shape)[place]
        write(lanes, found, mask)
        if flag is not None:
            flag(lanes, inside, mask)

    return step, wanted


def _source(mode: str, lane: NDArray[np.int64], offset: Array, clamp: Array) -> tuple[Array, Array]:
    """The lane to read, and whether it lies in the segment (else a lane reads itself)."""
    by = np.asarray(offset).astype(np.int64) & (WARP_THREADS - 1)
    segment = (np.asarray(clamp).astype(np.int64) >> 8) & (WARP_THREADS - 1)
    bound = np.asarray(clamp).astype(np.int64) & (WARP_THREADS - 1)
    last = (lane & segment) | (bound & ~segment)
    place = {
        "up": lane - by,
        "down": lane + by,
        "bfly": lane ^ by,
        "idx": (lane & segment) | (by & ~segment),
    }[mode]
    inside = place >= last if mode == "up" else place <= last
    return np.where(inside, place, lane), np.asarray(inside)


def _vote(scope: Scope, at: Instruction) -> tuple[Together, Reader]:
    """vote.sync: any, all or uni as a predicate, ballot as bits, over the lanes of a warp that take part."""
    mode = at.modifiers[1] if len(at.modifiers) == 3 else ""
    kind = "b32" if mode == "ballot" else "pred"
    if mode not in VOTES or at.modifiers[::2] != ("sync", kind) or len(at.operands) != 3:
        raise scope.error(at, "only vote.sync.{any,all,uni}.pred and vote.sync.ballot.b32 are modelled")
    write = scope.writer(at, at.operands[0], kind)
    value, wanted = scope.reader(at, at.operands[1], "pred"), scope.reader(at, at.operands[2], "b32")

    def step(lanes: Lanes, mask: NDArray[np.bool_]) -> None:
        bit = np.uint32(1) << lanes.lane_in_warp.astype(np.uint32)
        yes, voters = np.zeros(lanes.warps, np.uint32), np.zeros(lanes.warps, np.uint32)
        chosen = mask & value(lanes)
        np.bitwise_or.at(yes, lanes.warp[chosen], bit[chosen])
        np.bitwise_or.at(voters, lanes.warp[mask], bit[mask])
        result = {
            "ballot": yes,
            "any": yes != 0,
            "all": yes == voters,
            "uni": (yes == voters) | (yes == 0),
        }[mode]
        write(lanes, result[lanes.warp], mask)

    return step, wanted
