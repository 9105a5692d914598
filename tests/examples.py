"""How many examples a random test draws: a few in every run, many under HYPOTHESIS_PROFILE=search."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings

MANY = os.environ.get("HYPOTHESIS_PROFILE") == "search"


def examples(few: int, many: int, **options: Any) -> settings:
    """Settings of a random test; `test_many_examples.py` runs it with `many`."""
    return settings(max_examples=many if MANY else few, **options)
