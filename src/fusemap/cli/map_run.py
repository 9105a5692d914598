"""A search while it runs: progress on a terminal, Ctrl-C that keeps what was found, and a file to go on from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import click

from fusemap.archspec.types import Machine, Workload
from fusemap.cli.files import write_whole
from fusemap.cli.quantities import joules, si
from fusemap.diagnostics import DoesNotFit, InputError, input_error
from fusemap.einsum_cascade.printer import format_cascade
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import parse_dataflow
from fusemap.sim.actions import places
from fusemap.sim.best_candidate import Candidate, Cut, Finished, Progress
from fusemap.sim.best_case import as_dataflow
from fusemap.sim.evaluate import evaluate_mapping, plan, time_mapping

SCHEMA = "fusemap/map-resume/1"
EVERY_S = 0.2


@dataclass(slots=True, kw_only=True)
class Watcher:
    """Follows a search: `stop` is asked all the time and says when Ctrl-C was pressed, `watch` once for every cut."""

    objective: str
    shown: bool
    start: float = field(default_factory=time.perf_counter)
    interrupted: bool = False
    steps: int = 0
    drawn: float = 0.0
    state: Progress | None = None

    def stop(self) -> bool:
        """True once the search is to end; draws the progress from time to time."""
        self.steps += 1
        now = time.perf_counter()
        if self.shown and now - self.drawn > EVERY_S:
            self.drawn = now
            click.echo(f"\r{self.line(now - self.start).ljust(99)[:99]}", err=True, nl=False)
        return self.interrupted

    def watch(self, progress: Progress) -> None:
        """Take note of how far the search is."""
        self.state = progress

    def line(self, seconds: float) -> str:
        """Where the search stands."""
        rate = f"{self.steps / seconds:,.0f} steps/s" if seconds > 0 else ""
        if self.state is None:
            return f"counting and bounding, {seconds:.1f} s, {rate}"
        cuts = f"cut {self.state.done + 1} of {self.state.total}, " if self.state.total > 1 else ""
        return f"{cuts}{seconds:.1f} s, {rate}, best so far {self._best(self.state.best)}"

    def _best(self, value: float) -> str:
        if value == float("inf"):
            return "-"
        return {"latency": si(value, "s"), "energy": joules(value)}.get(self.objective, f"{value:.4g}")

    def clear(self) -> None:
        """Wipe the progress off the terminal."""
        if self.shown and self.drawn:
            click.echo(f"\r{' ' * 99}\r", err=True, nl=False)


@contextmanager
def watched(objective: str) -> Iterator[Watcher]:
    """A watcher that Ctrl-C interrupts; a second Ctrl-C ends the command at once."""
    watcher = Watcher(objective=objective, shown=sys.stderr.isatty())

    def interrupt(number: int, frame: object) -> None:
        if watcher.interrupted:
            raise KeyboardInterrupt
        watcher.interrupted = True

    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if main:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield watcher
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
        watcher.clear()


# --- the file to go on from -------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Resume:
    """The cuts that a search has finished, in a file; without a path nothing is written."""

    path: str | None
    key: str
    cascade: Cascade
    machine: Machine
    workload: Workload
    sizes: Mapping[str, int]
    done: dict[Cut, Finished] = field(default_factory=dict)

    def finished(self, found: Finished) -> None:
        """Write the file anew with one more cut."""
        self.done[found.cut] = found
        if self.path is not None:
            document = {"schema": SCHEMA, "key": self.key, "cuts": [self._cut(f) for f in self.done.values()]}
            write_whole(self.path, (json.dumps(document, indent=1) + "\n").encode())

    def read(self) -> None:
        """Take over what the file has; InputError where it is of another search, or no such file."""
        text = _text(self.path) if self.path is not None else None
        if text is None:
            return
        message = f"{self.path} is no file of an earlier search"
        try:
            document = json.loads(text)
            if document["schema"] != SCHEMA:
                raise input_error(message)
            if document["key"] != self.key:
                hint = (
                    "cascade, machine, workload, sizes, objective, space and version must be the same: name a new file"
                )
                raise input_error(f"{self.path} is of another search", hint=hint)
            found = [self._finished(cut) for cut in document["cuts"]]
        except (ValueError, KeyError, TypeError, DoesNotFit):
            raise input_error(message, hint="name a new file") from None
        self.done = {f.cut: f for f in found}

    def _cut(self, found: Finished) -> dict[str, Any]:
        counts = {
            f.name: getattr(found, f.name) for f in dataclasses.fields(found) if f.name not in ("cut", "candidates")
        }
        return {"cut": dict(found.cut), **counts, "mappings": [self._mapping(c) for c in found.candidates]}

    def _mapping(self, of: Candidate) -> dict[str, Any]:
        text = as_dataflow(self.cascade, self.workload, of, description="found by a search", source="a search")
        return {"dataflow": text, "tiles": [list(tile) for tile in of.mapping.tiles], "notes": list(of.mapping.notes)}

    def _finished(self, data: Mapping[str, Any]) -> Finished:
        cut = tuple((str(name), int(size)) for name, size in data["cut"].items())
        own = tuple(self._candidate(cut, mapping) for mapping in data["mappings"])
        counts = {name: int(data[name]) for name in ("priced", "pruned", "unfit", "segments", "explored")}
        return Finished(cut=cut, candidates=own, bound=float(data["bound"]), **counts)

    def _candidate(self, cut: Cut, data: Mapping[str, Any]) -> Candidate:
        dataflow = parse_dataflow(data["dataflow"], file="searched.yaml")
        problem, mapping = plan(self.cascade, self.machine, self.workload, dataflow, sizes=self.sizes)
        tiles = tuple((str(name), size) for name, size in data["tiles"])
        mapping = dataclasses.replace(mapping, tiles=tiles, notes=tuple(map(str, data["notes"])))
        report, energy = time_mapping(problem, mapping, self.machine), None
        if _has_prices(self.machine):
            priced = evaluate_mapping(problem, mapping, self.machine)
            report, energy = priced, priced.energy_pj
        return Candidate(
            name=dataflow.name, problem=problem, mapping=mapping, report=report, energy_pj=energy, sizes=cut
        )


def _text(path: str) -> str | None:
    """The text of a file, or None where there is none yet."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise input_error(f"{path} is no file of an earlier search", hint="name a new file") from None


def _has_prices(machine: Machine) -> bool:
    try:
        places(machine)
    except InputError:
        return False
    return True


def fingerprint(cascade: Cascade, *parts: object) -> str:
    """A hash of all that a search depends on: the cascade's text, the other parts, and the version.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> fingerprint(load("softmax"), {"M": 4}) == fingerprint(load("softmax"), {"M": 8})
    False
    """
    text = json.dumps([version("fusemap"), format_cascade(cascade), [_plain(part) for part in parts]])
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> object:
    """A value as JSON can hold it, the same in every run."""
    if dataclasses.is_dataclass(value):
        return [type(value).__name__, *(_plain(getattr(value, f.name)) for f in dataclasses.fields(value))]
    if isinstance(value, Mapping):
        return sorted(([str(k), _plain(v)] for k, v in value.items()), key=lambda item: str(item[0]))
    if isinstance(value, frozenset | set):
        return sorted((_plain(v) for v in value), key=str)
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if callable(value):
        return None  # compiled from a text that stands beside it
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
