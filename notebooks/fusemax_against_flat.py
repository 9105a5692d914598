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
# # FuseMax against FLAT, by hand
#
# Attention as a cascade of Einsums, executed on arrays, mapped on two machines, and taken apart.

# %%
import matplotlib.pyplot as plt
import numpy as np

import fusemap as fm

# %% [markdown]
# ## The algorithm
#
# FLAT keeps a row of scores until its softmax is complete: three passes over the keys. FuseMax keeps a running maximum
# and corrects what came before: one pass. Both compute the same attention.

# %%
rng = np.random.default_rng(0)
sizes = {"M": 64, "P": 8, "E": 4, "F": 4}
inputs = {"Q": rng.normal(size=(4, 8)), "K": rng.normal(size=(4, 64)), "V": rng.normal(size=(4, 64))}
three = fm.run("attention-3pass", sizes=sizes, inputs=inputs)["AV"]
one = fm.run("attention-1pass", sizes=sizes | {"M0": 16}, inputs=inputs)["AV"]
print("largest difference:", np.abs(np.asarray(three) - np.asarray(one)).max())

# %% [markdown]
# ## The machines
#
# On FLAT's machine the softmax runs on 256 lanes while the 2D array waits. On FuseMax the 2D array takes part.

# %%
flat = fm.evaluate("attention-3pass", arch="flat-cloud", workload="BERT@64K", dataflow="flat")
fusemax = fm.evaluate("attention-1pass", arch="fusemax-cloud", workload="BERT@64K", dataflow="fusemax-binding")
for name, report in (("FLAT", flat), ("FuseMax", fusemax)):
    used = ", ".join(f"{array} {share:.0%}" for array, share in report.utilization.items())
    print(
        f"{name:8} {report.latency_s:7.2f} s  {report.energy_pj / 1e12:7.0f} J  limited by {report.bottleneck} ({used})"
    )
print(f"speed-up {flat.latency_s / fusemax.latency_s:.2f}, energy {fusemax.energy_pj / flat.energy_pj:.0%}")

# %% [markdown]
# ## Where the energy goes
#
# A report is a list of rows: count times unit energy, each with its source.

# %%
fig, axes = plt.subplots(1, 2, figsize=(7, 2.6), sharex=True, layout="constrained")
for ax, (name, report) in zip(axes, (("FLAT", flat), ("FuseMax", fusemax)), strict=True):
    parts = list(report.energy_by("component").items())[:6][::-1]
    ax.barh([component for (component,), _ in parts], [pj / 1e12 for _, pj in parts], color="#0072B2")
    ax.set_xlabel("energy (J)")
    ax.set_title(name, fontsize=9)
    ax.tick_params(labelsize=7)
plt.show()

# %%
row = max(fusemax.rows, key=lambda r: r.energy_pj)
print(f"{row.einsum}: {row.count:.4g} x {row.unit_energy_pj} pJ = {row.energy_pj / 1e12:.1f} J ({row.component})")
print(row.source)
