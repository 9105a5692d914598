"""The fixture `energy_regression`: tests of a project that uses it, run by pytest in this process."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from regress_cases import chip

import fusemap as fm
from fusemap.cli import regress_fixture

pytest_plugins = ["pytester"]

TESTS = """
    import pytest
    import fusemap as fm

    CHIP = {"arch": "chip.yaml", "dataflow": "fusemax-binding"}

    @pytest.mark.parametrize("length", ["4K", "1K"])
    def test_chip(energy_regression, length):
        report = fm.evaluate("attention-1pass", workload=f"BERT@{length}", **CHIP)
        energy_regression(report, f"chip at {length}")

    def test_time(energy_regression):
        energy_regression(fm.timing("attention-1pass", workload="T5@1K", **CHIP))
"""
RECORD = "--energy-regression-record"
OPTIONS = ("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly", "-p", "no:benchmark")


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """Load what the tests in tests use: pytester forgets modules that they load, and compiled ones load once."""
    assert regress_fixture.HEAD
    fm.evaluate("attention-1pass", arch="fusemax-cloud", workload="BERT@1K")


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with a machine and three tests, of which nothing is recorded yet."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makepyfile(test_chip=TESTS)
    (pytester.path / "chip.yaml").write_text(chip())
    return pytester


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return project.runpytest_inprocess(*OPTIONS, *options)


def baseline(project: pytest.Pytester) -> Path:
    return project.path / "test_chip.energy.yaml"


def test_what_is_not_recorded_fails_and_says_how_to_record(project: pytest.Pytester) -> None:
    done = run(project)
    done.assert_outcomes(failed=3)
    done.stdout.fnmatch_lines(['case "chip at 4K" cannot be held against test_chip.energy.yaml*pytest ' + RECORD])
    assert not baseline(project).exists()


def test_record_then_check_then_move(project: pytest.Pytester) -> None:
    run(project, RECORD).assert_outcomes(passed=3)
    text = baseline(project).read_text()
    assert [line.strip() for line in text.splitlines() if line.startswith("    ") and line.strip() in CASES] == CASES
    run(project).assert_outcomes(passed=3)
    run(project, RECORD).assert_outcomes(passed=3)
    assert baseline(project).read_text() == text

    (project.path / "chip.yaml").write_text(chip(price=300))
    done = run(project)
    done.assert_outcomes(failed=2, passed=1)
    done.stdout.fnmatch_lines(["chip at 4K (test_chip.energy.yaml:*)", "*BQK read Q*unit energy 249.6 -> 300 pJ"])
    done.stdout.no_fnmatch_line("*Traceback*")
    done.stdout.no_fnmatch_line("*pytest_plugin*")

    unsaid = run(project, RECORD)
    unsaid.assert_outcomes(failed=2, passed=1)
    unsaid.stdout.fnmatch_lines(['say why: pytest --energy-regression-record --energy-regression-reason "..."'])
    assert baseline(project).read_text() == text
    run(project, RECORD, "--energy-regression-reason", "dearer DRAM").assert_outcomes(passed=3)
    assert '  reason: "dearer DRAM"\n' in baseline(project).read_text()
    run(project).assert_outcomes(passed=3)


CASES = ["chip at 1K:", "chip at 4K:", "test_time:"]


def test_the_owners_tolerances_and_words_stay(project: pytest.Pytester) -> None:
    run(project, RECORD)
    head = "# ours\ntolerances: {energy_pj: 0.2}\n"
    baseline(project).write_text(head + baseline(project).read_text())
    (project.path / "chip.yaml").write_text(chip(price=300))
    run(project).assert_outcomes(passed=3)
    (project.path / "chip.yaml").write_text(chip(price=400))
    run(project).assert_outcomes(failed=2, passed=1)
    run(project, RECORD, "--energy-regression-reason", "x").assert_outcomes(passed=3)
    assert baseline(project).read_text().startswith(head)


MISUSE = [
    ("energy_regression({'energy_pj': 1})", "energy_regression holds what fm.evaluate or fm.timing gives, not dict"),
    ("energy_regression(REPORT, 'x' * 201)", "*1 to 200 printable characters*"),
    ("energy_regression(REPORT, 'a\\nb')", "*printable characters, unlike 'a*"),
    ("energy_regression(REPORT, 'a', tolerance=-1)", "*tolerance -1: expected a number from 0*"),
]


@pytest.mark.parametrize(("call", "message"), MISUSE, ids=[call for call, _ in MISUSE])
def test_misuse_is_said_without_a_traceback(project: pytest.Pytester, call: str, message: str) -> None:
    report = "REPORT = fm.timing('attention-1pass', arch='fusemax-cloud', workload='BERT@1K', dataflow='fusemax-arch')"
    project.makepyfile(test_chip=f"import fusemap as fm\n{report}\ndef test(energy_regression):\n    {call}\n")
    done = run(project, RECORD)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines([f"*{message}"])
    assert not baseline(project).exists()


def test_two_tests_cannot_share_a_name(project: pytest.Pytester) -> None:
    project.makepyfile(test_chip=TESTS.replace('f"chip at {length}"', '"chip"'))
    done = run(project, RECORD)
    done.assert_outcomes(failed=1, passed=2)
    done.stdout.fnmatch_lines(['error: test_chip.py::test_chip[[]4K] has a case "chip" too'])


def test_a_file_that_is_no_baseline_of_tests(project: pytest.Pytester) -> None:
    baseline(project).write_text("cases:\n  a: {cascade: softmax, arch: chip.yaml, workload: BERT@1K}\n")
    done = run(project, RECORD)
    done.assert_outcomes(failed=3)
    done.stdout.fnmatch_lines(["test_chip.energy.yaml:1:1: error: a baseline of tests has no cases of its own"])
    baseline(project).write_text("recorded: 7\n")
    run(project).stdout.fnmatch_lines(["test_chip.energy.yaml:1:11: error: expected a mapping, found 7"])


def test_recording_in_several_processes_is_refused(project: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    done = project.runpytest_inprocess("-p", "no:cacheprovider", "-n", "2", RECORD)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"*{RECORD} writes files: run it in one process*"])


def test_pytest_finds_the_plugin_by_its_entry_point() -> None:
    (found,) = entry_points(group="pytest11", name="fusemap")
    assert found.value == "fusemap.cli.pytest_plugin"


def test_a_project_that_does_not_use_it_loads_nothing_of_it() -> None:
    """At its start pytest imports the package, as `import fusemap` does, and this one module."""
    script = (
        "import sys, pytest, time; before = set(sys.modules); start = time.process_time()\n"
        "import fusemap; package = set(sys.modules)\n"
        "import fusemap.cli.pytest_plugin\n"
        "print(time.process_time() - start, *sorted(set(sys.modules) - package))\n"
        "print(*sorted({name.split('.')[0] for name in package - before} - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    (seconds, *loaded), packages = (line.split() for line in done.stdout.splitlines())
    assert (loaded, packages) == (["fusemap.cli", "fusemap.cli.pytest_plugin"], ["fusemap"])
    assert float(seconds) < 0.1
