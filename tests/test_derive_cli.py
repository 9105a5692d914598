"""`fusemap derive`: the page, the document, the file that it writes, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome

Run = Callable[..., Outcome]


def test_the_page_shows_candidates_steps_text_and_errors(fusemap: Run) -> None:
    outcome = fusemap("derive", "cascade-1", "--rank", "K", "--show", "scan")
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert outcome.code == 0
    assert lines[0] == "cascade-1: 2 passes over K; 3 cascades derived, cascade-1-hoist has 1 pass"
    assert any(line.startswith("cascade-1-scan 1 partition, correct") for line in lines)
    assert "correct Z: f(x, s') = h(s, s') f(x, s) with h = Y'/Y" in lines
    assert "where RY[k1] is not 0 once a chunk was seen" in lines
    assert "RZ[k1+1] = PZ[k1] + LZ[k1]" in lines
    assert "equal on random inputs of a prime field" in lines


def test_the_rank_with_most_passes_is_taken(fusemap: Run) -> None:
    assert fusemap("derive", "softmax").out.startswith("softmax: 3 passes over K")
    outcome = fusemap("derive", "linear-attention")
    assert outcome.code == 2 and "needs one pass over every rank" in outcome.err


def test_what_is_written_is_a_cascade_for_the_other_commands(fusemap: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "one.cascade")
    outcome = fusemap("derive", "attention-3pass", "--out", path)
    assert outcome.code == 0 and outcome.out.endswith(f"wrote {path}\n")
    assert "1-pass cascade on M" in fusemap("analyze", path).out
    assert fusemap("run", path, "--size", "M=64", "--size", "M0=16", "--size", "P=8").code == 0
    case = ("--arch", "fusemax-cloud", "--workload", "BERT@1K", "--size", "M0=256", "--size", "B=1", "--size", "H=1")
    document = fusemap("map", path, *case, "--json").json()
    assert document["proven"] is True
    assert fusemap("simulate", path, *case, "--dataflow", "search", "--json").json()["cycles"] > 0


def test_where_nothing_is_derived_the_reasons_are_printed(fusemap: Run, tmp_path: Path) -> None:
    outcome = fusemap("derive", "attention-2pass", "--rank", "M")
    assert outcome.code == 1 and "M is declared as a product" in outcome.out
    target = tmp_path / "none.cascade"
    outcome = fusemap("derive", "attention-2pass", "--rank", "M", "--out", str(target))
    assert outcome.code == 2 and "nothing to write" in outcome.err and not target.exists()


def test_the_document(fusemap: Run) -> None:
    document = fusemap("derive", "variance", "--rank", "K", "--json").json()
    assert (document["schema"], document["passes"], document["best"]) == ("fusemap/derive/1", 2, "variance-tree")
    by_name = {c["name"]: c for c in document["candidates"]}
    assert by_name["variance-expand"]["gate"]["safe"] is False
    assert [s["rule"] for s in by_name["variance-scan"]["steps"]] == ["partition", "shift"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("attention-3pass", "--rank", "N"), "no rank N"),
        (("attention-3pass", "--rank", "M", "--show", "hoist-scam-2"), "did you mean hoist-scan-2"),
        (("attention-3pas",), "did you mean attention-3pass"),
    ],
)
def test_wrong_input(fusemap: Run, argv: tuple[str, ...], message: str) -> None:
    outcome = fusemap("derive", *argv)
    assert outcome.code == 2 and message in outcome.err and "Traceback" not in outcome.err
