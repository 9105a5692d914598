"""Every block of the README is run: commands with the output shown under them, Python, and the files they use.

`./run X` is run as `X` in the environment of this test, which is what `./run` does after setting it up, in a
process of its own; `fusemap X` is run in this process;
`./run test` is what runs this test (test_project.py holds that continuous integration runs it too).
A line `...` in an output stands for any lines.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import execute

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block: its language, its text, and the name of the file it is to be saved as, if any."""

    language: str
    text: str
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command of a console block and the output shown under it, if any."""

    command: str
    output: str


def blocks(markdown: str) -> list[Block]:
    """The fenced blocks; `<!-- file: NAME -->` above one makes it a file."""
    fence = re.compile(r"(?:^<!-- file: (\S+) -->\n)?^```(\w*)\n(.*?)^```$", re.M | re.S)
    return [Block(file=file, language=language, text=text) for file, language, text in fence.findall(markdown)]


def steps(text: str) -> Iterator[Step]:
    """The commands of a console block."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, output = part.partition("\n")
        yield Step(command=command.split("  #")[0].strip(), output=output.strip("\n"))


def matches(shown: str, printed: str) -> bool:
    """Whether the README shows what was printed; `...` on a line of its own stands for any lines."""
    pattern = "\n".join(re.escape(line.rstrip()) for line in shown.splitlines())
    pattern = re.sub(r"(^|\n)\\\.\\\.\\\.(?=\n|$)", r"\1[\\s\\S]*", pattern)
    return re.fullmatch(pattern, "\n".join(line.rstrip() for line in printed.strip("\n").splitlines())) is not None


BLOCKS = blocks(README)
SHOWN = {step.command.removeprefix("./run ") for block in BLOCKS for step in steps(block.text) if step.output}
LINKS = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with the files that the README shows."""
    for block in BLOCKS:
        if block.file:
            (tmp_path / block.file).write_text(block.text)
    return tmp_path


def test_every_block_is_run_or_is_a_file() -> None:
    assert [b for b in BLOCKS if not b.file and b.language not in ("console", "python")] == []
    assert README.count("```") == 2 * len(BLOCKS)


def test_it_opens_with_the_two_commands() -> None:
    commands = [step.command for block in BLOCKS[:1] for step in steps(block.text)]
    assert commands == ["./run fusemap reproduce fusemax", "./run test"]


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "console"], ids=lambda b: b.text.split("\n")[0])
def test_a_command_prints_what_the_readme_shows(block: Block, directory: Path) -> None:
    for step in steps(block.text):
        assert step.command.startswith(("./run ", "fusemap "))
        command = step.command.removeprefix("./run ")
        if command != "test" and (step.output or command not in SHOWN):  # run once, where the output is shown
            printed = execute(shlex.split(command), directory, alone=command != step.command)
            assert not step.output or matches(step.output, printed), f"{step.command} printed\n{printed}"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=lambda b: b.text.split("\n")[0])
def test_python_runs(block: Block, directory: Path) -> None:
    execute([sys.executable, "-W", "error", "-c", block.text], directory)


@pytest.mark.parametrize("link", LINKS)
def test_a_link_leads_to_a_file_of_the_project(link: str) -> None:
    assert (ROOT / link).exists()


def test_a_planted_difference_is_found() -> None:
    assert matches("a\n...\nd", "a\nb\nc\nd\n")
    assert not matches("a\n...\nd", "a\nb\nc\n")
    assert not matches("a", "a\nb\n")
    assert not matches("a.c", "abc\n")


def test_blocks_files_and_steps_are_told_apart() -> None:
    text = "<!-- file: a.yaml -->\n```yaml\nx: 1\n```\n\n```console\n$ fusemap list  # all\nout\n$ ./run test\n```\n"
    file, console = blocks(text)
    assert (file.file, file.text) == ("a.yaml", "x: 1\n")
    assert list(steps(console.text)) == [
        Step(command="fusemap list", output="out"),
        Step(command="./run test", output=""),
    ]
    with pytest.raises(AssertionError, match="no-such"):
        execute([sys.executable, "-c", "raise SystemExit('no-such')"], ROOT)
