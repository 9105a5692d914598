"""The page of `fusemap analyze`: Einsums by pass, the table of ranks, proofs, footprints, operations."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from fusemap.cli.output import table
from fusemap.cli.quantities import number
from fusemap.einsum_cascade.analysis import Analysis
from fusemap.einsum_cascade.analysis_reasons import carried, reasons
from fusemap.einsum_cascade.analysis_rows import ONE, is_plain, rows_in_order
from fusemap.einsum_cascade.analysis_sizes import open_factors
from fusemap.einsum_cascade.analysis_text import alike, certificate, certificates, groups, kept
from fusemap.einsum_cascade.passes.footprint_loops import loops_of
from fusemap.einsum_cascade.passes.model import model_of
from fusemap.einsum_cascade.passes.types import RankPasses
from fusemap.einsum_cascade.printer import format_einsum

if TYPE_CHECKING:
    import sympy

WIDTH = 100


def page(found: Analysis, *, everything: bool = False) -> str:
    """The analysis for people; with `everything` the proof of every (tensor, rank)."""
    rows = rows_in_order(found.cascade, found.passes)
    blocks = [_head(found)]
    if not rows:
        return "\n\n".join([*blocks, _wrapped("nothing reads what was asked for, so there are no passes over it")])
    blocks += [_einsums(found, rows), *(_one_pass(found, row) for row in _single(rows)), _ranks(rows)]
    blocks += map(certificate, certificates(rows)) if everything else alike(found.hardest())
    blocks += [text for text in (_fusible(found, rows), _footprints(found), _operations(found)) if text]
    return "\n\n".join(blocks)


def _wrapped(text: str, indent: str = "  ") -> str:
    return "\n".join(textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False))


def _head(found: Analysis) -> str:
    """The label, and for which sizes it holds."""
    lines = [_wrapped(found.headline()), _wrapped(f"passes needed by every mapping{_holds(found)}")]
    if found.sizes:
        sizes = ", ".join(f"{name} = {size}" for name, size in found.sizes.items())
        rest = f"; open: {', '.join(found.open)}" if found.open else ""
        lines.insert(1, _wrapped(f"{found.workload or 'sizes'}: {sizes}{rest}"))
    return "\n".join(lines)


def _holds(found: Analysis) -> str:
    """For which sizes the passes hold."""
    least, given = found.pass_analysis.least, found.pass_analysis.sizes
    if found.sizes and not found.open:
        return " at these sizes"
    if given is None:
        return f", at all extents of at least {least}"
    factors = open_factors(found.cascade, given)
    short = [name for name in found.open if name in factors]
    long = [name for name in found.open if name not in factors]
    rest = [f"for any {', '.join(short)}"] if short else []
    rest += [f"for {', '.join(long)} of at least {least}"] if long else []
    return f" at these sizes, {' and '.join(rest)}"


def _einsums(found: Analysis, rows: tuple[RankPasses, ...]) -> str:
    """Every Einsum with its pass over the row that says most, and the reason."""
    row = rows[0]
    numbers, why = dict(row.assignment), reasons(found.cascade, row)
    cells = [
        [str(numbers.get(e.name, "-")), format_einsum(e), why[e.name]] for e in dict.fromkeys(found.cascade.einsums)
    ]
    shown = table(cells, ["pass", "Einsum", "why"], "rll", width=WIDTH)
    return f"passes over {row.rank} of {row.tensor}\n{shown}"


def _ranks(rows: Iterable[RankPasses]) -> str:
    """The table of (tensor, rank), equal rows together; those with nothing to say in one line."""
    alike: dict[tuple[str, ...], list[str]] = {}
    plain: dict[str, list[str]] = {}
    for row in rows:
        if is_plain(row):
            plain.setdefault(row.rank, []).append(row.tensor)
        else:
            upper = "-" if row.upper is None else str(row.upper)
            cells = (row.rank, str(row.passes), upper, "yes" if row.exact else "no", str(row.direct), row.lookahead)
            alike.setdefault(cells, []).append(row.tensor)
    blocks = []
    if alike:
        cells_of = [[rank, ", ".join(tensors), *cells] for (rank, *cells), tensors in alike.items()]
        headers = ["rank", "tensors", "passes", "schedule", "exact", "all stored", "look-ahead"]
        blocks.append(table(cells_of, headers, "llrrlrr", width=WIDTH))
    if plain:
        listed = "; ".join(f"{rank} of {', '.join(tensors)}" for rank, tensors in plain.items())
        blocks.append(_wrapped(f"one pass over {listed}"))
    return "\n".join(blocks)


def _single(rows: tuple[RankPasses, ...]) -> Iterator[RankPasses]:
    """The row that says most, if one pass over it is enough."""
    if rows[0].passes == ONE and rows[0].exact:
        yield rows[0]


def _one_pass(found: Analysis, row: RankPasses) -> str:
    """Why one pass is enough."""
    along = carried(found.cascade, row)
    keeps = f"keeps {kept(row.lookahead)} coordinates of it at a time" if row.lookahead != "0" else ""
    carries = f"carries {', '.join(along)} along" if along else ""
    how = " and ".join(text for text in (keeps, carries) if text) or "needs each coordinate by itself"
    return _wrapped(f"one pass over {row.rank} of {row.tensor} is enough: a sweep {how}, and nothing waits for its end")


def _fusible(found: Analysis, rows: tuple[RankPasses, ...]) -> str:
    """Einsums that can share a loop, by rank."""
    lines = []
    for rank, count in found.label.items():
        row = next(r for r in rows if r.rank == rank)
        if count != ONE and row.assignment:
            sets = ", ".join(f"{{{', '.join(group)}}}" for group in groups(row))
            lines.append(_wrapped(f"can be fused on {rank}: {sets}"))
    unsure = {row.rank for row in rows if not row.exact}
    free = [rank for rank, count in found.label.items() if count == ONE and rank not in unsure]
    if free:
        lines.append(_wrapped(f"no barrier on {', '.join(free)}"))
    return "\n".join(lines)


def _footprints(found: Analysis) -> str:
    """How many elements of each tensor are live at once; tensors with equal numbers together."""
    loops = loops_of(model_of(found.cascade), found.joint.order)
    alike: dict[tuple[str, str], list[str]] = {}
    for f in found.footprints:
        store, again = (_shown(found.value(count)) for count in (f.store, f.recompute))
        mark = "" if f.exact else "at most "
        alike.setdefault((f"{mark}{store}", f"{mark}{again}" if again != "-" else "-"), []).append(f.tensor)
    single = alike.pop(("1", "-"), [])
    cells = [[", ".join(tensors), *counts] for counts, tensors in alike.items()]
    fixed = f", for one {', '.join(loops.batch)}" if loops.batch else ""
    lines = [_wrapped(f"elements live at once{fixed}; loops {', '.join(loops.order)}")]
    lines += [table(cells, ["tensors", "each stored", "recomputed from it"], "lll", width=WIDTH)] if cells else []
    lines += [_wrapped(f"one element of {', '.join(single)}")] if single else []
    joint = _short(f"at most {_shown(found.value(found.joint.count))}")
    return "\n".join([*lines, _wrapped(f"all together {joint}")])


def _shown(value: int | str | None) -> str:
    return "-" if value is None else number(value) if isinstance(value, int) else value


def _short(formula: str, most: int = 2 * WIDTH) -> str:
    """A formula that people read; that of a filter with several bounds is for programs."""
    return formula if len(formula) <= most else "a long formula: --json prints it, --size evaluates it"


def _operations(found: Analysis) -> str:
    """Operation counts, added up by operator."""
    if not found.operations:
        return ""
    totals: dict[str, tuple[sympy.Expr, bool]] = {}
    for c in found.operations:
        known, exact = totals.get(c.operator, (c.count - c.count, True))
        totals[c.operator] = (known + c.count, exact and c.exact)
    cells = [
        [operator, _short(f"{'' if exact else 'at most '}{_shown(found.value(total))}")]
        for operator, (total, exact) in sorted(totals.items())
    ]
    return table(cells, ["operator", "times applied"], "ll", width=WIDTH)
