"""Every mapping that the search returns, executed word by word: no fault, right numbers, the words that it claims."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest
from fused_cases import Case
from mapspace_cases import Tiny, small_sizes, workload
from mapspace_oracle import became, differences

from fusemap.einsum_cascade import catalog
from fusemap.mappers.mapspace.front import Objective
from fusemap.mappers.mapspace.space import EVERYTHING, Mapspace
from fusemap.sim.best import Candidate, find_best

SIZES = {"M": 8, "P": 4, "N": 4, "K": 4, "D": 4, "T": 4, "C": 4}
SPACES = {
    "everything": EVERYTHING,
    "spill": Mapspace(recompute=0, hold=False),
    "recompute": Mapspace(hold=False, spill=False),
}
# cascade, size of the chunks if they are given, words of the buffer
CHEAP = [
    *((name, 0, words) for name in ("softmax", "layernorm", "layernorm-moments", "logsumexp") for words in (3, 6, 14)),
    *((name, 0, words) for name in ("rmsnorm-matmul", "rmsnorm-matmul-deferred", "cross-entropy") for words in (5, 12)),
    *((name, 0, words) for name in ("variance", "variance-welford", "variance-moments") for words in (5, 12)),
    *((name, 0, words) for name in ("attention-naive", "attention-naive-deferred") for words in (8, 20)),
    *((name, 0, words) for name in ("attention-3pass", "attention-3pass-deferred") for words in (10, 20, 40)),
    *((name, 0, words) for name in ("prefix-times-suffix", "scan-divide-by-total") for words in (6, 12)),
    *((name, 0, words) for name in ("cascade-1", "cascade-2", "cascade-3", "linear-layer") for words in (5, 12)),
    *(("softmax-online", cut, words) for cut in (1, 2, 4) for words in (8, 16)),
    *(("power-iteration", 0, words) for words in (14, 30)),
    *(("attention-1pass", cut, words) for cut in (2, 4) for words in (12, 30)),
    *(("linear-attention", 0, words) for words in (10, 24)),
    *(("linear-attention-causal-streaming", 0, words) for words in (10, 16)),
]
DEAR = [
    *(("attention-flash-1", cut, words) for cut in (1, 2, 4) for words in (14, 30)),
    *(("attention-1pass", cut, words) for cut in (1, 2, 4, 8) for words in (10, 12, 16, 24, 48)),
    *(("mala-streaming", 2, words) for words in (16, 40)),
    *((name, 0, words) for name in ("mqa", "mala") for words in (16, 40)),
]
SOME = CHEAP[::2]  # every cascade with one buffer or two; with all of them in the slow suite
OBJECTIVES: tuple[Objective, ...] = ("energy",)  # the others in the slow suite


@cache
def best(name: str, cut: int, words: int, objective: Objective, space: str) -> tuple[Case, Candidate]:
    """The best mapping on a machine with a buffer of so many words."""
    cascade, machine = catalog.load(name), Tiny(words=words).machine
    sizes = workload(cascade, small_sizes(cascade, SIZES, cut))
    found = find_best(cascade, machine, sizes, objective=objective, space=SPACES[space], dataflows=False)
    assert found.proven
    candidate = found.best
    case = Case(cascade=cascade, problem=candidate.problem, mapping=candidate.mapping, machine=machine)
    return case, candidate


@pytest.mark.sampled(2)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("name", "cut", "words"), SOME)
def test_the_best_mapping_does_what_it_says(name: str, cut: int, words: int, objective: Objective) -> None:
    assert differences(best(name, cut, words, objective, "everything")[0])[1] == []


@pytest.mark.parametrize("space", ["spill", "recompute"])
@pytest.mark.parametrize("words", [10, 16])
def test_what_a_narrower_space_leaves_does_what_it_says(words: int, space: str) -> None:
    assert differences(best("attention-3pass", 0, words, "energy", space)[0])[1] == []


def test_all_fates_of_tensors_are_executed() -> None:
    """Else the tests above would show little."""
    cases = [(*case, objective, "everything") for case in SOME for objective in OBJECTIVES]
    cases += [("attention-3pass", 0, 10, "energy", space) for space in ("spill", "recompute")]
    shown = Counter(what for case in cases for what in became(best(*case)[1]))
    assert shown["held"] > 10
    assert shown["spilled"] > 2
    assert shown["recomputed"] > 1
    assert shown["streamed"] > 10
    assert shown["several segments"] > 2
    assert shown["several groups"] > 10
    assert shown["recurrence"] > 5


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["latency", "energy", "edp"])
@pytest.mark.parametrize(("name", "cut", "words"), [*CHEAP, *DEAR])
def test_every_best_mapping_does_what_it_says(name: str, cut: int, words: int, objective: Objective) -> None:
    assert differences(best(name, cut, words, objective, "everything")[0])[1] == []
