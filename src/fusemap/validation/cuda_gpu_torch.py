"""A library's attention beside the kernels: PyTorch's scaled_dot_product_attention, by each of its backends."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any, Literal

from fusemap.validation.cuda_gpu_cases import Sizes
from fusemap.validation.cuda_gpu_recording import BaselineModel, TimeModel

BACKENDS = {
    "flash": "FLASH_ATTENTION",
    "efficient": "EFFICIENT_ATTENTION",
    "cudnn": "CUDNN_ATTENTION",
    "math": "MATH",
}
MOST_SCORES = 1 << 28  # "math" stores all scores: 1 GiB in fp32
_TYPES: tuple[tuple[Literal["fp32", "bf16"], str], ...] = (("fp32", "float32"), ("bf16", "bfloat16"))


def find_torch() -> Any | None:
    """PyTorch with a GPU, or None: it is no dependency."""
    try:
        import torch  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return None
    return torch if torch.cuda.is_available() else None


def sdpa_baselines(torch: Any, sizes: Sequence[Sizes], *, warm_up: int, repetitions: int) -> list[BaselineModel]:
    """Times of batch 1, one head, per backend and type; a backend that refuses the sizes or type is left out."""
    made = []
    for one in sizes:
        for kind, name in _TYPES:
            tensors = _tensors(torch, one, getattr(torch, name))
            for backend, attribute in BACKENDS.items():
                if backend == "math" and one["P"] * one["M"] > MOST_SCORES:
                    continue
                time = _time(torch, attribute, tensors, warm_up, repetitions)
                if time is not None:
                    made.append(_baseline(torch, backend, kind, one, time))
    return made


def _baseline(torch: Any, backend: str, kind: Literal["fp32", "bf16"], sizes: Sizes, time: TimeModel) -> BaselineModel:
    return BaselineModel(
        library="torch",
        version=str(torch.__version__),
        function="scaled_dot_product_attention",
        backend=backend,
        type=kind,
        sizes=dict(sizes),
        time=time,
    )


def _tensors(torch: Any, sizes: Sizes, kind: Any) -> tuple[Any, Any, Any]:
    shapes = ((sizes["P"], sizes["E"]), (sizes["M"], sizes["E"]), (sizes["M"], sizes["F"]))
    q, k, v = (torch.randn((1, 1, *shape), device="cuda", dtype=kind) for shape in shapes)
    return q, k, v


def _time(torch: Any, backend: str, tensors: tuple[Any, Any, Any], warm_up: int, repetitions: int) -> TimeModel | None:
    attention = torch.nn.attention
    chosen = getattr(attention.SDPBackend, backend, None)
    if chosen is None:
        return None

    def once() -> None:
        torch.nn.functional.scaled_dot_product_attention(*tensors)

    try:
        with attention.sdpa_kernel(chosen):
            for _ in range(max(1, warm_up)):
                once()
            times = [_elapsed_ms(torch, once) for _ in range(repetitions)]
    except RuntimeError:  # no kernel of this backend for the type or the sizes, or no memory
        return None
    return TimeModel(
        method="CUDA events", repetitions=len(times), minimum_ms=min(times), median_ms=statistics.median(times)
    )


def _elapsed_ms(torch: Any, once: Callable[[], None]) -> float:
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    once()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))
