"""How cascades and tables look in a notebook: HTML that works on light and dark pages, formulas for MathJax."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.latex import inline
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.printer import format_cascade
from fusemap.einsum_cascade.types import Cascade

_KEYWORD = re.compile(r"^(\s*)(cascade|shape|input|output|stop|init)\b")
_PRE = "text-align:left;line-height:1.35"
_QUIET = "opacity:0.6;font-style:italic"


def cascade_html(cascade: Cascade) -> str:
    """The text of a cascade, keywords bold and comments quiet, and its formulas below."""
    lines = "\n".join(_line(line) for line in source(cascade).rstrip().splitlines())
    return f'<pre style="{_PRE}">{lines}</pre>\n<div>{html.escape(inline(cascade))}</div>'


def source(cascade: Cascade) -> str:
    """The text that the cascade was parsed from where it still says the same, else the cascade as printed."""
    try:
        same = bool(cascade.text) and parse(cascade.text) == cascade
    except InputError:  # operators of the user's own
        same = False
    return cascade.text if same else format_cascade(cascade)


def _line(line: str) -> str:
    """One line as HTML.

    >>> _line("output Z  # a < b")
    '<b>output</b> Z  <span style="opacity:0.6;font-style:italic"># a &lt; b</span>'
    """
    code, mark, comment = line.partition("#")
    shown = _KEYWORD.sub(r"\1<b>\2</b>", html.escape(code))
    return shown + (f'<span style="{_QUIET}">{html.escape(mark + comment)}</span>' if mark else "")


def table_html(caption: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table: the first column left, the others right.

    >>> table_html("t", ["a", "b"], [["x", "1"]]).count("<td")
    2
    """
    head = "".join(f'<th style="text-align:{_side(i)}">{html.escape(h)}</th>' for i, h in enumerate(headers))
    body = "".join(
        "<tr>"
        + "".join(f'<td style="text-align:{_side(i)}">{html.escape(c)}</td>' for i, c in enumerate(row))
        + "</tr>"
        for row in rows
    )
    caption = f'<caption style="text-align:left">{html.escape(caption)}</caption>'
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _side(column: int) -> str:
    return "right" if column else "left"
