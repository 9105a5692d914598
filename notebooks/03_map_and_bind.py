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
# # Map and bind your own attention on your own machine
#
# A cascade that no library has, on a machine that nobody built: which loops, which arrays, in which cycle?

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import fusemap as fm
from fusemap import pictures
from fusemap.einsum_cascade import parse
from fusemap.mappers.modulo_check import violations
from fusemap.mappers.modulo_steady import steady_schedule

folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## The attention
#
# Softmax attention whose output is multiplied by a gate.

# %%
gated = parse("""
cascade gated-attention
input Q[e,p], K[e,m], V[f,m], G[f,p]
output O

QK[m,p] = Q[e,p] * K[e,m]
GM[p]   = max[m] QK[m,p]
SN[m,p] = exp(QK[m,p] - GM[p])
SD[p]   = sum[m] SN[m,p]
NV[f,p] = SN[m,p] * V[f,m]
AV[f,p] = NV[f,p] / SD[p]
O[f,p]  = AV[f,p] * G[f,p]
""")
gated

# %% [markdown]
# It needs two passes over the keys: the exponentials wait for the maximum. The division is behind the sum already, so
# there is no third. `derive` finds a form with one pass.

# %%
derived = fm.derive(gated)
streamed = derived.best.cascade
assert (derived.passes, derived.best.passes) == (2, 1)
rng = np.random.default_rng(0)
inputs = {name: rng.normal(size=(4, 64 if name in "KV" else 8)) for name in "QKVG"}
values = [np.asarray(fm.run(c, sizes, inputs)["O"]) for c, sizes in ((gated, {}), (streamed, {"M0": 16}))]
assert np.allclose(*values)
streamed

# %% [markdown]
# ## The machine
#
# A YAML file. It extends FuseMax's machine and changes what is written: fewer elements, a faster clock, half the
# bandwidth.

# %%
file = folder / "next-chip.yaml"
file.write_text("""
extends: fusemax-cloud
description: a smaller FuseMax with a faster clock and half the bandwidth
source: an example, of no real machine
parameters: {pe: 128}
clock: 1.2 GHz
memories:
  dram: {bandwidth: 200 GiB/s}
""")
machine = fm.load_arch(file)
for array in machine.arrays:
    print(array.name, f"{array.pes:,} elements")

# %% [markdown]
# ## The best mapping
#
# `map` searches all mappings: which Einsums share loops, tile sizes, orders, arrays, and what is held, spilled or
# computed again. Bounds spare it from looking at each one, and prove that none is better.

# %%
short = fm.map(gated, arch=machine, workload="BERT@4K")
assert short.proven
print(f"{short.counted:.1e} mappings, proven best: {short.best.report.latency_s * 1e3:.1f} ms")
short

# %% [markdown]
# At 4K keys a row of scores waits on chip for its maximum, and one pass fewer gains nothing.

# %%
one = fm.map(streamed, arch=machine, workload="BERT@4K", sizes={"M0": 128})
assert abs(one.best.report.latency_s / short.best.report.latency_s - 1) < 0.01
print(f"two passes {short.best.report.latency_s * 1e3:.1f} ms, one pass {one.best.report.latency_s * 1e3:.1f} ms")

# %% [markdown]
# At 256K keys a row no longer fits. The best that two passes can do is to compute the scores again: `QK@1` is QK a
# second time. Now one pass is faster by what that costs.

# %%
long = {cascade.name: fm.map(cascade, arch=machine, workload="BERT@256K", sizes=sizes)
        for cascade, sizes in ((gated, {}), (streamed, {"M0": 128}))}  # fmt: skip
reports = [found.best.report for found in long.values()]
print([phase.name for phase in long[gated.name].best.mapping.binding])
print(f"speed-up {reports[0].latency_s / reports[1].latency_s:.2f}")
assert any("QK@1" in phase.einsums for phase in long[gated.name].best.mapping.binding)
assert reports[0].latency_s > 1.4 * reports[1].latency_s

# %%
quantities = {
    "latency (s)": [r.latency_s for r in reports],
    "energy (kJ)": [r.energy_pj / 1e15 for r in reports],
    "DRAM traffic (TiB)": [r.traffic_bytes / 2**40 for r in reports],
}
figure, panels = plt.subplots(1, 3, figsize=(8, 1.9), layout="constrained", sharey=True)
for axes, (label, values) in zip(panels, quantities.items(), strict=True):
    bars = axes.barh(["two passes", "one pass"], values, color=["#E69F00", "#0072B2"])
    axes.bar_label(bars, fmt="{:,.3g}", padding=3)
    axes.set(xlabel=label, xlim=(0, 1.3 * max(values)))
panels[0].invert_yaxis()
plt.show()

# %% [markdown]
# ## The binding
#
# A mapping says where Einsums run; a binding says when. One tile of queries goes through the chunks of keys, a chunk
# every *interval* cycles. The schedule is exact: no array does two things at once, nothing is read before it is there,
# and no smaller interval exists.

# %%
found = steady_schedule(streamed, fm.load_workload("BERT@4K"), machine)
assert found.gap == 0 and not violations(found)
print(f"a chunk every {float(found.interval_cycles):g} cycles;", dict(found.resource_bounds))

# %% [markdown]
# The 2D array works in every cycle, which is why the interval cannot be smaller. A colour is a chunk: while one is
# multiplied with the values, the scores of a later one are made.

# %%
assert max(bound for _, bound in found.resource_bounds) == found.interval_cycles
pictures.waterfall(found)
