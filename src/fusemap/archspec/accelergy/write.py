"""ERT.yaml and ART.yaml of tables, in the layout that Accelergy 0.4 writes and Timeloop reads."""

from __future__ import annotations

from collections.abc import Sequence

from fusemap.archspec.accelergy.types import Tables


def ert_text(tables: Tables, comments: Sequence[str] = ()) -> str:
    """The energy reference table, in pJ per action of one instance.

    >>> from fusemap.archspec.accelergy.types import Estimate
    >>> print(ert_text(Tables(version="0.4", components=(Estimate(name="chip.mac[1..4]", energies=(("mac", 2.5),)),))))
    ERT:
        version: '0.4'
        tables:
          - name: chip.mac[1..4]
            actions:
              - name: mac
                arguments: {}
                energy: 2.5
    <BLANKLINE>
    """
    lines = [*_head("ERT", tables, comments)]
    for component in tables.components:
        if not component.energies:
            continue
        lines += [f"      - name: {component.name}", "        actions:"]
        for action, energy in component.energies:
            lines += [f"          - name: {action}", "            arguments: {}", f"            energy: {energy!r}"]
    return _closed(lines)


def art_text(tables: Tables, comments: Sequence[str] = ()) -> str:
    """The area reference table, in um^2 of one instance."""
    lines = [*_head("ART", tables, comments)]
    for component in tables.components:
        if component.area_um2 is not None:
            lines += [f"      - name: {component.name}", f"        area: {component.area_um2!r}"]
    return _closed(lines)


def _head(kind: str, tables: Tables, comments: Sequence[str]) -> list[str]:
    return [*(f"# {line}" for line in comments), f"{kind}:", f"    version: '{tables.version}'", "    tables:"]


def _closed(lines: list[str]) -> str:
    """The lines as a text; a table without rows is an empty list."""
    if lines[-1].endswith("tables:"):
        lines[-1] += " []"
    return "\n".join(lines) + "\n"
