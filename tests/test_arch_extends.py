"""Files that extend a machine: a key that would have no effect, or a surprising one, is refused where it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusemap.archspec import load_arch, names, parse_arch
from fusemap.diagnostics import InputError

HEAD = "extends: fusemax-cloud\nsource: mine\n"
DIMS = 'to give it other dimensions, extend a file that sets "array_1d: {dims: null}"'

REFUSED: list[tuple[str, tuple[int, int], str, str]] = [
    # a third line, where the fault is, the message, the hint
    (
        "arrays: {array_1d: {dims: {lane: 128}}}",
        (3, 28),
        '"lane" is no dimension of the inherited array_1d, which has lanes',
        f"did you mean lanes?\n  {DIMS}",
    ),
    (
        "arrays: {array_1d: {dims: {lanes: 128, depth: 2}}}",
        (3, 40),
        '"depth" is no dimension of the inherited array_1d, which has lanes',
        DIMS,
    ),
    (
        "arrays: {array1d: {dims: {lanes: 128}}}",
        (3, 10),
        'no array "array1d" to change in the extended file',
        "did you mean array_1d?",
    ),
    (
        "arrays: {array_1d: {operators: {expp: {cycles: 3}}}}",
        (3, 33),
        'no operator "expp" to change in the extended file',
        "did you mean exp?",
    ),
    (
        "arrays: {array_1d: {parts: {lnk: {count: 3}}}}",
        (3, 29),
        'no part "lnk" to change in the extended file',
        "did you mean link?",
    ),
    ("parts: {lnk: {count: 3}}", (3, 9), 'no part "lnk" to change in the extended file', "did you mean link?"),
    (
        "memories: {global_bufer: {capacity: 32 MiB}}",
        (3, 12),
        'no memory "global_bufer" to change in the extended file',
        "did you mean global_buffer?",
    ),
    (
        "memories: {global_bufer: null}",
        (3, 12),
        'no memory "global_bufer" to change in the extended file',
        "did you mean global_buffer?",
    ),
    ("parameters: {pee: 128}", (3, 14), 'nothing uses parameter "pee"', "did you mean pe?"),
    (
        "parameters: {spare: 128}",
        (3, 14),
        'nothing uses parameter "spare"',
        "use it in an expression, or remove it",
    ),
    (
        "components: {macc: {energy: {mac: 3 pJ}}}",
        (3, 14),
        'nothing uses component "macc"',
        "did you mean mac?",
    ),
    (
        "components: {mac: {energy: {macc: 3 pJ}}}",
        (3, 29),
        'nothing uses action "macc" of component "mac"',
        "did you mean mac?",
    ),
    (
        "components: {sram: {sizes: {16MiB_4096: {capacity: 16 MiB, width: 4096 bit, energy: {raed: 3 pJ}}}}}",
        (3, 86),
        'nothing uses action "raed" of component "sram"',
        "did you mean read?",
    ),
]


def refusal(text: str) -> list[tuple[tuple[int, int], str, str]]:
    with pytest.raises(InputError) as caught:
        parse_arch(text, file="my.yaml")
    assert all(d.span is not None and d.span.file == "my.yaml" for d in caught.value.diagnostics)
    return [((d.span.line, d.span.column), d.message, d.hint) for d in caught.value.diagnostics if d.span]


@pytest.mark.parametrize(("line", "place", "message", "hint"), REFUSED, ids=[r[0][:40] for r in REFUSED])
def test_a_key_without_its_meant_effect_is_refused(line: str, place: tuple[int, int], message: str, hint: str) -> None:
    assert refusal(f"{HEAD}{line}\n") == [(place, message, hint)]


def test_misspelt_keys_come_together() -> None:
    text = HEAD + "memories: {drm: {bandwidth: 1 GB/s}}\narrays: {array_2d: {dims: {row: 3, column: 4}}}\n"
    assert [place for place, _, _ in refusal(text)] == [(3, 12), (4, 28), (4, 36)]


@pytest.mark.parametrize("name", names("arch"))
def test_what_the_base_has_may_be_changed(name: str) -> None:
    machine = parse_arch(
        f"extends: {name}\nsource: s\nparameters: {{pe: 16}}\nmemories: {{dram: {{bandwidth: 1 GB/s}}}}\n"
        "arrays: {array_1d: {dims: {lanes: 128}, operators: {mul: {cycles: 3}}}}\n"
    )
    line = machine.array("array_1d")
    assert (line.pes, line.operator("mul").cycles, machine.array("array_2d").pes) == (128, 3, 256)


GENUINE = """\
parameters: {near: 4, words: 2 * near}
memories: {global_buffer2: {component: sram, capacity: 16 MiB, width: 4096 bit}}
components: {queue: {energy: {push: 2 pJ, pop: 3 pJ}}, mac: {energy: {fma: 4 pJ}}}
arrays:
  array_1d: {operators: {sqrt: {cycles: words, actions: {queue.pop: 1, mac.fma: 2}}}}
  array_1e:
    dims: {lanes: near}
    registers: {component: register_file, depth: 8}
    operators: {exp: {cycles: 1, actions: {exp: 1}}}
"""


def test_what_is_new_and_complete_is_added() -> None:
    machine = parse_arch(HEAD + GENUINE)
    assert [m.name for m in machine.memories] == ["dram", "global_buffer", "global_buffer2"]
    assert (machine.array("array_1e").pes, machine.array("array_1d").operator("sqrt").cycles) == (4, 8)


def test_the_hint_how_to_replace_dimensions_is_true(tmp_path: Path) -> None:
    (tmp_path / "without.yaml").write_text("extends: fusemax-cloud\narrays: {array_1d: {dims: null}}\n")
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: without.yaml\nsource: s\narrays: {array_1d: {dims: {lane: 8, depth: 2}}}\n")
    assert [(d.name, d.extent) for d in load_arch(mine).array("array_1d").dims] == [("lane", 8), ("depth", 2)]


def test_a_misspelt_parameter_of_a_file_between_is_not_forgotten(tmp_path: Path) -> None:
    (tmp_path / "between.yaml").write_text(f"{HEAD}parameters: {{pee: 3}}\n")
    (tmp_path / "mine.yaml").write_text("extends: between.yaml\nsource: s\nclock: 1 GHz\n")
    with pytest.raises(InputError) as caught:
        load_arch(tmp_path / "mine.yaml")
    assert str(caught.value).startswith(f'{tmp_path}/between.yaml:3:14: error: nothing uses parameter "pee"')


def test_a_parameter_that_the_extending_file_no_longer_needs_may_stay_in_the_base() -> None:
    line = "arrays: {array_1d: {registers: {depth: 8}}}"
    assert parse_arch(HEAD + line).array("array_1d").registers.depth_words == 8
    assert refusal(f"{HEAD}parameters: {{depth_1d: 4}}\n{line}\n")[0][1] == 'nothing uses parameter "depth_1d"'


def test_names_of_components_are_no_uses_of_a_parameter() -> None:
    assert refusal(f"{HEAD}parameters: {{sram: 4, column: 3}}\n") == [
        ((3, 14), 'nothing uses parameter "sram"', "use it in an expression, or remove it"),
        ((3, 23), 'nothing uses parameter "column"', "use it in an expression, or remove it"),
    ]


OMITTED = [
    ("clock: 1 GHz\n", (2, 1), 'no source for this number: add "source:" here or in an enclosing block'),
    (
        "memories: {dram: {bandwidth: 1 GB/s, width: 32 bit}}\n",
        (2, 12),
        'no source for 2 numbers, the first "bandwidth" on line 2: add "source:" to "dram"',
    ),
    (
        "arrays: {array_1d: {operators: {exp: {cycles: 3}, mul: {cycles: 2, actions: {mac: 2}}}}}\n",
        (2, 10),
        'no source for 3 numbers, the first "cycles" on line 2: add "source:" to "array_1d"',
    ),
    (
        "memories: {dram: {bandwidth: 1 GB/s}, global_buffer: {source: s, capacity: 32 MiB}}\nclock: 1 GHz\n",
        (1, 1),
        'no source for 2 numbers, the first "bandwidth" on line 2: add "source:" to this file',
    ),
]


@pytest.mark.parametrize(("lines", "place", "message"), OMITTED, ids=[o[0][:30] for o in OMITTED])
def test_one_omitted_source_is_one_error(lines: str, place: tuple[int, int], message: str) -> None:
    text = f"extends: fusemax-cloud\n{lines}"
    assert refusal(text) == [(place, message, "")]
    assert parse_arch(f"{text}source: mine\n").clock_hz > 0


def test_each_file_that_omits_its_source_is_named(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "extends: fusemax-cloud\nmemories: {dram: {bandwidth: 1 GB/s}}\nparameters: {pe: 8}\n"
    )
    (tmp_path / "mine.yaml").write_text("extends: base.yaml\nclock: 1 GHz\nword: 4 B\n")
    with pytest.raises(InputError) as caught:
        load_arch(tmp_path / "mine.yaml")
    found = [
        (Path(d.span.file).name, d.span.line, d.span.column, d.message) for d in caught.value.diagnostics if d.span
    ]
    assert found == [
        (
            *("base.yaml", 2, 19),
            'no source for this number and 1 more in this file: add "source:" here or in an enclosing block',
        ),
        ("mine.yaml", 1, 1, 'no source for 2 numbers, the first "clock" on line 2: add "source:" to this file'),
    ]
