"""Runs timeloop-model for fusemap, in any interpreter: jobs come in as JSON, answers go out as JSON.

A job with `files` goes through the v4 front end of this interpreter, one with `direct` straight to the model.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from typing import Any

MARK = "fusemap-timeloop:"


def front_end() -> tuple[str, Any]:
    """The v4 front end: of timeloopfe, or of pytimeloop."""
    for name in ("timeloopfe", "pytimeloop.timeloopfe"):
        with contextlib.suppress(ImportError):
            found = importlib.import_module(name + ".v4")
            # pytimeloop's copy wants a depth of every memory; that of an unbounded one may be left out
            found.arch.StorageAttributes.add_attr("depth", (str, int), None)
            return name, found
    raise SystemExit("no module timeloopfe, and no pytimeloop.timeloopfe")


def versions(name: str) -> dict[str, str]:
    """Versions of what is imported, by package."""
    from importlib import metadata

    found = {}
    for package in (name.split(".")[0], "accelergy"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def run(job: dict[str, Any], model: str, front: Any, folder: str) -> dict[str, str]:
    """The statistics file of one job, or what went wrong."""
    out = os.path.join(folder, "out")
    os.makedirs(out)
    log = os.path.join(folder, "log.txt")
    with open(log, "w") as stream:
        if "direct" in job:
            given = os.path.join(folder, "input.yaml")
            with open(given, "w") as written:
                written.write(job["direct"])
            environment = {**os.environ, **job["environment"]}
            subprocess.run(
                [model, given], cwd=out, stdout=stream, stderr=subprocess.STDOUT, env=environment, check=False
            )
        else:
            paths = []
            for name, text in job["files"].items():
                paths.append(os.path.join(folder, name))
                with open(paths[-1], "w") as written:
                    written.write(text)
            spec = front.Specification.from_yaml_files(*paths)
            front.call_model(spec, out, environment=job["environment"], log_to=stream, return_proc=True).wait()
    stats = os.path.join(out, "timeloop-model.stats.txt")
    if os.path.exists(stats):
        with open(stats) as stream:
            return {"stats": stream.read()}
    with open(log) as stream:
        lines = [line for line in stream.read().splitlines() if line.strip()]
    return {"error": " / ".join(lines[-2:]) or "timeloop-model wrote nothing"}


def main() -> None:
    """Answer all jobs of the request."""
    request = json.load(sys.stdin)
    model = request.get("executable") or shutil.which("timeloop-model")
    if model is None:
        raise SystemExit("no timeloop-model on PATH")
    name, front = front_end() if any("files" in job for job in request["jobs"]) else ("", None)
    os.environ["PATH"] = os.path.dirname(os.path.abspath(model)) + os.pathsep + os.environ.get("PATH", "")
    answers = {}
    for job in request["jobs"]:
        with tempfile.TemporaryDirectory() as folder:
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    answers[job["name"]] = run(job, model, front, folder)
            except Exception as error:
                answers[job["name"]] = {"error": f"{type(error).__name__}: {error}"}
    print(MARK + json.dumps({"versions": versions(name) if name else {}, "front_end": name, "jobs": answers}))


if __name__ == "__main__":
    main()
