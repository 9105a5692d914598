"""Random small cascades that rank, gather and filter by data, as text."""

from __future__ import annotations

from hypothesis import strategies as st
from interpreter_programs import Program

HEAD = "input A[m,p], B[m,p], K[e,m], N[j], U[j,p]"
SCORES = (
    "S[m,p] = A[m,p]",
    "S[m,p] = A[m,p] + B[m,p] * 0.5",
    "S[m: m<=p, p] = A[m,p]",
    "S[m,p] = only(A[m,p], gt(A[m,p], {n}))",
    "S[m,p] = only(A[m,p], A[m,p] - B[m,p]) + B[m,p]",
    "S[m,p] = where(ge(A[m,p], B[m,p]), A[m,p], -inf)",
    "S[m,p] = max(only(A[m,p], eq(A[m,p], {n})), only(B[m,p], B[m,p])) for m > 0",
)
RANKED = (
    "I[j,p] = topk[m; j] S[m,p]",
    "I[j,p] = topk[m: m<=p; j] S[m,p] * 2",
    "I[j,p] = topk[m: p-2<m; j] -S[m,p] for j > 0",
    "I[j: j<=p, p] = topk[m; j] S[m,p]",
    "I[j,p] = topk[m; j] S[m,p] + A[m,p] for p > 0 & j+p < 4",
    "I[j,p] = topk[m; j] K[0,m] * S[m,p]",
    "I[j,p] = U[j,p]",
)
MADE = (
    "L[j,p] = I[j,p]",
    "L[j,p] = floor(I[j,p] / 2)",
    "L[j,p] = only(I[j,p], gt(I[j,p], {n}))",
    "L[j,p] = where(gt(I[j,p], 1), 0, I[j,p])",
    "L[j,p] = max(I[j,p] - 1, 0)",
    "L[j,p] = U[N[j],p]",
    "L[j,p] = I[j,p] for j <= p",
)
READS = (
    "Z[e,j,p] = K[e,L[j,p]]",
    "Z[e,p] = sum[j] K[e,L[j,p]]",
    "Z[e,p] = K[e,L[j,p]] * B[L[j,p],p]",
    "Z[e,p] = max[j: j<=p] K[e,L[j,p]] - K[e,I[j,p]]",
    "Z[j,p] = S[L[j,p],p] + S[I[j,p],p]",
    "Z[j,p] = topk[e; j] K[e,L[0,p]]",
    "Z[p] = sum[m] S[m,p] * K[0,m]",
    "Z[p] = sum[j, e] exp(K[e,L[j: j>0, p]]) for e <= p",
)
ALONG = (
    ["init: R[0,p] = 1", "R[t+1,p] = R[t,p] * 0.5 + S[L[t,p],p]", "Y[p] = R[J,p]"],
    [
        "init: R[0,p] = 2",
        "X[m,p,t] = R[t,p] - A[m,p]",
        "T[j,p,t] = topk[m; j] X[m,p,t]",
        "R[t+1,p] = sum[j] B[T[j,p,t],p]",
        "Y[p] = R[J,p]",
    ],
    [
        "init: R[0] = 1",
        "C[t] = R[t] * 2 + A[0,0]",
        "D[i,t] = C[i] - N[t] for i <= t",
        "T[j,t] = topk[i: i<=t; j] D[i,t]",
        "R[t+1] = sum[j] C[T[j,t]]",
        "Y = R[J]",
    ],
)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Scores, their ranking, coordinates made of it, reads at those, at times along an iterative rank too."""
    extents = {name: draw(st.integers(1, most)) for name, most in (("M", 5), ("P", 4), ("J", 4), ("E", 3))}
    steps = [draw(st.sampled_from(choice)) for choice in (SCORES, RANKED, MADE, READS)]
    lines = [step.format(n=draw(st.integers(-1, 1))) for step in steps]
    along = draw(st.sampled_from((*ALONG, [])))
    shapes = ["shape T = J, I = J"] if along else []
    return Program("\n".join([HEAD, *shapes, *(["stop: t >= J"] if along else []), *lines, *along]), extents)
