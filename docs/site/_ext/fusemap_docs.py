"""What the documentation site generates: commands from click, files from their schemas, functions from docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

import fusemap
from fusemap.cli.main import LazyCommand, group
from fusemap.cli.schema import KINDS

_SPECIAL = re.compile(r"[*|\\@]|_(?=\W|$)")  # marks of reST, and what would be taken for an address: BERT@4K


def setup(app: Any) -> dict[str, bool]:
    """Register the directives; docstrings are plain words with `code` in single backquotes."""
    app.add_directive("fusemap-commands", Commands)
    app.add_directive("fusemap-schemas", Schemas)
    app.add_directive("fusemap-api", Api)
    app.connect("autodoc-process-docstring", as_rst)
    return {"parallel_read_safe": True}


def as_rst(app: Any, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """Escape a docstring in place; examples stay as they are."""
    lines[:] = [line if line.lstrip().startswith(">>>") else escaped(line) for line in lines]


def escaped(words: str) -> str:
    """Words as reST that says the same.

    >>> escaped("`a*b` is a * b, see x_")
    '``a*b`` is a \\\\* b, see x\\\\_'
    """
    parts = words.split("`")
    if len(parts) % 2 == 0:  # a lone backquote
        return _SPECIAL.sub(_escape, words.replace("`", "'"))
    return "".join(f"``{part}``" if i % 2 else _SPECIAL.sub(_escape, part) for i, part in enumerate(parts))


def _escape(match: re.Match[str]) -> str:
    return "\\" + match[0]


class Generated(Directive):
    """A directive that stands for lines of reST, which may have sections."""

    def lines(self) -> Iterator[str]:
        """The lines."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Parse the lines in their place."""
        made = nodes.section()
        made.document = self.state.document
        content = StringList(list(self.lines()), source=self.name)
        self.state.nested_parse(content, self.content_offset, made, match_titles=True)
        return list(made.children)


class Commands(Generated):
    """A section per command: usage, what it does, options."""

    def lines(self) -> Iterator[str]:
        """Of all commands in the order of the table."""
        for name, command in group.commands.items():
            yield from command_lines(f"fusemap {name}", loaded(command))


def loaded(command: click.Command) -> click.Command:
    """The command itself, imported if it was not yet."""
    return command.load() if isinstance(command, LazyCommand) else command


def command_lines(name: str, command: click.Command) -> Iterator[str]:
    """Of a command, then of the commands below it."""
    with click.Context(command, info_name=name) as context:
        usage = " ".join([name, *command.collect_usage_pieces(context)])
        yield from titled(name)
        yield from literal([usage])
        yield from help_lines(inspect.cleandoc(command.help or ""))
        options = [p.get_help_record(context) for p in command.get_params(context)]
        yield from listed([record for record in options if record is not None])
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                found = command.get_command(context, below)
                if found is not None:
                    yield from command_lines(f"{name} {below}", loaded(found))


def titled(title: str, rule: str = "-") -> Iterator[str]:
    """A heading."""
    yield from ("", escaped(title), rule * (len(escaped(title)) + 2), "")


def literal(lines: Sequence[str]) -> Iterator[str]:
    """Lines as they are."""
    yield from ("", ".. code-block:: text", "", *(f"   {line}" for line in lines), "")


def help_lines(words: str) -> Iterator[str]:
    """Paragraphs of a help text; those that start with `\\b` keep their lines."""
    for paragraph in words.split("\n\n"):
        if paragraph.startswith("\b"):
            yield from literal(paragraph.splitlines()[1:])
        else:
            yield from ("", *(escaped(line.strip()) for line in paragraph.splitlines()), "")


def listed(records: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Names with what they mean."""
    yield from ("", *(item(f"``{name}``", meaning) for name, meaning in records), "")


def item(name: str, meaning: str) -> str:
    """A line of a list: a name, and what it means where that is said."""
    words = escaped(" ".join(meaning.split()))
    return f"- {name}: {words}" if words else f"- {name}"


class Schemas(Generated):
    """A section per kind of file: its keys, and those of the mappings in it."""

    def lines(self) -> Iterator[str]:
        """Of all kinds."""
        for kind, (about, make) in KINDS.items():
            yield from titled(f"{kind}: {about}")
            schema = make()
            yield from model_lines(schema)
            for name, model in schema.get("$defs", {}).items():
                if "properties" in model:
                    yield from titled(spoken(name), "~")
                    yield from model_lines(model)


def model_lines(model: Mapping[str, Any]) -> Iterator[str]:
    """What a mapping is for, and its keys."""
    about = inspect.cleandoc(model.get("description", ""))
    yield from ("", *(escaped(line) for line in about.splitlines()), "")
    required = model.get("required", [])
    for key, value in model.get("properties", {}).items():
        words = [type_of(value), "required" if key in required else default_of(value)]
        yield item(f"``{key}`` ({', '.join(word for word in words if word)})", value.get("description", ""))
    yield ""


def spoken(name: str) -> str:
    """The name of a model as a reader of a file calls it."""
    return name.removesuffix("Model")


def default_of(value: Mapping[str, Any]) -> str:
    """The value of a key that is left out."""
    default = value.get("default")
    return "" if default in (None, "", [], {}) else f"by default ``{default}``"


def type_of(value: Mapping[str, Any]) -> str:
    """What a key takes."""
    if "$ref" in value:
        return spoken(value["$ref"].rsplit("/", 1)[-1])
    for several in ("anyOf", "oneOf"):
        if several in value:
            return " or ".join(dict.fromkeys(type_of(one) for one in value[several] if one.get("type") != "null"))
    if "enum" in value or "const" in value:
        return ", ".join(f"``{one}``" for one in value.get("enum", [value.get("const")]))
    if value.get("type") == "array":
        return f"list of {type_of(value.get('items', {}))}"
    if value.get("type") == "object":
        below = value.get("additionalProperties")
        return f"mapping to {type_of(below)}" if isinstance(below, dict) else "mapping"
    return str(value.get("type", "any"))


class Api(Generated):
    """Everything that `import fusemap` offers: functions, or classes."""

    required_arguments = 1

    def lines(self) -> Iterator[str]:
        """An autodoc directive for each name."""
        for name in sorted(fusemap.__all__, key=str.lower):
            found = getattr(fusemap, name)
            if inspect.isclass(found) and self.arguments[0] == "classes":
                yield from (f".. autoclass:: fusemap.{name}", "   :members:", "")
            elif inspect.isroutine(found) and self.arguments[0] == "functions":
                yield from (f".. autofunction:: fusemap.{name}", "")
