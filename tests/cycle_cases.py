"""Small problems for the cycle level, and a reference that knows nothing of the toolkit."""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping

import numpy as np
from numpy.typing import NDArray

import fusemap as fm
from fusemap.archspec.types import Machine
from fusemap.archspec.workloads import parse_workload
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.types import Mapping, Problem
from fusemap.sim.evaluate import plan

Case = tuple[Cascade, Problem, Mapping, Machine]
CASCADE = fm.load_cascade("attention-1pass")


def case(
    pe: int,
    e: int,
    f: int,
    m: int,
    p: int,
    *,
    b: int = 1,
    h: int = 1,
    flow: str = "fusemax-binding",
    columns: int | None = None,
    depths: tuple[int, int] = (12, 32),
) -> Case:
    """1-pass attention on FuseMax's arrays of pe x pe (or pe x columns) elements."""
    parameters = {"pe": pe, "depth_2d": depths[0], "depth_1d": depths[1]}
    name = "fusemax-cloud"
    if columns is not None:
        name, parameters = "fusemax-codesign", {**parameters, "columns": columns, "lanes": columns}
    machine = fm.load_arch(name, parameters=parameters)
    ranks = f"{{B: {b}, H: {h}, E: {e}, F: {f}, M: {m}, P: {p}}}"
    workload = parse_workload(f"description: small\nsource: made up\nbatch: [B, H]\nranks: {ranks}")
    problem, mapping = plan(CASCADE, machine, workload, fm.load_dataflow(flow))
    return CASCADE, problem, mapping, machine


def attention(inputs: AbstractMapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """softmax(K^T Q) along keys, times V, in the longest floating-point format; b, h, f, p."""
    q, k, v = (np.asarray(inputs[name], dtype=np.longdouble) for name in "QKV")
    scores = np.einsum("bhem,bhep->bhmp", k, q)
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    return np.asarray(np.einsum("bhmp,bhfm->bhfp", weights, v), dtype=np.float64)
