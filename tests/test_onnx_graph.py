"""ONNX graphs as cascades: the same numbers as ONNX's reference evaluator, and refusals that name the node."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from conftest import Outcome
from hypothesis import given, settings
from hypothesis import strategies as st

import fusemap as fm

onnx = pytest.importorskip("onnx", reason="needs the package onnx: fusemap[onnx]")
from onnx_cases import Model, computed, random_model  # noqa: E402

Run = Callable[..., Outcome]


def agree(found: fm.Imported, model: Model, seed: int = 0) -> bool:
    """Do cascade and reference evaluator agree, axes of extent 1 aside? Attributes are float32 there: hence 1e-6."""
    inputs = model.given(seed)
    pairs = zip(computed(found, model, inputs), model.expected(inputs), strict=True)
    return all(
        np.shape(ours) == np.squeeze(theirs).shape and np.allclose(ours, np.squeeze(theirs), rtol=1e-6, atol=1e-6)
        for ours, theirs in pairs
    )


def model_of(*nodes: tuple[str, tuple[str, ...], str, dict[str, Any]], **parts: Any) -> Model:
    """A model of nodes (operator, inputs, output, attributes) whose last node writes the output."""
    model = Model(**parts)
    for operator, inputs, output, attributes in nodes:
        model.node(operator, inputs, output, **attributes)
    model.outputs = [nodes[-1][2]]
    return model


def attention(**attributes: Any) -> Model:
    """The Attention operator of version 23 on four axes."""
    shapes = {"Q": (2, 3, 5, 4), "K": (2, 3, "keys", 4), "V": (2, 3, "keys", 7)}
    return model_of(("Attention", ("Q", "K", "V"), "Y", attributes), inputs=shapes)


def block() -> Model:
    """Self-attention with two heads, a residual, a normalization and a feed-forward layer."""
    rng = np.random.default_rng(5)
    weights = {name: rng.standard_normal((8, 8)) for name in ("wq", "wk", "wv", "wo")}
    weights |= {"w1": rng.standard_normal((8, 16)), "w2": rng.standard_normal((16, 8)), "scale": rng.standard_normal(8)}
    shapes = {"heads": np.array([0, 0, 2, 4]), "joined": np.array([0, 0, 8]), "root": np.array(0.5)}
    model = Model(inputs={"x": ("batch", "seq", 8)}, constants={**weights, **shapes}, outputs=["y"])
    for name, order in (("q", (0, 2, 1, 3)), ("k", (0, 2, 3, 1)), ("v", (0, 2, 1, 3))):
        model.node("MatMul", ("x", f"w{name}"), f"{name}0")
        model.node("Reshape", (f"{name}0", "heads"), f"{name}1")
        model.node("Transpose", (f"{name}1",), name, perm=order)
    model.node("MatMul", ("q", "k"), "qk")
    model.node("Mul", ("qk", "root"), "scaled")
    model.node("Softmax", ("scaled",), "a", axis=-1)
    model.node("MatMul", ("a", "v"), "av")
    model.node("Transpose", ("av",), "turned", perm=(0, 2, 1, 3))
    model.node("Reshape", ("turned", "joined"), "flat")
    model.node("MatMul", ("flat", "wo"), "o")
    model.node("Add", ("o", "x"), "residual")
    model.node("LayerNormalization", ("residual", "scale"), "normed", axis=-1, epsilon=1e-3)
    model.node("MatMul", ("normed", "w1"), "up")
    model.node("Gelu", ("up",), "act", approximate="tanh")
    model.node("MatMul", ("act", "w2"), "y")
    return model


SQUARE = {"x": ("seq", "seq")}
MODELS: dict[str, Callable[[], Model]] = {
    "attention": attention,
    "attention, scale": lambda: attention(scale=0.25),
    "attention, added mask": lambda: model_of(
        ("Attention", ("Q", "K", "V", "mask"), "Y", {}),
        inputs={"Q": (2, 3, 5, 4), "K": (2, 3, 6, 4), "V": (2, 3, 6, 7), "mask": (5, 6)},
    ),
    "attention, causal": lambda: attention(is_causal=1),
    "attention, mask of booleans": lambda: model_of(
        ("Attention", ("Q", "K", "V", "mask"), "Y", {"is_causal": 1}),
        inputs={"Q": (1, 3, 5, 4), "K": (1, 3, 6, 4), "V": (1, 3, 6, 7), "mask": (5, 6)},
        booleans={"mask"},
    ),
    "attention, causal and an added mask": lambda: model_of(
        ("Attention", ("Q", "K", "V", "mask"), "Y", {"is_causal": 1, "softcap": 2.0}),
        inputs={"Q": (2, 3, 5, 4), "K": (2, 3, 6, 4), "V": (2, 3, 6, 7), "mask": (5, 6)},
    ),
    "attention, three axes": lambda: model_of(
        ("Attention", ("Q", "K", "V"), "Y", {"q_num_heads": 6, "kv_num_heads": 2}),
        inputs={"Q": ("batch", "seq", 24), "K": ("batch", "keys", 8), "V": ("batch", "keys", 10)},
    ),
    "attention, groups": lambda: model_of(
        ("Attention", ("Q", "K", "V"), "Y", {}),
        inputs={"Q": ("batch", 6, "seq", 4), "K": ("batch", 2, "keys", 4), "V": ("batch", 2, "keys", 7)},
    ),
    "attention, one head of keys": lambda: model_of(
        ("Attention", ("Q", "K", "V"), "Y", {}),
        inputs={"Q": ("batch", 6, "seq", 4), "K": ("batch", 1, "keys", 4), "V": ("batch", 1, "keys", 7)},
    ),
    "einsum": lambda: model_of(
        ("Einsum", ("q", "k"), "s", {"equation": "bhpe,bhme->bhpm"}),
        ("Softmax", ("s",), "a", {"axis": 3}),
        ("Einsum", ("a", "v"), "y", {"equation": "bhpm,bhmf -> bphf"}),
        inputs={"q": (2, 3, "seq", 4), "k": (2, 3, "keys", 4), "v": (2, 3, "keys", 7)},
    ),
    "block": block,
    "gemm": lambda: model_of(
        ("Gemm", ("a", "b", "c"), "y", {"alpha": 0.5, "beta": 2.0, "transA": 1, "transB": 1}),
        inputs={"a": (4, "seq"), "b": (6, 4), "c": (6,)},
    ),
    "product with itself": lambda: model_of(("MatMul", ("x", "x"), "y", {}), inputs=SQUARE),
    "matrix and vector": lambda: model_of(("MatMul", ("a", "b"), "y", {}), inputs={"a": ("seq", 4), "b": (4,)}),
    "vector and matrix": lambda: model_of(("MatMul", ("a", "b"), "y", {}), inputs={"a": (4,), "b": (4, "seq")}),
    "batches that broadcast": lambda: model_of(
        ("MatMul", ("a", "b"), "y", {}), inputs={"a": (1, 3, "seq", 4), "b": (2, 1, 4, 6)}
    ),
    "sum with its transpose": lambda: model_of(
        ("Transpose", ("x",), "t", {}), ("Add", ("x", "t"), "s", {}), ("Sub", ("s", "t"), "y", {}), inputs=SQUARE
    ),
    "a view as the output": lambda: model_of(("Transpose", ("x",), "y", {}), inputs={"x": ("seq", 4)}),
    "where, comparisons and bounds": lambda: model_of(
        ("Greater", ("x", "half"), "c1", {}),
        ("Less", ("x", "w"), "c2", {}),
        ("Where", ("c1", "x", "w"), "p", {}),
        ("Where", ("c2", "p", "half"), "q", {}),
        ("Where", ("mask", "q", "x"), "r", {}),
        ("Clip", ("r", "", "half"), "y", {}),
        inputs={"x": ("seq", 4), "mask": ("seq", 1)},
        booleans={"mask"},
        constants={"half": np.array(0.5), "w": np.linspace(-1, 1, 4)},
    ),
    "numbers": lambda: model_of(
        ("Constant", (), "minus", {"value_float": -1.5}),
        ("Cast", ("minus",), "m", {"to": 11}),
        ("Mul", ("x", "m"), "p", {}),
        ("Pow", ("p", "two"), "s", {}),
        ("Div", ("s", "row"), "d", {}),
        ("Sqrt", ("d",), "y", {}),
        inputs={"x": ("seq", 4)},
        constants={"two": np.array([[2.0]]), "row": np.array([1.0, 2.0, 3.0, 4.0])},
    ),
    "fold of three": lambda: model_of(
        ("Max", ("a", "b", "c"), "m", {}),
        ("Sum", ("m", "a", "b"), "y", {}),
        inputs={"a": ("seq", 4), "b": (4,), "c": ("seq", 1)},
    ),
    "all reduced": lambda: model_of(("ReduceMean", ("x",), "y", {"keepdims": 0}), inputs={"x": ("seq", 4)}),
    "squeeze": lambda: model_of(
        ("Squeeze", ("x", "axes"), "s", {}),
        ("Exp", ("s",), "y", {}),
        inputs={"x": (1, "seq", 1)},
        constants={"axes": np.array([0])},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_computes_what_the_reference_evaluator_computes(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    assert agree(fm.import_onnx(model.save(tmp_path / "model.onnx")), model)


@pytest.mark.parametrize("first", range(0, 160, 20))
def test_random_models_compute_what_the_reference_evaluator_computes(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + 20):
        model = random_model(seed)
        found = fm.import_onnx(model.save(tmp_path / "model.onnx"))
        assert agree(found, model, seed), (seed, found.text)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_is_imported_of_onnx_s_own_tests_computes_what_they_expect(tmp_path: Path) -> None:
    """Every test of a node that comes with the package, whose model is imported and whose data are arrays."""
    loader = importlib.import_module("onnx.backend.test.loader")
    agreed: Counter[str] = Counter()
    for case in loader.load_model_tests(kind="node"):
        onnx.save(case.model, str(tmp_path / "model.onnx"))
        graph = case.model.graph
        try:
            found = fm.import_onnx(tmp_path / "model.onnx")
        except fm.InputError:
            continue
        for given_data, expected in case.data_sets:
            if not graph.input or any(isinstance(item, onnx.TensorProto) for item in (*given_data, *expected)):
                continue
            values = {i.name: np.asarray(item).astype(float) for i, item in zip(graph.input, given_data, strict=True)}
            tolerance = 2e-2 if "bf16" in case.name else 2e-3  # the data of some are of 16 bits
            for ours, theirs in zip(computed(found, Model(), values), expected, strict=True):
                wanted = np.squeeze(np.asarray(theirs)).astype(float)
                got = np.ma.filled(ours, 0)
                assert got.shape == wanted.shape, case.name
                assert np.allclose(got, wanted, rtol=tolerance, atol=tolerance, equal_nan=True), case.name
            agreed[graph.node[0].op_type] += 1
    assert agreed.total() >= 300 and agreed["Attention"] >= 30


def test_a_planted_fault_is_seen(tmp_path: Path) -> None:
    model, other = block(), block()
    for node in other.nodes:
        if node.op_type == "Softmax":
            node.attribute[0].i = -2
    found = fm.import_onnx(other.save(tmp_path / "model.onnx"))
    assert agree(found, other) and not agree(found, model)


def test_attention_needs_three_passes_over_its_keys(tmp_path: Path) -> None:
    found = fm.import_onnx(attention().save(tmp_path / "model.onnx"))
    (row,) = fm.analyze(found.cascade, tensor="K", rank="KEYS").passes
    assert (row.passes.constant, row.upper.constant) == (3, 3)


# --- ranks ----------------------------------------------------------------------------------------


def test_ranks_follow_the_graph(tmp_path: Path) -> None:
    lines = fm.import_onnx(block().save(tmp_path / "my block.onnx")).text.splitlines()
    assert "cascade my-block" in lines
    assert "Qk[batch,d2,seq,seq_2] = Q1[batch,seq,d2,d4]*K1[batch,seq_2,d2,d4]" in lines or any(
        line.startswith("Qk[batch,") and "seq,seq_2]" in line for line in lines
    )
    assert "shape SEQ_2 = SEQ" in lines


def test_a_rank_can_be_called_otherwise_and_its_size_is_open_then(tmp_path: Path) -> None:
    path = attention().save(tmp_path / "model.onnx")
    found = fm.import_onnx(path, ranks={"D5": "P", "KEYS": "M", "D4": "E", "D7": "F"})
    assert "Y[d2,d3,p,f] = Y_A[d2,d3,p,m]*V[d2,d3,m,f]" in found.text.splitlines()
    assert "shape P" not in found.text and "shape D2 = 2" in found.text
    for ranks, message in (
        ({"D9": "P"}, "no rank D9"),
        ({"D5": "D4"}, "there is one already"),
        ({"D5": "P", "D4": "P"}, "there is one already"),
        ({"D5": "for"}, "for is no name for a rank"),
    ):
        with pytest.raises(fm.InputError, match=message):
            fm.import_onnx(path, ranks=ranks)


# --- refusals -------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Callable[[], Model], str]] = {
    "operator": (
        lambda: model_of(("Exp", ("x",), "e", {}), ("Erf", ("e",), "y", {}), inputs={"x": (4,)}),
        'node 1 "n1" (Erf): this operator is not supported',
    ),
    "exact gelu": (lambda: model_of(("Gelu", ("x",), "y", {}), inputs={"x": (4,)}), "which needs erf"),
    "extents that may differ": (
        lambda: model_of(("Add", ("a", "b"), "y", {}), inputs={"a": ("seq",), "b": ("keys",)}),
        'node 0 "n0" (Add): not supported with extents seq and keys at one axis',
    ),
    "inner extents": (
        lambda: model_of(("MatMul", ("a", "b"), "y", {}), inputs={"a": (4, "seq"), "b": ("keys", 4)}),
        "inner extents seq and keys",
    ),
    "reshape to three": (
        lambda: model_of(("Reshape", ("x", "s"), "y", {}), inputs={"x": (24,)}, constants={"s": np.array([2, 3, 4])}),
        "a reshape of 24 to 2x3x4, which cuts no axis in two and joins no two",
    ),
    "computed shape": (
        lambda: model_of(
            ("Add", ("s", "s"), "t", {}),
            ("Reshape", ("x", "t"), "y", {}),
            inputs={"x": (4, 6)},
            constants={"s": np.array([12, 2])},
        ),
        "operand 1 (t) is computed, and must be a constant here",
    ),
    "NaN": (
        lambda: model_of(("Add", ("x", "n"), "y", {}), inputs={"x": (4,)}, constants={"n": np.array(np.nan)}),
        "the constant n is not supported: NaN as a constant",
    ),
    "cast to integers": (
        lambda: model_of(("Cast", ("x",), "i", {"to": 7}), ("Cast", ("i",), "y", {"to": 11}), inputs={"x": (4,)}),
        "a cast that rounds",
    ),
    "diagonal": (
        lambda: model_of(("Einsum", ("x",), "y", {"equation": "ii->i"}), inputs={"x": (4, 4)}),
        "an equation other than letters",
    ),
    "a mode of output": (lambda: attention(qk_matmul_output_mode=1), "the attribute qk_matmul_output_mode"),
    "dropout in training": (
        lambda: model_of(
            ("Dropout", ("x", "ratio", "training"), "y", {}),
            inputs={"x": (4,)},
            constants={"ratio": np.array(0.5), "training": np.array(True)},
        ),
        "training_mode, which draws at random",
    ),
    "integers": (
        lambda: model_of(
            ("Cast", ("c",), "i", {"to": 7}),
            ("Div", ("i", "two"), "h", {}),
            ("Cast", ("h",), "y", {"to": 11}),
            inputs={"c": (4,)},
            booleans={"c"},
            constants={"two": np.array(2)},
        ),
        "integers, whose division rounds",
    ),
    "old operators": (lambda: model_of(("Exp", ("x",), "y", {}), inputs={"x": (4,)}, opset=11), "of version 11"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_refused_by_node(name: str, tmp_path: Path) -> None:
    build, message = REFUSED[name]
    path = build().save(tmp_path / "model.onnx")
    with pytest.raises(fm.InputError) as error:
        fm.import_onnx(path)
    assert message in str(error.value) and str(path) in str(error.value)


def test_all_unknown_operators_come_together(tmp_path: Path) -> None:
    model = model_of(("Erf", ("x",), "e", {}), ("Softsign", ("e",), "y", {}), inputs={"x": (4,)})
    with pytest.raises(fm.InputError) as error:
        fm.import_onnx(model.save(tmp_path / "model.onnx"))
    assert str(error.value).count("this operator is not supported") == 2
    assert str(error.value).count("supported operators: Abs, Add, Attention,") == 1


BLOCK = block().proto().SerializeToString()


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_model_is_read_or_refused(at: int, byte: int) -> None:
    content = bytearray(BLOCK)
    content[at % len(content)] = byte
    with TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.onnx"
        path.write_bytes(content)
        try:
            fm.import_onnx(path)
        except fm.InputError as error:
            assert str(path) in str(error)


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(fm.InputError, match=r"fusemap\[onnx\]"):
        fm.import_onnx(tmp_path / "model.onnx")


def test_a_name_with_a_line_break_stays_a_comment(tmp_path: Path) -> None:
    model = model_of(("Exp", ("x\nZ = X",), "y", {}), inputs={"x\nZ = X": ("seq",)})
    found = fm.import_onnx(model.save(tmp_path / "model.onnx"))
    assert [einsum.name for einsum in found.cascade.einsums] == ["Y"]


# --- the command ----------------------------------------------------------------------------------


def test_the_command_writes_a_cascade_that_others_read(fusemap: Run, tmp_path: Path) -> None:
    source, target = block().save(tmp_path / "block.onnx"), tmp_path / "block.cascade"
    outcome = fusemap("import", "onnx", str(source), "--out", str(target), "--rank", "SEQ=P")
    assert (outcome.code, outcome.out) == (0, f"{target}: cascade block, 24 Einsums\n")
    assert "note: Wq is the constant wq, 8 x 8" in outcome.err
    assert fusemap("run", str(target), "--size", "P=4").code == 0
    printed = fusemap("import", "onnx", str(source))
    assert printed.out == fm.import_onnx(source).text
    document = fusemap("import", "onnx", str(source), "--json").json()
    assert document == fm.import_onnx(source).to_json() and document["format"] == "onnx"


def test_the_command_refuses_what_is_no_model(fusemap: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    assert fusemap("import", "onnx", str(bad)).code == 2
    assert fusemap("import", "onnx", str(tmp_path / "none.onnx")).code == 2
    assert fusemap("import", "onnx", str(bad), "--rank", "D4").code == 2
    assert fusemap("import", "onnx", str(bad), "--out", "x.txt").code == 2
