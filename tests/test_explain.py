"""Explanations: every number is derived to the last digit, from loops and prices that are there, or it is a fault."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Outcome
from dataflow_cases import OF_LAYERS, data_dependent, not_computed, open_sizes
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from fusemap import einsum_cascade
from fusemap.archspec import load_arch, load_workload
from fusemap.archspec.types import Machine
from fusemap.cli.explain_overview import OVERVIEWS
from fusemap.cli.explain_text import Sources, exact, formula
from fusemap.diagnostics import InputError
from fusemap.mappers.dataflow import load_dataflow, names
from fusemap.mappers.types import Fanout, Storage
from fusemap.sim.accounting import Accounting, OperatorCycles
from fusemap.sim.choose import Evaluation, evaluate_case
from fusemap.sim.explain import METRICS, Explanation, explain
from fusemap.sim.explain_select import Selection, select
from fusemap.sim.terms import Term, difference, largest, product, quotient, recomputed, total
from fusemap.sim.terms import given as a_number
from fusemap.validation.accounting import NAMES, accounting

Run = Callable[..., Outcome]
BINDING = ("attention-1pass", "fusemax-cloud", "BERT@4K", "fusemax-binding")
CASES = (  # cascade, arch, workload, dataflow
    BINDING,
    ("attention-1pass", "fusemax-cloud", "XLM@1M", "fusemax-arch"),
    ("attention-1pass", "flat-cloud", "T5@256K", "fusemax-cascade"),
    ("attention-1pass-causal", "fusemax-cloud", "TrXL@1000", "fusemax-binding"),
    ("attention-3pass", "flat-cloud", "BERT@16K", "flat"),
    ("attention-3pass", "flat-cloud", "XLM@256K", "flat"),
    ("attention-3pass", "unfused-cloud", "XLM@1M", "unfused"),
    ("attention-3pass", "fusemax-cloud", "BERT@3", "search"),
    ("attention-3pass-deferred", "flat-cloud", "XLM@1009", "search"),
    ("attention-naive", "fusemax-cloud", "BERT@1K", "unfused"),
    ("linear-attention", "fusemax-cloud", "T5@64K", "search"),
)


def evaluation(cascade: str, arch: str, workload: str, dataflow: str, name: str = "principled") -> Evaluation:
    """The evaluation of a case in an accounting."""
    return evaluate_case(
        einsum_cascade.load(cascade),
        load_arch(arch),
        load_workload(workload),
        load_dataflow(dataflow),
        accounting=lambda dataflow: accounting(name, dataflow),
    )


@pytest.fixture(scope="module")
def binding() -> Explanation:
    """+Binding on BERT@4K."""
    return explain(evaluation(*BINDING))


# --- terms ----------------------------------------------------------------------------------------

LEAVES = st.builds(a_number, st.just("n"), st.integers(1, 1 << 60) | st.floats(1e-3, 1e12))


def _grown(terms: st.SearchStrategy[Term]) -> st.SearchStrategy[Term]:
    some = st.lists(terms, max_size=3)
    return st.one_of(
        st.builds(total, st.just("sum"), some),
        st.builds(lambda parts: product("product", *parts), some),
        st.builds(largest, st.just("max"), some),
        st.builds(difference, st.just("difference"), terms, terms),
        st.builds(quotient, st.just("quotient"), terms, LEAVES),
    )


@given(st.recursive(LEAVES, _grown, max_leaves=12))
def test_a_term_recomputes_to_its_value(term: Term) -> None:
    assert recomputed(term) == term.value


@given(st.recursive(LEAVES, _grown, max_leaves=12))
def test_a_term_is_printed_without_changing_its_value(term: Term) -> None:
    """What formulas leave out (factors of one, summands of zero) makes no difference."""
    text = formula(term, Sources())
    assert text
    for part in term.parts:
        neutral = {"product": 1, "quotient": 1, "sum": 0}.get(term.operation)
        assert part.value == neutral or exact(part.value) in text or part.parts


def test_a_term_with_a_wrong_value_does_not_recompute() -> None:
    wrong = dataclasses.replace(product("p", a_number("a", 2), a_number("b", 3)), value=7)
    assert recomputed(wrong) == 6 != wrong.value


# --- derivations hold to the last digit -----------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_every_number_of_the_report_is_derived_exactly(case: tuple[str, str, str, str], name: str) -> None:
    explanation = explain(evaluation(*case, name))
    report = explanation.evaluation.report
    values = {metric: [t.value for t in explanation.derivation(metric).terms] for metric in METRICS}
    assert values == {
        "latency": [report.latency_s],
        "energy": [report.energy_pj],
        "traffic": [report.traffic_bytes],
        "area": [report.area_um2],
        "utilization": list(report.utilization.values()),
    }
    for derivation in explanation.derivations:
        for term in (*derivation.terms, *(part.term for part in derivation.parts)):
            assert recomputed(term) == term.value, (derivation.metric, term.name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_the_parts_of_energy_are_the_rows_and_add_up(case: tuple[str, str, str, str], name: str) -> None:
    explanation = explain(evaluation(*case, name))
    report = explanation.evaluation.report
    parts = explanation.derivation("energy").parts
    assert sum(part.term.value for part in parts) == report.energy_pj
    for part, row in zip(parts, report.rows, strict=True):
        count, price = part.term.parts
        assert (part.einsum, part.component, part.tensor) == (row.einsum, row.component, row.tensor)
        assert (count.value, price.value, price.source) == (row.count, row.unit_energy_pj, row.source)
        words = [t.value for t in count.walk() if t.name.startswith("words")]
        assert row.words is None or row.words in words or row.words == count.parts[0].value


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_every_loop_of_a_derivation_stands_in_the_nest(case: tuple[str, str, str, str]) -> None:
    """Oracle: the loops that a derivation names are looked up in the mapping, each used once per product."""
    explanation = explain(evaluation(*case))
    mapping = explanation.evaluation.mapping
    for part in (*explanation.derivation("energy").parts, *explanation.derivation("traffic").parts):
        nest = mapping.nest(part.einsum)
        loops = [
            (level.memory if isinstance(level, Storage) else f"{level.array}.{level.dim}", loop.rank, loop.bound)
            for level in nest.levels
            for loop in level.loops
        ]
        for term in part.term.walk():
            found = [(p.place, p.name, p.value) for p in term.parts if p.place and p.place != part.einsum]
            assert all(found.count(loop) <= loops.count(loop) for loop in found), term.name


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_every_price_and_every_cycle_count_has_a_source(case: tuple[str, str, str, str]) -> None:
    for derivation in explain(evaluation(*case)).derivations:
        for term in derivation.terms:
            for leaf in term.walk():
                priced = leaf.unit in ("pJ", "um^2", "cycles", "B", "B/s") and leaf.operation == "given"
                assert not priced or leaf.source, leaf.name


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", einsum_cascade.names())
def test_searched_cascades_of_the_whole_library_are_explained(name: str) -> None:
    """Whatever can be evaluated can be explained."""
    cascade, machine, workload = einsum_cascade.load(name), load_arch("fusemax-cloud"), load_workload("BERT@256")
    sizes = open_sizes(cascade, workload)
    if data_dependent(cascade) or not_computed(cascade, machine):
        with pytest.raises(InputError):
            evaluate_case(cascade, machine, workload, sizes=sizes)
    else:
        explain(evaluate_case(cascade, machine, workload, sizes=sizes))


def test_a_wrong_row_is_found(binding: Explanation) -> None:
    report = binding.evaluation.report
    row = dataclasses.replace(report.rows[3], count=report.rows[3].count + 1)
    wrong = dataclasses.replace(report, rows=(*report.rows[:3], row, *report.rows[4:]))
    with pytest.raises(ArithmeticError, match="energy is reported as"):
        explain(dataclasses.replace(binding.evaluation, report=wrong))


def test_a_missing_row_is_found(binding: Explanation) -> None:
    report = binding.evaluation.report
    with pytest.raises(ValueError, match="zip"):
        explain(dataclasses.replace(binding.evaluation, report=dataclasses.replace(report, rows=report.rows[1:])))


@pytest.mark.parametrize("field", ["traffic_bytes", "area_um2"])
def test_a_wrong_total_is_found(binding: Explanation, field: str) -> None:
    report = binding.evaluation.report
    wrong = dataclasses.replace(report, **{field: getattr(report, field) * 1.001})
    with pytest.raises(ArithmeticError, match="is reported as"):
        explain(dataclasses.replace(binding.evaluation, report=wrong))


def test_another_loop_bound_is_found(binding: Explanation) -> None:
    """A derivation follows the mapping, so that a report of another mapping does not pass."""
    mapping = binding.evaluation.mapping
    nest = mapping.einsums[0]
    outer = nest.levels[0]
    assert isinstance(outer, Storage)
    loops = tuple(dataclasses.replace(loop, bound=loop.bound * 2) for loop in outer.loops[:1])
    changed = dataclasses.replace(
        nest, levels=(dataclasses.replace(outer, loops=(*loops, *outer.loops[1:])), *nest.levels[1:])
    )
    other = dataclasses.replace(mapping, einsums=(changed, *mapping.einsums[1:]))
    with pytest.raises(ArithmeticError):
        explain(dataclasses.replace(binding.evaluation, mapping=other))


# --- what would have to change --------------------------------------------------------------------


def _without_array(machine: Machine, array: str) -> Accounting:
    """An accounting in which an array computes in no time."""
    costs = machine.array(array).operators
    rules = tuple(OperatorCycles(array=array, pattern=cost.pattern, cycles=0) for cost in costs)
    return Accounting(operator_cycles=rules)


@pytest.mark.parametrize("case", [c for c in CASES if c[3] != "fusemax-arch"], ids=" ".join)
def test_a_relief_is_the_latency_of_a_machine_without_that_resource(case: tuple[str, str, str, str]) -> None:
    """Oracle: evaluate again with an array of no cycles, or a memory of no bandwidth limit."""
    cascade, _, workload, dataflow = case
    found = evaluation(*case)
    machine = found.machine
    expected = {}
    for array in machine.arrays:
        free = _without_array(machine, array.name)
        again = evaluate_case(
            einsum_cascade.load(cascade),
            machine,
            load_workload(workload),
            load_dataflow(dataflow),
            accounting=lambda _, free=free: free,
        )
        expected[array.name] = again.report.latency_s
    expected[machine.memories[0].name] = sum(phase.compute_s for phase in found.report.phases)
    reliefs = {relief.resource: relief.latency_s for relief in explain(found).reliefs}
    for resource, latency_s in reliefs.items():
        assert latency_s == pytest.approx(expected[resource], rel=1e-12), resource


def test_a_stall_is_a_resource_too() -> None:
    reliefs = {r.resource: r.latency_s for r in explain(evaluation(*CASES[1])).reliefs}
    report = evaluation(*CASES[1]).report
    stalled = sum(stage.stall_cycles for phase in report.phases for stage in phase.stages) / report.clock_hz
    assert stalled > 0
    assert reliefs["stall"] == pytest.approx(report.latency_s - stalled)


# --- selections -----------------------------------------------------------------------------------


def test_selections_by_component_split_the_energy(binding: Explanation) -> None:
    report = binding.evaluation.report
    for (component,), energy in report.energy_by("component").items():
        parts = select(binding, "energy", Selection(component=component))
        assert sum(part.term.value for part in parts) == pytest.approx(energy, rel=1e-12)
        assert [p.term.value for p in parts] == sorted((p.term.value for p in parts), reverse=True)


def test_an_array_means_all_that_belongs_to_it(binding: Explanation) -> None:
    components = {part.component for part in select(binding, "energy", Selection(component="array_2d"))}
    assert components == {"array_2d.mac", "array_2d.add", "array_2d.max", "array_2d.registers"}


def test_a_tensor_means_all_accesses_to_it(binding: Explanation) -> None:
    labels = {part.tensor for part in select(binding, "energy", Selection(tensor="RM"))}
    assert labels == {"RM", "RM#2"}
    assert {p.tensor for p in select(binding, "energy", Selection(tensor="RM#2"))} == {"RM#2"}


def test_unknown_names_are_refused_together(binding: Explanation) -> None:
    with pytest.raises(InputError) as caught:
        select(binding, "energy", Selection(einsum="BQ", component="dramm", tensor="K"))
    assert str(caught.value).splitlines() == [
        "error: nothing here is due to einsum BQ",
        "  did you mean BQK?",
        "error: nothing here is due to component dramm",
        "  did you mean dram?",
        "error: nothing here is due to tensor K",
        "  did you mean BK?",
    ]


@given(st.data())
@examples(20, 60)
def test_every_part_is_found_by_what_it_is_due_to(data: st.DataObject) -> None:
    explanation = explain(evaluation(*BINDING))
    metric = data.draw(st.sampled_from(METRICS))
    part = data.draw(st.sampled_from(explanation.derivation(metric).parts))
    selection = Selection(einsum=part.einsum, component=part.component, tensor=part.tensor)
    assert part in select(explanation, metric, selection)


# --- the command ----------------------------------------------------------------------------------

ARGUMENTS = ("attention-1pass", "--arch", "fusemax-cloud", "--workload", "BERT@4K")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_texts_fit_a_terminal(case: tuple[str, str, str, str], metric: str) -> None:
    text = OVERVIEWS[metric](explain(evaluation(*case)))
    assert max(map(len, text.splitlines())) <= 100
    assert not re.search(r"\b(nan|inf|None)\b", text)


def _rows_printed(text: str) -> Iterator[tuple[int, float]]:
    for count, price in re.findall(r"= ([\d,]+) (?:accesses|operations) x ([\d,.]+) pJ", text):
        yield int(count.replace(",", "")), float(price.replace(",", ""))


@pytest.mark.parametrize("einsum", ["BQK", "SLN", "AV"])
def test_the_rows_printed_for_an_einsum_are_those_of_evaluate(fusemap: Run, einsum: str) -> None:
    rows = fusemap("evaluate", *ARGUMENTS, "--json").json()["rows"]
    expected = sorted((r["count"], r["unit_energy_pj"]) for r in rows if r["einsum"] == einsum)
    outcome = fusemap("explain", *ARGUMENTS, "energy", "--einsum", einsum)
    assert (outcome.code, outcome.err) == (0, "")
    assert sorted(_rows_printed(outcome.out)) == expected
    assert max(map(len, outcome.out.splitlines())) <= 100


def test_a_derivation_names_loops_and_source(fusemap: Run) -> None:
    outcome = fusemap("explain", *ARGUMENTS, "energy", "--einsum", "BQK", "--tensor", "BK", "--component", "dram")
    assert (
        "\n".join(outcome.out.splitlines()[3:])
        == """\
BQK: 12,582,912 steps on 65,536 lanes of array_2d
  level                         loops              keeps
  ------------------  --------  -----------------  ----------
  dram                in time   64 b, 12 h, 16 m1  Q, BK
  global_buffer       in time   16 p, 64 e         Q, BK
  array_1d.registers  in time   -                  -
  array_2d.columns    in space  256 p
  array_2d.rows       in space  256 m0
  array_2d.registers  in time   -                  Q, BK, BQK

BQK reads BK from dram: 12.56 mJ, <0.1 % of all energy
  = 50,331,648 accesses x 249.6 pJ (per read) [1]
    50,331,648 accesses = 201,326,592 words read / 4 words per access
      201,326,592 words read = 16,384 words per tile x 12,288 visits
        16,384 words per tile = 64 e x 256 m0
        12,288 visits = 64 b x 12 h x 16 m1

[1] FuseMax artifact (DOI 10.5281/zenodo.13377042), Accelergy component tables, 45 nm"""
    )


def test_latency_says_what_limits_and_what_would_change_it(fusemap: Run) -> None:
    out = fusemap("explain", *ARGUMENTS, "latency").out
    assert "attention  29.70 ms  29.70 ms  3.750 ms           0.13x  27,918,336  1.500 GiB" in out
    assert "SLN     array_2d   1,376,256     196,608            7  1 cycle (sub) [1] + 6 cycles (exp) [1]" in out
    assert "if array_1d took no time  28.65 ms  1.04x faster" in out
    assert "before dram limits phase attention, compute would have to be 7.9x faster" in out


def test_without_a_metric_latency_and_energy_are_explained(fusemap: Run) -> None:
    outcome = fusemap("explain", *ARGUMENTS)
    assert "\nlatency 29.70 ms = " in outcome.out
    assert "\nenergy 48.00 J = sum of " in outcome.out


@pytest.mark.parametrize("metric", METRICS)
def test_json_recomputes(fusemap: Run, metric: str) -> None:
    document = fusemap("explain", *ARGUMENTS, metric, "--json").json()
    assert document["schema"] == "fusemap/explain/1"
    assert list(document["metrics"]) == [metric]
    for term in document["metrics"][metric]:
        assert _value(term) == term["value"]


def _value(term: dict[str, Any]) -> Any:
    """Recompute a JSON term without the code that made it."""
    parts = [_value(part) for part in term.get("parts", ())]
    if term["operation"] == "sum":
        return sum(parts)
    if term["operation"] == "product":
        result = 1
        for value in parts:
            result *= value
        return result
    if term["operation"] == "difference":
        return parts[0] - parts[1]
    if term["operation"] == "quotient":
        return parts[0] / parts[1]
    return max(parts) if term["operation"] == "max" else term["value"]


def test_json_of_a_selection_holds_its_parts_alone(fusemap: Run) -> None:
    document = fusemap("explain", *ARGUMENTS, "energy", "--component", "dram", "--json").json()
    found = document["metrics"]["energy"]
    assert [term["name"] for term in found] == [
        "BQK reads Q from dram",
        "BQK reads BK from dram",
        "SLNV reads BV from dram",
        "AV writes AV to dram",
    ]


def test_a_metric_without_such_parts_says_what_it_has(fusemap: Run) -> None:
    outcome = fusemap("explain", *ARGUMENTS, "area", "--einsum", "BQK")
    assert outcome.code == 2
    assert outcome.err == "error: no part of area is due to einsum BQK\n  area has parts by component\n"


def test_a_nest_lists_all_its_levels(fusemap: Run, binding: Explanation) -> None:
    out = fusemap("explain", *ARGUMENTS, "latency", "--einsum", "AV").out
    for level in binding.evaluation.mapping.nest("AV").levels:
        assert (f"{level.array}.{level.dim}" if isinstance(level, Fanout) else level.memory) in out


def test_the_registry_of_dataflows_is_covered() -> None:
    assert {case[3] for case in CASES} == set(names()) - OF_LAYERS
