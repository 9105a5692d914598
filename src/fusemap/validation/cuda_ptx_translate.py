"""A PTX entry as basic blocks of steps on lanes; what is not modelled is refused here, before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from fusemap.validation import cuda_ptx_ops as ops
from fusemap.validation.cuda_counts import FlopKind
from fusemap.validation.cuda_ptx_float import Array, Function
from fusemap.validation.cuda_ptx_lanes import Lanes, Mask
from fusemap.validation.cuda_ptx_memory import Memory
from fusemap.validation.cuda_ptx_operands import Reader, Scope, make_scope
from fusemap.validation.cuda_ptx_sync import Together, translate_together
from fusemap.validation.cuda_ptx_types import (
    WIDTHS,
    Address,
    Entry,
    Instruction,
    Integer,
    Module,
    Pair,
    Register,
    Symbol,
    Vector,
)

Step: TypeAlias = Callable[[Lanes, Memory, Mask], None]
Kind: TypeAlias = Literal["step", "branch", "end", "barrier", "together"]

CONTROL: Mapping[str, Kind] = {
    **{"bra": "branch", "ret": "end", "exit": "end", "bar": "barrier", "barrier": "barrier"},
    **{"shfl": "together", "vote": "together"},
}
MEMORY = ("ld", "st")
IGNORED = ("membar", "fence")
OPCODES = (*ops.PURE, "setp", *MEMORY, *CONTROL, *IGNORED)

_COMPARE: Mapping[str, Function] = {
    **{"eq": np.equal, "ne": lambda a, b: (a != b) & (a == a) & (b == b), "lt": np.less, "le": np.less_equal},
    **{"gt": np.greater, "ge": np.greater_equal, "lo": np.less, "ls": np.less_equal},
    **{"hi": np.greater, "hs": np.greater_equal, "num": lambda a, b: (a == a) & (b == b)},
    **{"equ": lambda a, b: ~(a < b) & ~(a > b), "neu": np.not_equal, "ltu": lambda a, b: ~(a >= b)},
    **{"leu": lambda a, b: ~(a > b), "gtu": lambda a, b: ~(a <= b), "geu": lambda a, b: ~(a < b)},
    **{"nan": lambda a, b: (a != a) | (b != b)},
}
_COMBINE: Mapping[str, Function] = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}
_CACHING = ("volatile", "relaxed", "weak", "cta", "gpu", "nc", "ca", "cg", "cs", "lu", "cv", "wb", "wt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One instruction, ready to run: what its kind needs is set."""

    at: Instruction
    kind: Kind
    guard: Reader | None
    step: Step | None = None
    target: int = 0
    together: Together | None = None
    wanted: Reader | None = None
    flop: FlopKind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """An entry ready to run; `ends` says for each instruction where its basic block ends (exclusive)."""

    entry: Entry
    scope: Scope
    operations: tuple[Operation, ...]
    ends: tuple[int, ...]


def translate(module: Module, entry: Entry, arguments: Mapping[str, int]) -> Program:
    """An entry with its parameters' values. InputError: an instruction that is not modelled, named with its line."""
    scope = make_scope(module, entry)
    operations = tuple(_operation(scope, at, arguments) for at in entry.instructions)
    leaders = {len(operations), *entry.labels.values()}
    for i, operation in enumerate(operations):
        if operation.kind != "step":
            leaders |= {i, i + 1}
    ends = [len(operations)] * len(operations)
    for i in reversed(range(len(operations) - 1)):
        ends[i] = i + 1 if i + 1 in leaders else ends[i + 1]
    return Program(entry=entry, scope=scope, operations=operations, ends=tuple(ends))


def _operation(scope: Scope, at: Instruction, arguments: Mapping[str, int]) -> Operation:
    guard = None if at.guard is None else scope.reader(at, at.guard, "pred")
    kind = CONTROL.get(at.opcode, "step")
    if kind == "step":
        step, flop = _step(scope, at, arguments)
        return Operation(at=at, kind=kind, guard=guard, step=step, flop=flop)
    if kind == "branch":
        return Operation(at=at, kind=kind, guard=guard, target=_target(scope, at))
    if kind == "end":
        return Operation(at=at, kind=kind, guard=guard)
    if guard is not None:
        raise scope.error(at, "a barrier or a warp instruction under a predicate is not modelled")
    if kind == "together" or at.modifiers[:1] == ("warp",):
        together, wanted = translate_together(scope, at)
        return Operation(at=at, kind="together", guard=None, together=together, wanted=wanted)
    if not set(at.modifiers) <= {"sync", "aligned", "cta"} or "sync" not in at.modifiers:
        raise scope.error(at, "only bar.sync is modelled")
    if at.operands != (Integer(0),):
        raise scope.error(at, "only barrier 0 of the whole block is modelled")
    return Operation(at=at, kind=kind, guard=None)


def _target(scope: Scope, at: Instruction) -> int:
    label = at.operands[0] if at.operands else None
    if set(at.modifiers) - {"uni"} or not isinstance(label, Symbol) or label.name not in scope.entry.labels:
        raise scope.error(at, "expected a label of this entry")
    return scope.entry.labels[label.name]


def _step(scope: Scope, at: Instruction, arguments: Mapping[str, int]) -> tuple[Step, FlopKind | None]:
    if at.opcode in IGNORED:
        return lambda lanes, memory, mask: None, None
    try:
        if at.opcode == "setp":
            return _setp(scope, at), None
        if at.opcode in MEMORY:
            return _access(scope, at, arguments), None
        if at.opcode == "mov" and any(isinstance(operand, Vector) for operand in at.operands):
            return _pack(scope, at), None
        return _pure(scope, at)
    except ops.Unmodelled as error:
        raise scope.error(at, str(error)) from error


def _pure(scope: Scope, at: Instruction) -> tuple[Step, FlopKind | None]:
    pure = ops.resolve(at.opcode, at.modifiers)
    if len(at.operands) != 1 + len(pure.inputs):
        raise ops.Unmodelled(f"expected {1 + len(pure.inputs)} operands, found {len(at.operands)}")
    write = scope.writer(at, at.operands[0], pure.output)
    readers = tuple(scope.reader(at, o, kind) for o, kind in zip(at.operands[1:], pure.inputs, strict=True))
    function = pure.function

    def step(lanes: Lanes, memory: Memory, mask: Mask) -> None:
        write(lanes, function(*[read(lanes) for read in readers]), mask)

    return step, pure.flop


def _setp(scope: Scope, at: Instruction) -> Step:
    names = [word for word in at.modifiers if word in _COMPARE]
    flags, (kind,) = ops.split(at.modifiers, *_COMPARE, *_COMBINE, "ftz")
    combine = [_COMBINE[flag] for flag in at.modifiers if flag in _COMBINE]
    if len(names) != 1 or len(flags) > 2 or len(at.operands) != 3 + len(combine) or "ftz" in flags:
        raise ops.Unmodelled("this comparison is not modelled")
    compare, target = _COMPARE[names[0]], at.operands[0]
    first, second = (target.first, target.second) if isinstance(target, Pair) else (target, None)
    write = scope.writer(at, first, "pred")
    other = None if second is None else scope.writer(at, second, "pred")
    a, b = (scope.reader(at, operand, kind) for operand in at.operands[1:3])
    extra = scope.reader(at, at.operands[3], "pred") if combine else None

    def step(lanes: Lanes, memory: Memory, mask: Mask) -> None:
        truth = np.asarray(compare(a(lanes), b(lanes)))
        also = truth if extra is None else combine[0](truth, extra(lanes))
        if other is not None:
            other(lanes, ~truth if extra is None else combine[0](~truth, extra(lanes)), mask)
        write(lanes, also, mask)

    return step


def _pack(scope: Scope, at: Instruction) -> Step:
    """mov.b64 between a 64-bit register and two 32-bit ones, the lower half first."""
    if at.modifiers != ("b64",) or len(at.operands) != 2:
        raise ops.Unmodelled("only mov.b64 with a vector of two is modelled")
    target, source = at.operands
    if isinstance(source, Vector) and len(source.parts) == 2:
        write = scope.writer(at, target, "b64")
        low, high = (scope.reader(at, part, "b32") for part in source.parts)

        def join(lanes: Lanes, memory: Memory, mask: Mask) -> None:
            upper = np.asarray(high(lanes)).astype(np.uint64) << np.uint64(32)
            write(lanes, np.asarray(upper | np.asarray(low(lanes)).astype(np.uint64)), mask)

        return join
    if not isinstance(target, Vector) or len(target.parts) != 2:
        raise ops.Unmodelled("only mov.b64 with a vector of two is modelled")
    read = scope.reader(at, source, "b64")
    writers = tuple(scope.writer(at, part, "b32") for part in target.parts)

    def part(lanes: Lanes, memory: Memory, mask: Mask) -> None:
        value = read(lanes)
        for i, write in enumerate(writers):
            write(lanes, np.asarray(value >> np.uint64(32 * i)).astype(np.uint32), mask)

    return part


def _access(scope: Scope, at: Instruction, arguments: Mapping[str, int]) -> Step:
    spaces = [word for word in at.modifiers if word in ("global", "shared", "local", "param")]
    flags, (kind,) = ops.split(tuple(word for word in at.modifiers if "::" not in word), *_CACHING, *spaces, "v2", "v4")
    if len(spaces) != 1:
        raise ops.Unmodelled("an access without a state space is not modelled")
    if len(at.operands) != 2 or WIDTHS[kind] not in (32, 64):
        raise ops.Unmodelled("only accesses of 32 and 64 bits are modelled")
    place, value = (at.operands[1], at.operands[0]) if at.opcode == "ld" else (at.operands[0], at.operands[1])
    if spaces[0] == "param":
        return _parameter(scope, at, kind, arguments)
    parts = value.parts if isinstance(value, Vector) else (value,)
    if len(parts) != (4 if "v4" in flags else 2 if "v2" in flags else 1):
        raise ops.Unmodelled("the vector has another length than the modifier says")
    address, space, per = scope.address(at, place, spaces[0]), spaces[0], WIDTHS[kind] // 32
    where = f"line {at.line}, {at.name}"
    if at.opcode == "ld":
        writers = tuple(scope.writer(at, part, kind) for part in parts)

        def load(lanes: Lanes, memory: Memory, mask: Mask) -> None:
            words = memory.load(space, lanes, address(lanes), per * len(writers), mask, where)
            for i, write in enumerate(writers):
                write(lanes, words[i] if per == 1 else _joined(words[2 * i : 2 * i + 2]), mask)

        return load
    readers = tuple(scope.reader(at, part, kind) for part in parts)

    def store(lanes: Lanes, memory: Memory, mask: Mask) -> None:
        values = [np.broadcast_to(read(lanes), (lanes.count,)) for read in readers]
        words = [word for value in values for word in ([value.view(np.uint32)] if per == 1 else _parted(value))]
        memory.store(space, lanes, address(lanes), np.stack(words), mask, where)

    return store


def _parameter(scope: Scope, at: Instruction, kind: str, arguments: Mapping[str, int]) -> Step:
    place = at.operands[1]
    name = place.base.name if isinstance(place, Address) and isinstance(place.base, Symbol) and not place.offset else ""
    if at.opcode != "ld" or name not in arguments:
        raise ops.Unmodelled("expected a parameter of this entry")
    register = at.operands[0]
    if not isinstance(register, Register):
        raise ops.Unmodelled("expected a register as destination")
    write, read = scope.writer(at, register, kind), scope.reader(at, Integer(arguments[name]), "b" + kind[1:])
    return lambda lanes, memory, mask: write(lanes, read(lanes), mask)


def _joined(words: Array) -> Array:
    return np.asarray(words[0].astype(np.uint64) | words[1].astype(np.uint64) << np.uint64(32))


def _parted(value: Array) -> list[Array]:
    bits = value.view(np.uint64)
    return [np.asarray(bits >> np.uint64(shift)).astype(np.uint32) for shift in (0, 32)]
