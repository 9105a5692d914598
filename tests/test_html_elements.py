"""Elements of pages: what is escaped, what is refused, and drawings as parts of a page."""

from __future__ import annotations

import re

import pytest

from fusemap.cli.html_elements import Html, data, table, tag, text
from fusemap.cli.report_figures import figure, inline_svg
from fusemap.cli.report_findings import Drawing


def test_tables_refuse_ragged_rows() -> None:
    with pytest.raises(ValueError, match="as many cells"):
        table("t", ["a", "b"], [[text("x")]], "lr")
    with pytest.raises(ValueError, match="as many cells"):
        table("t", ["a", "b"], [], "l")


def test_a_number_keeps_all_of_its_digits() -> None:
    assert data(0.1 + 0.2, "0.3") == '<data value="0.30000000000000004">0.3</data>'
    assert tag("p", Html(""), title='"<') == '<p title="&quot;&lt;"></p>'


def test_a_drawing_becomes_a_part_of_the_page() -> None:
    svg = (
        b'<?xml version="1.0"?><!DOCTYPE svg><svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="36pt">'
        b"<metadata>x</metadata><style>*{}</style>"
        b'<g id="a" clip-path="url(#b)"><use xlink:href="#a"/></g></svg>'
    )
    made = inline_svg(svg, "Two <words>")
    assert made.startswith('<svg role="img" aria-labelledby="two-words-title" style="min-width:96px;max-width:120px">')
    assert '<title id="two-words-title">Two &lt;words&gt;</title>' in made
    assert 'id="two-words-a"' in made and "url(#two-words-b)" in made and '"#two-words-a"' in made
    assert not re.search("http|metadata|<style|DOCTYPE", made)
    assert "No drawing of x: too wide." in figure(Drawing(svg=b"", refusal="too wide"), "x", "")
