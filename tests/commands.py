"""Commands as documents show them: `fusemap ...` in this process, anything else in a process of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fusemap.cli.main import main

WRITES = {"--out", "--trace", "--figure", "--waterfall", "--resume", "--markdown", "--html", "--numpy", "--cuda"}
WIDTH = {"COLUMNS": "100"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output, which must be one JSON document."""
        return json.loads(self.out)


def execute(argv: list[str], directory: Path, *, alone: bool = False) -> str:
    """Standard output of a command that has to succeed, in a process `alone` if that is what is to be tried."""
    done = by_a_process(argv, directory) if alone else left_by(argv, directory)
    assert done.code == 0, f"{shlex.join(argv)}\n{done.out}{done.err}"
    return done.out


def left_by(argv: list[str], directory: Path) -> Outcome:
    """Run a command in a directory; one that concerns none of its files is run once."""
    if argv[0] != "fusemap":
        return by_a_process(argv, directory)
    named = any((directory / word.split("@")[0]).exists() for word in argv[1:])
    return in_process(argv[1:], directory) if named or WRITES & {*argv} else once(*argv[1:])


@cache
def once(*argv: str) -> Outcome:
    """Run a command that reads and writes no file of the current directory."""
    return in_process(list(argv), Path.cwd())


def in_process(argv: list[str], directory: Path) -> Outcome:
    """Run the command line as the installed command does."""
    out, err = io.StringIO(), io.StringIO()
    streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with contextlib.chdir(directory), streams[0], streams[1], patch.dict(os.environ, WIDTH):
        code = main(argv)
    return Outcome(code=code, out=out.getvalue(), err=err.getvalue())


def by_a_process(argv: list[str], directory: Path) -> Outcome:
    """Run a program of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **WIDTH}
    done = subprocess.run(argv, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    return Outcome(code=done.returncode, out=done.stdout, err=done.stderr)
