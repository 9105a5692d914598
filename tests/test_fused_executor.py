"""The executor of searched mappings: words by hand, the interpreter's numbers, the closed form, planted faults."""

from __future__ import annotations

import pytest
from fused_cases import attention, check, one_pass, sums


@pytest.mark.parametrize("how", ["held", "spilled", "recomputed"])
def test_a_tensor_read_in_two_groups(how: str) -> None:
    check(sums(how))


@pytest.mark.parametrize("how", ["held", "spilled", "recomputed"])
def test_attention_3pass(how: str) -> None:
    check(attention(how))


def test_1pass() -> None:
    check(one_pass())
