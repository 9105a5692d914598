"""What runs in the other interpreter: reads jobs as JSON from standard input, asks AccelForge, prints one JSON line.

It is handed over as text (`python -c`), so it must not import fusemap.
"""

import importlib
import importlib.metadata
import json
import os
import sys
import tempfile
import time
from copy import deepcopy
from typing import Any

MARK = "fusemap-accelforge:"


def main() -> None:
    """All jobs of the request, in a directory of their own: AccelForge writes files where it runs."""
    request = json.loads(sys.stdin.read())
    out = os.dup(1)
    os.dup2(2, 1)  # whatever AccelForge prints goes to standard error
    answer: dict[str, Any] = {"python": sys.version.split()[0], "versions": {}, "jobs": []}
    for name in ("accelforge", "hwcomponents"):
        answer["versions"][name] = importlib.metadata.version(name)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if not request.get("parallel", False):
            importlib.import_module("accelforge.util.parallel").set_n_parallel_jobs(1)
        for job in request["jobs"]:
            try:
                answer["jobs"].append({"name": job["name"], **run(job)})
            except Exception as error:  # an answer too: the tool refuses this job
                answer["jobs"].append({"name": job["name"], "error": f"{type(error).__name__}: {error}"[:2000]})
        os.chdir("/")
    os.write(out, (MARK + json.dumps(answer) + "\n").encode())


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Load the files of a job; evaluate its mapping, or search one where it asks for that."""
    forge = importlib.import_module("accelforge")
    metrics = importlib.import_module("accelforge.frontend.mapper.metrics").Metrics
    files = []
    for name in ("arch", "workload", "mapping"):
        if job.get(name):
            files.append(f"{name}.yaml")
            with open(files[-1], "w", encoding="utf-8") as file:
                file.write(job[name])
    spec = forge.Spec.from_yaml(*files)
    spec.model.metrics = metrics.all_metrics()
    if job.get("mapping"):
        return result(spec.evaluate_mapping())
    if not job.get("search"):
        costs = spec.calculate_component_costs()
        return {"einsums": [str(e.name) for e in costs.workload.einsums]}
    return searched(spec, job, metrics)


def searched(spec: Any, job: dict[str, Any], metrics: Any) -> dict[str, Any]:
    """The best mapping by one metric, evaluated in detail; how long the search took and how much it says it covers."""
    search = importlib.import_module("accelforge.mapper.FFM.main")
    evaluate = importlib.import_module("accelforge.model.main").evaluate_mapping
    spec.mapper.metrics = getattr(metrics, job["search"])
    for key, value in job.get("mapper", {}).items():
        setattr(spec.mapper, key, value)
    started = (time.perf_counter(), sum(os.times()[:4]))
    found = search.map_workload_to_arch(spec, print_progress=False, eval_in_detail=False)
    seconds = {"wall_s": time.perf_counter() - started[0], "cpu_s": sum(os.times()[:4]) - started[1]}
    best = deepcopy(spec)
    best.mapping = found.data.iloc[0]["Total<SEP>mapping"](_for_model=True)
    tree: list[str] = []
    show(best.mapping, 0, tree)
    detail = evaluate(best, flattened_arches=found.flattened_arches, evaluated_specs=found.evaluated_specs)
    counts = {"mappings": float(found.total_mappings), "valid_mappings": float(found.valid_mappings)}
    return {**result(detail), **seconds, **counts, "tree": tree}


def show(node: Any, depth: int, lines: list[str]) -> None:
    """A mapping as lines of text."""
    inner = getattr(node, "nodes", None)
    if inner is None:
        text = str(node)
        if "reserved" not in text:
            lines.append("  " * depth + text)
        return
    lines.append("  " * depth + type(node).__name__.lower())
    for child in inner:
        show(child, depth + 1, lines)


def result(found: Any) -> dict[str, Any]:
    """Totals, and every count and component time of every Einsum, of the first mapping."""
    row = found.data.iloc[0]
    answer: dict[str, Any] = {"actions": [], "latencies": [], "usage": []}
    for column in found.data.columns:
        parts = str(column).split("<SEP>")
        if parts in (["Total", "latency"], ["Total", "energy"]):
            answer[{"latency": "latency_s", "energy": "energy_j"}[parts[1]]] = float(row[column])
        elif len(parts) == 5 and parts[1] == "action":
            answer["actions"].append([parts[0], parts[2], parts[3], parts[4], float(row[column])])
        elif len(parts) == 3 and parts[1] == "latency":
            answer["latencies"].append([parts[0], parts[2], float(row[column])])
        elif len(parts) == 5 and parts[1:3] == ["usage", "memory"]:
            answer["usage"].append([parts[0], parts[3], parts[4], float(row[column])])
        elif parts[0] == "reservation":
            answer.setdefault("reserved", {})[parts[1]] = float(row[column])
    return answer


if __name__ == "__main__":
    main()
