"""What every test may use: repeatable random values and the command line in this process."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from commands import Outcome
from hypothesis import settings

from fusemap.cli.main import main

__all__ = ["Outcome"]

os.environ.setdefault("MPLBACKEND", "Agg")
gc.set_threshold(50_000, 20, 20)  # collecting as often as by default takes a seventh of the time
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One file is one worker's, unless `--dist` says otherwise: what its tests share is computed once."""
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log) if config.option.dist == "load" else None


def pytest_collection_finish() -> None:
    """What is imported and collected stays to the end: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test that is `sampled(n)` all but every n-th case are slow; together the two runs have all of them."""
    seen: Counter[str] = Counter()
    for item in items:
        mark = item.get_closest_marker("sampled")
        if mark is not None:
            test = item.nodeid.partition("[")[0]
            if seen[test] % mark.args[0]:
                item.add_marker(pytest.mark.slow)
            seen[test] += 1


@pytest.fixture
def fusemap(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """`fusemap("list", "--json")` runs the command line in this process."""

    def run(*argv: str) -> Outcome:
        capfd.readouterr()
        code = main(list(argv))
        captured = capfd.readouterr()
        return Outcome(code=code, out=captured.out, err=captured.err)

    return run
