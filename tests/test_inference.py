"""Whole decoder models: parameters, cache and traffic by independent formulas; attention's forms by execution."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fusemap as fm
from fusemap.archspec.archs import load_arch
from fusemap.archspec.types import Machine, Workload
from fusemap.archspec.workloads import load_workload
from fusemap.cli.evaluate_model import model_text
from fusemap.diagnostics import DoesNotFit, InputError, Violation
from fusemap.einsum_cascade.catalog import load as load_cascade
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.space import make_problem
from fusemap.sim.best import Best, find_best
from fusemap.validation.inference import Inference, inference, least_words, multiply_accumulates, resized
from fusemap.validation.inference_block import block_names, load_block
from fusemap.validation.inference_figure import (
    POINTS,
    RooflinePoint,
    Step,
    decode_data,
    peak_flops_per_s,
    render_decode,
)

LAYERS = Path(fm.__file__).parent / "validation" / "layers"
DOCS = Path(__file__).parents[1] / "docs"
WORD = 2
MODELS = ("Llama-3-8B", "Qwen3-8B", "DeepSeek-V3")


BESTS: dict[object, Best] = {}


@pytest.fixture(autouse=True)
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers of equal sizes are mapped once for all tests: most are the same at other lengths of the cache."""

    def best(cascade: Cascade, machine: Machine, workload: Workload) -> Best:
        key = (cascade, machine.name, tuple(workload.sizes.items()), workload.batch)
        if key not in BESTS:
            BESTS[key] = find_best(cascade, machine, workload)
        return BESTS[key]

    monkeypatch.setattr("fusemap.validation.inference.find_best", best)


@cache
def decoded(batch: int = 1, length: str = "1K", arch: str = "fusemax-cloud") -> Inference:
    return inference(load_workload(f"Llama-3-8B-decode@{length}"), load_arch(arch), sizes={"B": batch})


# --- parameters and cache ---------------------------------------------------------------------------


def gated(width: int, inner: int) -> int:
    """Gate, up and down matrices."""
    return 3 * width * inner


def latent_attention(width: int) -> int:
    """DeepSeek-V2 (arXiv 2405.04434), appendix C: W_DQ, W_UQ and W_QR, W_DKV and W_KR, W_UK and W_UV, W_O; norms."""
    down, up = width * 1536, 1536 * 128 * (128 + 64)
    cached, expanded = width * (512 + 64), 512 * 128 * (128 + 128)
    return down + up + cached + expanded + 128 * 128 * width + 1536 + 512


def by_hand(model: str) -> int:
    """The parameters, from the architecture alone."""
    if model == "DeepSeek-V3":
        experts = (256 + 1) * gated(7168, 2048) + 256 * 7168 + 256
        blocks = 61 * (latent_attention(7168) + 2 * 7168) + 3 * gated(7168, 18432) + 58 * experts
        return blocks + 7168 + 2 * 129280 * 7168
    layers, inner, words, extra = {"Llama-3-8B": (32, 14336, 128256, 0), "Qwen3-8B": (36, 12288, 151936, 256)}[model]
    attention = 2 * 4096 * 32 * 128 + 2 * 4096 * 8 * 128
    return layers * (attention + gated(4096, inner) + 2 * 4096 + extra) + 4096 + 2 * words * 4096


# Llama: the tensors of the published weights hold 16,060,522,496 bytes in 16 bit. Qwen3: model card, 8.2B and
# 6.95B without embeddings. DeepSeek-V3 (arXiv 2412.19437), abstract: 671B.
PUBLISHED = {"Llama-3-8B": (8.030261248e9, 1e-12), "Qwen3-8B": (8.2e9, 0.005), "DeepSeek-V3": (671e9, 0.001)}


@pytest.mark.parametrize("phase", ["", "-decode"])
@pytest.mark.parametrize("model", MODELS)
def test_parameters_are_the_published_ones(model: str, phase: str) -> None:
    block = load_block(load_workload(f"{model}{phase}@4K"))
    assert block.parameters == by_hand(model)
    count, tolerance = PUBLISHED[model]
    assert block.parameters == pytest.approx(count, rel=tolerance)


def test_other_published_counts() -> None:
    qwen = load_block(load_workload("Qwen3-8B@4K"))
    assert qwen.parameters - 2 * 151936 * 4096 == pytest.approx(6.95e9, rel=0.001)  # model card: without embeddings
    sizes = load_workload("DeepSeek-V3@4K").sizes
    idle = (sizes["X"] - sizes["TOP"]) * gated(7168, 2048) * (61 - 3)
    assert by_hand("DeepSeek-V3") - idle == pytest.approx(37e9, rel=0.02)  # abstract: activated for each token


# Bytes in 16 bit. Llama: 2 * 32 layers * 8 heads * 128 * 2 B; DeepSeek: 61 layers * (512 + 64) * 2 B.
@pytest.mark.parametrize(("model", "expected"), [("Llama-3-8B", 131072), ("Qwen3-8B", 147456), ("DeepSeek-V3", 70272)])
def test_cache_of_a_token(model: str, expected: int) -> None:
    block = load_block(load_workload(f"{model}-decode@4K"))
    assert block.blocks * block.cache_words * WORD == expected


@pytest.mark.parametrize("model", MODELS)
def test_the_cache_is_what_attention_reads(model: str) -> None:
    """Doubling the cached tokens adds the cache, and nothing else, to what a decoding step must move."""
    words = []
    for length in ("1K", "2K"):
        block = load_block(load_workload(f"{model}-decode@{length}"))
        layers = {layer.name: layer for layer in block.layers}
        problems = [make_problem(x.cascades[0], x.workload, {}) for x in layers.values()]
        words.append(sum(least_words(problem) for problem in problems))
        attention = layers["attention"]
        assert len({least_words(make_problem(c, attention.workload, {})) for c in attention.cascades}) == 1
    assert words[1] - words[0] == 64 * 1024 * block.cache_words


# --- traffic, work and limits -----------------------------------------------------------------------


def test_decoding_moves_weights_cache_and_activations_once() -> None:
    found = decoded()
    weights = sum(row.times * row.parameters for row in found.rows) * WORD
    assert weights == (by_hand("Llama-3-8B") - 128256 * 4096 - 65 * 4096) * WORD
    ins = 32 * (3 * 4096 + 4096 + 2 * 4096 + 14336) + 4096  # q, k, v; output; gate and up; down; vocabulary
    outs = 32 * (4096 + 2 * 1024 + 4096 + 2 * 14336 + 4096) + 128256
    queries_and_result = 32 * 2 * 4096
    cached = 131072 * 1024
    assert found.cache_bytes == cached
    assert found.total.least_bytes == weights + cached + WORD * (ins + outs + queries_and_result)
    assert found.total.traffic_bytes == found.total.least_bytes  # a mapping that moves no more exists for every layer


@pytest.mark.parametrize("arch", ["fusemax-cloud", "flat-cloud"])
def test_no_layer_moves_less_than_it_must_nor_computes_faster_than_it_can(arch: str) -> None:
    machine = load_arch(arch)
    bandwidth, peak = machine.memories[0].bandwidth_bytes_per_s, peak_flops_per_s(machine)
    assert bandwidth is not None
    for found in (decoded(arch=arch), inference(load_workload("Llama-3-8B@256"), machine, only="down")):
        for row in found.rows:
            assert row.report.traffic_bytes >= row.least_bytes
            assert row.latency_s >= row.least_bytes / bandwidth * (1 - 1e-12)
            assert row.latency_s >= 2 * row.macs / peak * (1 - 1e-12)
            assert row.latency_s == pytest.approx(max(row.compute_s, row.memory_s), rel=0.05)


def test_work_of_a_token_is_twice_the_parameters() -> None:
    found = decoded()
    products = by_hand("Llama-3-8B") - 128256 * 4096 - 65 * 4096  # without the lookup and norms
    attention = 32 * 32 * 1024 * (128 + 128)
    assert found.total.macs == products + attention
    assert 2 * found.total.macs == pytest.approx(2 * by_hand("Llama-3-8B"), rel=0.05)


def test_decoding_is_limited_by_memory_and_a_long_prompt_is_not() -> None:
    assert {row.report.bottleneck for row in decoded().rows} == {"dram"}
    machine = load_arch("fusemax-cloud")
    for layer in ("keys", "down", "attention"):
        (row,) = inference(load_workload("Llama-3-8B@4K"), machine, only=layer).rows
        assert row.report.bottleneck in ("array_2d", "array_1d") and row.compute_s > row.memory_s


def test_a_larger_batch_shares_the_weights() -> None:
    workload = load_workload("Llama-3-8B-decode@1K")
    many = inference(workload, load_arch("fusemax-cloud"), sizes={"B": 256}, only="down")
    assert [row.layer for row in many.rows] == ["down"]
    (one,) = (row for row in decoded().rows if row.layer == "down")
    assert many.tokens_per_s > 200 / (32 * one.latency_s)
    assert many.rows[0].flops_per_byte > 200 * one.flops_per_byte


@pytest.mark.slow
def test_latent_attention_is_near_the_ridge() -> None:
    machine = load_arch("fusemax-cloud")
    ridge = peak_flops_per_s(machine) / float(machine.memories[0].bandwidth_bytes_per_s or 0)
    (mla,) = inference(load_workload("DeepSeek-V3-decode@1K"), machine, sizes={"B": 2}, only="attention").rows
    (gqa,) = (row for row in decoded().rows if row.layer == "attention")
    assert 3.9 < gqa.flops_per_byte < 4 < 0.5 * ridge < mla.flops_per_byte < ridge
    assert mla.report.traffic_bytes == mla.least_bytes  # the latent is read once, as key and as value
    two = resized(load_workload("DeepSeek-V3-decode@1K"), {"B": 2, "P": 2})
    (attention,) = (layer for layer in load_block(two).layers if layer.name == "attention")
    assert find_best(attention.cascades[0], machine, attention.workload).best.report.bottleneck == "array_2d"
    step = inference(two, machine, only="router")
    assert (step.phase, step.tokens) == ("decode", 4)


# --- the forms of attention -------------------------------------------------------------------------


def values(*shape: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(len(shape)).standard_normal(shape)


def run(cascade: str, sizes: dict[str, int], inputs: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    path = LAYERS / f"{cascade}.cascade"
    (output,) = fm.run(path if path.exists() else cascade, sizes, inputs).values()
    return np.asarray(output)


@pytest.mark.parametrize("form", ["mqa", "mqa-streaming"])
def test_grouped_attention_is_multi_query_attention_of_each_group(form: str) -> None:
    q, k, v = values(3, 2, 6), values(3, 8, 2)[..., :2], values(4, 8, 2) + 1  # [e,p,h], [e,m,hk], [f,m,hk]
    whole = run("attention-3pass-gqa", {"HK": 2, "G": 3}, {"Q": q, "K": k, "V": v})
    chunks = {"M0": 4} if form == "mqa-streaming" else {}
    parts = [run(form, chunks, {"Q": q[..., 3 * g : 3 * g + 3], "K": k[..., g], "V": v[..., g]}) for g in range(2)]
    np.testing.assert_allclose(np.concatenate(parts, axis=-1), whole)
    wrong = [run(form, chunks, {"Q": q[..., g::2], "K": k[..., g], "V": v[..., g]}) for g in range(2)]
    assert not np.allclose(np.concatenate(wrong, axis=-1), whole)


@pytest.mark.parametrize("form", ["latent-attention", "latent-attention-streaming"])
def test_absorbed_expansions_around_the_latent_are_mla(form: str) -> None:
    q, qr, c, kr, uk, uv = (values(*s) for s in ((3, 2, 5), (2, 2, 5), (4, 8), (2, 8), (3, 4, 5), (6, 4, 5)))
    chunks = {"M0": 4} if form.endswith("streaming") else {}
    whole = run("mla", {}, {"Q": q, "QR": qr, "C": c, "KR": kr, "UK": uk, "UV": uv})
    latent = run(form, chunks, {"QA": np.einsum("eph,ech->cph", q, uk), "QR": qr, "C": c, "KR": kr})
    np.testing.assert_allclose(np.einsum("cph,fch->fph", latent, uv), whole)


def test_expanded_keys_with_the_shared_rotated_one_are_mla() -> None:
    q, qr, c, kr, uk, uv = (values(*s) for s in ((3, 2, 5), (2, 2, 5), (4, 8), (2, 8), (3, 4, 5), (6, 4, 5)))
    whole = run("mla", {}, {"Q": q, "QR": qr, "C": c, "KR": kr, "UK": uk, "UV": uv})
    for h in range(5):
        keys = np.concatenate([np.einsum("ec,cm->em", uk[..., h], c), kr])
        queries, expanded = np.concatenate([q[..., h], qr[..., h]]), np.einsum("fc,cm->fm", uv[..., h], c)
        head = run("attention-1pass", {"M0": 4}, {"Q": queries, "K": keys, "V": expanded})
        np.testing.assert_allclose(head, whole[..., h])


@pytest.mark.parametrize("form", ["attention-3pass", "attention-1pass"])
def test_products_of_attention_are_counted_alone(form: str) -> None:
    workload = load_workload("BERT@1K")
    problem = make_problem(load_cascade(form), workload, {"M0": 256} if form == "attention-1pass" else {})
    assert multiply_accumulates(problem) == 64 * 12 * 1024 * 1024 * (64 + 64)
    assert least_words(problem) == 64 * 12 * 1024 * 64 * 4


# --- data -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_decoding_is_the_model_with_one_query_position(model: str) -> None:
    prompt, step = load_workload(f"{model}@777"), load_workload(f"{model}-decode@777")
    assert dict(step.sizes) == {**prompt.sizes, "B": 64, "P": 1}
    assert prompt.size("P") == prompt.size("M") == 777 and prompt.size("B") == 1
    sources = {rank.name: rank.source for rank in step.ranks}
    assert "config.json" in sources["H"] and "config.json" not in sources["B"] and "decod" in step.description


@pytest.mark.parametrize("name", block_names())
def test_every_layer_of_a_block_says_where_it_is_from(name: str) -> None:
    text = (LAYERS / f"{name}.yaml").read_text()
    assert re.search(r"^source: .*(arXiv|>-)", text, re.M)


SMALL = """\
source: made up
block: mine.yaml
ranks: {B: 2, H: 4, HK: 2, E: 128, F: 128, M: LENGTH, P: 1, D: 64, S: 128, LAYERS: 3, V: 100}
batch: [B, H]
"""
MINE = """\
extends: gqa-swiglu
description: mine
source: made up
layers:
  down: null
  attention: {cascades: [mqa]}
  mixed: {times: 2, ranks: {M: B, K: D, N: D}}
"""


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., str]:
    """A reference to a small model of one's own, with texts replaced."""

    def write(old: str = "", new: str = "", length: str = "@1K") -> str:
        assert not old or (SMALL + MINE).count(old) == 1
        (tmp_path / "small.yaml").write_text(SMALL.replace(old, new) if old else SMALL)
        (tmp_path / "mine.yaml").write_text(MINE.replace(old, new) if old else MINE)
        return f"{tmp_path / 'small.yaml'}{length}"

    return write


def test_a_model_of_ones_own(small: Callable[..., str]) -> None:
    found = inference(load_workload(small()), load_arch("fusemax-cloud"))
    names = [row.layer for row in found.rows]
    assert names == ["queries", "keys", "values", "attention", "output", "gate and up", "mixed", "vocabulary"]
    assert [row.times for row in found.rows] == [3, 3, 3, 3, 3, 6, 2, 1]
    matrices = 3 * (2 * 64 * 512 + 2 * 64 * 256 + 2 * 64 * 128) + 2 * 64 * 64
    assert found.parameters == matrices + 2 * 64 * 100 + 7 * 64
    assert (found.phase, found.tokens, found.cached, found.cache_bytes_per_token) == ("decode", 2, 2048, 3 * 512 * WORD)
    per_block = sum(row.times * row.latency_s for row in found.rows[:-1]) / 3
    assert found.per_block.latency_s == pytest.approx(per_block)
    assert found.tokens_per_s == pytest.approx(2 / sum(row.times * row.latency_s for row in found.rows))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("block: mine.yaml\n", "", "names no layers of a whole model"),
        ("block: mine.yaml", "block: gqa-swigl", 'unknown block "gqa-swigl"'),
        ("block: mine.yaml", "block: other.yaml", "other.yaml"),
        ("extends: gqa-swiglu", "extends: mine.yaml", '"extends" forms a cycle'),
        ("N: D}", "N: D / 5}", "expected a positive whole number for small@1K, found 12.8"),
        ("N: D}", "N: Q}", 'unknown name "Q"'),
        ("{times: 2,", "{times: 0,", "expected a positive whole number for small@1K, found 0"),
        ("{times: 2,", "{batch: [X],", 'unknown rank "X"'),
        ("{times: 2,", "{cascades: [linear-layr],", "unknown cascade 'linear-layr'"),
        ("{times: 2,", "{cascades: [mine.cascade],", "mine.cascade"),
        ("{times: 2,", "{tims: 2,", 'unknown key "tims"'),
        ("HK: 2", "HK: 3", "expected a positive whole number for small@1K, found 1.33333"),
        (
            "description: mine",
            "description: mine\ncache: 1.5",
            "expected a positive whole number for small@1K, found 1.5",
        ),
    ],
)
def test_what_is_wrong_with_a_block_is_said(small: Callable[..., str], old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        inference(load_workload(small(old, new)), load_arch("fusemax-cloud"))


def test_places_of_faults_are_in_the_file(small: Callable[..., str]) -> None:
    with pytest.raises(InputError) as caught:
        load_block(load_workload(small("{times: 2, ranks: {M: B,", "{times: Q, ranks: {M: B / 7,")))
    spans = [d.span for d in caught.value.diagnostics]
    assert sorted((s.line, s.column) for s in spans if s) == [(7, 18), (7, 32)]
    assert all(s is not None and s.file.endswith("mine.yaml") for s in spans)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: Llama-3-8\n", 'unknown workload "Llama-3-8"'),
        ("extends: w.yaml\n", '"extends" forms a cycle through "w.yaml"'),
        ("extends: 5\nsource: s\nranks: {M: 1}\n", "found 5"),
        ("extends: Llama-3-8B\nranks: {B: 2}\n", "no source for"),
        ("extends: Llama-3-8B\nsource: s\nranks: {B: 0}\n", "expected a positive whole number, found 0"),
    ],
)
def test_a_workload_that_extends_what_it_cannot(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "w.yaml").write_text(text)
    with pytest.raises(InputError, match=re.escape(message)):
        load_workload(f"{tmp_path / 'w.yaml'}@4K")


def test_the_vocabulary_is_no_part_of_a_block(small: Callable[..., str]) -> None:
    found = inference(load_workload(small()), load_arch("fusemax-cloud"), only="vocabulary")
    assert found.per_block.to_json()["flops_per_byte"] == found.per_block.latency_s == 0
    assert found.total.latency_s == found.rows[0].latency_s > 0


def test_unknown_ranks_and_layers() -> None:
    with pytest.raises(InputError, match="has no rank BB"):
        inference(load_workload("Llama-3-8B@1K"), load_arch("fusemax-cloud"), sizes={"BB": 1})
    with pytest.raises(InputError, match='has no layer "downs"'):
        inference(load_workload("Llama-3-8B@1K"), load_arch("fusemax-cloud"), only="downs")


def test_a_form_that_does_not_fit_is_left_out(small: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    violation = Violation(what="buffer", need=2, limit=1, unit="B")

    def refusing(cascade: Cascade, *case: Any) -> Best:
        if cascade.name in refused:
            raise DoesNotFit(cascade.name, (violation,))
        return find_best(cascade, *case)

    monkeypatch.setattr("fusemap.validation.inference.find_best", refusing)
    workload, machine = load_workload(small("[mqa]", "[mqa, mqa-streaming]")), load_arch("fusemax-cloud")
    refused = ["mqa-streaming"]
    (row,) = inference(workload, machine, only="attention").rows
    assert (row.cascade, [(o.cascade, o.latency_s) for o in row.others]) == ("mqa", [("mqa-streaming", None)])
    assert "does not fit" in row.others[0].reason
    refused.append("mqa")
    with pytest.raises(DoesNotFit, match="mqa"):
        inference(workload, machine, only="attention")


# --- the command and the figure ---------------------------------------------------------------------


def test_the_command_prints_a_document_and_a_table(small: Callable[..., str], fusemap: Callable[..., Any]) -> None:
    options = ["evaluate", "model", "--arch", "fusemax-cloud", "--workload", small(), "--size", "B=4"]
    document = fusemap(*options, "--json").json()
    found = inference(load_workload(small()), load_arch("fusemax-cloud"), sizes={"B": 4})
    assert document == json.loads(json.dumps(found.to_json()))
    assert document["schema"] == "fusemap/inference/1" and document["sequences"] == 4
    assert document["latency_s"] == pytest.approx(sum(r["times"] * r["latency_s"] for r in document["rows"]))
    assert document["energy_pj"] == pytest.approx(sum(r["times"] * r["energy_pj"] for r in document["rows"]))
    text = model_text(found)
    assert all(row["layer"] in text for row in document["rows"]) and "decode, 4 sequences, 4 tokens" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_command_prints_the_table(small: Callable[..., str], fusemap: Callable[..., Any]) -> None:
    outcome = fusemap("evaluate", "model", "--arch", "flat-edge", "--workload", small(length="@8"))
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("small@8 on flat-edge: decode")
    assert re.search(r"^attention +3 +\S+ \w+ +- ", outcome.out, re.M)  # no energy: a price is missing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--arch", "fusemax-cloud"], "--workload is missing"),
        (["--workload", "Llama-3-8B@1K"], "--arch is missing"),
        (["--workload", "BERT@1K", "--arch", "fusemax-cloud"], "built-in blocks: gqa-swiglu"),
        (["--workload", "Llama-3-8B@1K", "--arch", "fusemax-cloud", "--dataflow", "flat"], "--dataflow does not go"),
        (["--workload", "Llama-3-8B@1K", "--arch", "fusemax-cloud", "--no-energy"], "--no-energy does not go"),
    ],
)
def test_the_command_refuses(options: list[str], message: str, fusemap: Callable[..., Any]) -> None:
    outcome = fusemap("evaluate", "model", *options)
    assert (outcome.code, outcome.out) == (2, "") and message in outcome.err


@pytest.mark.parametrize("model", MODELS)
def test_attention_alone_is_evaluated_at_the_models_sizes(model: str, fusemap: Callable[..., Any]) -> None:
    cascade = "mla-absorbed" if model == "DeepSeek-V3" else "attention-3pass-gqa"
    case = [cascade, "--arch", "fusemax-cloud", "--workload", f"{model}-decode@1K", "--json"]
    assert fusemap("evaluate", *case).json()["bottleneck"] == "dram"


def test_the_picture_in_the_documentation_shows_these_numbers() -> None:
    with Image.open(DOCS / "decode.png") as image:
        stored = json.loads(image.info["Description"])
        assert image.size == (1400, 620)
    chosen = [p for p in POINTS if p[0].startswith("GQA") or p[2] == (("B", 16),)]
    now = decode_data(lengths=["1K"], batches=[1], points=chosen)
    shown = json.loads(now.fingerprint)
    assert [p for p in stored["points"] if p in shown["points"]] == shown["points"]
    assert [s for s in stored["steps"] if s in shown["steps"]] == shown["steps"]
    assert len(stored["points"]) == len(POINTS) and stored["arch"] == shown["arch"]
    first = dataclasses.replace(now.steps[0], latency_s=now.steps[0].latency_s * 1.001)
    changed = json.loads(dataclasses.replace(now, steps=(first,)).fingerprint)
    assert changed["steps"][0] not in stored["steps"]


def test_the_documentation_tells_these_numbers() -> None:
    text = (DOCS / "inference.md").read_text()
    (row,) = (line for line in text.splitlines() if line.startswith("| Llama-3-8B | decode, 1 sequence"))
    found = decoded(length="4K")
    total, attention = found.total, next(r for r in found.rows if r.layer == "attention")
    assert (
        f"| {total.latency_s * 1e3:.2f} ms | {found.tokens_per_s:.2f} | {total.traffic_bytes / 2**30:.2f} GiB |" in row
    )
    assert f"| {total.flops_per_byte:.1f} | {attention.latency_s * 1e6:.2f} us, dram | " in row


def test_equal_data_give_equal_pictures() -> None:
    data = decode_data(lengths=[], batches=[], points=[])
    step = Step(length="1K", batch=1, latency_s=1.0, weights_s=0.9, cache_s=0.1, products_s=0.01)
    point = RooflinePoint(name="x", batch=1, flops_per_byte=1.0, flops_per_s=4e11)
    data = dataclasses.replace(data, steps=(step,), points=(point,))
    assert render_decode(data) == render_decode(data)
    assert render_decode(data, "svg").startswith(b"<?xml")
    assert data.ridge_flops_per_byte == pytest.approx(2 * 65536 * 940e6 / (400 * 2**30))
