"""Configurations as workloads: weights as the library's own modules have them, presets, refusals with their places."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Outcome
from hypothesis import given, settings
from hypothesis import strategies as st
from model_oracle import count

import fusemap as fm
from fusemap.archspec import families
from fusemap.archspec.config_workload import read_config
from fusemap.archspec.workloads import load_workload, parse_workload
from fusemap.diagnostics import InputError
from fusemap.validation.inference_block import load_block

Run = Callable[..., Outcome]
DATA = Path(__file__).parent / "data"
RANDOM = json.loads((DATA / "model-configs.json").read_text())["cases"]
MODELS: Mapping[str, Any] = yaml.safe_load((DATA / "models.yaml").read_text())["models"]
PRESETS = [name for name, model in MODELS.items() if "published" in model]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """A configuration as a file."""

    def write(config: Mapping[str, Any] | str) -> Path:
        path = tmp_path / "config.json"
        path.write_text(config if isinstance(config, str) else json.dumps(config, indent=2))
        return path

    return write


def config_of(name: str) -> dict[str, Any]:
    found = json.loads(MODELS[name]["config"])
    assert isinstance(found, dict)
    return found


# --- weights ----------------------------------------------------------------------------------------


@pytest.mark.sampled(3)
@pytest.mark.parametrize("case", RANDOM, ids=[f"{c['config']['model_type']}-{i}" for i, c in enumerate(RANDOM)])
def test_weights_are_those_of_the_librarys_modules(case: Mapping[str, Any], written: Callable[..., Path]) -> None:
    assert fm.workload_from_config(written(case["config"])).parameters == case["parameters"]


@pytest.mark.parametrize("name", MODELS)
def test_weights_of_published_models(name: str, written: Callable[..., Path]) -> None:
    model = MODELS[name]
    found = fm.workload_from_config(written(config_of(name)), name=name)
    assert found.parameters == model["weights"]
    if "published" in model:
        published = model["published"]
        assert found.parameters == pytest.approx(float(published["parameters"]), rel=published["tolerance"])
        embedding = found.at(1024).size("D") * found.at(1024).size("V")
        if "active" in model:
            active = found.active_parameters - (0 if model["active"]["with_embedding"] else embedding)
            assert active == pytest.approx(float(model["active"]["parameters"]), rel=0.025)
        else:
            assert found.active_parameters == found.parameters


def test_parts_of_gpt_oss_are_those_of_its_card() -> None:
    """Table 1 of the model card (arXiv 2508.10925): MLP, attention, embedding and unembedding."""
    for name, mlp, attention, both in (("gpt-oss-120b", 114.71, 0.96, 1.16), ("gpt-oss-20b", 19.12, 0.64, 1.16)):
        rows = {row.kind: row.parameters / 1e9 for row in fm.model_table(f"{name}@4K").rows}
        assert rows["mixture of experts"] == pytest.approx(mlp, abs=0.006)
        assert rows["full attention"] + rows["sliding attention"] == pytest.approx(attention, abs=0.006)
        assert 2 * rows["logits"] == pytest.approx(both, abs=0.006)


PLANTED = [  # a family, one of its numbers, and what it is said to be instead
    ("qwen3", "QK_NORMS", "0"),
    ("olmo2", "QK_NORMS", "1"),
    ("qwen2", "QKV_BIAS", "0"),
    ("gpt_oss", "SINKS", "0"),
    ("gpt_oss", "EXPERT_BIAS", "0"),
    ("gpt_oss", "OUTPUT_BIAS", "0"),
    ("gemma2", "NORMS", "2"),
    ("deepseek_v3", "DENSE", "FIRST + 1"),
    ("deepseek_v3", "SCORED", "0"),
    ("glm4_moe", "SHARED", "0"),
    ("qwen3_moe", "DENSE", "0"),
    ("mixtral", "SX", "S + 1"),
    ("gpt2", "LEARNED", "0"),
    ("bert", "NORMS", "2"),
    ("llama", "MLP_BIAS", "0"),
]


@pytest.mark.parametrize(("name", "number", "wrong"), PLANTED)
def test_a_wrong_family_is_found(
    name: str, number: str, wrong: str, written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = families.family(name)
    expression = families.FieldModel(default=wrong).default  # type: ignore[arg-type]
    spec = right.model_copy(update={"numbers": {**right.numbers, number: expression}})
    monkeypatch.setattr("fusemap.archspec.config_workload.family", lambda asked: spec)
    cases = [c for c in RANDOM if families.families()[c["config"]["model_type"]] == name]
    counts = []
    for case in cases:
        try:
            counts.append(fm.workload_from_config(written(case["config"])).parameters)
        except InputError:  # a rank of nothing
            counts.append(0)
    assert counts != [case["parameters"] for case in cases]


# --- presets ----------------------------------------------------------------------------------------


@pytest.mark.sampled(3)
@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_what_is_read_of_their_configurations(
    name: str, decode: bool, written: Callable[..., Path]
) -> None:
    preset = load_workload(f"{name}{'-decode' if decode else ''}@4K")
    read = fm.workload_from_config(written(config_of(name)), name=name, decode=decode).at(4096)
    assert dict(read.sizes) == dict(preset.sizes)
    assert (read.block, read.batch) == (preset.block, preset.batch)
    source = {rank.name: rank.source for rank in preset.ranks}["D"]
    assert f"config.json of {MODELS[name]['repository']}" in source and "commit" in source


@pytest.mark.parametrize("name", ["Qwen3-8B", "DeepSeek-V3"])
def test_presets_written_by_hand_are_the_same(name: str, written: Callable[..., Path]) -> None:
    """Their blocks have names of their own; what they add up to is the same."""
    for suffix, decode in (("", False), ("-decode", True)):
        by_hand = load_block(load_workload(f"{name}{suffix}@4K"))
        read = load_block(fm.workload_from_config(written(config_of(name)), decode=decode).at(4096))
        assert read.parameters == by_hand.parameters == MODELS[name]["weights"]
        assert [(x.name, x.times, dict(x.workload.sizes)) for x in read.layers] == [
            (x.name, x.times, dict(x.workload.sizes)) for x in by_hand.layers
        ]


# --- work and caches, recounted ---------------------------------------------------------------------


@st.composite
def decoders(draw: st.DrawFn) -> dict[str, Any]:
    """A configuration of Gemma 3 (windows) or Qwen3 (experts), any sizes."""
    heads, layers = draw(st.sampled_from([2, 4, 6])), draw(st.integers(1, 5))
    config: dict[str, Any] = {
        "hidden_size": heads * draw(st.integers(1, 9)),
        "num_attention_heads": heads,
        "num_key_value_heads": draw(st.sampled_from([1, 2, heads])),
        "head_dim": draw(st.integers(1, 20)),
        "num_hidden_layers": layers,
        "intermediate_size": draw(st.integers(1, 50)),
        "vocab_size": draw(st.integers(1, 100)),
        "tie_word_embeddings": draw(st.booleans()),
    }
    if draw(st.booleans()):
        kinds = st.sampled_from(["full_attention", "sliding_attention"])
        config |= {"model_type": "gemma3_text", "sliding_window": draw(st.integers(1, 40))}
        return config | {"layer_types": draw(st.lists(kinds, min_size=layers, max_size=layers))}
    experts = draw(st.integers(1, 9))
    config |= {"model_type": "qwen3_moe", "num_experts": experts, "moe_intermediate_size": draw(st.integers(1, 9))}
    config |= {"num_experts_per_tok": draw(st.integers(1, experts)), "decoder_sparse_step": draw(st.integers(1, 3))}
    return config | {"mlp_only_layers": sorted(draw(st.sets(st.integers(0, layers - 1), max_size=2)))}


@settings(max_examples=25)
@given(decoders(), st.integers(1, 5), st.integers(1, 90), st.booleans())
def test_work_and_caches_are_those_counted_by_hand(
    tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any], batch: int, length: int, decode: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "drawn.json"
    path.write_text(json.dumps(config))
    read = fm.workload_from_config(path, decode=decode, batch=batch, length=length)
    table = fm.model_table(read.at())
    step, only = config.get("decoder_sparse_step", 0), config.get("mlp_only_layers", [])
    sparse = [bool(step) and (i + 1) % step == 0 and i not in only for i in range(config["num_hidden_layers"])]
    tokens = 1 if decode else length
    expected = count(config, sequences=batch, tokens=tokens, cached=length, sparse=sparse)
    assert {row.kind: row.macs for row in table.rows if row.macs} == expected.macs
    assert table.total.cache_bytes == 2 * expected.cache_words
    assert sum(row.parameters for row in table.rows if row.layers) == expected.matrices
    assert table.total.parameters == read.parameters


@settings(max_examples=25)
@given(st.integers(1, 60), st.integers(1, 60))
def test_a_run_of_queries_reads_every_position_in_their_windows(length: int, window: int) -> None:
    text = f"""\
source: made up
block: [gqa-window, swiglu, norms, vocabulary]
ranks: {{B: 1, H: 1, HK: 1, E: 2, F: 2, M: {length}, P: {length}, D: 2, S: 2, LAYERS: 1, V: 2, W: {window}}}
"""
    block = load_block(parse_workload(text))
    (sizes,) = (dict(x.workload.sizes) for x in block.layers if x.name == "sliding attention")
    for query in range(length):
        first = query // sizes["P"] * sizes["P"]  # of the run
        last = min(first + sizes["P"], length) - 1
        needed = {p for q in range(first, last + 1) for p in range(max(0, q - window + 1), q + 1)}
        assert len(needed) <= sizes["M"]
    assert sizes["RUNS"] * sizes["P"] >= length


# --- what the file says -----------------------------------------------------------------------------


def test_the_file_says_what_was_left_out(written: Callable[..., Path]) -> None:
    config = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    found = fm.workload_from_config(written({**config, "intermediate_size": 128, "vocab_size": 100, "new_key": 3}))
    said = {d.key: (d.value, d.rule) for d in found.read.defaults}
    assert said["num_key_value_heads"] == (4, "left out: num_attention_heads")
    assert said["head_dim"] == (16, "left out: hidden_size / num_attention_heads")
    for key, (_, rule) in said.items():
        assert f"# {key} is {rule}" in found.text
    assert (found.read.unknown, found.read.ignored) == (("new_key",), ("model_type",))
    assert "E: 16  # features of a head: head_dim" in found.text
    sizes = found.at(2048).sizes
    assert (sizes["HK"], sizes["M"], sizes["P"], sizes["B"]) == (4, 2048, 2048, 1)


def test_kinds_of_layers_that_are_all_full_change_nothing(written: Callable[..., Path]) -> None:
    for name in ("Llama-3.1-70B", "Mixtral-8x7B", "Kimi-K2", "Qwen3-32B"):
        config = config_of(name)
        spelled = {**config, "layer_types": ["full_attention"] * config["num_hidden_layers"]}
        found = fm.workload_from_config(written(spelled), name=name)
        assert (found.parameters, found.read.parts) == (
            MODELS[name]["weights"],
            fm.workload_from_config(written(config), name=name).read.parts,
        )


def test_null_is_what_it_means_in_the_library(written: Callable[..., Path]) -> None:
    config = {**config_of("Mixtral-8x7B"), "model_type": "mistral", "sliding_window": None}
    for key in ("num_local_experts", "num_experts_per_tok"):
        del config[key]
    without = fm.workload_from_config(written(config)).read.parts
    del config["sliding_window"]
    left_out = fm.workload_from_config(written(config)).read
    assert "gqa" in without and "gqa-window" in left_out.parts
    assert ("sliding_window", 4096) in {(d.key, d.value) for d in left_out.defaults}


def test_a_text_part_is_taken_and_said(written: Callable[..., Path]) -> None:
    text = config_of("Gemma-3-1B")
    whole = {"model_type": "gemma3", "text_config": text, "vision_config": {"hidden_size": 1152}}
    found = fm.workload_from_config(written(whole))
    assert found.parameters == MODELS["Gemma-3-1B"]["weights"]
    assert found.read.notes[0] == "only the text is counted (text_config); left out: vision_config"
    assert f"# {found.read.notes[0]}" in found.text


def test_an_unknown_type_may_be_read_as_another(written: Callable[..., Path]) -> None:
    config = {**config_of("Llama-3.2-1B"), "model_type": "mine"}
    assert fm.workload_from_config(written(config), family="llama").parameters == MODELS["Llama-3.2-1B"]["weights"]
    named = {k: v for k, v in config.items() if k != "model_type"} | {"architectures": ["LlamaForCausalLM"]}
    assert fm.workload_from_config(written(named)).parameters == MODELS["Llama-3.2-1B"]["weights"]
    with pytest.raises(InputError, match='unknown family "lama"'):
        fm.workload_from_config(written(config), family="lama")


def test_uniform_routing_reaches_fewer_experts(written: Callable[..., Path]) -> None:
    path = written(config_of("Qwen3-30B-A3B"))
    spread, uniform = (
        fm.model_table(fm.workload_from_config(path, decode=True, batch=16, uniform=u).at(1024)) for u in (False, True)
    )
    assert spread.experts is not None and uniform.experts is not None
    assert (spread.experts.touched, uniform.experts.touched) == (128, round(128 * (1 - (1 - 8 / 128) ** 16)))
    assert "uniform" in uniform.experts.rule
    assert uniform.total.parameters == spread.total.parameters
    assert uniform.total.least_bytes < spread.total.least_bytes


# --- refusals ---------------------------------------------------------------------------------------

WHOLE = "expected a whole number from 1 for hidden_size, found "
GOOD = """\
{
  "model_type": "gemma2",
  "hidden_size": 64, "num_hidden_layers": 3,
  "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
  "intermediate_size": 128, "vocab_size": 100,
  "layer_types": ["full_attention", "sliding_attention", "full_attention"],
  "sliding_window": 8, "tie_word_embeddings": true
}
"""


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ('"gemma2"', '"gema2"', (2, 18), 'model_type "gema2" is not supported'),
        ('"gemma2"', "null", (2, 17), "no model_type"),
        ('"hidden_size": 64, ', "", (1, 1), 'no "hidden_size" in this configuration'),
        (
            '"hidden_size": 64',
            '"hidden_size": "64"',
            (3, 19),
            WHOLE + '"64"',
        ),
        (
            '"hidden_size": 64',
            '"hidden_size": 64.5',
            (3, 18),
            WHOLE + "64.5",
        ),
        ('"hidden_size": 64', '"hidden_size": 0', (3, 18), WHOLE + "0"),
        (
            '"hidden_size": 64',
            '"hidden_size": null',
            (3, 18),
            WHOLE + "null",
        ),
        (
            '"hidden_size": 64',
            '"hidden_size": true',
            (3, 18),
            WHOLE + "true",
        ),
        (
            '_heads": 2',
            '_heads": 3',
            (4, 52),
            "G = num_attention_heads / num_key_value_heads must be a whole number from 1, found 1.33333 "
            "(num_attention_heads = 4, num_key_value_heads = 3)",
        ),
        ('"head_dim": 16', '"head_dim": 2.5', (4, 67), "expected a whole number from 1 for head_dim, found 2.5"),
        ("true", '"yes"', (7, 48), 'expected true or false for tie_word_embeddings, found "yes"'),
        (
            '["full_attention", ',
            "[",
            (6, 18),
            "expected a word for each of the 3 layers",
        ),
        ('["full_attention"', '["linear_attention"', (6, 20), 'layer_types: "linear_attention" is not supported'),
        (
            '"sliding_window": 8',
            '"sliding_window": 0',
            (7, 21),
            "W = sliding_window must be a whole number",
        ),
        ('"vocab_size"', '"ssm_cfg": {"d": 1}, "vocab_size"', (5, 30), '"ssm_cfg": layers of a state-space model'),
        (
            '"vocab_size"',
            '"add_cross_attention": true, "vocab_size"',
            (5, 30),
            '"add_cross_attention": cross',
        ),
        ('"vocab_size"', '"vision_config": {"d": 1}, "vocab_size"', (5, 30), '"vision_config": a vision part'),
        ('"vocab_size"', '"n_routed_experts": 8, "vocab_size"', (5, 30), '"n_routed_experts": experts in this family'),
        (
            '"vocab_size"',
            '"hidden_size": 5, "vocab_size"',
            (5, 30),
            'duplicate key "hidden_size" (first',
        ),
        ('"vocab_size": 100,', '"vocab_size": 100,,', (5, 47), "not JSON: expecting property name"),
        ('"vocab_size": 100,', '"vocab_size": 100 // x', (5, 47), "not JSON: expecting ',' delimiter"),
    ],
)
def test_a_refusal_has_its_place(
    old: str, new: str, place: tuple[int, int], message: str, written: Callable[..., Path]
) -> None:
    assert GOOD.count(old) == 1 and fm.workload_from_config(written(GOOD)).parameters
    with pytest.raises(InputError) as caught:
        read_config(written(GOOD.replace(old, new)))
    first = caught.value.diagnostics[0]
    assert first.message.startswith(message)
    assert first.span is not None and (first.span.line, first.span.column) == place
    assert first.span.file.endswith("config.json") and (first.source or place == (1, 1))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "Llama-3.1-70B",
            {"hidden_size": 8190},
            "E = hidden_size / num_attention_heads must be a whole number from 1, found 127.969 "
            "(hidden_size = 8190, num_attention_heads = 64)",
        ),
        (
            "Mixtral-8x7B",
            {"num_experts_per_tok": 9},
            "a token uses more experts than there are: num_experts_per_tok = 9, num_local_experts = 8",
        ),
        ("Kimi-K2", {"topk_method": "best"}, 'topk_method "best" is not supported'),
        ("Qwen3-30B-A3B", {"mlp_only_layers": [3, 48]}, "mlp_only_layers: expected a layer from 0 to 47, found 48"),
        ("Qwen3-30B-A3B", {"mlp_only_layers": 3}, "expected a list of layers for mlp_only_layers, found 3"),
        ("Qwen3-30B-A3B", {"use_sliding_window": True}, '"use_sliding_window": windows'),
        ("DeepSeek-V3", {"attention_bias": True}, '"attention_bias": biases of latent attention: not supported'),
        ("Llama-3.1-70B", {"layer_types": ["sliding_attention"] * 80}, 'layer_types: "sliding_attention" is not'),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(
    name: str, change: Mapping[str, Any], message: str, written: Callable[..., Path]
) -> None:
    config = {**config_of(name), **change}
    with pytest.raises(InputError) as caught:
        read_config(written(config))
    (first, *_) = caught.value.diagnostics
    assert first.message.startswith(message)
    assert first.span is not None and first.span.line > 1 and first.source


@pytest.mark.parametrize("name", ['a: "b" #c', "x\ny", "-", "null", "a/b", "\u00e9"])
def test_any_name_is_written_so_that_it_is_read(name: str, written: Callable[..., Path]) -> None:
    found = fm.workload_from_config(written(config_of("Gemma-2B")), name=name)
    assert found.at(64).description.startswith(name)


def test_all_that_is_wrong_is_said_at_once(written: Callable[..., Path]) -> None:
    text = GOOD.replace("64", '"a"').replace("128", "-1").replace('"vocab_size": 100,', '"kv_lora_rank": 2,')
    with pytest.raises(InputError) as caught:
        read_config(written(text))
    assert [d.span.line for d in caught.value.diagnostics if d.span] == [1, 3, 5, 5]


VALUES = [None, True, 0, 1, -1, 3, 1.5, 1e30, 2**41, "", "x", [], [1], [[1]], ["full_attention"], [None], {}, {"a": 1}]


@settings(max_examples=60)
@given(st.sampled_from(RANDOM), st.data())
def test_any_change_is_read_or_refused_where_it_stands(
    tmp_path_factory: pytest.TempPathFactory, case: Mapping[str, Any], data: st.DataObject
) -> None:
    keys = st.sampled_from([*case["config"], "layer_types", "mlp_only_layers", "text_config", "architectures"])
    changes = data.draw(st.dictionaries(keys, st.sampled_from(VALUES), min_size=1, max_size=3))
    path = tmp_path_factory.getbasetemp() / "changed.json"
    path.write_text(json.dumps({**case["config"], **changes}, indent=1))
    try:
        fm.workload_from_config(path)
    except InputError as error:
        assert all(d.span is not None and d.span.file == str(path) for d in error.diagnostics)


def test_architectures_of_no_text_are_no_type(written: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="no model_type"):
        read_config(written({"architectures": [[1]]}))


@pytest.mark.parametrize("text", ["[]", "3", '"a"', "[1]"])
def test_what_is_no_object_is_refused(text: str, written: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="expected a configuration: a JSON object"):
        read_config(written(text))


# --- the command ------------------------------------------------------------------------------------


def test_the_command_writes_a_file_that_evaluates(fusemap: Run, written: Callable[..., Path], tmp_path: Path) -> None:
    path, target = written(config_of("Gemma-3-1B")), tmp_path / "mine.yaml"
    shown = fusemap("workload", "from-config", str(path), "--decode", "--batch", "2", "--name", "Gemma")
    assert shown.code == 0 and "block: [gqa, gqa-window, window-mix" in shown.out
    outcome = fusemap(
        "workload", "from-config", str(path), "--decode", "--batch", "2", "--name", "Gemma", "--out", str(target)
    )
    assert (outcome.code, outcome.err) == (0, f"written to {target}\n")
    assert outcome.out.startswith(
        "Gemma, read as gemma3_text: 999,885,952 weights\ntie_word_embeddings is left out: 1\n"
    )
    assert target.read_text() == shown.out
    workload = load_workload(f"{target}@1K")
    assert (workload.size("B"), workload.size("P"), workload.size("M")) == (2, 1, 1024)
    assert load_block(workload).parameters == MODELS["Gemma-3-1B"]["weights"]


def test_the_document_is_that_of_the_function(fusemap: Run, written: Callable[..., Path]) -> None:
    path = written(config_of("DeepSeek-V2-Lite"))
    options = ("--length", "8K", "--uniform-routing", "--json")
    printed = fusemap("workload", "from-config", str(path), *options).json()
    assert printed == json.loads(json.dumps(fm.workload_from_config(path, length=8192, uniform=True).to_json()))
    assert (printed["schema"], printed["phase"], printed["ranks"]["M"]) == ("fusemap/workload/1", "prefill", 8192)
    assert parse_workload(printed["text"]).size("P") == 8192


def test_wrong_input_writes_nothing(fusemap: Run, written: Callable[..., Path], tmp_path: Path) -> None:
    target = tmp_path / "mine.yaml"
    path = written(GOOD.replace('"gemma2"', '"mamba"'))
    outcome = fusemap("workload", "from-config", str(path), "--out", str(target))
    assert (outcome.code, outcome.out) == (2, "") and f"{path}:2:18: error: model_type" in outcome.err
    assert not target.exists()
    bert = written({"model_type": "bert", **{k: v for k, v in config_of("Gemma-2B").items() if "model" not in k}})
    assert fusemap("workload", "from-config", str(bert)).code == 0
    refused = fusemap("workload", "from-config", str(bert), "--decode")
    assert refused.code == 2 and "it has no decoding step" in refused.err
    wrong = fusemap("workload", "from-config", str(path), "--length", "4k")
    assert wrong.code == 2 and 'bad length "4k"' in wrong.err


@cache
def _types() -> list[str]:
    return list(families.families())


@pytest.mark.parametrize("model_type", _types())
def test_every_family_is_compared_with_the_library(model_type: str) -> None:
    others = {"kimi_k2": "deepseek_v3", "qwen3_vl_text": "qwen3"}
    counted = {case["config"]["model_type"] for case in RANDOM}
    assert others.get(model_type, model_type) in counted
