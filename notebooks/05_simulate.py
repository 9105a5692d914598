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
# # Simulate and read the timeline
#
# `evaluate` adds up cycles by a formula. Here the same mapping runs in time, and says what the formula leaves out.

# %%
import fusemap as fm
from fusemap import pictures
from fusemap.sim.accounting import PRINCIPLED
from fusemap.sim.choose import plan_case
from fusemap.sim.cycle_run import run_cycles

case = {"cascade": "attention-1pass", "arch": "fusemax-cloud", "workload": "BERT@4K"}

# %% [markdown]
# ## From the formula to the simulated cycles
#
# FuseMax's binding, tile by tile. Effects are added one after another: the pipeline fills, results travel through the
# array, operands come from DRAM. All together they add less than 0.004 %.

# %%
found = fm.simulate(**case, dataflow="fusemax-binding")
beyond = found.cycles / found.closed_form_cycles - 1
print(f"{found.closed_form_cycles:,.0f} cycles by the formula, {100 * beyond:.4f} % more in time")
assert 0 < beyond < 0.00004
found

# %% [markdown]
# Without effects the run takes the formula's cycles exactly.

# %%
bare = fm.simulate(**case, dataflow="fusemax-binding", effects=[])
assert bare.cycles == bare.closed_form_cycles == found.closed_form_cycles

# %% [markdown]
# What the formula leaves out happens once per run, so it matters less for longer sequences.

# %%
short = fm.simulate(**case | {"workload": "BERT@1K"}, dataflow="fusemax-binding", record=0)
for length, run in (("1K", short), ("4K", found)):
    print(f"{length} tokens: {100 * (run.cycles / run.closed_form_cycles - 1):.4f} % beyond the formula")
assert short.cycles / short.closed_form_cycles > found.cycles / found.closed_form_cycles

# %% [markdown]
# ## The timeline
#
# Rows are resources, a colour is an iteration: a chunk of keys for a tile of queries. Below lie results on their way
# between the arrays, loads, and what the buffer holds.
#
# To read it, follow one colour. `BQK` makes scores on the 2D array, and only some stages later, when their maximum has
# travelled through the rows (`LM`), does the 1D array take the same colour up. In between, both arrays work on other
# colours. So the 1D array, the busier one, never waits once the pipeline is full, a little after its start:

# %%
pictures.timeline(found, 1000, 1600)

# %% [markdown]
# Who waited for what, over the whole run:

# %%
for use in found.longest.resources:
    print(
        f"{use.name:9} busy {use.busy_cycles / found.cycles:7.2%}",
        *(f"{w}: {c:,.0f}" for w, c in use.waits[:3]),
        sep="; ",
    )
busy = {use.name: use.busy_cycles / found.cycles for use in found.longest.resources}
assert busy["array_1d"] > 0.9999 and busy["dram"] < 0.13

# %% [markdown]
# ## The same without the interleaving
#
# FuseMax's machine before its last step, +Architecture, handles one iteration after another. Both arrays wait while the
# maxima drain through 256 rows: the hatched bars. That is more than half of its time.

# %%
before = fm.simulate(**case, dataflow="fusemax-arch")
drain = dict(before.longest.resources[0].waits)["the column maxima drain through the rows before RM can start"]
print(f"{before.cycles / found.cycles:.2f} times the cycles; {drain / before.cycles:.0%} of them wait for the drain")
assert drain > before.cycles / 2
pictures.timeline(before, 3000, 4200)

# %% [markdown]
# ## Every element, every cycle
#
# The cycle level moves real numbers from element to element over links and registers, and reports every rule that is
# broken. Four by four elements are enough to see the interleaving: `BQK` and `SLNV` take turns on the 2D array, `SPNV`
# and `RNV` on the 1D array.

# %%
cascade, machine = fm.load_cascade("attention-1pass"), fm.load_arch("fusemax-cloud", parameters={"pe": 4})
small = {"B": 1, "H": 1, "E": 8, "F": 8}
flow = fm.load_dataflow("fusemax-binding")
planned = plan_case(
    cascade, machine, fm.load_workload("BERT@16"), flow, accounting=lambda name: PRINCIPLED, sizes=small
)
run = run_cycles(cascade, planned.problem, planned.mapping, planned.machine)
print(f"{run.cycles} cycles, {run.iterations} iterations, largest rounding {max(run.rounding.values()):.0e}")
assert not run.faults and max(run.rounding.values()) < 1e-12

# %%
pictures.timeline(run.timeline(7, 8))
