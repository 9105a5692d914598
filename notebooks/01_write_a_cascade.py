# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Write a cascade and count its passes
#
# An algorithm is a list of Einsums. From the list alone follows how often its inputs have to be traversed.

# %%
import numpy as np

import fusemap as fm
from fusemap.einsum_cascade import parse
from fusemap.validation.sliders import chunks
from fusemap.widgets import chunk_slider

# %% [markdown]
# ## Write it
#
# One Einsum a line. A rank that is missing on the left is summed over; `max[m]` says another reduction. This is
# attention as one would write it on paper: scores, their maximum, exponentials, their sum, weights, values.

# %%
mine = parse("""
cascade my-attention
input Q[e,p], K[e,m], V[f,m]
output AV

QK[m,p] = Q[e,p] * K[e,m]
GM[p]   = max[m] QK[m,p]
SN[m,p] = exp(QK[m,p] - GM[p])
SD[p]   = sum[m] SN[m,p]
A[m,p]  = SN[m,p] / SD[p]
AV[f,p] = A[m,p] * V[f,m]
""")
mine

# %% [markdown]
# ## Run it
#
# A cascade runs on arrays as it stands. NumPy computes the same.

# %%
rng = np.random.default_rng(0)
Q, K, V = rng.normal(size=(4, 8)), rng.normal(size=(4, 64)), rng.normal(size=(4, 64))
inputs = {"Q": Q, "K": K, "V": V}
weights = np.exp(K.T @ Q)
expected = V @ (weights / weights.sum(axis=0))
values = fm.run(mine, inputs=inputs)
assert np.allclose(values["AV"], expected)
values

# %% [markdown]
# A mistake is shown where it stands, with the nearest valid name.

# %%
try:
    parse("input X[p,m]\nGM[p] = mux[m] X[p,m]")
except fm.InputError as error:
    print(error)

# %% [markdown]
# ## Count
#
# A pass ends where something is complete only after all keys were seen. The exponentials wait for the maximum, the
# weights for the sum. So scores are traversed three times, whatever the mapping: the table has the count, a schedule
# that reaches it, and the count if everything derived is stored. The proof is below it.

# %%
counted = fm.analyze(mine)
assert str(counted.label["M"]) == "3"
counted

# %% [markdown]
# The same as a picture. Colours are passes, and what has one colour can be fused.

# %%
fm.graph(mine)

# %% [markdown]
# Three passes mean that a row of scores waits on chip, or that scores are spilled or computed again. A row grows with
# the keys M:

# %%
print("elements live at once for a query:", counted.joint.count)
assert "M" in {str(symbol) for symbol in counted.joint.count.free_symbols}

# %% [markdown]
# ## Derive a better one
#
# `derive` applies rules that do not change the result: the division is hoisted out of the sum, the keys are cut into
# chunks, and what was computed with an older maximum is corrected. Every candidate is executed against the original.

# %%
found = fm.derive(mine)
assert found.best.passes == 1
found

# %% [markdown]
# The best one keeps a running maximum. It is FlashAttention's cascade, and FuseMax's.

# %%
for step in found.best.steps:
    print(f"{step.rule:9} {', '.join(step.applied):4} {step.identity}")
found.best.cascade

# %% [markdown]
# One pass over the keys, the same values, and what is live depends on the chunk M0 instead of on M.

# %%
better = found.best.cascade
streamed = fm.run(better, {"M0": 16}, inputs)["AV"]
assert np.allclose(streamed, expected)
assert str(fm.analyze(better).label["M"]) == "1"
print("elements live at once for a query:", found.best.footprint)
print("largest difference:", f"{np.abs(np.asarray(streamed) - expected).max():.0e}")

# %% [markdown]
# Softmax alone cannot be that good: every output needs the complete sum, and the reason is given.

# %%
softmax = fm.derive("softmax", "K")
assert (softmax.passes, softmax.best.passes) == (3, 2)
print(*softmax.reasons)

# %% [markdown]
# ## How long a chunk?
#
# Long chunks hold more at once, short ones correct more often. The slider moves the mark. From 256 keys on the
# corrections are below a thousandth of all operations.

# %%
assert {c.keys: c for c in chunks(4096)}[256].extra < 0.001
chunk_slider(4096)
