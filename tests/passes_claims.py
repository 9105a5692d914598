"""Plausible wrong claims about passes, each with the schedule or the exhaustive search that refutes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from textwrap import indent

from passes_oracle import Schedule, least_loads, render


@dataclass(frozen=True, slots=True)
class Claim:
    """Someone says that (tensor, rank) needs `passes` passes; the search over all schedules says otherwise.

    With P passes at least P*n - (P-1)*b loads are needed and P*n suffice, where b coordinates fit and look-ahead + 1
    of them are kept. So a claim is too high if a schedule loads less, too low if every schedule loads more.
    """

    says: str
    passes: int
    text: str
    sizes: tuple[tuple[str, int], ...]
    tensor: str
    rank: str
    room: int
    answer: str

    @property
    def least(self) -> int:
        """The fewest loads that the claim allows."""
        return self.passes * self.length - (self.passes - 1) * self.room

    @property
    def most(self) -> int:
        """The most loads that the claim allows."""
        return self.passes * self.length

    @property
    def length(self) -> int:
        """The number of coordinates of the fiber."""
        return dict(self.sizes)[self.rank]


ROWS = """\
cascade {name}
shape P = M{shape}
input Q[p], K[m], V[m]
QK[m: {filter}, p] = Q[p] * K[m]
GM[p]   = max[m] QK[m,p]
SN[m,p] = exp(QK[m,p] - GM[p])
SD[p]   = sum[m] SN[m,p]
A[m,p]  = SN[m,p] / SD[p]
AV[p]   = A[m,p] * V[m]
"""
WINDOW = ROWS.format(name="window", shape=", W = 2", filter="p-W<m<=p")
CAUSAL = ROWS.format(name="causal", shape="", filter="m<=p")
CASCADE_1 = """\
cascade cascade-1
input A[k], B[k]
Y = sum[k] A[k] * B[k]
Z = sum[k] Y * A[k]
"""
PREFIX_SUFFIX = """\
cascade prefix-times-suffix
input A[k]
stop: k >= K
stop: j >= K
init: PRE[0] = 0
init: SUF[0] = 0
PRE[k+1] = PRE[k] + A[k]
SUF[j+1] = SUF[j] + A[K-1-j]
Z[k]     = PRE[k+1] * SUF[K-k]
"""

CLAIMS: Mapping[str, Claim] = {
    "window": Claim(
        "A softmax over rows needs three passes over the keys, whatever the mask.",
        3,
        WINDOW,
        (("M", 5),),
        "K",
        "M",
        2,
        "A window of W keys needs one: every key is loaded once, if W of them are kept.",
    ),
    "causal": Claim(
        "A causal mask saves a pass over the keys, since most rows end early.",
        2,
        CAUSAL,
        (("M", 5),),
        "K",
        "M",
        2,
        "It still needs three: the last row sees every key. The best schedule is no better than 3n-2b.",
    ),
    "cascade-1": Claim(
        "Cascade 1 needs one pass over A, because both sums run over the same k.",
        1,
        CASCADE_1,
        (("K", 5),),
        "A",
        "K",
        1,
        "It needs two: no term of Z can be made before the last term of Y. Every schedule loads 2n-b times or more.",
    ),
    "prefix-suffix-three": Claim(
        "A prefix sum times a suffix sum needs three passes: one each way, and one for the product.",
        3,
        PREFIX_SUFFIX,
        (("K", 5),),
        "A",
        "K",
        1,
        "Two suffice, back and forth: the product is made on the way back.",
    ),
    "prefix-suffix-one": Claim(
        "A prefix sum times a suffix sum can be made in one pass, since both are scans.",
        1,
        PREFIX_SUFFIX,
        (("K", 5),),
        "A",
        "K",
        1,
        "It cannot: the two scans meet every element at opposite ends. Every schedule loads 2n-b times or more.",
    ),
}


@cache
def refutation(name: str) -> Schedule:
    """The schedule with the fewest loads for the cascade that the claim is about."""
    claim = CLAIMS[name]
    schedule = least_loads(claim.text, dict(claim.sizes), claim.tensor, claim.rank, room=claim.room)
    assert schedule is not None
    return schedule


def claim_text(name: str) -> str:
    """The claim, what the search over all schedules says, and the best schedule: text for the documentation."""
    claim, best = CLAIMS[name], refutation(name)
    fits = f"room for {claim.room} of {claim.length} coordinates of {claim.tensor}"
    allowed = f"{claim.least}" if claim.least == claim.most else f"{claim.least} to {claim.most}"
    verdict = f"{claim.passes} pass{'es' * (claim.passes > 1)} would be {allowed} loads; the fewest are {best.loads}."
    steps = indent(render(best), "    ")
    return f"Claim: {claim.says}\nWith {fits}, {verdict}\n{claim.answer}\n\n{indent(claim.text, '    ')}\n{steps}"
