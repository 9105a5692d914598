"""Linear layers: the search against brute force on plain integers, their sizes, and wrong dataflows."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from importlib import resources

import pytest
from dataflow_cases import with_buffer
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from search_cases import Case, candidates, cases
from studies import STUDY, reproduced
from test_search_oracle import analysed, objective

from fusemap.archspec import load_arch, load_workload, parse_workload
from fusemap.archspec.schema import validate
from fusemap.archspec.types import Machine, Workload
from fusemap.archspec.yamlnodes import parse_document
from fusemap.diagnostics import DoesNotFit, InputError
from fusemap.einsum_cascade.catalog import load
from fusemap.mappers import search
from fusemap.mappers.dataflow import Dataflow, DataflowModel, load_dataflow
from fusemap.mappers.search import best_split
from fusemap.mappers.types import EinsumMapping, Storage
from fusemap.sim.accounting import Accounting
from fusemap.sim.cost import operand_costs
from fusemap.sim.evaluate import evaluate, plan
from fusemap.validation.accounting import accounting
from fusemap.validation.end_to_end import Layers, LayersModel, load_layers
from fusemap.validation.published import load_published
from fusemap.validation.reproduction import Reproduction

CASCADE = load("linear-layer")
ARCHS = {"32MiB": "flat-cloud-linear", "16MiB": "fusemax-cloud-linear"}
MODELS = {  # D, E, H, S
    "BERT": (768, 64, 12, 3072),
    "TrXL": (1024, 64, 16, 4096),
    "T5": (512, 64, 8, 2048),
    "XLM": (2048, 128, 16, 8192),
}
BATCH = 64


def found(name: str = "published") -> Reproduction:
    return reproduced(name)


def workload(m: int, k: int, n: int) -> Workload:
    return parse_workload(f"source: a test\nranks: {{M: {m}, K: {k}, N: {n}}}\n", file="layer.yaml")


def largest(n: int, most: int) -> int:
    return next(d for d in range(min(n, most), 0, -1) if n % d == 0)


def divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


# --- the search, against brute force --------------------------------------------------------------


def streamed(m: int, k: int, n: int, rows: int, columns: int, m1: int, n1: int) -> int:
    """Words to and from DRAM, by going through the tiles: one is fetched when it is not the one that is held."""
    words = 0
    held_a, held_b = None, None
    for m2, n2 in itertools.product(range(m // (rows * m1)), range(n // (columns * n1))):
        if held_a != m2:
            held_a, words = m2, words + k * rows * m1
        if held_b != n2:
            held_b, words = n2, words + k * columns * n1
        words += rows * m1 * columns * n1  # the sums of all k leave once
    return words


def least_words(m: int, k: int, n: int, rows: int, columns: int, capacity_words: int) -> int | None:
    """The least over all tiles that fit; None when none does."""
    fitting = [
        streamed(m, k, n, rows, columns, m1, n1)
        for m1 in divisors(m // rows)
        for n1 in divisors(n // columns)
        if k * (rows * m1 + columns * n1) <= capacity_words
    ]
    return min(fitting, default=None)


def check(m: int, k: int, n: int, machine: Machine, dataflow: Dataflow) -> None:
    """The dataflow moves the least, or says that nothing fits where nothing does."""
    array, buffer = machine.array("array_2d"), machine.memory("global_buffer").capacity_bytes or 0
    rows, columns = largest(m, array.dim("rows").extent), largest(n, array.dim("columns").extent)
    least = least_words(m, k, n, rows, columns, buffer // machine.word_bytes)
    try:
        report = evaluate(CASCADE, machine, workload(m, k, n), dataflow)
    except DoesNotFit as refusal:
        assert least is None, f"{least} words would do: {refusal}"
        (violation,) = refusal.violations
        assert violation.need == machine.word_bytes * k * (rows + columns)
        return
    assert least is not None
    assert report.traffic_bytes == machine.word_bytes * least
    bandwidth = machine.memory("dram").bandwidth_bytes_per_s
    assert bandwidth is not None
    compute_s, memory_s = m * k * n / (rows * columns) / machine.clock_hz, report.traffic_bytes / bandwidth
    assert report.latency_s == pytest.approx(max(compute_s, memory_s), rel=1e-12)


sizes = st.tuples(
    st.sampled_from([256, 512, 1024, 3072, 4096, 96, 7, 1, 1000, 1536]),
    st.sampled_from([64, 512, 768, 1, 100, 2048]),
    st.sampled_from([256, 768, 1024, 1, 12, 2048, 300]),
)


@examples(20, 60)
@given(sizes=sizes, kib=st.sampled_from([16 << 10, 4 << 10, 1 << 10, 300, 64, 1]))
def test_the_search_moves_as_little_as_brute_force_finds(sizes: tuple[int, int, int], kib: int) -> None:
    check(*sizes, costly(kib), load_dataflow("linear"))


@cache
def costly(kib: int) -> Machine:
    """FuseMax's machine with another buffer, at the price of the one it has."""
    return with_buffer(load_arch("fusemax-cloud-linear"), kib << 10)


def layers(model: str, length: int) -> list[tuple[int, int, int]]:
    """(M, K, N) of the six layers, by the table of the study's facts."""
    d, e, h, s = MODELS[model]
    m, inner = BATCH * length, h * e
    return [*[(m, d, inner)] * 3, (m, inner, d), (m, d, s), (m, s, d)]


@pytest.mark.parametrize("configuration", ARCHS)
@pytest.mark.parametrize("model", MODELS)
def test_the_rows_of_the_study_are_least_sums_over_six_layers(model: str, configuration: str) -> None:
    """Traffic by the facts' formula, M*K + N*K*(M/m1 where B does not stay) + M*N, at the least m1 and n1."""
    words = {"32MiB": 1 << 24, "16MiB": 1 << 23}[configuration]
    for row in found().linear:
        if (row.model, row.configuration) != (model, configuration):
            continue
        traffic = 0
        for m, k, n in layers(model, row.seq_len):
            traffic += 2 * min(
                m * k + n * k * (m // (256 * m1) if n1 < n // 256 else 1) + m * n
                for m1 in divisors(min(m // 256, 1 << 10))
                for n1 in divisors(n // 256)
                if 256 * k * (m1 + n1) <= words
            )
        assert row.traffic_bytes == traffic


def test_one_row_by_hand() -> None:
    """XLM at 1K, 32 MiB: the four projections keep all weights; in FFN1 16 tiles of weights are read, in FFN2 64."""
    rows, d, s = 64 * 1024, 2048, 8192
    projection = 2 * (rows * d + d * d + rows * d)
    first, second = 2 * (rows * d + 16 * d * s + rows * s), 2 * (rows * s + 64 * d * s + rows * d)
    (row,) = [r for r in found().linear if (r.configuration, r.model, r.seq_len) == ("32MiB", "XLM", 1024)]
    assert row.traffic_bytes == 4 * projection + first + second == 7_549_747_200


# --- planted faults -------------------------------------------------------------------------------


def changed(*pairs: tuple[str, str]) -> Dataflow:
    """The dataflow with parts of its text replaced."""
    text = (resources.files("fusemap.mappers") / "library" / "linear.yaml").read_text(encoding="utf-8")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    document = parse_document(text, file="changed.yaml")
    return Dataflow(model=validate(document, DataflowModel), document=document)


LARGE = (4096, 768, 2048)  # at 2 MiB neither operand stays


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[m: M / MR, n: N / NC]", "[n: N / NC, m: M / MR]"),
        ("global_buffer: [A, B]", "global_buffer: [A]"),
        ("global_buffer: [A, B]", "global_buffer: [A, B, Z]"),
        ("search: {at: global_buffer, split: [m, n], free: []}", "spill: {memory: global_buffer, fraction: 0}"),
    ],
)
def test_a_wrong_dataflow_is_noticed(old: str, new: str) -> None:
    check(*LARGE, costly(2 << 10), changed())
    with pytest.raises(AssertionError):
        check(*LARGE, costly(2 << 10), changed((old, new)))


def test_a_search_that_takes_a_worse_split_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    check(*LARGE, costly(2 << 10), load_dataflow("linear"))
    search._search.cache_clear()
    real = search.divisors
    monkeypatch.setattr(search, "divisors", lambda n: real(n)[:2])
    with pytest.raises(AssertionError):
        check(*LARGE, costly(2 << 10), load_dataflow("linear"))
    search._search.cache_clear()


# --- a search whose order or keep set is given ----------------------------------------------------


def allowed(case: Case, nest: EinsumMapping, free: frozenset[str]) -> bool:
    """Whether a candidate has the order of `split` and the nest's keep set, as far as they are not free."""
    (near,) = [level for level in nest.levels if isinstance(level, Storage) and level.memory == "near"]
    (given_near,) = [level for level in case.nest.levels if isinstance(level, Storage) and level.memory == "near"]
    order = [loop.rank for loop in near.loops]
    in_order = order == [rank for rank in case.split if rank in order]
    return ("order" in free or in_order) and ("keep" in free or near.keep == given_near.keep)


@pytest.mark.parametrize("free", [(), ("order",), ("keep",)])
@examples(14, 40)
@given(case=cases(splits=12), data=st.data())
def test_what_is_not_given_is_searched(case: Case, data: st.DataObject, free: tuple[str, ...]) -> None:
    kept = frozenset(data.draw(st.sets(st.sampled_from(sorted({o.tensor for o in case.space.operands})))))
    levels = tuple(
        replace(lv, keep=kept) if isinstance(lv, Storage) and lv.memory == "near" else lv for lv in case.nest.levels
    )
    case = replace(case, nest=replace(case.nest, levels=levels))
    nests = [(nest, held) for nest, held in candidates(case) if allowed(case, nest, frozenset(free))]
    fits = [objective(case, n, held, analysed) for n, held in nests if case.capacity is None or held <= case.capacity]
    got = best_split(case.space, case.nest, case.machine, "near", case.split, operand_costs, free=frozenset(free))
    mine = [(n, held) for n, held in nests if same(n, got)]
    assert mine, "what is found is a candidate"
    if fits:
        assert objective(case, *mine[0], analysed) == min(fits)
    else:  # nothing fits: the least tiles, which the check of legality refuses
        assert mine[0][1] == min(held for _, held in nests)


def same(one: EinsumMapping, other: EinsumMapping) -> bool:
    """Equal but for loops of bound 1."""

    def plain(nest: EinsumMapping) -> list[object]:
        return [replace(lv, loops=tuple(p for p in lv.loops if p.bound > 1)) for lv in nest.levels]

    return plain(one) == plain(other)


def test_the_loops_that_the_level_has_stay_inside() -> None:
    problem, mapping = plan(CASCADE, costly(2 << 10), workload(*LARGE), load_dataflow("linear"))
    (buffer,) = [lv for lv in mapping.nest("Z").levels if isinstance(lv, Storage) and lv.memory == "global_buffer"]
    assert [loop.rank for loop in buffer.loops] == ["m", "n", "k"]
    assert buffer.loops[-1].bound == 768 and buffer.keep == frozenset({"A", "B"})
    assert problem.space("Z").points == 4096 * 768 * 2048


def test_what_does_not_fit_names_the_buffer_that_would() -> None:
    small = costly(64)
    with pytest.raises(DoesNotFit) as refusal:
        evaluate(CASCADE, small, workload(1024, 768, 768), load_dataflow("linear"))
    assert "needs 786,432 B, limit 65,536 B (the smallest global_buffer that fits is 786,432 B)" in str(refusal.value)
    enough = with_buffer(small, 786_432)
    assert evaluate(CASCADE, enough, workload(1024, 768, 768), load_dataflow("linear")).traffic_bytes > 0
    with pytest.raises(DoesNotFit):
        evaluate(CASCADE, with_buffer(small, 786_430), workload(1024, 768, 768), load_dataflow("linear"))


# --- layers as data -------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_the_six_layers_have_the_sizes_of_the_facts(model: str) -> None:
    of = load_workload(f"{model}@4K")
    loaded = load_layers("transformer")
    found_sizes = [tuple(loaded.workload(name, of).sizes[rank] for rank in "MKN") for name in loaded.model.layers]
    assert found_sizes == layers(model, 4096)
    assert all(loaded.workload(name, of).batch == () for name in loaded.model.layers)


def test_layers_of_other_keys_than_queries_follow_their_own_length() -> None:
    text = "source: a test\nranks: {B: 2, H: 3, E: 4, F: 5, M: 96, P: 7, D: 11, S: 13}\nbatch: [B, H]\n"
    of = parse_workload(text, file="cross.yaml")
    loaded = load_layers("transformer")
    by_name = {name: loaded.workload(name, of).sizes for name in loaded.model.layers}
    assert [by_name[name]["M"] for name in ("queries", "keys", "values", "output")] == [14, 192, 192, 14]
    assert (by_name["values"]["N"], by_name["output"]["K"]) == (15, 15)


def test_a_size_that_is_no_whole_number_is_located() -> None:
    text = "description: d\nsource: s\nlayers:\n  odd: {M: B * P, K: D / 7, N: D}\n"
    document = parse_document(text, file="odd.yaml")
    broken = Layers(model=validate(document, LayersModel), document=document)
    with pytest.raises(InputError, match=r"odd\.yaml:4:22: error: K of layer odd is 109\.714 for BERT@1K"):
        broken.workload("odd", load_workload("BERT@1K"))


# --- end to end -----------------------------------------------------------------------------------


def test_end_to_end_is_attention_and_the_layers_on_the_same_buffer() -> None:
    linear = {(r.configuration, r.model, r.seq_len): r for r in found().linear}
    attention = {(r.configuration, r.model, r.seq_len): r.report for r in found().rows}
    for row in found().whole:
        buffer = "16MiB" if row.configuration in ("arch", "binding") else "32MiB"
        layer, own = linear[buffer, row.model, row.seq_len], attention[row.configuration, row.model, row.seq_len]
        assert row.latency_s == own.latency_s + layer.latency_s
        assert row.energy_pj == own.energy_pj + layer.energy_pj
        assert row.traffic_bytes == own.traffic_bytes + layer.traffic_bytes


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("end-to-end speed-up over FLAT", 5.30),
        ("end-to-end speed-up over unfused", 7.60),
        ("end-to-end energy relative to FLAT", 0.833),
        ("end-to-end energy relative to unfused", 0.821),
    ],
)
def test_claims_end_to_end(claim: str, value: float) -> None:
    (result,) = [c for c in found().claims if c.claim.claim == claim]
    assert len(result.claim.ratios) == 24
    assert result.claim.computed == pytest.approx(value, abs=0.0051 if value > 1 else 0.00051)
    assert result.comparison is not None and result.comparison.agrees


@pytest.mark.parametrize("slip", ["one-register-file"])
def test_published_energies_of_the_layers_need_the_slip(slip: str) -> None:
    values = {
        (v.configuration, v.model, v.seq_len): v.value for v in load_published(STUDY) if v.quantity == "energy_pj"
    }
    rules: dict[str, Accounting] = {"with": accounting("published", "linear")}
    rules["without"] = accounting("published", "linear", without=[slip])
    energies = {}
    for name, rule in rules.items():
        machine, linear = load_arch(ARCHS["16MiB"]), load_dataflow("linear")
        reports = [evaluate(CASCADE, machine, workload(*s), linear, accounting=rule) for s in layers("BERT", 1024)]
        energies[name] = sum(r.energy_pj for r in reports)
    published = values["16MiB", "BERT", 1024]
    assert energies["with"] == pytest.approx(published, rel=1e-12)
    assert energies["without"] > 1.5 * published


def test_principled_accounting_moves_the_same_and_charges_more() -> None:
    for before, after in zip(found().linear, found("principled").linear, strict=True):
        assert (before.traffic_bytes, before.latency_s) == (after.traffic_bytes, after.latency_s)
        assert after.energy_pj > before.energy_pj
