"""Models by kinds of layers: rows add up, agree with the evaluation of the layers, and say what experts are reached."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome
from hypothesis import given
from hypothesis import strategies as st

import fusemap as fm
from fusemap.archspec.archs import load_arch
from fusemap.archspec.types import Machine
from fusemap.archspec.workloads import load_workload, parse_workload
from fusemap.cli.quantities import binary, number
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.catalog import load as load_cascade
from fusemap.mappers.space import make_problem
from fusemap.sim.best import Candidate, find_best
from fusemap.validation.inference import Alternative
from fusemap.validation.inference_block import block_names, load_block, whole_blocks
from fusemap.validation.inference_types import Experts, Layer

Run = Callable[..., Outcome]
MODELS = [name for name in fm.list_workloads() if load_workload(f"{name}@1K").block]

SMALL = """\
source: made up
block: [gqa, gqa-window, window-mix, swiglu, experts, dense-mix, norms, tied-vocabulary]
ranks:
  {B: 2, M: 1024, P: 1, H: 4, HK: 2, G: 2, E: 128, F: 128, W: 256, SLIDING: 3, S: 128, X: 6, TOP: 2, SX: 64, DENSE: 1,
   D: 64, LAYERS: 5, V: 100}
batch: [B, H]
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every layer in the time and energy of one linear layer: how a layer is mapped is tested elsewhere."""
    one = parse_workload("source: s\nranks: {M: 1, K: 1024, N: 512}\n")
    best = find_best(load_cascade("linear-layer"), load_arch("fusemax-cloud"), one).best

    def fastest(layer: Layer, machine: Machine) -> tuple[Candidate, bool, tuple[Alternative, ...]]:
        problem = make_problem(layer.cascades[0], layer.workload, {})
        return dataclasses.replace(best, problem=problem), True, ()

    monkeypatch.setattr("fusemap.validation.inference._fastest", fastest)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("model", MODELS)
def test_rows_add_up(model: str) -> None:
    workload = load_workload(f"{model}@1K")
    block, table = load_block(workload), fm.model_table(workload)
    total = table.total
    assert total.parameters == block.parameters and total.active_parameters == block.active_parameters
    assert total.macs == sum(row.macs for row in table.rows)
    assert total.least_bytes == pytest.approx(sum(row.least_bytes for row in table.rows))
    assert total.cache_bytes_per_token == 2 * block.words_of_a_token
    assert total.cache_bytes == 2 * block.words_held * table.sequences
    named = [line.layer for row in table.rows for line in row.layers]
    assert sorted(named) == sorted(layer.name for layer in block.layers)
    kinds = [row for row in table.rows if "attention" in row.kind or row.kind == "full attention"]
    networks = [row for row in table.rows if row.kind in ("dense feed-forward", "mixture of experts")]
    assert sum(row.times for row in kinds) == sum(row.times for row in networks) == block.blocks
    assert (table.experts is None) == ("mixture of experts" not in {row.kind for row in table.rows})


@pytest.mark.usefixtures("quick")
def test_latency_and_energy_are_those_of_the_layers() -> None:
    workload = parse_workload(SMALL, file="small.yaml")
    table = fm.model_table(workload, arch="fusemax-cloud")
    whole = fm.inference(workload, arch="fusemax-cloud")
    assert table.total.latency_s == pytest.approx(whole.total.latency_s)
    assert table.total.energy_pj == pytest.approx(whole.total.energy_pj)
    assert table.total.macs == whole.total.macs
    assert table.total.least_bytes == pytest.approx(whole.total.least_bytes)
    assert (table.total.cache_bytes, whole.cache_bytes_per_token) == (whole.cache_bytes, 5 * 2 * 256 * 2)
    assert whole.cache_bytes == 2 * 2 * 512 * (2 * 1024 + 3 * 256)  # 3 layers keep their window
    for row in table.rows:
        found = [r for r in whole.rows if r.kind == row.kind]
        assert row.latency_s == pytest.approx(sum(r.times * r.latency_s for r in found))
    assert [(row.kind, row.times) for row in table.rows] == [
        ("full attention", 2),
        ("sliding attention", 3),
        ("dense feed-forward", 1),
        ("mixture of experts", 4),
        ("logits", 1),
        ("other weights", 1),
    ]


@pytest.mark.parametrize(("routed", "chosen", "tokens"), [(4, 2, 1), (4, 2, 2), (5, 1, 3), (4, 3, 3), (3, 3, 2)])
def test_experts_reached_by_uniform_routing_are_the_mean_of_all_choices(routed: int, chosen: int, tokens: int) -> None:
    choices = list(itertools.combinations(range(routed), chosen))
    reached = [len(set().union(*picked)) for picked in itertools.product(choices, repeat=tokens)]
    experts = Experts(routed=routed, chosen=chosen, tokens=tokens, touched=1, rule="")
    assert experts.expected == pytest.approx(sum(reached) / len(reached))


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 10**6))
def test_experts_reached_are_between_one_tokens_and_all(routed: int, chosen: int, tokens: int) -> None:
    experts = Experts(routed=max(routed, chosen), chosen=chosen, tokens=tokens, touched=1, rule="")
    assert chosen - 1e-6 <= experts.expected <= min(experts.routed, tokens * chosen) + 1e-6


def test_bytes_are_of_the_words_that_are_asked() -> None:
    wide, narrow = (fm.model_table("Mixtral-8x7B-decode@1K", word_bits=bits) for bits in (None, 4))
    assert wide.total.least_bytes == 4 * narrow.total.least_bytes
    assert (narrow.word_bytes, narrow.total.cache_bytes * 4) == (0.5, wide.total.cache_bytes)


@pytest.mark.usefixtures("quick")
def test_a_block_without_kinds_is_one_kind(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "description: mine\nsource: made up\nblocks: LAYERS\ncache: 4\n"
        "layers: {one: {ranks: {M: B, K: D, N: D}}}\nafter: {last: {ranks: {M: B, K: D, N: V}}}\n"
    )
    (tmp_path / "w.yaml").write_text(
        "source: s\nblock: mine.yaml\nranks: {B: 3, M: LENGTH, P: 1, D: 8, V: 5, LAYERS: 7}\n"
    )
    table = fm.model_table(f"{tmp_path / 'w.yaml'}@9")
    assert [(row.kind, row.times, row.parameters) for row in table.rows] == [
        ("other layers", 7, 7 * 64),
        ("behind the blocks", 1, 40),
    ]
    found = fm.inference(f"{tmp_path / 'w.yaml'}@9", arch="fusemax-cloud")
    assert (found.cache_bytes_per_token, found.cache_bytes) == (7 * 4 * 2, 7 * 4 * 2 * 3 * 9)
    assert (table.total.cache_bytes_per_token, table.total.cache_bytes) == (7 * 4 * 2, 7 * 4 * 2 * 3 * 9)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("gqa-window,", "gqa-windw,", 'unknown block "gqa-windw"'),
        ("SLIDING: 3", "SLIDING: 5", "expected a positive whole number for small, found 0"),
        ("W: 256, ", "", 'unknown name "W"'),
        ("block: [gqa, ", "block: [5, ", "found 5"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(old: str, new: str, message: str) -> None:
    assert SMALL.count(old) == 1
    with pytest.raises(InputError, match=re.escape(message)):
        load_block(parse_workload(SMALL.replace(old, new), file="small.yaml"))


def test_parts_may_extend_several_and_no_circle(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: [gqa, b.yaml]\ndescription: a\nsource: s\n")
    (tmp_path / "b.yaml").write_text("extends: [a.yaml]\ndescription: b\nsource: s\n")
    (tmp_path / "w.yaml").write_text(SMALL.replace("[gqa, gqa-window", "[a.yaml, gqa-window"))
    with pytest.raises(InputError, match=r'a\.yaml:1:16: error: "extends" forms a cycle through "b\.yaml"'):
        load_block(load_workload(str(tmp_path / "w.yaml")))
    assert set(whole_blocks()) < set(block_names())


def test_the_documents_table_is_computed() -> None:
    """Weights, those for a token, and the cache of a token in docs/models.md."""
    text = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if re.match(r"\| [\w.-]+ \| \d+ ", line)]
    assert {row[0] for row in rows} == {model for model in MODELS if not model.endswith("-decode")}
    for name, _, weights, active, cache in rows:
        total = (table := fm.model_table(f"{name}@1K")).total
        assert weights == number(total.parameters)
        assert active == ("all" if total.active_parameters == total.parameters else number(total.active_parameters))
        kept = sum(row.cache_bytes_per_token for row in table.rows if row.kind != "sliding attention")
        size, unit = binary(total.cache_bytes_per_token).split()
        part = "" if kept == total.cache_bytes_per_token else f" ({float(binary(kept).split()[0]):g})"
        assert cache == f"{float(size):g} {unit}{part}"


# --- the command ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_the_table_has_a_row_per_kind(fusemap: Run, tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    outcome = fusemap("workload", "show", str(path), "--arch", "fusemax-cloud")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("small on fusemax-cloud: decode, 2 sequences, 2 tokens; 2 B a word\n")
    for kind in ("full attention", "sliding attention", "dense feed-forward", "mixture of experts", "logits"):
        assert len(re.findall(rf"^{kind}\b", outcome.out, re.M)) == 3  # work, cost, layers
    assert "Experts: 2 tokens with 2 of 6 each reach 4" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 100
    document = fusemap("workload", "show", str(path), "--arch", "fusemax-cloud", "--json").json()
    workload = parse_workload(SMALL, file="small.yaml")
    assert document == json.loads(json.dumps(fm.model_table(workload, arch="fusemax-cloud").to_json()))
    assert sum(row["parameters"] for row in document["rows"]) == document["total"]["parameters"]
    layers = fusemap("evaluate", "model", "--workload", str(path), "--arch", "fusemax-cloud", "--json").json()
    assert layers == json.loads(json.dumps(fm.inference(workload, arch="fusemax-cloud").to_json()))
    assert {row["kind"] for row in layers["rows"]} == {row["kind"] for row in document["rows"] if row["layers"]}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["BERT@1K"], 'its file has no "block"'),
        (["Mixtral-8x7B"], "has no length"),
        (["Mixtral-8x7@1K"], 'unknown workload "Mixtral-8x7"'),
        (["Mixtral-8x7B@1K", "--size", "BB=1"], "has no rank BB"),
        (["Mixtral-8x7B@1K", "--bits", "8", "--arch", "flat-edge"], "--bits does not go with --arch"),
        (["Mixtral-8x7B@1K", "--arch", "flat-edg"], 'unknown arch "flat-edg"'),
    ],
)
def test_what_cannot_be_shown_is_refused(argv: list[str], message: str, fusemap: Run) -> None:
    outcome = fusemap("workload", "show", *argv)
    assert (outcome.code, outcome.out) == (2, "") and message in outcome.err


def test_an_encoder_has_no_cache_and_no_causal_note(fusemap: Run, tmp_path: Path) -> None:
    config: dict[str, Any] = {"model_type": "bert", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    (tmp_path / "config.json").write_text(json.dumps({**config, "intermediate_size": 128, "vocab_size": 100}))
    found = fm.workload_from_config(tmp_path / "config.json").at(128)
    table = fm.model_table(found)
    assert (table.causal, table.total.cache_bytes) == (False, 0)
    assert [row.kind for row in table.rows] == ["full attention", "dense feed-forward", "pooler", "other weights"]
    path = tmp_path / "bert.yaml"
    path.write_text(fm.workload_from_config(tmp_path / "config.json").text)
    shown = fusemap("workload", "show", f"{path}@128").out
    assert "causal" not in shown and "cache:" not in shown
    assert "causal" in fusemap("workload", "show", "Llama-3.2-1B@1K").out
