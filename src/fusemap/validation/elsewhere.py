"""A tool that is installed in another interpreter: naming it, sending it a request, reading its answer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from fusemap.diagnostics import input_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """A tool, the script of `package` that drives it there, the mark of its answer, and how to get the tool."""

    tool: str
    package: str
    script: str
    mark: str
    how_to_get: str

    def executable(self, given: str | None, variable: str, option: str = "--python") -> str | None:
        """What the option or the environment variable names, or None; InputError where it is not there."""
        path = given or os.environ.get(variable)
        if not path:
            return None
        found = shutil.which(path)
        if found is None:
            raise input_error(f"{option if given else variable}: no executable {path}", hint=self.how_to_get)
        return found

    def ask(self, python: str, request: Mapping[str, object], *, timeout_s: float | None = None) -> Any:
        """The script's answer to a request, both JSON.

        InputError: it does not end in time, or ends without an answer; its last line is shown.
        """
        script = resources.files(self.package).joinpath(self.script).read_text(encoding="utf-8")
        command, text = [python, "-c", script], json.dumps(request)
        try:
            ended = subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            raise input_error(f"{python}: {self.tool} did not end within {timeout_s:g} s") from None
        lines = [line for line in ended.stdout.splitlines() if line.startswith(self.mark)]
        if ended.returncode or not lines:
            last = ended.stderr.strip().splitlines()[-1:] or [f"exit code {ended.returncode}, no answer"]
            raise input_error(f"{python} cannot run {self.tool}: {last[0]}", hint=self.how_to_get)
        return json.loads(lines[-1].removeprefix(self.mark))
