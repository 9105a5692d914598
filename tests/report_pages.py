"""A page of `fusemap report` as a parser reads it, and what may be wrong with one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

VOID = {"meta", "br", "hr"}
LOADS = {"src", "srcset", "poster", "data", "action", "background", "ping", "manifest"}  # `href` is looked at alone


@dataclass(slots=True)
class Table:
    """A table as a reader gets it: caption, header cells, and the words of each row."""

    caption: str = ""
    head: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)


class Page(HTMLParser):
    """The page as the standard library's parser reads it: elements in order, tables, and what is out of order."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: dict[str, list[str]] = {}
        self.tables: dict[str, Table] = {}
        self.table = Table()
        self.feed(content)
        self.close()
        self.faults += [f"<{name}> is not closed" for name in self.open]

    def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, {key: value or "" for key, value in attrs}))
        if name not in VOID:
            self.open.append(name)
        if name == "table":
            self.table = Table()
        elif name == "tr":
            self.table.rows.append([])
            self.table.values.append([])
        elif name in ("th", "td") and "thead" not in self.open:
            self.table.rows[-1].append("")
        elif name == "data":
            self._value(dict(attrs)["value"] or "nan")

    def _value(self, number: str) -> None:
        if "tbody" in self.open:
            self.table.values[-1].append(float(number))

    def handle_startendtag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, name: str) -> None:
        if not self.open or self.open.pop() != name:
            self.faults.append(f"</{name}> closes something else, line {self.getpos()[0]}")
        if name == "table":
            self.table.rows = [row for row in self.table.rows if row]
            self.table.values = self.table.values[1:]
            self.tables[self.table.caption] = self.table

    def handle_data(self, words: str) -> None:
        if self.open:
            self.words.setdefault(self.open[-1], []).append(words)
        if "caption" in self.open:
            self.table.caption += words
        elif "thead" in self.open and self.open[-1] == "th":
            self.table.head.append(words)
        elif "tbody" in self.open and self.table.rows and self.table.rows[-1]:
            self.table.rows[-1][-1] += words

    def starting(self, words: str) -> Table:
        """The table whose caption starts with these words."""
        (found,) = (table for caption, table in self.tables.items() if caption.startswith(words))
        return found


def faults(content: str) -> list[str]:
    """What is wrong with a page: structure, anchors, names for figures, anything that could be loaded or run."""
    page = Page(content)
    found = list(page.faults)
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    found += sorted({f"id {name} twice" for name in names if names.count(name) > 1})
    for element, attributes in page.elements:
        for key, value in attributes.items():
            refers = [value.lstrip("#")] if key in ("href", "xlink:href") and value.startswith("#") else []
            refers += value.split() if key == "aria-labelledby" else re.findall(r"url\(#([^)]+)\)", value)
            found += [f"{key} leads to no {name}" for name in refers if name not in names]
            if (key in LOADS and element != "data") or (key in ("href", "xlink:href") and not value.startswith("#")):
                found.append(f"{element} loads {value}")
            if key.startswith("on"):
                found.append(f"{element} runs {value}")
            if re.search(r"url\((?!#)", value):
                found.append(f"{element} loads {value}")
        if element in ("script", "link", "iframe", "object", "embed", "base", "form"):
            found.append(f"<{element}>")
        if element == "svg" and attributes.get("role") != "img":
            found.append("a drawing without a role")
    found += [f"style loads {s}" for s in page.words.get("style", []) if re.search(r"@import|url\(", s)]
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    found += ["not one h1"] if levels.count(1) != 1 or levels[0] != 1 else []
    found += [f"h{b} after h{a}" for a, b in pairwise(levels) if b > a + 1]
    found += [f"table without a caption: {t.head}" for caption, t in page.tables.items() if not caption]
    return found
