"""What runs in the interpreter that has hwcomponents: questions on standard input, answers behind a mark on its output.

It needs the standard library and hwcomponents alone. Models are watched while they change their numbers for the
technology: `native_nm` are the nodes that the numbers are of, `scalings` what was changed and by which factor.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import json
import platform
import re
import sys
from pathlib import Path
from typing import Any

MARK = "fusemap-hwcomponents:"
PACKAGES = ("hwcomponents", "hwcomponents_cacti", "hwcomponents_library", "hwcomponents_neurosim", "hwcomponents_adc")


def versions() -> dict[str, str]:
    """The version of each package that is there."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def watch(seen: dict[str, Any]) -> None:
    """Note every scaling of a model, and the nodes that CACTI is asked for, in `seen`."""
    base = importlib.import_module("hwcomponents").ComponentModel
    plain = base.scale

    def scale(self: Any, key: str, target: Any, default: Any, *rest: Any, **named: Any) -> Any:
        before = self.energy_scale, self.area_scale
        result = plain(self, key, target, default, *rest, **named)
        factors = [now / old for now, old in zip((self.energy_scale, self.area_scale), before, strict=True)]
        entry = {"model": type(self).__name__, "attribute": key, "from": default, "to": target}
        if key == "tech_node":
            seen["native_nm"].append(round(float(default) * 1e9, 6))
            entry |= {"from": round(float(default) * 1e9, 6), "to": round(float(target) * 1e9, 6)}
        if target != default:
            seen["scalings"].append({**entry, "energy": factors[0], "area": factors[1]})
        return result

    base.scale = scale
    try:
        memory = importlib.import_module("hwcomponents_cacti.hwcomponents_cacti")._Memory
    except ImportError:
        return
    call, fit = memory._call_cacti, memory._interp_size

    def call_cacti(self: Any, size: int, ports: int, block: int, node_um: float, banks: int, *rest: Any) -> Any:
        node = round(node_um * 1000, 6)
        seen["native_nm"].append(node)
        seen["cacti"].append(
            {"size_bytes": size, "ports": ports, "block_bytes": block, "node_nm": node, "banks": banks}
        )
        seen["result"] = call(self, size, ports, block, node_um, banks, *rest)
        return seen["result"]

    def interp_size(self: Any, tech_node: float) -> Any:
        fitted = fit(self, tech_node)
        factors = [fitted[n] / seen["result"][n] for n in (0, 3)]
        if factors != [1, 1]:
            entry = {"model": type(self).__name__, "attribute": "size", "to": self.size}
            entry |= {"from": seen["cacti"][-1]["size_bytes"] * 8, "energy": factors[0], "area": factors[1]}
            seen["scalings"].append(entry)
        return fitted

    memory._call_cacti, memory._interp_size = call_cacti, interp_size


def answer(question: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """Energies in pJ, area in um^2, and what the numbers are of; `error` where the model refuses."""
    seen |= {"native_nm": [], "scalings": [], "cacti": []}
    try:
        package, _, name = question["model"].rpartition(".")
        model = getattr(importlib.import_module(package), name)
        arguments = dict(question["attributes"])
        takes = inspect.signature(model.__init__).parameters
        if question["technology_nm"] is not None and "tech_node" in takes:
            arguments["tech_node"] = float(f"{question['technology_nm']}e-9")
        made = model(**arguments)
        energies = {
            key: getattr(made, call["action"])(**call["arguments"]).energy * 1e12
            for key, call in question["actions"].items()
        }
        nodes(type(made), arguments, seen)
        return {
            "energy_pj": energies,
            "area_um2": made.area * 1e12,
            "technology_nm": question["technology_nm"] if "tech_node" in takes else None,
            "native_nm": sorted(set(seen["native_nm"])),
            "scalings": seen["scalings"],
            "cacti": seen["cacti"],
        }
    except Exception as error:  # whatever the model raises is its answer
        return {"error": f"{type(error).__name__}: {error}{last_line(str(error))}"}


def nodes(model: Any, arguments: dict[str, Any], seen: dict[str, Any]) -> None:
    """NeuroSim's nodes around the one asked for, between which its plug-in interpolates."""
    try:
        main = importlib.import_module("hwcomponents_neurosim.main")
    except ImportError:
        return
    if "tech_node" in arguments and issubclass(model, main._NeurosimPlugInComponent):
        node, known = arguments["tech_node"], main.PERMITTED_TECH_NODES
        around = {min(n for n in known if n >= node), max(n for n in known if n <= node)}
        seen["native_nm"] += [round(n * 1e9, 6) for n in around]


def last_line(message: str) -> str:
    """The last line of a log that an error names."""
    for name in re.findall(r"/\S+\.log\b", message):
        if Path(name).is_file():
            lines = Path(name).read_text(errors="replace").strip().splitlines()
            return f" ({lines[-1]})" if lines else ""
    return ""


def main() -> None:
    """Answer the questions, in order."""
    request = json.load(sys.stdin)
    where = {"python": platform.python_version(), "libc": " ".join(platform.libc_ver()).strip()}
    where["platform"] = f"{platform.system()} {platform.machine()}"
    head = {"versions": versions(), **where}
    seen: dict[str, Any] = {"native_nm": [], "scalings": [], "cacti": []}
    try:
        watch(seen)
    except ImportError as error:
        sys.stdout.write(f"\n{MARK}{json.dumps({**head, 'missing': str(error)})}\n")
        return
    answers = [answer(question, seen) for question in request["questions"]]
    sys.stdout.write(f"\n{MARK}{json.dumps({**head, 'answers': answers})}\n")


if __name__ == "__main__":
    main()
