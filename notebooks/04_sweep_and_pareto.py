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
# # Sweep a design space and find its Pareto front
#
# Which machine is worth its area? Some hundred of them in a second, and those that no other one beats.

# %%
import sqlite3
import tempfile
from pathlib import Path

import fusemap as fm
from fusemap import pictures

folder = Path(tempfile.mkdtemp())
store = folder / "designs.sqlite"

# %% [markdown]
# ## The space
#
# A YAML file lists what is varied. Here: the two dimensions of the 2D array, the lanes of the 1D array, bandwidth and
# buffer, for FuseMax, and FLAT on square arrays. Conditions leave out what makes no sense.

# %%
spec = folder / "designs.yaml"
with spec.open("w") as file:
    file.write("""
description: arrays, buffers and bandwidths around FuseMax's machine, and FLAT on square arrays
cascade: [attention-1pass, attention-3pass]
dataflow: [fusemax-binding, flat]
arch: [fusemax-cloud, flat-cloud]
workload: BERT@4K
machine:
  array_2d.rows: {from: 64, to: 512, factor: 2}
  array_2d.columns: {from: 64, to: 512, factor: 2}
  array_1d.lanes: {from: 64, to: 512, factor: 2}
  dram.bandwidth: [50 GiB/s, 100 GiB/s, 200 GiB/s, 400 GiB/s]
  global_buffer.capacity: [16 MiB, 32 MiB]
conditions:
  - {if: {cascade: attention-1pass}, then: {dataflow: fusemax-binding, arch: fusemax-cloud}}
  - {if: {cascade: attention-3pass}, then: {dataflow: flat, arch: flat-cloud}}
  - {if: {cascade: attention-3pass}, then: array_2d.rows == array_2d.columns}
  - {if: {cascade: attention-3pass}, then: array_2d.rows == array_1d.lanes}
""")

# %% [markdown]
# ## The sweep
#
# Every point becomes a row of an SQLite file, also one that does not fit, with its reason. An interrupted sweep goes on
# with `resume=True`.

# %%
run = fm.sweep(spec, out=store, jobs=1)
assert run.complete and run.statuses == {"ok": 544}
run

# %% [markdown]
# The file is plain SQLite, for any tool that reads it.

# %%
with sqlite3.connect(store) as rows:
    query = "SELECT cascade, COUNT(*), MIN(latency_s) FROM results GROUP BY cascade"
    for cascade, count, least in rows.execute(query):
        print(f"{cascade}: {count} machines, the fastest takes {least * 1e3:.1f} ms")

# %% [markdown]
# Each row is what `evaluate` says of that machine.

# %%
point = (
    fm.pareto(store, minimize=["latency"], where="cascade == attention-3pass and array_1d.lanes == 256")
    .fronts[0]
    .rows[0]
)
report = fm.evaluate("attention-3pass", arch="flat-cloud", workload="BERT@4K", dataflow="flat")
print(f"swept {point['latency_s']:.6f} s, evaluated {report.latency_s:.6f} s")
assert abs(point["latency_s"] / report.latency_s - 1) < 1e-12

# %% [markdown]
# ## The front
#
# A machine is on the front when no other one is both smaller and faster.

# %%
found = fm.pareto(store, minimize=["area", "latency"], by=["cascade"])
found

# %% [markdown]
# FuseMax's front lies below FLAT's at every area that both have. The grey dots are machines that some other one beats.

# %%
pictures.front(found)

# %%
ours, theirs = ([(row["area_um2"], row["latency_s"]) for row in front.rows] for front in found.fronts)
for area, latency in theirs:
    better = [time for size, time in ours if size <= area]
    assert not better or min(better) < latency

# %% [markdown]
# With energy as a third objective, colour shows it.

# %%
pictures.front(fm.pareto(store, minimize=["area", "latency", "energy"], by=["cascade"]))

# %% [markdown]
# ## What matters?
#
# Start at the fastest machine and change one parameter at a time. Each dimension of an array that is halved costs a
# factor of about two. Bandwidth above 200 GiB/s gains nothing.

# %%
pictures.tornado(store, y="latency", base="best")

# %%
best = found.fronts[0].rows[-1]
axes = ("array_2d.rows", "array_2d.columns", "array_1d.lanes", "dram.bandwidth_bytes_per_s")
with sqlite3.connect(store) as rows:
    for axis in axes:
        same = " AND ".join(f'"{a}" = {best[a]}' for a in (*axes, "global_buffer.capacity_bytes") if a != axis)
        query = f'SELECT latency_s FROM results WHERE cascade = "attention-1pass" AND {same} ORDER BY "{axis}"'
        *_, half, full = (latency for (latency,) in rows.execute(query))
        print(f"{axis}: {half / full:.2f} times the latency at the second highest value")
        assert half / full == 1 if axis.startswith("dram") else 1.8 < half / full < 2.1

# %% [markdown]
# Lanes and columns only help together: the smaller of the two decides, so the best values lie on the diagonal.

# %%
pictures.heatmap(store, x="array_1d.lanes", y="array_2d.columns", where=["cascade == attention-1pass"])
