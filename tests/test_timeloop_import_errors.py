"""What the Timeloop import refuses, by name, line and column: one change of a small design at a time."""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

import pytest

from fusemap.diagnostics import InputError
from fusemap.validation.timeloop.reading.imported import import_timeloop

DATA = Path(__file__).parent / "data" / "timeloop_import"

# A file of the design, what is replaced in it, by what, and the errors.
FAULTS: list[tuple[str, str, str, list[str]]] = [
    ("arch.yaml", "width: datawidth * 4\n\n", "width: datawidth * WIDE\n\n", ['arch.yaml:15:26: unknown name "WIDE"']),
    ("arch.yaml", "width: datawidth * 4\n\n", "width: datawith * 4\n\n", ['arch.yaml:15:14: unknown name "datawith"']),
    ("arch.yaml", "max(2 ** 9, 64)", "pow(2, 9)", ['arch.yaml:22:14: unknown function "pow"']),
    (
        "arch.yaml",
        "max(2 ** 9, 64)",
        'DRAM.attributes["width"]',
        ['arch.yaml:22:29: unexpected character "[" in an expression'],
    ),
    (
        "arch.yaml",
        "max(2 ** 9, 64)",
        "__import__('os').system('true')",
        ['arch.yaml:22:25: unexpected character "\'" in an expression'],
    ),
    ("arch.yaml", "max(2 ** 9, 64)", '"512"', ['arch.yaml:22:15: expected depth of glb, found the text "512"']),
    (
        "arch.yaml",
        "max(2 ** 9, 64)",
        "2 ** 9 + 0.5",
        ["arch.yaml:22:14: expected depth of glb as a whole number from 1 on, found 512.5"],
    ),
    (
        "arch.yaml",
        "n_banks: 4",
        "allow_overbooking: true",
        ["arch.yaml:24:26: glb: allow_overbooking: true is not supported"],
    ),
    ("arch.yaml", "n_banks: 4", "multiple_buffering: 0", ["arch.yaml:24:27: multiple_buffering of glb is below 1"]),
    (
        "arch.yaml",
        "n_banks: 4",
        "cluster_size: 3",
        ["arch.yaml:23:14: glb: a row of 64 bit is no whole number of words of 16 bit in 3 clusters"],
    ),
    ("arch.yaml", "- !Parallel", "- !Pipelined", ["arch.yaml:32:5: !Pipelined is not supported"]),
    ("arch.yaml", "- !Parallel", "- !Paralel", ["arch.yaml:32:5: unknown tag !Paralel"]),
    ("arch.yaml", "class: SRAM", "class: SRM", ['arch.yaml:19:12: glb: unknown class "SRM"']),
    ("arch.yaml", "class: SRAM", "class: XY_NoC", ["arch.yaml:19:12: glb: a network is not supported"]),
    (
        "arch.yaml",
        "    spatial: {meshX: 4, meshY: 2}",
        "    spatial: {meshX: 4, meshZ: 2}",
        ['arch.yaml:30:25: spatial has an unknown key "meshZ"'],
    ),
    (
        "arch.yaml",
        "    spatial: {meshX: 4, meshY: 2}",
        "    networks: [{name: n}]",
        ["arch.yaml:30:5: grid: a network is not supported"],
    ),
    ("arch.yaml", "version: 0.4", "version: 0.3", ["arch.yaml:2:12: version 0.3 is not supported"]),
    (
        "arch.yaml",
        "  nodes:\n  - !Container\n    name: chip",
        "  subtree:\n  - !Container\n    name: chip",
        ["arch.yaml:3:3: an architecture of subtrees (version 0.3) is not supported"],
    ),
    ("arch.yaml", "name: glb", "name: DRAM", ["arch.yaml:18:11: a second DRAM: the first stands at arch.yaml:9:5"]),
    (
        "arch.yaml",
        "dataspace: {keep: [Z]}",
        "dataspace: {keep: [Z, B]}",
        ["arch.yaml:35:7: B goes through several branches of the !Parallel node of b_spad"],
    ),
    (
        "arch.yaml",
        "    - !Nothing {constraints: {dataspace: {keep: [A]}}}\n",
        "",
        ["arch.yaml:35:7: A goes through no branch of the !Parallel node of b_spad"],
    ),
    (
        "arch.yaml",
        "dataspace: {keep: [A, Z], bypass: [B]}",
        "dataspace: {keep: [A, Zz]}",
        ['arch.yaml:26:29: unknown data space "Zz"'],
    ),
    (
        "arch.yaml",
        "dataspace: {keep: [A, Z], bypass: [B]}",
        "dataspace: {keep: [A, Z], no_coalesce: [B]}",
        ["arch.yaml:26:33: no_coalesce of glb is not supported"],
    ),
    (
        "arch.yaml",
        "dataspace: {keep: [A, Z], bypass: [B]}",
        "temporal: {no_reuse: [A]}",
        ["arch.yaml:26:18: no_reuse of glb is not supported"],
    ),
    (
        "arch.yaml",
        "dataspace: {keep: [A, Z], bypass: [B]}",
        "temporal: {factors: [K<=2]}",
        ["arch.yaml:26:28: glb: the mapping has K=3, the constraint is <=2"],
    ),
    (
        "arch.yaml",
        "    class: DRAM\n",
        "    class: DRAM\n    sparse_optimizations: {action_optimization: []}\n",
        ["arch.yaml:12:5: DRAM: sparse optimizations are not supported"],
    ),
    (
        "arch.yaml",
        "  - !Component\n    name: mac\n    class: intmac",
        "  - !Component\n    name: mac\n    class: SRAM",
        [
            "arch.yaml:3:3: the architecture has no compute component",
            'arch.yaml:49:5: mac has no "width": the bits of a row',
        ],
    ),
    (
        "arch.yaml",
        "    name: DRAM\n",
        "    name: DRAM\n    clas: x\n",
        ['arch.yaml:11:5: a component has an unknown key "clas"'],
    ),
    ("mapping.yaml", "M=2 N=3", "M=2 N=3,1", ['mapping.yaml:2:51: a temporal directive has an unknown key "1"']),
    ("mapping.yaml", "[K=3]", '["K=3,2"]', ["mapping.yaml:3:44: the remainder in K=3,2 is not supported"]),
    ("mapping.yaml", "M=2 N=3", "M=2 L=3", ['mapping.yaml:2:47: unknown dimension "L"']),
    ("mapping.yaml", "M=2 N=3", "M=2 N=x", ['mapping.yaml:2:47: expected factors as in R=3 P=16, found "N=x"']),
    (
        "mapping.yaml",
        "permutation: KNM",
        "permutation: KNK",
        ["mapping.yaml:2:65: dimension K stands twice in a permutation"],
    ),
    (
        "mapping.yaml",
        "permutation: KNM",
        "permutation: KNX",
        ['mapping.yaml:2:65: unknown dimension "X" in a permutation'],
    ),
    ("mapping.yaml", "target: glb", "target: gbl", ['mapping.yaml:3:3: no storage for the target "gbl"']),
    ("mapping.yaml", "target: grid", "target: gird", ['mapping.yaml:4:3: no fanout for the target "gird"']),
    ("mapping.yaml", "type: spatial", "type: skew", ['mapping.yaml:4:24: the type "skew" is not supported']),
    ("mapping.yaml", "split: 1", "split: 2", ["arch.yaml:30:5: grid: K=2, M=4 along X take 8 of 4 instances"]),
    ("mapping.yaml", "split: 1", "split: 1, no_reuse: [A]", ["mapping.yaml:4:88: no_reuse of grid is not supported"]),
    (
        "mapping.yaml",
        "split: 1",
        "spilt: 1",
        [
            "arch.yaml:30:5: grid: K=2, M=4 along X take 8 of 4 instances",
            'mapping.yaml:4:78: a spatial directive has an unknown key "spilt"',
        ],
    ),
    ("mapping.yaml", "{target: b_spad, type", "{type", ['mapping.yaml:5:3: a directive has no "target"']),
    (
        "mapping.yaml",
        "mapping:",
        "mapping:\n- {target: glb, type: dataspace, bypass: [A]}",
        ["arch.yaml:26:18: glb is told both to keep and to bypass A"],
    ),
    (
        "parts/gemm.yaml",
        "M: 8, N: 6",
        "M: 8.5, N: 6",
        ["parts/gemm.yaml:4:17: expected the size of M as a whole number from 1 on, found 8.5"],
    ),
    (
        "parts/gemm.yaml",
        "M: 8, N: 6",
        "M: 0, N: 6",
        ["parts/gemm.yaml:4:17: expected the size of M as a whole number from 1 on, found 0"],
    ),
    (
        "parts/gemm.yaml",
        "{M: 8, N: 6, K: 12}",
        "{M: 8, N: 6, K: 12, densities: {A: {density: 0.5, distribution: banded}}}",
        ["parts/gemm.yaml:4:45: the density of A is not supported"],
    ),
    ("parts/gemm.yaml", "<<<: *gemm", "<<<: *gem", ["parts/gemm.yaml:3:8: undefined alias *gem"]),
    (
        "parts/gemm.yaml",
        "<<<: *gemm",
        "<<<: 3",
        ['parts/gemm.yaml:3:3: expected a mapping (or a list of them) under <<<, found "3"'],
    ),
    ("parts/gemm.yaml", "shape.yaml", "shapes.yaml", ['parts/gemm.yaml:1:3: no file "shapes.yaml"']),
    ("parts/shape.yaml", "[[[M]], [[K]]]", "[[[M]], [[L]]]", ['parts/shape.yaml:9:29: unknown dimension "L"']),
    (
        "parts/shape.yaml",
        "[[[M]], [[K]]]",
        "[[M], [K]]",
        ['parts/shape.yaml:9:21: expected a term of a projection (as in [[R], [P, stride]]) as a list, found "M"'],
    ),
    ("parts/shape.yaml", "[[[M]], [[K]]]", "[[[M]], [[K, x]]]", ['parts/shape.yaml:9:32: unknown coefficient "x"']),
    (
        "parts/shape.yaml",
        "read_write: true",
        "read_wirte: true",
        [
            "parts/shape.yaml:8:5: expected one data space with read_write: true, found none",
            'parts/shape.yaml:14:7: a data space has an unknown key "read_wirte"',
        ],
    ),
    (
        "parts/shape.yaml",
        "read_write: true",
        "read_write: false",
        ["parts/shape.yaml:8:5: expected one data space with read_write: true, found none"],
    ),
    (
        "parts/shape.yaml",
        "dimensions: [M, N, K]",
        "dimensions: [M, N, K, M]",
        ["parts/shape.yaml:6:27: dimension M is there already"],
    ),
    (
        "parts/shape.yaml",
        "dimensions: [M, N, K]",
        "dimensions: [M, N, K, L]",
        ["parts/gemm.yaml:4:13: the instance gives dimension L no size"],
    ),
    (
        "parts/shape.yaml",
        "  version: 0.4\n  instance",
        "  version: [0.4\n  instance",
        ['parts/shape.yaml:2:12: invalid YAML: "[" is not closed: expected "," or "]" on line 3'],
    ),
    (
        "top.yaml.jinja2",
        "{% else %}",
        "{% for x in y %}",
        ['top.yaml.jinja2:26:4: the statement "for" is not supported'],
    ),
    ("top.yaml.jinja2", "{% endif %}", "", ["top.yaml.jinja2:24:3: this if has no endif"]),
    (
        "top.yaml.jinja2",
        "{% else %}\n# Without a mapping.\n{% endif %}",
        "{% endif %}{% endif %}",
        ['top.yaml.jinja2:26:15: "endif" without an if'],
    ),
    (
        "top.yaml.jinja2",
        "word_bits|default(16)",
        "word_bits",
        ['top.yaml.jinja2:18:11: the template uses "word_bits", which is not defined'],
    ),
    (
        "top.yaml.jinja2",
        "word_bits|default(16)",
        "word_bits|int",
        ['top.yaml.jinja2:18:21: the filter "int" is not supported'],
    ),
    (
        "top.yaml.jinja2",
        "word_bits|default(16)",
        "cwd().__class__",
        ['top.yaml.jinja2:18:16: "." is not understood in a template'],
    ),
    ("top.yaml.jinja2", "WORD: {{word_bits|default(16)}}", "WORD: WARD", ['top.yaml.jinja2:18:9: unknown name "WARD"']),
    (
        "top.yaml.jinja2",
        "WORD: {{word_bits|default(16)}}",
        "WORD: HALF * 2\n  HALF: WORD / 2",
        ["top.yaml.jinja2:18:9: WORD depends on itself: WORD -> HALF -> WORD"],
    ),
    (
        "top.yaml.jinja2",
        "WORD: {{word_bits|default(16)}}",
        "WORD: {{word_bits|default(16)",
        ['top.yaml.jinja2:18:9: "{{" is not closed: expected "}}"'],
    ),
    (
        "top.yaml.jinja2",
        "include(problem, 'problem')",
        "include(problem, 'problm')",
        ['top.yaml.jinja2:11:10: parts/gemm.yaml has no "problm" to include'],
    ),
    (
        "top.yaml.jinja2",
        "include(problem, 'problem')",
        "include('top.yaml.jinja2', 'problem')",
        ["top.yaml.jinja2:11:10: top.yaml.jinja2 includes itself"],
    ),
    (
        "top.yaml.jinja2",
        "include(problem, 'problem')",
        "inclde(problem, 'problem')",
        ['top.yaml.jinja2:11:12: unknown function "inclde"'],
    ),
    (
        "top.yaml.jinja2",
        "include(problem, 'problem')",
        "include('nothere.yaml', 'problem')",
        ['top.yaml.jinja2:11:12: no file "nothere.yaml"'],
    ),
    (
        "top.yaml.jinja2",
        "expression_custom_functions: []",
        "expression_custom_functions: [f.py]",
        ["top.yaml.jinja2:9:32: functions of Python files are not run"],
    ),
    ("top.yaml.jinja2", "  global_cycle_seconds: 2e-9\n", "", ["arch.yaml:2:3: global_cycle_seconds is not given"]),
    ("top.yaml.jinja2", "variables:\n", "variabels:\n", ['top.yaml.jinja2:14:1: unknown key "variabels"']),
    (
        "top.yaml.jinja2",
        "globals:\n",
        "sparse_optimizations: {targets: [x]}\nglobals:\n",
        ["top.yaml.jinja2:6:23: sparse optimizations are not supported"],
    ),
    (
        "top.yaml.jinja2",
        "globals:\n",
        "ERT: {version: 0.4, tables: []}\nglobals:\n",
        ["top.yaml.jinja2:6:6: ERT stands among other keys: expected it in a file of its own"],
    ),
    (
        "arch.yaml",
        "  nodes:\n",
        "  nods:\n",
        ['arch.yaml:2:3: the architecture has no "nodes"', 'arch.yaml:3:3: the architecture has an unknown key "nods"'],
    ),
    ("arch.yaml", "  - !Container\n    name: grid", "  - name: grid", ["arch.yaml:28:5: a node without a tag"]),
    (
        "arch.yaml",
        "    - !Nothing {constraints: {dataspace: {keep: [A]}}}",
        "    - !Parallel {nodes: []}",
        ["arch.yaml:44:7: !Parallel inside !Parallel is not supported"],
    ),
    ("arch.yaml", "    name: glb\n", "", ['arch.yaml:17:5: a component has no "name"']),
    ("arch.yaml", "    class: SRAM\n", "", ['arch.yaml:17:5: glb has no "class"']),
    (
        "arch.yaml",
        "    name: glb\n",
        "    name: glb\n    enabled: false\n",
        ['mapping.yaml:3:3: no storage for the target "glb"'],
    ),
    (
        "arch.yaml",
        "    name: glb\n",
        "    name: glb\n    enabled: maybe\n",
        ['arch.yaml:19:14: expected enabled as true or false, found "maybe"'],
    ),
    (
        "arch.yaml",
        "meshX: 4,",
        "meshX: 0,",
        ["arch.yaml:30:22: expected meshX of grid as a whole number from 1 on, found 0"],
    ),
    (
        "arch.yaml",
        "      class: smartbuffer_RF\n",
        "      class: smartbuffer_RF\n      spatial: {meshX: 2}\n",
        ["arch.yaml:37:7: b_spad: a fanout inside !Parallel"],
    ),
    (
        "arch.yaml",
        "  - !Component\n    name: DRAM",
        "  - !Container {name: first, spatial: {meshX: 2}}\n  - !Component\n    name: DRAM",
        ["arch.yaml:3:3: the outermost level is no storage"],
    ),
    (
        "arch.yaml",
        "  - !Component\n    name: mac",
        "  - !Component {name: other, class: fpmac}\n  - !Component\n    name: mac",
        ["arch.yaml:47:5: a second compute component: expected one, as the last node"],
    ),
    (
        "arch.yaml",
        "n_banks: 4",
        "block_size: 3",
        ["arch.yaml:24:19: glb: a row of 64 bit is no whole number of blocks of 3 words of 16 bit"],
    ),
    ("arch.yaml", "n_banks: 4", "shared_bandwidth: 0", ["arch.yaml:24:25: shared_bandwidth of glb is not above 0"]),
    (
        "arch.yaml",
        "n_banks: 4",
        "reduction_supported: false",
        ["arch.yaml:24:28: glb: reduction_supported: false is not supported"],
    ),
    (
        "arch.yaml",
        "dataspace: {keep: [A, Z], bypass: [B]}",
        "max_overbooked_proportion: {proportion: 0.5}",
        ["arch.yaml:26:35: proportion of glb is not supported"],
    ),
    (
        "arch.yaml",
        "dataspace: {keep: [A, Z], bypass: [B]}",
        "dataspce: {keep: [A]}",
        ['arch.yaml:26:7: constraints has an unknown key "dataspce"'],
    ),
    (
        "arch.yaml",
        "dataspace: {keep: [A, Z], bypass: [B]}",
        "dataspace: {kept: [A]}",
        ['arch.yaml:26:19: a dataspace directive has an unknown key "kept"'],
    ),
    (
        "top.yaml.jinja2",
        "global_cycle_seconds: 2e-9",
        "global_cycle_seconds: 1 / 0",
        ["top.yaml.jinja2:17:27: division by zero"],
    ),
    (
        "top.yaml.jinja2",
        "global_cycle_seconds: 2e-9",
        "global_cycle_seconds: -1",
        ["top.yaml.jinja2:17:25: global_cycle_seconds is not above 0"],
    ),
    ("parts/gemm.yaml", "  <<<: *gemm\n", "", ['parts/gemm.yaml:3:3: the problem has no "shape"']),
    (
        "parts/shape.yaml",
        "    name: gemm\n",
        "    nam: gemm\n",
        ['parts/shape.yaml:5:5: the shape has an unknown key "nam"'],
    ),
    ("parts/shape.yaml", "    dimensions: [M, N, K]\n", "", ['parts/shape.yaml:5:5: the shape has no "dimensions"']),
    (
        "parts/shape.yaml",
        "dimensions: [M, N, K]",
        "dimensions: [M, N, K-1]",
        [
            'parts/shape.yaml:6:24: a dimension "K-1": expected letters, digits and _',
            'parts/shape.yaml:9:29: unknown dimension "K"',
            'parts/shape.yaml:11:22: unknown dimension "K"',
        ],
    ),
    (
        "parts/shape.yaml",
        "dimensions: [M, N, K]",
        "dimensions: {M: 1}",
        ["parts/shape.yaml:6:17: expected dimensions as a list, found a mapping"],
    ),
    (
        "parts/shape.yaml",
        "    name: gemm\n",
        "    name: gemm\n    coefficients: [{default: 2}]\n",
        ['parts/shape.yaml:6:20: a coefficient has no "name"'],
    ),
    (
        "parts/shape.yaml",
        "    name: gemm\n",
        "    name: gemm\n    coefficients: [{name: x}]\n",
        ["parts/shape.yaml:6:20: coefficient x has no value in the instance, and no default"],
    ),
    (
        "parts/shape.yaml",
        "    - name: A\n      projection",
        "    - projection",
        [
            "parts/shape.yaml:8:5: no data space that is read has the dimension M",
            'parts/shape.yaml:8:7: a data space has no "name"',
        ],
    ),
    (
        "parts/shape.yaml",
        "- name: A",
        "- name: A-1",
        ['parts/shape.yaml:8:13: a data space "A-1": expected letters, digits and _'],
    ),
    (
        "parts/shape.yaml",
        "- name: A",
        "- name: B",
        ["parts/shape.yaml:8:13: a second data space B", "parts/shape.yaml:10:13: a second data space B"],
    ),
    (
        "parts/shape.yaml",
        "[[[M]], [[K]]]",
        "[[[M]], []]",
        ["parts/shape.yaml:9:27: a position of a projection has no term"],
    ),
    (
        "parts/shape.yaml",
        "[[[M]], [[K]]]",
        "[[[M]], [[K, 2, 3]]]",
        ["parts/shape.yaml:9:28: a term is a dimension and at most one coefficient, found 3 parts"],
    ),
    (
        "parts/shape.yaml",
        "[[[M]], [[N]]]\n      read",
        "[[[M], [N]]]\n      read",
        ["parts/shape.yaml:12:13: the output Z is indexed by a sum or a multiple"],
    ),
    (
        "parts/shape.yaml",
        "[[[M]], [[K]]]",
        "[[[K]]]",
        ["parts/shape.yaml:8:5: no data space that is read has the dimension M"],
    ),
    (
        "mapping.yaml",
        "{target: glb, type: temporal, factors: [K=3]",
        "{target: glb, type: temporal, factors: {K: 3}",
        ["mapping.yaml:3:42: expected factors as in R=3, found a mapping"],
    ),
    (
        "mapping.yaml",
        "{target: glb, type: temporal",
        "{target: grid, type: temporal",
        ["mapping.yaml:3:3: grid is a fanout: it keeps nothing and has no loops in time"],
    ),
    (
        "mapping.yaml",
        "factors: [K=3]",
        "factors: [[K]]",
        ["mapping.yaml:3:43: expected factors as in R=3, found a list"],
    ),
    ("mapping.yaml", "factors: [K=3]", "factors: [K=3, K=1]", ["mapping.yaml:3:48: glb: K is 1 here and 3 elsewhere"]),
    (
        "mapping.yaml",
        "- {target: DRAM",
        "- DRAM\n- {target: DRAM",
        ['mapping.yaml:2:3: expected a directive as a mapping, found "DRAM"'],
    ),
    (
        "mapping.yaml",
        "mapping:\n",
        "mapping:\n- {target: DRAM, type: dataspace, bypass: [B]}\n- {target: b_spad, type: dataspace, bypass: [B]}\n",
        [
            "arch.yaml:10:5: no storage keeps B",
            "arch.yaml:35:7: B goes through no branch of the !Parallel node of b_spad",
            "arch.yaml:38:32: b_spad is told both to keep and to bypass B",
        ],
    ),
    (
        "mapping.yaml",
        "mapping:\n",
        "mapping:\n- {target: grid, type: dataspace, keep: [B]}\n",
        ["mapping.yaml:2:3: grid is a fanout: it keeps nothing and has no loops in time"],
    ),
]


def errors_of(folder: Path, *more: str) -> list[str]:
    """Place and message of every error, paths relative to the design."""
    with pytest.raises(InputError) as caught:
        import_timeloop(str(folder / "top.yaml.jinja2"), *more)
    located = ((f"{d.span}: " if d.span is not None else "") + d.message for d in caught.value.diagnostics)
    return [text.replace(f"{folder}/", "") for text in located]


@pytest.mark.parametrize(("file", "old", "new", "expected"), FAULTS, ids=[f"{f[0]}: {f[2][:30]!r}" for f in FAULTS])
def test_what_is_wrong_is_named_with_its_place(
    file: str, old: str, new: str, expected: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "design"
    shutil.copytree(DATA, folder)
    text = (folder / file).read_text("utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), "utf-8")
    assert errors_of(folder) == expected


def design(tmp_path: Path, **files: str) -> Path:
    """A folder with the design and some files more."""
    folder = tmp_path / "design"
    shutil.copytree(DATA, folder)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, "utf-8")
    return folder


MANY = "".join(f"b{i}: &b{i} [{', '.join(f'*b{i - 1}' for _ in range(10))}]\n" for i in range(1, 9))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("# nothing but this\n", "the file is empty"),
        ("- a\n- b\n", "expected a specification as a mapping, found a list"),
        ("a: 1\n---\nb: 2\n", "a second document: expected one per file"),
        ("variables: &v\n  a: *v\n", "alias *v contains itself"),
        ("variables:\n  a: 1\n  a: 2\n", 'duplicate key "a" (first given on line 2)'),
        ("variables: {<<: {a: 1}, <<<: {b: 2}}\n", "a mapping has either << or <<<, not both"),
        ("variables: " + "[" * 60 + "]" * 60 + "\n", "nested too deeply: more than 50 levels"),
        (f"b0: &b0 [0, 1, 2]\n{MANY}", "too many values: aliases expand to more than 200000"),
        ("variables: !!python/object:os.system {}\n", "unknown tag !!python/object:os.system"),
        ("variables:\n\ta: 1\n", "invalid YAML: indentation uses spaces, found a tab"),
        ("variables: {{a" + "+1" * 400 + "}}\n", "the expression is too long"),
        ("variables: {{" + "(" * 100 + "1" + ")" * 100 + "}}\n", "nested too deeply"),
        ("variables: {{'a' * 5}}\n", '"*" of a text and a number'),
        ("variables: {{1 / 0}}\n", "division by zero"),
        ("problem: {}\n", "a second problem: the first stands at"),
        ("x: " + "y" * (1 << 20) + "\n", "file too large: more than 1048576 bytes"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_bad_files_are_one_message(text: str, expected: str, tmp_path: Path) -> None:
    folder = design(tmp_path, more_yaml=text)
    found = errors_of(folder, str(folder / "more.yaml"))
    assert len(found) == 1 and expected in found[0]


def test_a_file_is_taken_once_and_a_missing_one_is_named(tmp_path: Path) -> None:
    folder = design(tmp_path)
    top = str(folder / "top.yaml.jinja2")
    assert import_timeloop(top, top).files == import_timeloop(top).files
    assert errors_of(folder, str(folder / "none.yaml")) == ["none.yaml:1:1: cannot read the file: no such file"]


def test_a_part_that_no_file_has_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file has the key problem: the Einsum and its sizes"):
        import_timeloop(str(DATA / "arch.yaml"), defines={"WORD": 16, "global_cycle_seconds": 1e-9})


def test_an_update_that_costs_more_than_a_write_is_refused(tmp_path: Path) -> None:
    prices = tmp_path / "ERT.yaml"
    text = (DATA / "ERT.yaml").read_text("utf-8")
    prices.write_text(
        text.replace("{name: update, arguments: {}, energy: 6.0}", "{name: update, energy: 9.0}"), "utf-8"
    )
    with pytest.raises(InputError, match=r"glb: an update costs 9.0 pJ and a write 6.0 pJ"):
        import_timeloop(str(DATA / "top.yaml.jinja2"), prices=[str(prices)])


def test_a_file_that_includes_itself_as_text_is_refused(tmp_path: Path) -> None:
    folder = design(tmp_path, more_yaml="{{include_text('more.yaml')}}\n")
    found = errors_of(folder, str(folder / "more.yaml"))
    assert len(found) == 1 and "includes itself" in found[0]


def test_only_one_of_two_branches_is_read(tmp_path: Path) -> None:
    text = "{% if false %}\na: {{b(}}\n{% elif 1 == 1 %}\nmapper: {}\n{% else %}\na: {{b}}\n{% endif %}\n"
    folder = design(tmp_path, more_yaml=text)
    assert import_timeloop(str(folder / "top.yaml.jinja2"), str(folder / "more.yaml")).files


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{% set a = 'x' %}\n" + "{% set a = a ~ a %}\n" * 40 + "a: 1\n", "the text is too long"),
        ("{% set a = 9 %}\n" + "{% set a = a * a %}\n" * 40 + "a: 1\n", "the number is too large"),
        ("a: " + "{{'b'}}" * 5_000 + "\n", 'unknown key "a"'),
    ],
)
def test_templates_cannot_grow_beyond_reason(text: str, expected: str, tmp_path: Path) -> None:
    folder = design(tmp_path, more_yaml=text)
    assert expected in errors_of(folder, str(folder / "more.yaml"))[0]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("M: 8,", "M: 2 ** 50,", "the size of M is too large: more than 2^40"),
        ("[[[M]], [[N]]]", "[[[M]], [[M]]]", "the output Z has a dimension twice"),
        ("K", "For", "the problem cannot be written as a cascade"),
    ],
)
def test_problems_that_no_cascade_can_say(old: str, new: str, expected: str, tmp_path: Path) -> None:
    folder = design(tmp_path)
    for file in ("parts/gemm.yaml", "parts/shape.yaml"):
        text = (folder / file).read_text("utf-8")
        (folder / file).write_text(text.replace(old, new), "utf-8")
    with pytest.raises(InputError, match=re.escape(expected)):
        import_timeloop(str(folder / "top.yaml.jinja2"), defines={"mapping": "none.yaml"})


def test_a_parallel_node_without_storages_passes_everything_through(tmp_path: Path) -> None:
    folder = design(tmp_path)
    path = folder / "arch.yaml"
    text = path.read_text("utf-8")
    node = "  - !Parallel {nodes: [!Nothing {constraints: {dataspace: {keep: [A, B]}}}]}\n"
    path.write_text(text.replace("  - !Component\n    name: mac", f"{node}  - !Component\n    name: mac"), "utf-8")
    assert errors_of(folder) == ["arch.yaml:3:3: Z goes through no branch of a !Parallel node"]


@pytest.mark.parametrize("file", ["arch.yaml", "mapping.yaml", "parts/shape.yaml", "top.yaml.jinja2"])
def test_a_line_that_is_missing_is_an_error_or_none(file: str, tmp_path: Path) -> None:
    folder = design(tmp_path)
    lines = (folder / file).read_text("utf-8").splitlines(keepends=True)
    for at in range(0, len(lines), 2):
        (folder / file).write_text("".join(lines[:at] + lines[at + 1 :]), "utf-8")
        with contextlib.suppress(InputError):  # anything else is a fault of ours
            assert import_timeloop(str(folder / "top.yaml.jinja2")).files
