"""A machine as an AccelForge architecture, with the prices and rates that our own evaluation uses."""

from __future__ import annotations

from fusemap.archspec.types import Array, Machine, Memory
from fusemap.mappers.units import find_units
from fusemap.validation.accelforge.workload import PeerWorkload, chain_name

_GLOBAL = "global_"  # names that begin so are variables of all scopes there, and may not be components
_PJ = 1e-12  # AccelForge counts in joules, seconds and bits


def peer_architecture(machine: Machine, workload: PeerWorkload) -> str:
    """The text of `arch.yaml`: memories outside in, then one branch for each array.

    A branch has the array's dimensions, the registers of one processing element, and one compute unit for each chain
    of operators of the workload that the array can run: its cycles and energy per point are ours, and it is enabled
    for the Einsums of that chain alone. Areas and leakage are 0. InputError: an energy is missing, a memory is one
    of many (`per`), or an Einsum has operators that no array has.
    """
    lines = [
        f"# machine {machine.name}: energies in J, rates in actions per second, sizes in bits",
        "arch:",
        "  nodes:",
    ]
    above = ""
    for memory in machine.memories:
        if memory.per:
            raise memory.where.error(f"{memory.name} is one of many: not exported to AccelForge")
        lines += _memory(machine, memory, above, workload.results)
        above = peer_name(memory.name)
    for einsum in workload.einsums:
        if all(find_units(array, einsum.operators) is None for array in machine.arrays):
            chain = " + ".join(einsum.operators)
            message = f"no array of {machine.name} can compute {chain} of Einsum {einsum.name}"
            raise workload.error(einsum, message, hint=_able(machine))
    for array in machine.arrays:
        lines += _branch(machine, array, workload)
    return "\n".join(lines) + "\n"


def _able(machine: Machine) -> str:
    chains = ((array.name, ", ".join(" + ".join(cost.pattern) for cost in array.operators)) for array in machine.arrays)
    return "; ".join(f"{name} has {has}" for name, has in chains)


def _memory(machine: Machine, memory: Memory, above: str, results: tuple[str, ...]) -> list[str]:
    size = "inf" if memory.capacity_bytes is None else str(8 * memory.capacity_bytes)
    rate = memory.bandwidth_bytes_per_s
    throughput = "inf" if rate is None else repr(8 * float(rate) / memory.width_bits)
    # what enters or leaves the cascade is in the outermost memory; what is in no outer memory is in the next
    keep = f"~{above}.tensors" if above else " | ".join(("~Intermediates", *results))
    return [
        "  - !Memory",
        f"    name: {peer_name(memory.name)}",
        f"    size: {size}",
        f"    bits_per_action: {memory.width_bits}",
        "    leak_power: 0",
        "    area: 0",
        f"    tensors: {{keep: {keep}, may_keep: All}}",
        "    actions:",
        *(_action(a, memory.component.energy(a).value, throughput, "    ") for a in ("read", "write")),
    ]


def _branch(machine: Machine, array: Array, workload: PeerWorkload) -> list[str]:
    dims = ", ".join(f"{{name: {dim.name}, fanout: {dim.extent}}}" for dim in array.dims)
    registers = array.registers.component
    lines = [
        "  - !Fork",
        "    nodes:",
        "    - !Container",
        f"      name: {peer_name(array.name)}",
        f"      spatial: [{dims}]",
        "    - !Memory",
        f"      name: {peer_name(f'{array.name}.registers')}",
        f"      size: {8 * machine.word_bytes * array.registers.depth_words}",
        f"      bits_per_action: {8 * machine.word_bytes}",
        "      leak_power: 0",
        "      area: 0",
        "      tensors: {keep: All}",
        "      actions:",
        *(_action(a, registers.energy(a).value, "inf", "      ") for a in ("read", "write")),
    ]
    for chain in workload.chains:
        units = find_units(array, chain)
        if units is None:
            continue
        cycles = sum(unit.cycles for unit in units)
        energy = sum(a.count * float(machine.action_energy(a).value) for unit in units for a in unit.actions)
        lines += [
            "    - !Compute",
            f"      name: {compute_name(array.name, chain)}",
            f"      enabled: len({chain_name(chain)}) > 0",
            "      leak_power: 0",
            "      area: 0",
            "      actions:",
            _action("compute", energy, repr(float(machine.clock_hz) / cycles) if cycles else "inf", "      "),
        ]
    return lines


def peer_name(level: str) -> str:
    """A level's name in the exported files.

    >>> peer_name("global_buffer"), peer_name("array_2d.registers"), peer_name("dram")
    ('mem_global_buffer', 'array_2d_registers', 'dram')
    """
    name = level.replace(".", "_")
    return f"mem_{name}" if name.startswith(_GLOBAL) else name


def compute_name(array: str, chain: tuple[str, ...]) -> str:
    """The compute unit of an array for a chain of operators.

    >>> compute_name("array_1d", ("sub", "exp"))
    'array_1d_sub_exp'
    """
    return "_".join((peer_name(array), *(chain or ("none",))))


def _action(name: str, energy_pj: float, throughput: str, indent: str) -> str:
    return f"{indent}- {{name: {name}, energy: {float(energy_pj) * _PJ!r}, throughput: {throughput}}}"
