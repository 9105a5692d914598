"""Public Timeloop designs in a checkout, and what importing them gives; run as a script it prints the table anew.

The designs are those of Accelergy-Project/timeloop-accelergy-exercises; none of their files is copied here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusemap.diagnostics import InputError
from fusemap.validation.timeloop.reading.imported import import_timeloop

COMMIT = "2d5510807128e9bd5f1cad0705cdf2ec4612fd4e"
EXAMPLES = "workspace/example_designs/example_designs"
TUTORIAL = "workspace/tutorial_exercises/01_accelergy_timeloop_2020_ispass"
SECOND = "workspace/tutorial_exercises/02_interface_and_design_space_exploration_2024"


def cases(root: Path) -> list[dict[str, Any]]:
    """Every example design, and every exercise of the tutorials with each of its mappings."""
    found: list[dict[str, Any]] = []
    for arch in sorted((root / EXAMPLES).glob("**/arch.yaml")):
        folder = arch.parent.relative_to(root / EXAMPLES).as_posix()
        found.append({"files": [f"{EXAMPLES}/top.yaml.jinja2"], "defines": {"architecture": folder}})
    for exercise in sorted((root / TUTORIAL / "timeloop").glob("0*")):
        fixed = [*exercise.glob("arch/**/*.yaml"), *exercise.glob("prob/*.yaml")]
        for mapping in sorted([*exercise.glob("map/*.yaml"), *exercise.glob("constraints/*.yaml")]) or [None]:
            paths = sorted([*fixed, *([mapping] if mapping else [])])
            found.append({"files": [path.relative_to(root).as_posix() for path in paths], "defines": {}})
    both = f"{TUTORIAL}/timeloop+accelergy"
    bits = {"psum_datawidth": 16, "input_weight_datawidth": 8, "mac_class": "intmac"}
    found.append({"files": [f"{both}/arch/arch.yaml", f"{both}/prob/prob.yaml"], "defines": bits})
    found.append({"files": [f"{both}/arch/eyeriss_like-int16.yaml", f"{both}/prob/prob.yaml"], "defines": {}})
    found.append({"files": [f"{SECOND}/top.yaml.jinja"], "defines": {}})
    return found


def outcome(case: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Levels, whether there is a mapping and what the notes affect; or the places and messages of the refusal."""
    try:
        found = import_timeloop(*(str(root / file) for file in case["files"]), defines=case["defines"])
    except InputError as error:
        located = ((d.span, d.message) for d in error.diagnostics)
        return {"refused": [f"{s}: {message}".replace(f"{root}/", "") if s else message for s, message in located]}
    affected = dict.fromkeys(note.affects for note in found.notes)
    return {"levels": dict(found.levels), "mapped": found.mapped, "notes_affect": sorted(affected)}


def main(root: str) -> None:
    """Print the table of a checkout."""
    rows = [{**case, "outcome": outcome(case, Path(root))} for case in cases(Path(root))]
    source = "github.com/Accelergy-Project/timeloop-accelergy-exercises"
    print(json.dumps({"source": source, "commit": COMMIT, "designs": rows}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1])
