"""The command's shell: help, suggestions, exit codes, messages, JSON and tables."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import Outcome
from hypothesis import given
from hypothesis import strategies as st

from fusemap import einsum_cascade
from fusemap.archspec import registry
from fusemap.cli import main as shell
from fusemap.cli.list import KINDS
from fusemap.cli.output import emit_json, table
from fusemap.diagnostics import Diagnostic, DoesNotFit, InputError, Span, Violation
from fusemap.mappers import dataflow

Run = Callable[..., Outcome]
FUSEMAP = [sys.executable, "-m", "fusemap"]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Put a command named `planted`, which calls the given function, into the group."""

    def plant(function: Callable[[], Any]) -> None:
        monkeypatch.setitem(shell.group.commands, "planted", click.Command("planted", callback=function))

    return plant


def raising(error: BaseException) -> Callable[[], None]:
    """A function that raises `error`."""

    def function() -> None:
        raise error

    return function


# --- the table of commands ------------------------------------------------------------------------


def test_help_lists_every_command_with_its_summary_in_the_order_of_the_table(fusemap: Run) -> None:
    outcome = fusemap("--help")
    assert (outcome.code, outcome.err) == (0, "")
    listed = [line.split()[0] for line in outcome.out.split("Commands:")[1].splitlines() if line.strip()]
    assert listed == list(shell.COMMANDS)
    assert all(summary in outcome.out for _, summary in shell.COMMANDS.values())


@pytest.mark.parametrize("name", shell.COMMANDS)
def test_every_command_loads_and_explains_itself_with_an_example(name: str, fusemap: Run) -> None:
    outcome = fusemap(name, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"Usage: fusemap {name}" in outcome.out
    assert f"fusemap {name} " in outcome.out.split("\n", 1)[1], "the help has an example"
    assert max(map(len, outcome.out.splitlines())) <= 100


def test_a_command_of_the_table_without_a_module_is_an_internal_error(
    fusemap: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ghost = shell.LazyCommand("ghost", "fusemap.cli.ghost:command", "None")
    monkeypatch.setitem(shell.group.commands, "ghost", ghost)
    assert fusemap("ghost", "--help").code == 70


def test_version(fusemap: Run) -> None:
    assert fusemap("--version").out == "fusemap 0.1.0\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["lsit"], "Did you mean 'list'?"),
        (["evalaute"], "Did you mean one of: 'evaluate', 'validate'?"),
        (["--jsn"], "No such option"),
        (["list", "--jsn"], "Did you mean '--json'?"),
        ([], "Usage: fusemap"),
    ],
)
def test_wrong_arguments_exit_with_2_and_say_what_is_near(argv: list[str], message: str, fusemap: Run) -> None:
    outcome = fusemap(*argv)
    assert outcome.code == 2
    assert outcome.out == ""
    assert message in outcome.err.replace('"', "'")


# --- where errors end -----------------------------------------------------------------------------


def test_wrong_input_exits_with_2_and_its_located_message(fusemap: Run, planted: Any) -> None:
    span = Span(file="a.cascade", line=1, column=5, length=2)
    planted(raising(InputError((Diagnostic(span=span, message="undefined tensor QQ", source="Z = QQ"),))))
    outcome = fusemap("planted")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "a.cascade:1:5: error: undefined tensor QQ\n    Z = QQ\n        ^~\n"


def test_an_answer_of_no_exits_with_1_and_says_what_is_missing(fusemap: Run, planted: Any) -> None:
    need = Violation(what="global_buffer", need=40, limit=32, unit="MiB")
    planted(raising(DoesNotFit("softmax on a small machine", (need,))))
    outcome = fusemap("planted")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == f"does not fit: softmax on a small machine\n  {need}\n"


def test_a_file_that_cannot_be_opened_is_wrong_input(fusemap: Run, planted: Any) -> None:
    planted(Path("no/such/file").read_text)
    outcome = fusemap("planted")
    assert (outcome.code, outcome.err) == (2, "error: no/such/file: No such file or directory\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupt_exits_with_130(error: BaseException, fusemap: Run, planted: Any) -> None:
    planted(raising(error))
    outcome = fusemap("planted")
    assert outcome.code == 130
    assert outcome.err.strip() == "interrupted"


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), OSError("no name"), AssertionError()])
def test_a_fault_of_fusemap_exits_with_70_in_two_lines(
    error: Exception, fusemap: Run, planted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FUSEMAP_DEBUG", raising=False)
    planted(raising(error))
    outcome = fusemap("planted")
    assert (outcome.code, outcome.out) == (70, "")
    assert outcome.err.startswith(f"internal error: {type(error).__name__}: {error} (test_cli.py:")
    assert outcome.err.count("\n") == 2 and "Traceback" not in outcome.err


def test_debug_shows_the_traceback(fusemap: Run, planted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSEMAP_DEBUG", "1")
    planted(raising(ZeroDivisionError("division by zero")))
    outcome = fusemap("planted")
    assert outcome.code == 70
    assert "Traceback (most recent call last)" in outcome.err


@pytest.mark.parametrize("code", [0, 1])
def test_a_command_says_no_by_its_exit_code(code: int, fusemap: Run, planted: Any) -> None:
    planted(lambda: click.get_current_context().exit(code))
    assert fusemap("planted").code == code


@pytest.mark.sampled(2)
@pytest.mark.parametrize("argv", [["--help"], ["list", "--help"], ["list"], ["list", "--json"]])
def test_output_into_a_closed_pipe_ends_quietly(argv: list[str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run([*FUSEMAP, *argv], stdout=write_end, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, "")


def test_help_is_there_at_once() -> None:
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([*FUSEMAP, "--help"], stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - start

    # One quick run shows that it can be; more are needed only on a busy machine.
    assert any(seconds() < 0.3 for _ in range(20))


# --- JSON -----------------------------------------------------------------------------------------


def test_a_document_starts_with_its_schema_and_keeps_the_order_of_its_keys(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json({"b": 1, "a": [0.1, None], "schema": "fusemap/run/1"})
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["schema", "b", "a"]
    assert document["a"] == [0.1, None]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_hold_is_refused_with_its_place(value: float) -> None:
    with pytest.raises(ValueError, match=r"rows\[1\]\.energy_pj is (nan|-?inf)"):
        emit_json({"schema": "fusemap/evaluate/1", "rows": [{"energy_pj": 1.0}, {"energy_pj": value}]})


@pytest.mark.parametrize("schema", [None, "fusemap/run", "run/1", "fusemap/Run/1", "fusemap/run/0", 1])
def test_a_document_without_a_proper_schema_is_refused(schema: object) -> None:
    with pytest.raises(ValueError, match="a document's schema"):
        emit_json({"schema": schema})


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(value=JSON_VALUES)
def test_what_is_printed_is_read_back(value: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("fusemap.cli.output.click.echo", printed.append)
        emit_json({"schema": "fusemap/run/1", "value": value})
    (text,) = printed
    assert json.loads(text)["value"] == value


# --- tables ---------------------------------------------------------------------------------------

CELLS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=60)


@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5))
def test_a_table_that_fits_keeps_every_cell_in_its_column(rows: list[tuple[str, str, str]]) -> None:
    text = table(rows, ("name", "value", "note"), "lrl", width=1000)
    lines = text.splitlines()
    assert len(lines) == 2 + len(rows)
    assert [tuple(line.split()) for line in lines[2:]] == rows
    assert all(line == line.rstrip() for line in lines)


@given(rows=st.lists(st.tuples(CELLS, st.lists(CELLS, max_size=30).map(" ".join)), min_size=1, max_size=5))
def test_a_wide_table_wraps_and_loses_nothing(rows: list[tuple[str, str]]) -> None:
    text = table(rows, ("name", "note"), "rl", width=80)
    assert max(map(len, text.splitlines())) <= 80
    printed = sorted("".join(text.split()).replace("-", ""))
    assert printed == sorted("namenote" + "".join("".join(row) for row in rows).replace(" ", ""))


@pytest.mark.parametrize(
    ("rows", "align"), [([["a"]], "ll"), ([["a", "b"]], "l"), ([["a", "b"]], "lx"), ([["a", "b", "c"]], "")]
)
def test_a_ragged_table_is_refused(rows: list[list[str]], align: str) -> None:
    with pytest.raises(ValueError, match="2 headers"):
        table(rows, ("x", "y"), align)


# --- fusemap list ---------------------------------------------------------------------------------


def registered() -> dict[str, list[str]]:
    """The names in the registries."""
    return {
        "cascades": list(einsum_cascade.names()),
        "archs": list(registry.names("arch")),
        "workloads": list(registry.names("workload")),
        "dataflows": list(dataflow.names()),
    }


@pytest.mark.parametrize("kinds", [list(KINDS), *([kind] for kind in KINDS)], ids=" ".join)
def test_list_names_what_is_registered_each_with_a_summary(kinds: list[str], fusemap: Run) -> None:
    argv = kinds if len(kinds) == 1 else []
    document = fusemap("list", *argv, "--json").json()
    assert document.pop("schema") == "fusemap/list/1"
    assert {kind: [entry["name"] for entry in entries] for kind, entries in document.items()} == {
        kind: names for kind, names in registered().items() if kind in kinds
    }
    assert all(entry["summary"] for entries in document.values() for entry in entries)
    printed = fusemap("list", *argv)
    assert (printed.code, printed.err) == (0, "")
    assert {line.split(" ")[0] for line in printed.out.splitlines()} >= {n for k in kinds for n in registered()[k]}
    assert max(map(len, printed.out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("kind", "name"),
    [("cascades", "attention-1pass"), ("archs", "fusemax-cloud"), ("workloads", "BERT"), ("dataflows", "flat")],
)
def test_list_holds_the_names_that_papers_use(kind: str, name: str, fusemap: Run) -> None:
    assert name in [entry["name"] for entry in fusemap("list", kind, "--json").json()[kind]]


def test_list_of_an_unknown_kind_names_the_kinds(fusemap: Run) -> None:
    outcome = fusemap("list", "cascade")
    assert (outcome.code, outcome.out) == (2, "")
    assert all(kind in outcome.err for kind in KINDS)
