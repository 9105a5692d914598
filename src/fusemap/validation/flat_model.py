"""FLAT's own cost model of QK and AV, at all points of its choices: what its authors minimised.

Source: the traffic and latency that it answers, published with FuseMax's artifact (DOI 10.5281/zenodo.13377042,
validation against FLAT). It is no part of that artifact; the relations below were read off its 48 answers and give
their traffic to 0.2 % and their latency to 0.5 %; what is missing, such as a first fill, shrinks with the length.
It differs from the evaluation of the dataflow `flat` in this:

- The softmax takes no time, and moves nothing.
- Partial sums of AV and QK never leave the chip: what is written off chip is written once.
- All that passes through the buffer is spilled with the rest, also tiles on their way, K and V excepted; what is on
  chip is loaded in full besides.
- P1 is once, twice or four times the rows of the array, and Q or A never rest in it ("input" stationarity).

Per head, with PT rows of scores at a time and X the words of a tensor for them, the array takes tiles of
PR x MC x EC (QK) and PR x MR x FC (AV): Q and A are read once per column tile, K and V once per row tile unless
they rest, partial sums are read and written once per tile of the summed rank.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fusemap.archspec.types import Machine
from fusemap.mappers.choices_grid import Grid, Numbers

ROW_TILES = (1, 2, 4)  # P1 in rows of the array


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCosts:
    """FLAT's answers at every point; `offered` says which points its authors' search had."""

    traffic_bytes: Numbers
    latency_s: Numbers
    offered: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """Words of QK or of AV per PT rows: to and from DRAM, through the buffer (what can spill), and cycles."""

    dram: Numbers
    buffer: Numbers
    cycles: Numbers


def own_costs(grid: Grid, machine: Machine) -> OwnCosts:
    """Traffic and latency = max(cycles / clock, traffic / bandwidth) of QK and AV by FLAT's own model."""
    name = grid.name
    qk, av = _qk(grid), _av(grid)
    blocks = name("B") * name("H") * name("P") / name("PT")
    words = qk.dram + av.dram + name("spilled") * (qk.buffer + av.buffer)
    traffic = words * blocks * machine.word_bytes
    bandwidth = machine.memories[0].bandwidth_bytes_per_s or np.inf
    latency = np.maximum((qk.cycles + av.cycles) * blocks / machine.clock_hz, traffic / bandwidth)
    return OwnCosts(traffic_bytes=traffic, latency_s=latency, offered=_offered(grid))


def _qk(grid: Grid) -> _Words:
    """Q[e,p] * K[e,m]: Q rests never, K with weight stationarity, QK with output stationarity."""
    name = grid.name
    rests, q_on, k_on, qk_on = (name(n) > 0 for n in ("weight_stationary_QK", "Q_onchip", "K_onchip", "QK_onchip"))
    rows, keys, e = name("PT"), name("M"), name("E")
    columns = keys / np.where(rests, name("MR"), name("MC"))
    sums = e / name("EC")
    q = rows * e * columns
    k = keys * e * np.where(rests, 1, rows / name("PR"))
    qk = rows * keys * np.where(rests, 2 * sums, 1)
    dram = np.where(q_on, rows * e, q) + np.where(k_on, keys * e * rows / name("P"), k)
    cycles = columns * np.where(rests, rows * sums, e * rows / name("PR"))
    return _Words(dram=dram + np.where(qk_on, 0, rows * keys), buffer=q + np.where(k_on, k, 0) + qk, cycles=cycles)


def _av(grid: Grid) -> _Words:
    """A[m,p] * V[f,m]: A rests never, V with weight stationarity, AV with output stationarity."""
    name = grid.name
    rests, a_on, v_on = (name(n) > 0 for n in ("weight_stationary_AV", "A_onchip", "V_onchip"))
    rows, keys, f = name("PT"), name("M"), name("F")
    columns = f / name("FC")
    sums = keys / name("MR")
    a = rows * keys * columns
    v = keys * f * np.where(rests, 1, rows / name("PR"))
    av = rows * f * np.where(rests, 2 * sums, 1)
    dram = np.where(a_on, 0, a) + np.where(v_on, keys * f * rows / name("P"), v) + rows * f
    cycles = columns * np.where(rests, rows * sums, keys * rows / name("PR"))
    return _Words(dram=dram, buffer=a + np.where(v_on, v, 0) + av, cycles=cycles)


def _offered(grid: Grid) -> npt.NDArray[np.bool_]:
    """The points that FLAT's authors searched: QK and A together on chip, no input stationarity, P1 of a short list."""
    name = grid.name
    offered: npt.NDArray[np.bool_] = name("QK_onchip") == name("A_onchip")
    for einsum in ("QK", "AV"):
        offered = offered & (name(f"output_stationary_{einsum}") + name(f"weight_stationary_{einsum}") > 0)
    return offered & np.isin(name("P1"), [tiles * name("array_2d.rows")[0] for tiles in ROW_TILES])
