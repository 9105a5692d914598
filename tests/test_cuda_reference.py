"""Kernels whose output is no softmax: their sizes, layouts and launches, and how a GPU's results of them are held."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cuda_gpu_fakes import DEVICE, FakeDriver
from cuda_source_cases import exact_output
from numpy.typing import NDArray

from fusemap.diagnostics import InputError
from fusemap.mappers.dataflow import parse_dataflow
from fusemap.validation import cuda_reference
from fusemap.validation.cuda_gpu_cases import SMALL, Case, cases, exact_rows, make_inputs
from fusemap.validation.cuda_gpu_kernels import load_gpu_kernel
from fusemap.validation.cuda_gpu_measure import measure
from fusemap.validation.cuda_kernels import kernel_names, load_kernel
from fusemap.validation.cuda_prediction import predict
from fusemap.validation.cuda_reference import reference

OTHERS = [name for name in kernel_names() if not load_kernel(name).softmax]
SIZES = {"P": 32, "M": 32}
DOCUMENTED = (Path(__file__).parents[1] / "docs" / "kernels.md").read_text()


def test_a_size_that_others_fix_holds_whatever_is_asked_for() -> None:
    assert dict(load_kernel("lightning", {"P": 64, "M": 96}).sizes) == {"P": 96, "M": 96, "H": 4}
    assert load_kernel("lightning", {"H": 3}).shapes["Q"] == (3, 256, 32)
    with pytest.raises(InputError, match=r'kernel lightning has no size "HH"\n.*did you mean H'):
        load_kernel("lightning", {"HH": 3})
    with pytest.raises(InputError, match=r"P / G of kernel agent is 1\.5"):
        load_kernel("agent", {"P": 48, "BP": 16})


def test_a_layout_is_that_of_the_shapes_in_the_file() -> None:
    kernel = load_kernel("agent", SIZES)
    inputs = cuda_reference.make_inputs(kernel)
    turned = replace(kernel, layouts={**kernel.layouts, "B1": ("G", "M")})
    wanted = reference(kernel, inputs)["O"]
    assert np.allclose(reference(turned, {**inputs, "B1": inputs["B1"].T})["O"], wanted, rtol=1e-12)
    assert not np.allclose(reference(turned, inputs)["O"], wanted, rtol=1e-3)
    wrong = replace(kernel, layouts={**kernel.layouts, "B1": ("M", "H")})
    with pytest.raises(InputError, match=r"B1 of kernel agent is \[M, H\], cascade agent-streaming has ranks M, G"):
        reference(wrong, inputs)


@pytest.mark.parametrize("name", OTHERS)
def test_the_table_of_the_documentation(name: str) -> None:
    found = predict(load_kernel(name))
    loads = {t.tensor: t.loads for t in found.tensors.values()}
    others = sum(n for tensor, n in loads.items() if tensor not in ("Q", "K", "V"))
    stores = sum(t.stores for t in found.tensors.values())
    numbers = [loads["Q"], loads["K"], loads["V"], others, stores, *found.operations.values()]
    (row,) = re.findall(rf"^\| `{name}` \| ([0-9].*)", DOCUMENTED, re.MULTILINE)
    assert [int(n.replace(",", "")) for n in re.findall(r"[0-9][0-9,]*", row)] == [n for n in numbers if n]


def test_launches_that_read_the_same_are_told_apart_by_their_phases() -> None:
    kernel = load_kernel("agent")
    found = predict(kernel).tensors["Q"]
    assert (found.loads, found.launches, found.passes) == (2 * 256 * 32, 2, 1)
    text = (Path(cuda_reference.__file__).parent / "kernels" / "agent_streaming.yaml").read_text()
    one = predict(kernel, dataflow=parse_dataflow(text.replace("phase: agent_", "phase: "))).tensors["Q"]
    assert (one.loads, one.launches, one.passes) == (found.loads, 1, 2)


@pytest.mark.parametrize("name", OTHERS)
def test_a_gpu_runs_them_at_small_sizes(name: str) -> None:
    assert [case.sizes for case in cases(DEVICE, [name])] == list(SMALL)
    kernel = load_gpu_kernel(name, SIZES)
    inputs = make_inputs(kernel, seed=1)
    wanted = exact_output(kernel.kernel, inputs)
    assert np.allclose(exact_rows(kernel, inputs, np.array([0])), wanted[:1], rtol=1e-9)
    run = measure(FakeDriver(), Case(kernel=name, sizes=SIZES), warm_up=0, repetitions=1, seed=1)
    assert 0 < run.max_relative_error < 5e-6 and run.rows_checked == len(wanted)


def test_a_wrong_result_of_them_is_refused() -> None:
    class Wrong(FakeDriver):
        def copy_out(self, address: int, values: NDArray[np.float32]) -> None:
            super().copy_out(address, values)
            values *= 1.01

    with pytest.raises(InputError, match=r"kernel lightning: its result is off by 0\.01"):
        measure(Wrong(), Case(kernel="lightning", sizes=SIZES), warm_up=0, repetitions=1, seed=1)
