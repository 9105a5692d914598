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
# # Predictions against executed CUDA kernels
#
# A model of traffic is worth what it says of code that runs. Three attention kernels, plain CUDA C++ files of the
# package, are executed here without a GPU, and every load is counted.

# %%
import dataclasses

from fusemap import pictures
from fusemap.validation.cuda_check import check_kernels
from fusemap.validation.cuda_kernels import load_kernel

# %% [markdown]
# ## The kernels
#
# Attention in three, two and one pass over the keys. This is the inner loop of the last one, with its running maximum
# `RM`.

# %%
source = load_kernel("1pass").source
print("\n".join(source.splitlines()[25:52]))

# %% [markdown]
# ## The execution
#
# `source`: the file is compiled as C++, each CUDA thread runs, each access is seen. `ptx`: the code for an H100, as
# NVIDIA's compiler made it, is interpreted. Without a C++ compiler on this machine only the second one runs, and the
# reason is printed.

# %%
sizes = {"P": 64, "M": 128, "E": 32, "F": 32}
found = check_kernels(["3pass", "2pass", "1pass"], [sizes])
for reason in dict.fromkeys(text for check in found.checks for text in check.absent.values()):
    print("not executed,", reason)
found

# %% [markdown]
# The passes are those that `analyze` proves for the library's cascade. Every count is as predicted: loads and stores of
# each tensor, operations of each kind. The outputs are those of the cascade, up to the rounding of 32-bit floats.

# %%
assert found.agrees and not any(check.disagreements() for check in found.checks)
assert [check.prediction.proven for check in found.checks] == [3, 2, 1]
for count in found.checks[0].counts[:8]:
    executed = ", ".join(f"{executor} {number:,g}" for executor, number in count.executed.items())
    print(f"{count.name:14} predicted {max(count.predicted.values()):>9,g}   executed: {executed}")

# %% [markdown]
# ## Passes become bytes
#
# K is loaded as often as there are passes: one, two, three times the same bytes. The line is the prediction, the marks
# are what threads did.

# %%
loads = {check.kernel: check.prediction.tensors["K"].loads for check in found.checks}
assert loads["3pass"] == 3 * loads["1pass"] and loads["2pass"] == 2 * loads["1pass"]
pictures.kernels(found)

# %% [markdown]
# ## A check that cannot fail is none
#
# Are two passes a good enough prediction for the kernel with three? For V and Q they are, for K they are not.

# %%
three, two = ({count.name: count for count in check.counts} for check in found.checks[:2])
for name in ("loads of Q", "loads of K", "loads of V"):
    swapped = dataclasses.replace(three[name], predicted=two[name].predicted)
    holds = all(swapped.holds(executor) for executor in swapped.executed)
    print(f"{name} of the 3-pass kernel, predicted from two passes: {'holds' if holds else 'does not hold'}")
    assert holds == (name != "loads of K")
