"""Imports point one way, form no cycle, and the command starts without the heavy packages.

Independent of import-linter, which reads the same rule from pyproject.toml: this reads the syntax trees.
"""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
import tomllib
from collections.abc import Container, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src"
LAYERS = (  # a module may import from its own part and from layers further right
    ("cli",),
    ("validation",),
    ("sim",),
    ("mappers",),
    ("einsum_cascade", "archspec"),
    ("diagnostics", "version"),
)
MAY_IMPORT_ANYTHING = ("__main__", "cascades", "costs", "loading", "models", "pictures", "studies", "widgets")
FACADE = ("fusemap", *(f"fusemap.{name}" for name in MAY_IMPORT_ANYTHING))
HEAVY = ("numpy", "sympy", "pandas", "matplotlib", "networkx", "pydantic")


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package, parsed."""
    return {_module_name(path): ast.parse(path.read_text(), str(path)) for path in sorted(SOURCES.rglob("*.py"))}


def _module_name(path: Path) -> str:
    parts = path.relative_to(SOURCES).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.Module, known: Container[str]) -> Iterator[str]:
    """The `fusemap` modules that the module imports, anywhere in it; a relative import comes out as `.`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "fusemap")
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield "."
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fusemap":
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from (name if name in known else str(node.module) for name in names)


def wrong_imports(trees: Mapping[str, ast.Module], known: Container[str]) -> list[str]:
    """Every import against the layers, every relative import, every module without a layer; `known` are all modules."""
    rank = {part: level for level, parts in enumerate(LAYERS) for part in parts}
    wrong = []
    for module, tree in trees.items():
        if module in FACADE:
            continue
        part = module.split(".")[1]
        if part not in rank:
            wrong.append(f"{module} has no layer")
            continue
        for target in imported(tree, known):
            other = target.split(".")[1] if target.count(".") and target != "." else target
            if other != part and rank.get(other, -1) <= rank[part]:
                wrong.append(f"{module} imports {target}")
    return wrong


def cycle(trees: Mapping[str, ast.Module]) -> list[str]:
    """A cycle of modules that import each other, empty when there is none."""
    graph = {module: set(imported(tree, trees)) for module, tree in trees.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def heavy_after(statement: str) -> list[str]:
    """The heavy packages that are loaded after `statement` in a new interpreter."""
    report = f"import sys; {statement}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


def test_imports_point_one_way() -> None:
    assert wrong_imports(modules(), modules()) == []


def test_modules_import_each_other_in_no_cycle() -> None:
    assert cycle(modules()) == []


@pytest.mark.parametrize(
    ("module", "statement", "finding"),
    [
        ("fusemap.mappers.planted", "from fusemap.sim import events", "imports fusemap.sim"),
        ("fusemap.mappers.planted", "def f():\n    import fusemap.sim.events", "imports fusemap.sim.events"),
        (
            "fusemap.archspec.planted",
            "from fusemap.einsum_cascade import types",
            "imports fusemap.einsum_cascade.types",
        ),
        ("fusemap.einsum_cascade.planted", "import fusemap.archspec", "imports fusemap.archspec"),
        ("fusemap.diagnostics.planted", "import fusemap.cli.main", "imports fusemap.cli.main"),
        ("fusemap.sim.planted", "from . import events", "imports ."),
        ("fusemap.sim.planted", "import fusemap", "imports fusemap"),
        ("fusemap.helpers", "", "has no layer"),
    ],
)
def test_a_planted_import_is_found(module: str, statement: str, finding: str) -> None:
    assert wrong_imports({module: ast.parse(statement)}, modules()) == [f"{module} {finding}"]


def test_a_planted_cycle_is_found() -> None:
    planted = {"a": ast.parse("import fusemap.b"), "fusemap.b": ast.parse("from fusemap import c")}
    assert cycle(planted) == []
    assert cycle({**planted, "fusemap.c": ast.parse("from fusemap.b import x")})


def test_import_linter_is_told_the_same_layers() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [tuple(layer.split(" | ")) for contract in contracts for layer in contract.get("layers", ())]
    assert layers == list(LAYERS)


@pytest.mark.parametrize("statement", ["import fusemap", "import fusemap.cli.main"])
def test_the_command_starts_without_heavy_packages(statement: str) -> None:
    assert heavy_after(statement) == []


def test_help_and_unknown_commands_load_no_heavy_package() -> None:
    assert heavy_after("from fusemap.cli.main import main; main(['--help']); main(['lst'])") == []


def test_a_planted_heavy_import_is_found() -> None:
    assert heavy_after("import fusemap.cli.main, numpy") == ["numpy"]


def test_yaml_is_read_without_the_c_library_too() -> None:
    statement = "import yaml; vars(yaml).pop('CSafeLoader', None); from fusemap.cli.main import main"
    command = [sys.executable, "-c", f"{statement}; main(['list', 'archs'])"]
    plain = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    usual = subprocess.run(
        [sys.executable, "-m", "fusemap", "list", "archs"], capture_output=True, text=True, check=True
    )
    assert plain == usual.stdout
