"""Broken files through the real command: located messages, exit 2, nothing on standard output, and quickly."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TypeAlias

import pytest
from conftest import Outcome

import fusemap as fusemap_package

Command: TypeAlias = Callable[..., Outcome]

BROKEN = Path(__file__).parent / "broken"
KINDS = ("cascade", "arch", "workload", "dataflow")
SECONDS = 2.0


def evaluate(kind: str, path: str) -> list[str]:
    """A command that reads one file of a kind; everything else in it is right."""
    arguments = {
        "cascade": [path, "--arch", "fusemax-cloud", "--workload", "BERT@1K"],
        "arch": ["attention-1pass", "--arch", path, "--workload", "BERT@1K"],
        "workload": ["attention-1pass", "--arch", "fusemax-cloud", "--workload", f"{path}@1K"],
        "dataflow": ["attention-3pass", "--arch", "flat-cloud", "--workload", "BERT@1K", "--dataflow", path],
    }
    return ["evaluate", *arguments[kind]]


def refused(fusemap: Command, argv: list[str]) -> str:
    """Standard error of a command that must refuse its input."""
    start = time.perf_counter()
    outcome = fusemap(*argv)
    seconds = time.perf_counter() - start
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert "Traceback" not in outcome.err and "internal error" not in outcome.err
    assert seconds < SECONDS
    return outcome.err


# --- the files in tests/broken ---------------------------------------------------------------------


def expected(kind: str) -> dict[str, str]:
    """What each broken file must say: `# file`, then the messages and hints (without the excerpts of the source)."""
    found: dict[str, str] = {}
    for block in re.split(r"^# ", (BROKEN / kind / "expected.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        name, _, text = block.partition("\n")
        found[name] = text.strip("\n")
    return found


FILES = [(kind, name) for kind in KINDS for name in expected(kind)]


def test_every_broken_file_says_what_is_expected_of_it() -> None:
    for kind in KINDS:
        assert sorted(expected(kind)) == sorted(f.name for f in (BROKEN / kind).iterdir() if f.name != "expected.txt")
        assert len(expected(kind)) >= 15
    assert all(text for kind in KINDS for text in expected(kind).values())


@pytest.mark.parametrize(("kind", "name"), FILES, ids=[f"{kind}/{name}" for kind, name in FILES])
def test_a_broken_file(fusemap: Command, monkeypatch: pytest.MonkeyPatch, kind: str, name: str) -> None:
    monkeypatch.chdir(BROKEN / kind)
    message = refused(fusemap, evaluate(kind, name))
    assert without_excerpts(message) == expected(kind)[name]
    check_excerpts(message, BROKEN / kind)


def without_excerpts(message: str) -> str:
    return "\n".join(line for line in message.splitlines() if not line.startswith("    "))


def check_excerpts(message: str, folder: Path) -> None:
    """Under each located message: its line of the file, and a caret under its column."""
    lines = message.splitlines()
    for i, line in enumerate(lines):
        match = re.match(r"(?P<file>[^:]+):(?P<line>\d+):(?P<column>\d+): error: ", line)
        if match is None or not (folder / match["file"]).exists():
            continue
        source = [*(folder / match["file"]).read_text(encoding="utf-8").splitlines(), ""][int(match["line"]) - 1]
        if source and (match["line"], match["column"]) != ("1", "1"):  # an error of the file as a whole has none
            shown, caret = lines[i + 1][4:], lines[i + 2][4:]
            assert shown in source.replace("\t", " ")
            offset = source.replace("\t", " ").index(shown)
            assert caret.index("^") + offset == int(match["column"]) - 1
            assert set(caret.strip()) <= {"^", "~"}


@pytest.mark.parametrize("name", expected("cascade"))
def test_run_refuses_a_broken_cascade_at_the_same_places(
    fusemap: Command, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(BROKEN / "cascade")
    places = [
        re.findall(r"^.*:\d+:\d+: error", text, re.MULTILINE)
        for text in (
            refused(fusemap, ["run", name]),
            expected("cascade")[name],
        )
    ]
    assert places[0] == places[1]


def test_several_broken_files_are_refused_one_stage_after_another(
    fusemap: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(BROKEN)
    arguments = ["--arch", "arch/empty.yaml", "--workload", "workload/empty.yaml", "--dataflow", "dataflow/empty.yaml"]
    assert refused(fusemap, ["evaluate", "cascade/empty.cascade", *arguments]).count("error:") >= 1


# --- files made here -------------------------------------------------------------------------------

BOMB = b"a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + i, 98 + i, b", ".join([b"*%c" % (97 + i)] * 9)) for i in range(9)
)
CONTENTS: dict[str, tuple[bytes, str, str]] = {
    # what: (content, what a YAML reader says, what the cascade reader says)
    "binary": (bytes(range(256)) * 40, "control character|not UTF-8", "not UTF-8|not a text file"),
    "elf": (b"\x7fELF\x02\x01\x01\x00" * 9, "control character", "not a text file"),
    "utf-16": ("description: x\n".encode("utf-16"), "not UTF-8", "not UTF-8"),
    "latin-1": (b"# caf\xe9\n", "not UTF-8", "not UTF-8"),
    "10 MB of lines": (b"# padding\n" * 1_048_576, "too large", "more than 1048576 bytes"),
    "a line of 10 MB": (b"#" * (10 << 20), "too large", "more than 1048576 bytes"),
    "deep brackets": (b"a: " + b"[" * 5000, "nested too deeply|invalid YAML", "error"),
    "alias bomb": (BOMB, "too many values", "error"),
    "a tag": (b"a: !!python/object/apply:os.system [x]\n", "tags are not supported", "error"),
    "two documents": (b"a: 1\n---\nb: 2\n", "second document", "error"),
    "a huge number": (b"ranks: {M: " + b"9" * 5000 + b"}\n", "error", "error"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", CONTENTS)
def test_a_file_that_is_no_text_of_its_kind(fusemap: Command, tmp_path: Path, kind: str, what: str) -> None:
    content, yaml_says, cascade_says = CONTENTS[what]
    path = tmp_path / ("made.cascade" if kind == "cascade" else "made.yaml")
    path.write_bytes(content)
    message = refused(fusemap, evaluate(kind, str(path)))
    assert re.search(cascade_says if kind == "cascade" else yaml_says, message), message[:500]
    assert str(path) in message
    assert len(message) < 20_000


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_not_there(fusemap: Command, tmp_path: Path, kind: str) -> None:
    ending = "cascade" if kind == "cascade" else "yaml"
    for path in (tmp_path / f"absent.{ending}", tmp_path, tmp_path / "a" / f"b.{ending}"):
        message = refused(fusemap, evaluate(kind, str(path)))
        assert str(path) in message and message.count("error:") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_is_not_built_in(fusemap: Command, kind: str) -> None:
    near = {"cascade": "attention-1pas", "arch": "fusemaxcloud", "workload": "BRET", "dataflow": "fusemax-bindng"}
    meant = {"cascade": "attention-1pass", "arch": "fusemax-cloud", "workload": "BERT", "dataflow": "fusemax-binding"}
    message = refused(fusemap, evaluate(kind, near[kind]))
    assert f"did you mean {meant[kind]}?" in message and message.count("error:") == 1


# --- random damage ---------------------------------------------------------------------------------

SEEDS = {
    "cascade": "einsum_cascade/library/attention-1pass.cascade",
    "arch": "archspec/archs/fusemax-cloud.yaml",
    "workload": "archspec/workloads/BERT.yaml",
    "dataflow": "mappers/library/flat.yaml",
}
WORDS = [
    "0",
    "-1",
    "1.5",
    "M",
    "P",
    "E",
    "m",
    "x",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    "*",
    "/",
    "(",
    ")",
    "=",
    "#",
    "&a",
    "*a",
    "9" * 30,
]


def damaged(text: str, random: Random) -> str:
    """The text with one to three lines or words dropped, doubled, swapped or replaced."""
    for _ in range(random.randint(1, 3)):
        tokens = re.findall(r"\w+|\s+|[^\w\s]", text) if random.random() < 0.7 else text.splitlines(keepends=True)
        if len(tokens) < 2:
            return text
        i, j = random.randrange(len(tokens)), random.randrange(len(tokens))
        match random.randrange(4):
            case 0:
                del tokens[i]
            case 1:
                tokens.insert(i, tokens[j])
            case 2:
                tokens[i], tokens[j] = tokens[j], tokens[i]
            case _:
                tokens[i] = random.choice(WORDS)
        text = "".join(tokens)
    return text


@pytest.mark.parametrize("kind", KINDS)
def test_random_damage_ends_in_an_answer(fusemap: Command, tmp_path: Path, kind: str) -> None:
    damage(fusemap, tmp_path, kind, range(30))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_much_random_damage_ends_in_an_answer(fusemap: Command, tmp_path: Path, kind: str) -> None:
    damage(fusemap, tmp_path, kind, range(1000, 1600))


def damage(fusemap: Command, folder: Path, kind: str, seeds: range) -> None:
    """Whatever is in a file: done, a no, or a located refusal; never a fault of fusemap, and never for long."""
    path = folder / ("made.cascade" if kind == "cascade" else "made.yaml")
    source = Path(fusemap_package.__file__).parent / SEEDS[kind]
    for seed in seeds:
        path.write_text(damaged(source.read_text(encoding="utf-8"), Random(seed)), encoding="utf-8")
        start = time.perf_counter()
        outcome = fusemap(*evaluate(kind, str(path)))
        assert outcome.code in (0, 1, 2), (seed, path.read_text(), outcome.err)
        assert bool(outcome.out) == (outcome.code == 0) and bool(outcome.err) == (outcome.code != 0), (seed, outcome)
        assert time.perf_counter() - start < SECONDS, (seed, path.read_text())
        if outcome.code == 2:
            assert re.search(r"^\S+:\d+:\d+: error: |^error: ", outcome.err), (seed, outcome.err)
