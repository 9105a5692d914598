"""What moved, for machines and reviews: markdown, JUnit XML, SARIF 2.1.0, annotations of GitHub."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from urllib.parse import quote
from xml.etree import ElementTree

from fusemap.cli.regress_words import around, cause_rows, details, heading, headline, metric_rows, text, verdict
from fusemap.validation.regress import Regression
from fusemap.validation.regress_compare import CaseResult

# What a problem is called, and what it means.
RULES = MappingProxyType(
    {
        "moved": "A number is not what the baseline has, beyond its tolerance.",
        "does-not-fit": "A case fits no mapping any more, or fits again.",
        "new": "A case is not recorded in the baseline.",
        "missing": "A case of the baseline is not asked for any more.",
    }
)
_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def rule(case: CaseResult) -> str:
    """The name of what is wrong with a case."""
    return "does-not-fit" if case.status == "moved" and not case.changes else case.status


def problems(found: Regression) -> tuple[CaseResult, ...]:
    """The cases that are not as recorded."""
    return found.having("moved", "new", "missing")


# --- markdown -----------------------------------------------------------------------------------------


def markdown(found: Regression) -> str:
    """A page for a pull request or a job's summary."""
    blocks = [f"## {_cell(found.baseline)}: {verdict(found)}"]
    blocks += [_cell(line) for line in list(heading(found))[1:]]
    for case in problems(found):
        blocks.append("\n\n".join(_markdown_case(case)))
    return "\n\n".join(blocks) + "\n"


def _markdown_case(case: CaseResult) -> Iterator[str]:
    yield f"### {_cell(case.name)}"
    if not case.changes:
        yield _cell(headline(case))
    around_it = [f"- {_cell(line.strip())}" for line in around(case)]
    if around_it:
        yield "\n".join(around_it)
    if case.changes:
        yield _markdown_table(["metric", "recorded", "found", "change", "%"], metric_rows(case), "lrrrr")
    for metric in dict.fromkeys(cause.metric for cause in case.causes):
        rows = [
            [row[0].strip() if row[0].startswith(" ") else f"**{row[0]}**", *row[1:]]
            for row in cause_rows(case, metric)
        ]
        yield _markdown_table([f"{metric}, by component", "change", "share", "what moved"], rows, "lrrl")


def _markdown_table(headers: list[str], rows: list[list[str]], align: str) -> str:
    rule_of = ["---:" if letter == "r" else "---" for letter in align]
    cells = [headers, rule_of, *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _cell(cell: str) -> str:
    """A text that markdown shows as it is: no table, link, emphasis or tag begins in it.

    >>> print(_cell("a|b <c>"), _cell("**dram**"))
    a\\|b &lt;c> **dram**
    """
    return re.sub(r"([|`\[\]\\])", r"\\\1", cell).replace("<", "&lt;").replace("\n", " ")


# --- JUnit --------------------------------------------------------------------------------------------


def junit(found: Regression) -> str:
    """A test suite with a test for each case, as Jenkins, GitLab and others read it."""
    wrong = problems(found)
    counts = {"tests": str(len(found.cases)), "failures": str(len(wrong)), "errors": "0", "time": "0"}
    suites = ElementTree.Element("testsuites", {"name": "fusemap regress", **counts})
    suite = ElementTree.SubElement(suites, "testsuite", {"name": _xml(found.baseline), **counts, "skipped": "0"})
    for case in found.cases:
        attributes = {"classname": _xml(Path(found.baseline).stem), "name": _xml(case.name), "time": "0"}
        test = ElementTree.SubElement(suite, "testcase", attributes)
        if case in wrong:
            failure = ElementTree.SubElement(test, "failure", {"type": rule(case), "message": _xml(headline(case))})
            failure.text = _xml("\n".join(details(case)))
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


def _xml(shown: str) -> str:
    """The text without what no XML document can hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", shown)


# --- SARIF --------------------------------------------------------------------------------------------


def sarif(found: Regression) -> str:
    """A log of static analysis results, one for each case that is not as recorded, at its line of the baseline."""
    names = list(RULES)
    driver = {
        "name": "fusemap",
        "version": found.now,
        "rules": [
            {
                "id": name,
                "shortDescription": {"text": about},
                "defaultConfiguration": {"level": "error"},
            }
            for name, about in RULES.items()
        ],
    }
    results = [
        {
            "ruleId": rule(case),
            "ruleIndex": names.index(rule(case)),
            "level": "error",
            "message": {"text": f"{case.name}: {headline(case)}"},
            "locations": [_location(case)],
            "partialFingerprints": {"fusemapCase/v1": f"{rule(case)} {case.name}"},
        }
        for case in problems(found)
    ]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": _SARIF, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _location(case: CaseResult) -> dict[str, object]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": uri(case.file)},
            "region": {"startLine": case.line, "startColumn": case.column},
        }
    }


def uri(file: str) -> str:
    """A file as SARIF names it: relative to the root of the repository where it lies in there."""
    path = from_root(file)
    return quote(path) if not PurePosixPath(path).is_absolute() else Path(file).resolve().as_uri()


def from_root(file: str) -> str:
    """A file as seen from the root of the repository: what GitHub says it is, or the current directory."""
    root = Path(os.environ.get("GITHUB_WORKSPACE") or ".").resolve()
    path = Path(file).resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


# --- GitHub -------------------------------------------------------------------------------------------


def github(found: Regression) -> str:
    """A workflow command for each case that is not as recorded, then the verdict: the lines that GitHub annotates."""
    lines = []
    for case in problems(found):
        place = {"file": from_root(case.file), "line": str(case.line), "col": str(case.column), "title": case.name}
        shown = ",".join(f"{key}={_property(value)}" for key, value in place.items())
        lines.append(f"::error {shown}::{_data(headline(case))}")
    return "\n".join([*lines, *(_data(line) for line in heading(found))])


def _data(shown: str) -> str:
    """A message as GitHub's runner reads it back.

    >>> print(_data("+1 %, a: b"))
    +1 %25, a: b
    """
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(shown: str) -> str:
    return _data(shown).replace(":", "%3A").replace(",", "%2C")


def document(found: Regression) -> str:
    """The JSON document."""
    return json.dumps(found.to_json(), indent=2, allow_nan=False) + "\n"


FORMATS: Mapping[str, Callable[[Regression], str]] = MappingProxyType(
    {"text": text, "markdown": markdown, "junit": junit, "sarif": sarif, "github": github}
)
ENDINGS: Mapping[str, Callable[[Regression], str]] = MappingProxyType(
    {"md": markdown, "xml": junit, "sarif": sarif, "json": document, "txt": lambda found: text(found) + "\n"}
)
