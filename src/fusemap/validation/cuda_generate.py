"""A CUDA kernel from a cascade, with all that predicts its counts: four files that the executors check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fusemap.einsum_cascade.emit.names import identifier
from fusemap.einsum_cascade.printer import format_cascade
from fusemap.einsum_cascade.types import Cascade
from fusemap.validation.cuda_kernels import FILE
from fusemap.validation.cuda_template import softmax_like
from fusemap.validation.cuda_template_cascade import kernel_cascade
from fusemap.validation.cuda_template_code import kernel_source
from fusemap.validation.cuda_template_mapping import CASCADE, KERNEL, MAPPING, kernels_text, mapping_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A kernel's name and the text of its files by name."""

    name: str
    files: Mapping[str, str]


def generate_kernel(cascade: Cascade) -> Generated:
    """A 1-pass kernel of a softmax-like cascade: `kernel.cu`, what it computes, how it is mapped, how it is launched.

    InputError: the template does not fit the cascade, and why.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> sorted(generate_kernel(load("attention-1pass")).files)
    ['kernel.cascade', 'kernel.cu', 'kernel.yaml', 'kernels.yaml']
    """
    fitting = softmax_like(kernel_cascade(cascade))
    found = replace(fitting, cascade=replace(fitting.cascade, name=f"{cascade.name}-kernel"))
    entry = identifier(cascade.name)
    files = {
        KERNEL: kernel_source(found, entry),
        CASCADE: format_cascade(found.cascade),
        MAPPING: mapping_text(found),
        FILE: kernels_text(found, cascade.name, entry),
    }
    return Generated(name=cascade.name, files=files)
