"""`fusemap analyze`: its page, its document, its errors; the numbers themselves have tests of their own."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome

import fusemap as fm
from fusemap.cli.analyze_page import page
from fusemap.einsum_cascade.analysis_reasons import carried, reasons
from fusemap.einsum_cascade.analysis_rows import rows_in_order
from fusemap.einsum_cascade.analysis_sizes import known_sizes
from fusemap.einsum_cascade.analysis_text import alike, certificate, certificates
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.passes.types import Barrier, PassCount, RankPasses
from fusemap.einsum_cascade.resolve import resolve_sizes
from fusemap.einsum_cascade.types import ShapeName, TensorName

Run = Callable[..., Outcome]

SLOW = re.compile("^miras-")  # the analysis takes tens of seconds
NAMES = [n for n in fm.list_cascades() if not SLOW.match(n)]
QUICK = [n for n in NAMES if not re.search("streaming|chunked|em-attention|flash|gqa|splitk", n)]

THREE_PASSES = """\
attention-3pass: a 3-pass cascade on M; 1 pass on E, P, F
passes needed by every mapping, at all extents of at least 2

passes over M of K
pass  Einsum                          why
----  ------------------------------  --------------------------------
   1  QK[m,p] = Q[e,p]*K[e,m]         reads K along M
   1  GM[p] = max[m] QK[m,p]          reads QK of the same pass
   2  SN[m,p] = exp(QK[m,p] - GM[p])  GM is complete only after pass 1
   2  SD[p] = sum[m] SN[m,p]          reads SN of the same pass
   3  A[m,p] = SN[m,p] / SD[p]        SD is complete only after pass 2
   3  AV[f,p] = A[m,p]*V[f,m]         reads A of the same pass

rank  tensors  passes  schedule  exact  all stored  look-ahead
----  -------  ------  --------  -----  ----------  ----------
M     K             3         3  yes             1           0
M     QK            3         3  yes             2           0
M     SN            2         2  yes             2           0
one pass over M of V, A; E of Q, K; P of Q, QK, GM, SN, SD, A; F of V

(K, M): 3 passes proven; a schedule with 3 exists; 1 if every derived tensor is stored
  pass 1: QK, GM
     barrier before SN: every element of the fiber was already visited by QK, GM
  pass 2: SN, SD
     barrier before A: every element of the fiber was already visited by SN, SD
  pass 3: A, AV

(QK, M): 3 passes proven; a schedule with 3 exists; 2 if every derived tensor is stored
  pass 1: GM
     barrier before SN: every element of the fiber was already visited by GM
  pass 2: SN, SD
     barrier before A: every element of the fiber was already visited by SN, SD
  pass 3: A, AV

can be fused on M: {QK, GM}, {SN, SD}, {A, AV}
no barrier on E, P, F

elements live at once, for one p; loops m, e, f
tensors  each stored  recomputed from it
-------  -----------  ------------------
Q        E            E
K        1            E*M
V        1            1
QK, SN   M            -
AV       F            -
one element of GM, SD, A
all together at most Max(E + M + 2, F + M + 2)

operator  times applied
--------  -----------------------
div       M*P
exp       M*P
max       M*P - P
mul       E*M*P + F*M*P
sub       M*P
sum       E*M*P + F*M*P - F*P - P
"""

ONE_PASS = """\
attention-1pass: a 1-pass cascade on M; 2 passes on M0; 1 pass on E, P, F, M1
passes needed by every mapping, at all extents of at least 7

passes over M of K
pass  Einsum                                         why
----  ---------------------------------------------  ---------------------------------
   1  BK[e,m1,m0] = K[e,m1*M0+m0]                    reads K along M
   -  BV[f,m1,m0] = V[f,m1*M0+m0]                    does not need K
   1  BQK[m1,m0,p] = Q[e,p]*BK[e,m1,m0]              reads BK of the same pass
   1  LM[m1,p] = max[m0] BQK[m1,m0,p]                reads BQK of the same pass
   -  RM[m1+1,p] = max(RM[m1,p], LM[m1,p])           works per M1, where M0 is reduced
   1  SLN[m1,m0,p] = exp(BQK[m1,m0,p] - RM[m1+1,p])  reads BQK of the same pass
   1  SLD[m1,p] = sum[m0] SLN[m1,m0,p]               reads SLN of the same pass
   1  SLNV[f,m1,p] = SLN[m1,m0,p]*BV[f,m1,m0]        reads SLN of the same pass
   -  PRM[m1,p] = exp(RM[m1,p] - RM[m1+1,p])         works per M1, where M0 is reduced
   -  SPD[m1,p] = RD[m1,p]*PRM[m1,p]                 works per M1, where M0 is reduced
   -  RD[m1+1,p] = SLD[m1,p] + SPD[m1,p]             works per M1, where M0 is reduced
   -  SPNV[f,m1,p] = RNV[f,m1,p]*PRM[m1,p]           works per M1, where M0 is reduced
   -  RNV[f,m1+1,p] = SLNV[f,m1,p] + SPNV[f,m1,p]    works per M1, where M0 is reduced
   -  AV[f,p] = RNV[f,M1,p] / RD[M1,p]               reads no coordinate of M

one pass over M of K is enough: a sweep keeps M0 coordinates of it at a time and carries RM, RD, RNV
  along, and nothing waits for its end

rank  tensors        passes  schedule  exact  all stored  look-ahead
----  -------------  ------  --------  -----  ----------  ----------
M     K, V, BK, BQK       1         1  yes             1      M0 - 1
M0    BK                  2         2  yes             1           0
M0    BQK                 2         2  yes             2           0
M1    RM, RD, RNV         1         1  yes             1           1
one pass over M of SLN, BV; E of K, Q, BK; P of Q, BQK, LM, RM, SLN, PRM, SLD, SLNV, SPD, RD, SPNV,
  RNV; F of V, BV, SLNV, SPNV, RNV; M0 of SLN, BV; M1 of BK, BQK, LM, SLN, PRM, BV, SLD, SLNV, SPD,
  SPNV

(BK, M0): 2 passes proven; a schedule with 2 exists; 1 if every derived tensor is stored
  pass 1: BQK, LM
     barrier before SLN: every element of the fiber was already visited by BQK, LM
  pass 2: SLN, SLD, SLNV

(BQK, M0): 2 passes proven; a schedule with 2 exists; 2 also if every derived tensor is stored
  pass 1: LM
     barrier before SLN: every element of the fiber was already visited by LM
  pass 2: SLN, SLD, SLNV

can be fused on M0: {BQK, LM}, {SLN, SLD, SLNV}
no barrier on M, E, P, F, M1
"""


# --- the page -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "expected"), [("attention-3pass", THREE_PASSES), ("attention-1pass", ONE_PASS)])
def test_the_page_teaches(name: str, expected: str, fusemap: Run) -> None:
    outcome = fusemap("analyze", name)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == expected if name == "attention-3pass" else outcome.out.startswith(f"{expected}\n")


def test_one_row_can_be_asked_for(fusemap: Run) -> None:
    shown = fusemap("analyze", "attention-3pass", "--tensor", "SN", "--rank", "M").out
    assert "(SN, M): 2 passes proven; a schedule with 2 exists; 2 also if every derived tensor is stored" in shown
    assert "(QK, M)" not in shown
    nothing = fusemap("analyze", "attention-3pass", "--tensor", "AV")
    assert nothing.code == 0
    assert "nothing reads what was asked for" in nothing.out


def test_all_prints_every_proof(fusemap: Run) -> None:
    few, every = (fusemap("analyze", "act", *more).out for more in ((), ("--all",)))
    assert "(GM, P), (SN, P), (SD, P), (A, P): 2 too, by the same barriers; --all prints each proof" in few
    assert "(A, P): 2 passes proven" in every and "--all" not in every
    found = fm.analyze("act")
    assert all(f"({row.tensor}, {row.rank})" in every for row in found.passes)


def test_live_elements_depend_on_the_loops(fusemap: Run) -> None:
    shown = fusemap("analyze", "attention-3pass", "--loops", "M,p").out
    assert "elements live at once; loops m, p, e, f\n" in shown
    assert re.search(r"^QK, SN +M\*P +-$", shown, re.M)
    found = fm.analyze("attention-3pass", {"M": 8, "P": 2, "E": 3, "F": 5}, loops=["m", "p"]).to_json()
    joint: Any = found["joint_footprint"]
    assert joint["loops"][:2] == ["m", "p"] and joint["elements"] == max(8 * 2 + 6, 6 + 3 + 18, 10 + 5 + 19)
    wrong = fusemap("analyze", "attention-3pass", "--loops", "m,x")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err == "error: attention-3pass has no rank variable x\n  valid rank variables: e, f, m, p\n"


def test_sizes_give_numbers_where_they_can(fusemap: Run) -> None:
    part = fusemap("analyze", "attention-3pass", "--size", "M=4K", "--size", "P=2").out
    assert "sizes: P = 2, M = 4096; open: E, F\n" in part
    assert re.search(r"^exp +8,192$", part, re.M) and re.search(r"^mul +8192\*E \+ 8192\*F$", part, re.M)
    whole = fusemap("analyze", "attention-1pass", "--workload", "BERT@4K", "--size", "M0=256").out
    assert "BERT@4K: M = 4096, M1 = 16, M0 = 256, E = 64, P = 4096, F = 64\n" in whole
    assert "passes needed by every mapping at these sizes\n" in whole
    assert re.search(r"^BQK +256 +-$", whole, re.M)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("vmoba", "barrier before S: which coordinates are read is known only when all of the fiber was visited by"),
        ("vmoba", "SEL tells where to read, only after pass 1"),
        ("attention-3pass-causal", "holds where P >= M; elsewhere fewer may do"),
        ("power-iteration", "no schedule of sweeps was found"),
        ("power-iteration", "every step of T needs passes of its own; what a step repeats is listed once"),
        ("power-iteration", "power-iteration: at least 2*T passes on I"),
        ("attention-3pass-window", "keeps 4 coordinates of it at a time"),
        ("attention-naive-deferred", "carries SD, SNV along"),
        ("attention-sinks", "attention-sinks: at least 1 pass on M"),
        ("attention-sinks", "a long formula: --json prints it"),
        ("cascade-1", "cascade-1: a 2-pass cascade on K\n"),
    ],
)
def test_what_else_is_said(name: str, text: str, fusemap: Run) -> None:
    assert text in fusemap("analyze", name).out


def row(**other: Any) -> RankPasses:
    """A row of two passes over M of K."""
    two = PassCount(constant=2)
    known = {
        "tensor": TensorName("K"),
        "rank": ShapeName("M"),
        "passes": two,
        "upper": two,
        "direct": PassCount(constant=1),
        "assignment": ((TensorName("A"), 1), (TensorName("B"), 2)),
        "barriers": (Barrier(before=(TensorName("B"),), visited_by=(TensorName("A"),)),),
    }
    return RankPasses(**{**known, **other})


@pytest.mark.parametrize(
    ("other", "head", "tail"),
    [
        ({}, "2 passes proven; a schedule with 2 exists; 1 if every derived tensor is stored", "  pass 2: B"),
        (
            {"upper": PassCount(constant=5)},
            "2 passes proven; the best schedule found has 5, so the number lies between; 1 if every derived "
            "tensor is stored",
            "  pass 2: B",
        ),
        (
            {"upper": None, "method": "instance", "note": "counted on an instance with M = 3"},
            "2 passes on a small instance; no schedule of sweeps was found",
            "  counted on an instance with M = 3",
        ),
        ({"when": ("P >= M", "M >= 2")}, None, "  holds where P >= M and M >= 2; elsewhere fewer may do"),
        ({"lookahead": "2*M0"}, None, "  the schedule keeps 2*M0 + 1 coordinates of the fiber at a time"),
    ],
)
def test_a_proof_says_what_is_known(other: dict[str, Any], head: str | None, tail: str) -> None:
    lines = certificate([row(**other)], width=1000).splitlines()
    assert head is None or lines[0] == f"(K, M): {head}"
    assert lines[1:3] == ["  pass 1: A", "     barrier before B: every element of the fiber was already visited by A"]
    assert lines[-1] == tail


def test_equal_proofs_are_printed_once() -> None:
    rows = [row(), row(tensor=TensorName("L")), row(tensor=TensorName("N"), direct=PassCount(constant=2))]
    shared, own = certificates(rows)
    assert certificate(shared).startswith("(K, M), (L, M): 2 passes proven")
    assert certificate(own).startswith("(N, M): 2 passes proven")
    assert len(list(alike([shared, own]))) == 2
    assert list(alike([shared, own, (row(tensor=TensorName("O")),)]))[-1].startswith("(O, M): 2 too")


def test_reasons_name_what_is_waited_for() -> None:
    cascade = parse("input A[k]\nX = max[k] A[k]\nB[k] = A[k] / (X * A[K-1])\nC = sum[k] B[k] * X\nD = C + 1\n")
    found = fm.analyze(cascade)
    why = reasons(cascade, found.row("A", "K"))
    assert why["X"] == "reads A along K"
    assert why["B"] == "X is complete only after pass 1"
    assert why["C"] == "reads B of the same pass" or "complete" in why["C"]
    assert why["D"] == "reads no coordinate of K"


@pytest.mark.parametrize(
    ("name", "tensor", "along"),
    [
        ("attention-1pass", "K", ("RM", "RD", "RNV")),
        ("attention-naive-deferred", "K", ("SD", "SNV")),
        ("linear-attention", "V", ("KV",)),
    ],
)
def test_what_one_sweep_carries(name: str, tensor: str, along: tuple[str, ...]) -> None:
    assert carried(fm.load_cascade(name), fm.analyze(name).row(tensor, "M"))[: len(along)] == along


@pytest.mark.parametrize(
    ("name", "ranks"),
    [
        ("attention-1pass", "M E P F M0 M1"),
        ("softmax", "K N"),
        ("aem", "N D L"),
        ("agent", "M P E F G P0"),
        ("attention-naive", "M"),
        ("attention-naive-deferred", "M"),
    ],
)
def test_sequences_come_first_and_parts_last(name: str, ranks: str) -> None:
    label = list(fm.analyze(name).label)
    assert label[: len(ranks.split())] == ranks.split()


# --- the whole library ----------------------------------------------------------------------------


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", QUICK)
def test_every_cascade_is_analysed(name: str, fusemap: Run) -> None:
    check_page(name, fusemap)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(NAMES) - set(QUICK)))
def test_every_other_cascade_is_analysed(name: str, fusemap: Run) -> None:
    check_page(name, fusemap)


def check_page(name: str, fusemap: Run) -> None:
    """The page fits, names every Einsum, and no claim of the document is missing in it."""
    outcome = fusemap("analyze", name)
    assert (outcome.code, outcome.err) == (0, "")
    assert max(map(len, outcome.out.splitlines())) <= 100
    cascade = fm.load_cascade(name)
    assert all(f"  {e.name}[" in outcome.out or f"  {e.name} =" in outcome.out for e in cascade.einsums)


def test_every_row_is_on_the_page() -> None:
    found = fm.analyze("attention-2pass")
    shown = page(found, everything=True)
    assert set(re.findall(r"\((\w+), (\w+)\)", shown)) >= {(r.tensor, r.rank) for r in found.passes}
    assert rows_in_order(found.cascade, found.passes) != found.passes
    assert set(rows_in_order(found.cascade, found.passes)) == set(found.passes)


# --- the document ---------------------------------------------------------------------------------

EXPECTED = [  # the table of the definition of passes
    ("cascade-1", {("A", "K"): 2, ("B", "K"): 1}),
    ("cascade-2", {("A", "K"): 1}),
    ("cascade-3", {("A", "K"): 1}),
    ("attention-3pass", {("K", "M"): 3, ("QK", "M"): 3, ("SN", "M"): 2, ("A", "M"): 1, ("V", "M"): 1, ("Q", "P"): 1}),
    ("attention-3pass-deferred", {("K", "M"): 2, ("SN", "M"): 1, ("V", "M"): 1}),
    ("attention-3pass-window", {("K", "M"): 1}),
    ("attention-2pass", {("K", "M"): 2, ("BQK", "M"): 2, ("BQK", "M1"): 3, ("BQK", "M0"): 3}),
    ("attention-2pass-deferred", {("BQK", "M"): 2, ("LM", "M1"): 2}),
    (
        "attention-1pass",
        {("K", "M"): 1, ("BQK", "M"): 1, ("BQK", "M1"): 1, ("BQK", "M0"): 2, ("V", "M"): 1},
    ),
    ("attention-naive", {("K", "M"): 2}),
    ("softmax", {("X", "K"): 3}),
    ("cross-entropy", {("X", "K"): 3}),
    ("power-iteration", {("A", "J"): "T"}),
]


@pytest.mark.parametrize(("name", "expected"), EXPECTED, ids=[name for name, _ in EXPECTED])
def test_the_document_holds_the_expected_passes(name: str, expected: dict[Any, Any], fusemap: Run) -> None:
    outcome = fusemap("analyze", name, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    document = outcome.json()
    found = {(entry["tensor"], entry["rank"]): entry["passes"] for entry in document["passes"]}
    assert {key: found[key] for key in expected} == expected
    assert document["label"] == {
        rank: max((e["passes"] for e in document["passes"] if e["rank"] == rank), key=lambda n: (isinstance(n, str), n))
        for rank in document["label"]
    }


def test_the_document_keeps_its_fields(fusemap: Run) -> None:
    document = fusemap("analyze", "attention-3pass", "--json").json()
    assert document["schema"] == "fusemap/analyze/1"
    assert (document["cascade"], document["label"]["M"]) == ("attention-3pass", 3)
    (entry,) = (e for e in document["passes"] if (e["tensor"], e["rank"]) == ("QK", "M"))
    assert entry == {
        "tensor": "QK",
        "rank": "M",
        "passes": 3,
        "upper": 3,
        "exact": True,
        "direct": 2,
        "lookahead": "0",
        "method": "static",
        "assignment": {"GM": 1, "SN": 2, "SD": 2, "A": 3, "AV": 3},
        "barriers": [
            {"before": ["SN"], "visited_by": ["GM"], "kind": "order"},
            {"before": ["A"], "visited_by": ["SN", "SD"], "kind": "order"},
        ],
        "when": [],
        "note": "",
    }
    footprints = {f["tensor"]: (f["store"], f["recompute"]) for f in document["footprints"]}
    assert (footprints["QK"], footprints["SN"], footprints["A"]) == (("M", None), ("M", None), (1, None))
    assert footprints["K"][1] == "E*M"
    operations = {(o["einsum"], o["operator"]): o["count"] for o in document["operations"]}
    assert operations["QK", "mul"] == "E*M*P"


def test_with_sizes_the_counts_are_those_of_an_execution() -> None:
    sizes = {"M": 12, "M0": 3, "E": 2, "P": 5, "F": 4}
    analysed, executed = fm.analyze("attention-1pass", sizes).to_json(), fm.run("attention-1pass", sizes).to_json()
    assert analysed["sizes"] == executed["sizes"] and analysed["open"] == []
    counted, ran = (
        [(o["einsum"], o["operator"], o["count"]) for o in document["operations"]]  # type: ignore[attr-defined]
        for document in (analysed, executed)
    )
    assert counted == ran
    for entry in analysed["operations"]:  # type: ignore[attr-defined]
        assert isinstance(entry["count"], int) and isinstance(entry["count_formula"], str)


def test_steps_become_numbers() -> None:
    assert fm.analyze("power-iteration", {"T": 7}).to_json()["label"]["J"] == 7  # type: ignore[index]
    assert fm.analyze("power-iteration", {"T": 7, "J": 64}).to_json()["label"]["J"] == 7  # type: ignore[index]


def test_a_workload_gives_sizes_and_they_can_be_replaced() -> None:
    found = fm.analyze("attention-3pass", {"P": 128}, workload="BERT@4K")
    assert (found.workload, dict(found.sizes), found.open) == (
        "BERT@4K",
        {"E": 64, "P": 128, "M": 4096, "F": 64},
        (),
    )
    assert found == fm.analyze("attention-3pass", {"P": 128}, fm.load_workload("BERT@4K"))


@pytest.mark.parametrize(
    ("sizes", "known", "still_open"),
    [
        ({}, {}, "M E P F M0 M1"),
        ({"M": 12, "M0": 3}, {"M": 12, "M1": 4, "M0": 3}, "E P F"),
        ({"M0": 3, "E": 7}, {"M0": 3, "E": 7}, "M P F M1"),
        ({"M1": 2, "M0": 3, "E": 1, "F": 1, "P": 1}, {"M": 6, "M1": 2, "M0": 3, "E": 1, "F": 1, "P": 1}, ""),
    ],
)
def test_sizes_follow_from_others(sizes: dict[str, int], known: dict[str, int], still_open: str) -> None:
    cascade = fm.load_cascade("attention-1pass")
    found, rest = known_sizes(cascade, sizes)
    assert dict(found) == known and set(rest) == set(still_open.split())
    if not rest:
        assert found == dict(resolve_sizes(cascade, sizes))


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["attention-3pas"], "did you mean attention-3pass?"),
        (["attention-3pass", "--tensor", "KK"], "error: attention-3pass has no tensor KK\n  did you mean K?\n"),
        (
            ["attention-3pass", "--tensor", "K", "--rank", "p"],
            "error: K of attention-3pass has no rank p\n  valid ranks: E, M\n",
        ),
        (["attention-3pass", "--size", "MM=3"], "error: unknown shape MM\n  did you mean M?\n"),
        (["attention-3pass", "--size", "M=0"], "error: size M must be an integer of at least 1, found 0\n"),
        (
            ["attention-3pass", "--size", "M"],
            "error: --size M is not NAME=N\n  write for example --size M=4096 or M=4K",
        ),
        (
            ["attention-1pass", "--size", "M=10", "--size", "M0=4"],
            "M = M1*M0 does not hold: M = 10 is no multiple of 4",
        ),
        (["attention-3pass", "--workload", "BRET@4K"], "did you mean BERT?"),
        (
            ["softmax", "--workload", "BERT@4K"],
            "error: workload BERT@4K sizes no rank of softmax: it has B, H, E, F, M, P, D, S\n"
            "  the ranks of softmax: N, K; --size gives theirs\n",
        ),
    ],
)
def test_wrong_input_is_refused_with_what_is_near(argv: list[str], message: str, fusemap: Run) -> None:
    for more in ([], ["--json"]):
        outcome = fusemap("analyze", *argv, *more)
        assert (outcome.code, outcome.out) == (2, "")
        assert message in outcome.err


def test_an_error_of_a_file_says_where(fusemap: Run, tmp_path: Path) -> None:
    path = tmp_path / "wrong.cascade"
    path.write_text("input A[k]\nB = sum[k] A[k] * C\n")
    outcome = fusemap("analyze", str(path))
    assert (outcome.code, outcome.out) == (2, "")
    assert f"{path}:2:19: error:" in outcome.err


# --- what is loaded and shown ---------------------------------------------------------------------


def test_passes_alone_need_no_sympy() -> None:
    script = """
        import sys, fusemap.einsum_cascade.analysis
        from fusemap.einsum_cascade.catalog import load
        from fusemap.einsum_cascade.passes.analyze import analyze
        analyze(load("attention-1pass"))
        print(*sorted({m.split(".")[0] for m in sys.modules} & {"sympy", "matplotlib", "pydantic"}))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_notebook_shows_rows_and_proofs() -> None:
    found = fm.analyze("attention-3pass")
    assert isinstance(found, fm.Analysis)
    shown = "".join(ET.fromstring(f"<div>{found._repr_html_()}</div>").itertext())
    assert "(QK, M)332" in shown and "pass 2: SN, SD" in shown
    assert r"\mathrm{(QK, M)} & 3 & 3 & 2" in found._repr_latex_()
    assert str(found).splitlines()[0] == "attention-3pass: a 3-pass cascade on M; 1 pass on E, P, F"
    assert repr(found) == f"<Analysis of {str(found).splitlines()[0]}>"
    alone = fm.analyze("attention-naive-deferred")
    ET.fromstring(f"<div>{alone._repr_html_()}</div>")
    assert "<pre" not in alone._repr_html_()
