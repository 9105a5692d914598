"""The fixture `energy_regression` of pytest: a test's report held against a baseline beside the test.

pytest loads this module in every project whose environment has fusemap, so it imports nothing until a test asks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fusemap.cli.regress_fixture import Baselines
    from fusemap.sim.report import Timing

RECORD, REASON = "--energy-regression-record", "--energy-regression-reason"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options that record."""
    group = parser.getgroup("fusemap")
    group.addoption(RECORD, action="store_true", help="Write what `energy_regression` is given into the baselines.")
    group.addoption(REASON, metavar="TEXT", help="Why recorded numbers moved; required where they did.")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to record in several processes, of which one would write over what another did."""
    if config.getoption(RECORD) and (getattr(config.option, "numprocesses", None) or hasattr(config, "workerinput")):
        raise pytest.UsageError(f"{RECORD} writes files: run it in one process (-n 0)")


@pytest.fixture(scope="session")
def _energy_baselines(request: pytest.FixtureRequest) -> Baselines:
    from fusemap.cli.regress_fixture import Baselines

    return Baselines(record=request.config.getoption(RECORD), reason=request.config.getoption(REASON))


@pytest.fixture
def energy_regression(request: pytest.FixtureRequest, _energy_baselines: Baselines) -> Callable[..., None]:
    """Hold a report against the baseline beside the test, `TEST_FILE.energy.yaml`.

    `energy_regression(fm.evaluate(...), "case name")`; without a name the test's own. A metric moved when it differs by
    more than its tolerance in the file, else by `tolerance` of what is recorded (default 1e-6): the test fails and
    says which component moved it. `pytest --energy-regression-record` writes the baseline.
    """

    def check(report: Timing, name: str | None = None, *, tolerance: float | None = None) -> None:
        __tracebackhide__ = True
        path = request.path.with_name(f"{request.path.stem}.energy.yaml")
        shown = _shown(path, Path.cwd())
        wrong = _energy_baselines.check(
            report, name or request.node.name, path=shown, test=request.node.nodeid, tolerance=tolerance
        )
        if wrong:
            pytest.fail(wrong, pytrace=False)

    return check


def _shown(path: Path, beside: Path) -> str:
    """The path as seen from the current directory where it is below that."""
    return str(path.relative_to(beside) if path.is_relative_to(beside) else path)
