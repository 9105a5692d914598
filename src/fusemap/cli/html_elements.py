"""HTML that cannot forget to escape: elements are made of `Html`, and text becomes `Html` by being escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import NewType

Html = NewType("Html", str)
VOID = ("br", "meta", "hr")
_NAME = re.compile(r"[^a-z0-9]+")


def text(words: object) -> Html:
    """Words as they are to be read, whatever is in them.

    >>> text("a < b & c")
    'a &lt; b &amp; c'
    """
    return Html(html.escape(str(words)))


def tag(name: str, /, *children: Html, **attributes: str) -> Html:
    """An element; an attribute `class_` is `class`, and `data_x` is `data-x`.

    >>> tag("p", text("<b>"), class_='a"b')
    '<p class="a&quot;b">&lt;b&gt;</p>'
    """
    keys = {key: key.rstrip("_").replace("_", "-") for key in attributes}
    head = "".join(f' {keys[key]}="{html.escape(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{head}>" + ("" if name in VOID else f"{join(children)}</{name}>"))


def join(parts: Iterable[Html], between: str = "") -> Html:
    """Elements one after another."""
    return Html(between.join(parts))


def data(value: float, shown: str) -> Html:
    """A number as people read it, with all of its digits for programs.

    >>> data(1.5e-3, "1.500 ms")
    '<data value="0.0015">1.500 ms</data>'
    """
    return tag("data", text(shown), value=repr(value))


def paragraph(words: str, class_: str = "") -> Html:
    """A paragraph of plain words."""
    return tag("p", text(words), **({"class_": class_} if class_ else {}))


def section(title: str, *children: Html) -> Html:
    """A section named by its heading."""
    name = slug(title)
    heading = tag("h2", text(title), id=name)
    return tag("section", heading, Html("\n"), join(children, "\n"), aria_labelledby=name)


def table(caption: str, headers: Sequence[str], rows: Sequence[Sequence[Html]], align: str) -> Html:
    """A table with a caption; it scrolls on its own where it is wider than the page, also by keyboard.

    `align` has one letter a column, `l` or `r`; the first cell of a row names the row.
    """
    if len(align) != len(headers) or any(len(row) != len(headers) for row in rows):
        raise ValueError(f"{len(headers)} headers need as many cells per row and letters: {align!r}")
    head = tag("tr", *(tag("th", text(h), scope="col", class_=a) for h, a in zip(headers, align, strict=True)))
    body = (tag("tr", *_cells(row, align)) for row in rows)
    made = tag("table", tag("caption", tag("span", text(caption))), tag("thead", head), tag("tbody", join(body, "\n")))
    return scrolled(made, caption)


def _cells(row: Sequence[Html], align: str) -> Iterable[Html]:
    yield tag("th", row[0], scope="row", class_=align[0])
    for cell, letter in zip(row[1:], align[1:], strict=True):
        yield tag("td", cell, class_=letter)


def scrolled(content: Html, label: str) -> Html:
    """Content in a box of its own, so that not the page but the box scrolls sideways."""
    return tag("div", content, class_="scroll", role="region", aria_label=label, tabindex="0")


def slug(words: str) -> str:
    """Words as an anchor.

    >>> slug("In time: 4 iterations")
    'in-time-4-iterations'
    """
    return _NAME.sub("-", words.lower()).strip("-")
