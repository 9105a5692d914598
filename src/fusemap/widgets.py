"""Sliders for notebooks: `fusemap.validation.sliders` behind ipywidgets (`pip install 'fusemap[notebook]'`).

A slider calls one function with its value and shows the PNG that it returns; all numbers come from that function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

LENGTHS = tuple(2**n for n in range(10, 19, 2))
ARRAYS = (64, 128, 256, 512)


def machine_sliders() -> Any:
    """Sequence length and array size -> latency and energy of FLAT and FuseMax."""
    from fusemap.validation.sliders import render_costs

    choices = {"length": (LENGTHS, 65536), "array": (ARRAYS, 256)}
    return sliders(choices, lambda values: render_costs(values["length"], values["array"]))


def chunk_slider(length: int = 4096) -> Any:
    """Keys in a chunk -> passes, live elements and operations of FuseMax's cascade."""
    from fusemap.validation.sliders import chunks, render_chunks

    keys = tuple(chunk.keys for chunk in chunks(length))
    return sliders({"chunk": (keys, keys[len(keys) // 2])}, lambda values: render_chunks(length, values["chunk"]))


def sliders(choices: Mapping[str, tuple[Sequence[int], int]], render: Callable[[Mapping[str, int]], bytes]) -> Any:
    """A box with a slider for each name, at one of its values, above the picture of all of them."""
    ipywidgets = _ipywidgets()
    bars = {
        name: ipywidgets.SelectionSlider(
            options=[(f"{value:,}", value) for value in values], value=start, description=name, continuous_update=False
        )
        for name, (values, start) in choices.items()
    }

    def drawn() -> bytes:
        return render({name: bar.value for name, bar in bars.items()})

    picture = ipywidgets.Image(value=drawn(), format="png", width=700)

    def changed(change: object) -> None:
        picture.value = drawn()

    for bar in bars.values():
        bar.observe(changed, names="value")
    return ipywidgets.VBox([*bars.values(), picture])


def _ipywidgets() -> Any:
    """The package of the sliders; InputError where it is not installed."""
    from importlib import import_module

    from fusemap.diagnostics import input_error

    try:
        return import_module("ipywidgets")
    except ModuleNotFoundError as error:
        raise input_error("sliders need ipywidgets", hint="pip install 'fusemap[notebook]'") from error
