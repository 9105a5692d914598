"""Exports: formulas read back against the text and the tree, graphs against the reads, drawings that one can read."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from cascade_text import bare, statements, tensors_read
from conftest import Outcome
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.mathtext import MathTextParser
from tex_reader import Tree, read_tree

import fusemap as fm
from fusemap.cli.export import command as export_command
from fusemap.cli.files import write_whole
from fusemap.einsum_cascade.latex import inline, latex
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.types import Access, Apply, Cascade, Einsum, Expr, Number, OperatorName, TensorName

Run = Callable[..., Outcome]
LIBRARY = fm.list_cascades()
MATHTEXT = MathTextParser("path")


# --- LaTeX ----------------------------------------------------------------------------------------


def lines(tex: str) -> list[str]:
    """The lines of an environment without their ends."""
    first, *body, last = tex.splitlines()
    assert (first, last) == (r"\begin{align*}", r"\end{align*}")
    assert all(line.endswith(r" \\") for line in body[:-1]) and not body[-1].endswith("\\")
    return [line.removesuffix(r" \\") for line in body]


def equations(text: str, tex: str) -> list[str]:
    """The lines of the initialization and the Einsums: those with a sign, after the shapes that the text gives."""
    shapes = sum(line.partition("#")[0].count("=") for line in text.splitlines() if line.startswith("shape"))
    return [line for line in lines(tex) if " &= " in line][shapes:]


def names_in(tex: str) -> Counter[str]:
    """Tensors in a formula: a name before its indices, or one that is itself no index (a scalar)."""
    tex = re.sub(
        r"\\mathrm\{size\}\(\w+\)|\\mathrm\{val\}\\left\(.*?\\right\)|\\_", "", tex.partition(r" \quad \mathrm{for}")[0]
    )
    tex = re.sub(r"\\[a-zA-Z]+", " ", tex)
    found: Counter[str] = Counter()
    for match in re.finditer(r"[A-Z][A-Za-z0-9]*", tex):
        opened = [m.start() for m in re.finditer(r"_\{", tex[: match.start()])]
        inside = any(_closes(tex, start) > match.start() for start in opened)
        if tex.startswith("_{", match.end()) or not inside:
            found[match[0]] += 1
    return found


def _closes(tex: str, start: int) -> int:
    depth = 0
    for i in range(start + 1, len(tex)):
        depth += {"{": 1, "}": -1}.get(tex[i], 0)
        if depth == 0:
            return i
    return len(tex)


def render(line: str) -> None:
    """Typeset a line; ValueError if that cannot be done."""
    _typeset(re.sub(r"(\\[a-zA-Z]+)|[A-Za-z]\w*", lambda m: m[1] or m[0][0], line.replace("&", "")))


@cache
def _typeset(line: str) -> None:
    """Many lines are the same but for the names, of which one letter is left."""
    MATHTEXT.parse(f"${line}$")


SIGNS = {"exp": "e^{", "sqrt": r"\sqrt{", "abs": r"\left|", "square": "^{2}", "pow": "^{"}
COMMANDS = ("log", "tanh", "cos", "sin", "max", "min")


def faults(text: str, tex: str) -> list[str]:
    """What of the Einsums of a text is not in its formulas: an Einsum, a tensor, an operator, a reduction."""
    found = []
    wanted, shown = list(statements(text)), equations(text, tex)
    if len(wanted) != len(shown):
        found.append(f"{len(wanted)} Einsums, {len(shown)} formulas")
    for (name, right), line in zip(wanted, shown, strict=False):
        expected = tensors_read(right) + Counter([name])
        if names_in(line) != expected:
            found.append(f"{name}: {dict(expected)} but {dict(names_in(line))}")
        found += [f"{name}: {fault}" for fault in operator_faults(right, line)]
    return found


def operator_faults(right: str, line: str) -> Iterator[str]:
    """Operators and reductions of a right-hand side that its formula shows another number of times."""
    text = bare(right)
    calls = Counter(re.findall(r"\b([a-z]\w*)\(", text))
    roots = calls.pop("rsqrt", 0)
    calls["sqrt"] += roots
    counts = {r"\frac{": text.count("/") + roots + calls.pop("recip", 0), r"\cdot": text.count("*")}
    calls.pop("size", 0)
    for name, count in calls.items():
        sign = SIGNS.get(name) or (rf"\{name}\left(" if name in COMMANDS else rf"\mathrm{{{name}}}\left(")
        counts[sign] = counts.get(sign, 0) + count
    for sign, count in counts.items():
        if line.count(sign) != count:
            yield f"{count} of {sign} in the text, {line.count(sign)} in the formula"
    reduce = re.match(r"\s*([a-z]\w*)\[([^\]]*)\]", right)
    written = reduce is not None and (reduce[1] != "sum" or ":" in reduce[2])
    if line.count(r":: \bigvee") != written:
        yield "its reduction"


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", LIBRARY)
def test_every_line_is_valid_and_every_tensor_and_operator_is_there(name: str) -> None:
    cascade = fm.load_cascade(name)
    tex = latex(cascade)
    assert faults(cascade.text, tex) == []
    for line in lines(tex):
        assert line.count("&") == 1
        assert line.count("{") == line.count("}")
        assert len(re.findall(r"\\left\b", line)) == len(re.findall(r"\\right\b", line))
        render(line)
    stops = [line for line in lines(tex) if r"\diamond" in line]
    assert len(stops) == len(cascade.stops) and lines(tex)[len(lines(tex)) - len(stops) :] == stops


@pytest.mark.parametrize("name", ["attention-1pass", "attention-3pass", "layernorm", "moba"])
def test_a_dropped_einsum_tensor_or_operator_is_found(name: str) -> None:
    cascade = fm.load_cascade(name)
    tex = latex(cascade)
    for i in range(len(cascade.einsums)):
        rest = (*cascade.einsums[:i], *cascade.einsums[i + 1 :])
        assert faults(cascade.text, latex(dataclasses.replace(cascade, einsums=rest)))
    for piece, other in ((r"\frac", r"\mathrm"), ("e^{", "f^{"), (r"\bigvee", r"\sum"), (r"\cdot", "+")):
        if piece in tex:
            assert faults(cascade.text, tex.replace(piece, other, 1))
    with pytest.raises(ValueError, match=r"ParseException|Expected|Unknown"):
        render(r"QK_{m,p} &= \frac{Q_{e,p}")


def test_three_pass_attention_reads_as_in_the_paper() -> None:
    """FuseMax (MICRO 2024), Cascade 4, Einsums 33 to 38; its products are written with a cross."""
    assert latex(fm.load_cascade("attention-3pass")) == "\n".join(
        [
            r"\begin{align*}",
            r"QK_{m,p} &= Q_{e,p} \cdot K_{e,m} \\",
            r"GM_{p} &= QK_{m,p} :: \bigvee_{m} \max(\cup) \\",
            r"SN_{m,p} &= e^{QK_{m,p} - GM_{p}} \\",
            r"SD_{p} &= SN_{m,p} \\",
            r"A_{m,p} &= \frac{SN_{m,p}}{SD_{p}} \\",
            r"AV_{f,p} &= A_{m,p} \cdot V_{f,m}",
            r"\end{align*}",
        ]
    )


def test_one_pass_attention_has_initialization_partition_and_stop_as_in_the_paper() -> None:
    """FuseMax (MICRO 2024), Cascade 5, Einsums 39 to 56."""
    tex = lines(latex(fm.load_cascade("attention-1pass")))
    assert tex[:4] == [r"M &= M1 \times M0", r"\text{Initialization:} &", r"RM_{0,p} &= -\infty", r"RD_{0,p} &= 0"]
    assert r"BK_{e,m1,m0} &= K_{e,m1 \times M0 + m0}" in tex
    assert r"RM_{m1+1,p} &= \max\left(RM_{m1,p}, LM_{m1,p}\right)" in tex
    assert tex[-1] == r"& \diamond : m1 \geq M1"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("Z[m: m<=p, p] = X[m]*V[p]", r"Z_{m : m \leq p,\, p} &= X_{m} \cdot V_{p}"),
        ("Z[p] = sum[m: p-W<m<=p] X[m]*V[p]", r"Z_{p} &= X_{m} \cdot V_{p} :: \bigvee_{m : p-W < m \leq p} +(\cup)"),
        ("Z[p] = prod[m] X[m]*V[p]", r"Z_{p} &= X_{m} \cdot V_{p} :: \bigvee_{m} \times(\cup)"),
        ("Z[m] = X[m] for m>=1 & m<W", r"Z_{m} &= X_{m} \quad \mathrm{for}\ m \geq 1 \wedge m < W"),
        ("Z[m] = X[m]*T_1[m//G]", r"Z_{m} &= X_{m} \cdot T\_1_{\lfloor m / G \rfloor}"),
        ("Z[m] = X[m%G]*U[m]", r"Z_{m} &= X_{m \ \mathrm{mod}\ G} \cdot U_{m}"),
        ("Z[m] = X[m]/val(m+1)", r"Z_{m} &= \frac{X_{m}}{m+1}"),
        ("Z[m] = X[m]*val(m+1)", r"Z_{m} &= X_{m} \cdot \left(m+1\right)"),
        ("Z[m] = X[m] + 2.5e-3", r"Z_{m} &= X_{m} + 2.5 \times 10^{-3}"),
        ("Z = square(SC) - 1e5", r"Z &= \left(SC\right)^{2} - 10^{5}"),
        ("Z[j] = topk[m; j] X[m]", r"Z_{j} &= X_{m} :: \bigvee_{m \rightarrow j} \mathrm{topk}(\cup)"),
        (
            "Z[j,p] = topk[m: m<=p; j] X[m]*V[p]",
            r"Z_{j,p} &= X_{m} \cdot V_{p} :: \bigvee_{m \rightarrow j : m \leq p} \mathrm{topk}(\cup)",
        ),
        ("Z[j] = X[I[j]]", r"Z_{j} &= X_{I_{j}}"),
        ("Z[m] = pow(X[m], 0.5)", r"Z_{m} &= X_{m}^{0.5}"),
        (
            "Z[m] = where(gt(X[m], 0), X[m], 0)",
            r"Z_{m} &= \mathrm{where}\left(\mathrm{gt}\left(X_{m}, 0\right), X_{m}, 0\right)",
        ),
    ],
)
def test_notation(statement: str, expected: str) -> None:
    shape = "shape W = 2, G = 2, J = 2\n" if re.search("[WGj]", statement) else ""
    tex = lines(latex(parse(f"{shape}input X[m], V[p], T_1[g], U[m], I[j], SC\n{statement}\n")))
    assert tex[-1] == expected
    render(expected)


def test_inline_is_the_same_in_a_formula() -> None:
    cascade = fm.load_cascade("softmax")
    assert inline(cascade) == "$\\displaystyle" + latex(cascade).replace("align*", "aligned") + "$"
    assert fm.latex("softmax") == latex(cascade)


# --- expressions, read back -----------------------------------------------------------------------

LEAVES = st.sampled_from(
    [Access(tensor=TensorName("A")), Access(tensor=TensorName("B")), Number(text="2"), Number(text="1e-5")]
)
ARITY = {"add": 2, "sub": 2, "mul": 2, "div": 2, "pow": 2, "max": 2, "safediv": 2} | dict.fromkeys(
    ["neg", "exp", "log", "sqrt", "rsqrt", "square", "abs", "recip", "relu"], 1
)


def _applied(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    def build(name: str) -> st.SearchStrategy[Expr]:
        args = st.tuples(*[inner] * ARITY[name])
        return args.map(lambda a: Apply(operator=OperatorName(name), args=a))

    return st.sampled_from(sorted(ARITY)).flatmap(build)


def tree(expr: Expr) -> Tree:
    """What a reader of the formula understands: names, numbers and applications, squares as powers."""
    if isinstance(expr, Access):
        return str(expr.tensor)
    if isinstance(expr, Number):
        return ("pow", "10", ("neg", "5")) if expr.text == "1e-5" else expr.text
    assert isinstance(expr, Apply)
    args = tuple(tree(a) for a in expr.args)
    match expr.operator:
        case "square":
            return ("pow", *args, "2")
        case "recip":
            return ("div", "1", *args)
        case "rsqrt":
            return ("div", "1", ("sqrt", *args))
        case name:
            return (str(name), *args)


def formula(expr: Expr) -> str:
    """The right-hand side of `Z = expr`."""
    einsum = Einsum(output=Access(tensor=TensorName("Z")), reduce=None, expr=expr)
    return lines(latex(Cascade(name="z", einsums=(einsum,))))[0].removeprefix("Z &= ")


@given(st.recursive(LEAVES, _applied, max_leaves=12))
def test_a_formula_reads_back_as_the_same_tree(expr: Expr) -> None:
    assert read_tree(formula(expr)) == tree(expr)


@pytest.mark.parametrize(
    ("tex", "meant"), [("A - B + 2", ("sub", "A", ("add", "B", "2"))), ("-A \\cdot B + 2", ("neg", ("add", "A", "B")))]
)
def test_a_missing_parenthesis_is_found(tex: str, meant: Tree) -> None:
    assert read_tree(tex) != meant


# --- the command ----------------------------------------------------------------------------------


def test_the_command_prints_what_python_returns_and_writes_the_same(fusemap: Run, tmp_path: Path) -> None:
    tex = fm.latex("attention-1pass")
    printed = fusemap("export", "latex", "attention-1pass")
    assert (printed.code, printed.out, printed.err) == (0, f"{tex}\n", "")
    target = tmp_path / "a.tex"
    written = fusemap("export", "latex", "attention-1pass", "--out", str(target))
    assert (written.code, written.out, written.err) == (0, "", f"written to {target}\n")
    assert target.read_text() == f"{tex}\n"
    document = fusemap("export", "latex", "attention-1pass", "--json").json()
    expected = {"schema": "fusemap/export/1", "format": "latex", "cascade": "attention-1pass", "latex": tex}
    assert document == expected
    assert fusemap("export", "latex", "attention-1pass", "--json", "--out", str(target)).json() == expected


@pytest.mark.parametrize("name", sorted(export_command.commands))
def test_every_format_explains_itself_with_an_example(name: str, fusemap: Run) -> None:
    outcome = fusemap("export", name, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"Usage: fusemap export {name}" in outcome.out
    assert f"fusemap export {name} " in outcome.out.split("\n", 1)[1]
    assert "--json" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("latx", "softmax"), "Did you mean 'latex'?"),
        (("latex", "softmx"), "did you mean softmax?"),
        (("latex", "softmax", "--out", "no/such/file.tex"), "error: no/such/file.tex: No such file or directory"),
        (("graph", "softmax", "--out", "a.jpg"), "valid endings: .svg, .png, .pdf, .dot"),
        (("graph", "softmax", "--out", "a"), "has no ending"),
        (("graph", "softmax", "--out", "no/such/a.svg"), "error: no/such/a.svg: No such file or directory"),
    ],
)
def test_wrong_input_says_what_would_be_right(argv: tuple[str, ...], message: str, fusemap: Run) -> None:
    outcome = fusemap("export", *argv)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err.replace('"', "'")


def test_a_wrong_ending_is_told_before_anything_is_computed(fusemap: Run) -> None:
    outcome = fusemap("export", "graph", "no-such-cascade", "--out", "a.jpg")
    assert outcome.code == 2 and "a.jpg" in outcome.err and "no-such-cascade" not in outcome.err


# --- files are whole ------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["write", "replace"])
def test_what_was_there_stays_when_writing_fails(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.tex"
    target.write_text("before")

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    if step == "write":
        monkeypatch.setattr("builtins.open", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        write_whole(str(target), b"after")
    assert caught.value.filename == str(target)
    assert [p.name for p in tmp_path.iterdir()] == ["a.tex"]
    assert target.read_bytes() == b"before"


def test_links_are_followed_and_permissions_are_usual(tmp_path: Path) -> None:
    target, link, plain = tmp_path / "a.tex", tmp_path / "link.tex", tmp_path / "plain"
    link.symlink_to(target)
    write_whole(str(link), b"1")
    write_whole(str(link), b"2")
    assert link.is_symlink() and target.read_bytes() == b"2"
    plain.write_bytes(b"")
    assert target.stat().st_mode == plain.stat().st_mode


def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(str(pipe), b"through")
    assert os.read(reader, 100) == b"through" and not pipe.is_file()
    os.close(reader)
