"""The `fusemap` command: a table of sub-commands, loaded on use, and the one place where errors end.

Exit codes: 0 done, 1 the answer is no, 2 the input is wrong, 70 a fault of fusemap itself,
130 interrupted, 141 the reader of the output went away.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import click

from fusemap.cli.output import emit_json, refusal
from fusemap.diagnostics import DoesNotFit, InputError

_AS_JSON = "fusemap.as_json"  # what all contexts of a command share: whether it prints a document
_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
OK, ANSWER_IS_NO, INPUT_WRONG, INTERNAL_ERROR, INTERRUPTED, CLOSED_PIPE = 0, 1, 2, 70, 130, 141

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "list": ("fusemap.cli.list:command", "Name the built-in cascades, archs, workloads and dataflows."),
        "workload": ("fusemap.cli.workload:command", "Models from their configurations, and by kinds of layers."),
        "analyze": ("fusemap.cli.analyze:command", "Passes that a cascade needs, whatever the mapping, and why."),
        "derive": (
            "fusemap.cli.derive:command",
            "Equivalent cascades with fewer passes, rule by rule.",
        ),
        "run": ("fusemap.cli.run:command", "Execute a cascade on NumPy arrays."),
        "evaluate": ("fusemap.cli.evaluate:command", "Cycles, energy and traffic of a cascade on an accelerator."),
        "map": ("fusemap.cli.map:command", "Find the best mapping of a cascade on an accelerator."),
        "sweep": ("fusemap.cli.sweep:command", "Evaluate many points of a design space into a store."),
        "pareto": ("fusemap.cli.pareto:command", "The points of a sweep that no other point beats."),
        "plot": ("fusemap.cli.plot:command", "Draw fronts, sensitivities, heat maps and traffic of a sweep."),
        "simulate": ("fusemap.cli.simulate:command", "Run a mapping and its binding in time; write a timeline."),
        "explain": ("fusemap.cli.explain:command", "Show where a number comes from."),
        "report": ("fusemap.cli.report:command", "Write one evaluation as a self-contained HTML page."),
        "reproduce": ("fusemap.cli.reproduce:command", "Recompute a published study and compare."),
        "regress": ("fusemap.cli.regress:command", "Record numbers in a baseline, and check that none moved."),
        "validate": ("fusemap.cli.validate:command", "Check against simulators, published numbers, kernels, peers."),
        "audit": ("fusemap.cli.audit:command", "List the known slips of a published accounting."),
        "taxonomy": ("fusemap.cli.taxonomy:command", "Sort attention algorithms by their passes."),
        "import": ("fusemap.cli.importing:command", "Read a file of another program."),
        "export": ("fusemap.cli.export:command", "Write a cascade as LaTeX, NumPy or a graph."),
        "schema": ("fusemap.cli.schema:command", "Print the JSON schema of a file format."),
    }
)


class LazyCommand(click.Command):
    """A command known by name and summary; its module is imported when it is used."""

    def __init__(self, name: str, target: str, summary: str) -> None:
        super().__init__(name, short_help=summary)
        self.target = target

    def load(self) -> click.Command:
        """The real command."""
        module, attribute = self.target.split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command), self.target
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of the real command, whose `invoke` the group then calls."""
        context = self.load().make_context(info_name, args, parent=parent, **extra)
        context.meta[_AS_JSON] = context.params.get("as_json", False)
        return context


class CommandGroup(click.Group):
    """The group of all commands, listed in the order of the table; a closed pipe ends it quietly."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the table, which is the order of use."""
        return list(self.commands)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """As click's; `--help` and `--version` are printed in here."""
        with _closed_pipe_is_an_exit():
            return super().make_context(info_name, args, parent=parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """As click's; a no is a document too, and the output is flushed while an error can still be handled."""
        with _closed_pipe_is_an_exit():
            try:
                result = super().invoke(ctx)
            except DoesNotFit as answer:
                if ctx.meta.get(_AS_JSON):
                    emit_json(refusal(str(ctx.invoked_subcommand), answer))
                raise
            sys.stdout.flush()
            return result


@contextmanager
def _closed_pipe_is_an_exit() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        # Python flushes stdout once more at exit; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(CLOSED_PIPE) from None


def _commands() -> dict[str, click.Command]:
    return {name: LazyCommand(name, *entry) for name, entry in COMMANDS.items()}


@click.group(cls=CommandGroup, commands=_commands(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fusemap", message="%(prog)s %(version)s")
def group() -> None:
    """Pass bounds, mappings, cycles and energy of attention cascades on spatial-array accelerators.

    \b
    Example:
      fusemap list cascades
      fusemap reproduce fusemax
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code. No exception but SystemExit leaves this function.

    >>> main(["--version"])
    fusemap 0.1.0
    0
    """
    try:
        result = group.main(argv, prog_name="fusemap", standalone_mode=False)
        return result if isinstance(result, int) else OK
    except InputError as error:
        return _fail(str(error), INPUT_WRONG)
    except DoesNotFit as answer:
        return _fail(str(answer), ANSWER_IS_NO)
    except click.ClickException as error:
        error.show()
        return INPUT_WRONG
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", INTERRUPTED)
    except OSError as error:
        if error.filename is None:
            return _internal_error(error)
        return _fail(f"error: {error.filename}: {error.strerror}", INPUT_WRONG)
    except Exception as error:
        return _internal_error(error)


def _internal_error(error: Exception) -> int:
    if os.environ.get("FUSEMAP_DEBUG"):
        traceback.print_exception(error)
        return INTERNAL_ERROR
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_PACKAGE) and frame.filename != __file__]
    last = (ours or frames)[-1]
    place = f"{os.path.basename(last.filename)}:{last.lineno}"
    return _fail(
        f"internal error: {type(error).__name__}: {error} ({place})\n"
        "  this is a fault of fusemap: please report it with the command; FUSEMAP_DEBUG=1 shows the traceback",
        INTERNAL_ERROR,
    )


def _fail(message: str, code: int) -> int:
    click.echo(message, err=True)
    return code
