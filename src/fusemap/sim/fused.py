"""Executor of a whole searched mapping: moves every word between DRAM and the buffer, and computes with it.

The oracle of the search: it knows coordinates, memories and the order of time, and no formula for reuse. For
small shapes only (it visits every point of every iteration space).

Order: the phases; in each, for every iteration of its loops, group after group; in a group, for every iteration
of its loops (a slot), Einsum after Einsum all points of its tile, step by step; the units of the array are
in lock-step. Rules:

- DRAM has the external inputs, and the start values that an `init` gives.
- A word that an Einsum's nest keeps in the buffer is brought in when it is read and not there: from DRAM, where the
  nest keeps it too; a start value is simply there. All Einsums of a group use one copy of a tensor, and
  all groups one copy of a tensor that the phase holds.
- After a slot the words leave that are not in the tile that the copy has the next time it is kept; all leave
  at the end of a phase. Where DRAM lacks them, they are written if their Einsum puts its output there, else they
  are gone. A word of loop-carried state leaves as soon as all its readers have run.
- A word that the nest keeps in DRAM only is streamed: a unit holds one word of an operand in its registers and
  takes the next one from DRAM when it needs another; units that take the same word in one step share the read. An
  output is summed in the registers, then over the units, and written when the unit goes on to another word; a partial
  sum is read back. Another Einsum on the same array overwrites the registers.
- A word is complete when all points that add to it have run; only then may it be read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass

import numpy as np

from fusemap.archspec.types import Machine
from fusemap.einsum_cascade import scope
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.types import Mapping, Problem, Storage
from fusemap.sim.fused_faults import Fault, Faults, nest_faults
from fusemap.sim.fused_memory import Held, Memory
from fusemap.sim.fused_run import Run
from fusemap.sim.fused_slots import Timeline, in_dram
from fusemap.sim.fused_words import Floats, Words, value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FusedExecution:
    """What a mapping moved and computed; `faults` is empty where it is legal.

    `dram_reads` and `dram_writes` are words by Einsum and tensor, without zeros. `inputs` and `outputs` are
    arrays by tensor name, batch ranks first; an output's element that is not in DRAM is NaN.
    """

    dram_reads: AbstractMapping[str, AbstractMapping[str, int]]
    dram_writes: AbstractMapping[str, AbstractMapping[str, int]]
    peak_buffer_words: int
    inputs: AbstractMapping[str, Floats]
    outputs: AbstractMapping[str, Floats]
    faults: tuple[Fault, ...]


def execute_mapping(
    cascade: Cascade, problem: Problem, mapping: Mapping, machine: Machine, *, seed: int = 0
) -> FusedExecution:
    """Run a searched mapping on standard normal inputs and say what moved, and every fault that was met.

    Each nest has the levels DRAM (the phase's loops), buffer (those of the group; keeps what is there whole),
    buffer (the Einsum's own loops; keeps tiles), fanouts, registers. A mapping without this form is not run: its
    faults have the kind `nest`. InputError for a cascade with filters, indices that are data, or a start value
    that reads a computed tensor.
    """
    words = Words(cascade, problem)
    inputs = _inputs(words, seed)
    bad = nest_faults(problem, mapping, machine)
    if bad:
        return FusedExecution(dram_reads={}, dram_writes={}, peak_buffer_words=0, inputs=inputs, outputs={}, faults=bad)
    faults = Faults()
    start = _start_values(words, inputs)
    memory = Memory(_dram(words, inputs, start), _owners(words, mapping), _capacity_words(mapping, machine))
    run = Run(words, memory, faults, start)
    for fusion in mapping.fusion:
        run.phase(Timeline(words, mapping, fusion))
    run.finish()
    outputs = _outputs(words, memory, faults, run)
    return FusedExecution(
        dram_reads=_nested(memory.reads),
        dram_writes=_nested(memory.writes),
        peak_buffer_words=memory.peak,
        inputs=inputs,
        outputs=outputs,
        faults=faults.all(),
    )


def _inputs(words: Words, seed: int) -> dict[str, Floats]:
    generator = np.random.default_rng(seed)
    return {str(n): generator.standard_normal(words.shape(str(n))) for n in scope.input_names(words.cascade)}


def _start_values(words: Words, inputs: AbstractMapping[str, Floats]) -> dict[str, Held]:
    """What every `init` gives: the values, with a count that no reader waits for more."""
    start = {str(e.name): Held.nothing(math.prod(words.shape(str(e.name)))) for e in words.cascade.inits}
    for einsum in words.cascade.inits:
        name = str(einsum.name)
        ranks = (*words.batch, *((str(v), words.extents.ranges[v]) for v in scope.variables_of(einsum)))
        index = words.grid(ranks)
        read = {a: inputs[a.tensor].ravel()[words.located(a.tensor, a, index)] for a in scope.accesses(einsum)}
        result = value(einsum.expr, read.__getitem__, index, words.sizes)
        here = words.located(name, einsum.output, index)
        start[name].value[here] = result
        start[name].count[here] = np.iinfo(np.int64).max
    return start


def _dram(words: Words, inputs: AbstractMapping[str, Floats], start: AbstractMapping[str, Held]) -> dict[str, Held]:
    dram = {tensor: Held.nothing(math.prod(shape)) for tensor, shape in words.shapes.items()}
    for tensor, array in inputs.items():
        dram[tensor].value[:] = array.ravel()
        dram[tensor].count[:] = np.iinfo(np.int64).max
    for tensor, held in start.items():
        dram[tensor].take(held, held.count > 0)
    return dram


def _owners(words: Words, mapping: Mapping) -> dict[str, str]:
    """The Einsums that put their output into DRAM, by its name."""
    makers = {name: c.writes.operand.tensor for name, c in words.computations.items()}
    return {tensor: einsum for einsum, tensor in makers.items() if in_dram(mapping.nest(einsum), tensor)}


def _capacity_words(mapping: Mapping, machine: Machine) -> int | None:
    """The words that the buffer has room for; the nests keep words in one buffer only."""
    names = {level.memory for nest in mapping.einsums for level in nest.levels[1:3] if isinstance(level, Storage)}
    capacities = [m.capacity_bytes for m in machine.memories if m.name in names and m.capacity_bytes is not None]
    return min(capacities) // machine.word_bytes if capacities else None


def _outputs(words: Words, memory: Memory, faults: Faults, run: Run) -> dict[str, Floats]:
    """The outputs of the cascade as DRAM has them; a fault for each that it lacks."""
    outputs = {}
    for name in (str(n) for n in scope.outputs(words.cascade)):
        held, tensor = memory.dram[words.source(name)], words.source(name)
        lacking = np.flatnonzero((held.count == 0) | (held.count < run.needed[tensor]))
        if lacking.size:
            at = words.coordinate(tensor, int(lacking[0]))
            message = f"the output {name}{list(at)} is not complete in DRAM at the end ({lacking.size} such words)"
            faults.add("missing", message, tensor=tensor, at=at, words=lacking.size)
        outputs[name] = words.seen_as(name, held.value)
    return outputs


def _nested(counts: AbstractMapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    result: dict[str, dict[str, int]] = {}
    for (einsum, tensor), n in sorted(counts.items()):
        if n:
            result.setdefault(einsum, {})[tensor] = n
    return result
