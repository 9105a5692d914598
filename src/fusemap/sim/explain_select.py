"""The parts of a derivation that are due to one Einsum, component or tensor."""

from __future__ import annotations

from dataclasses import dataclass

from fusemap.diagnostics import Diagnostic, InputError, did_you_mean
from fusemap.sim.explain import Explanation, Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is asked about; empty fields admit everything. A tensor's name means all accesses to it (`RM#2`).

    A component is a memory, an array, or something of an array: `array_2d` means `array_2d.mac` too.
    """

    einsum: str = ""
    component: str = ""
    tensor: str = ""

    @property
    def everything(self) -> bool:
        """True when nothing in particular is asked about."""
        return not (self.einsum or self.component or self.tensor)

    def admits(self, part: Part) -> bool:
        """True when the part is asked about."""
        return (
            self.einsum in ("", part.einsum)
            and (self.component in ("", part.component) or part.component.startswith(f"{self.component}."))
            and self.tensor in ("", part.tensor, part.tensor.partition("#")[0])
        )


def select(explanation: Explanation, metric: str, selection: Selection) -> tuple[Part, ...]:
    """The parts of a metric that the selection admits, largest first.

    InputError for a name that the evaluation does not know.
    """
    _check(explanation, selection)
    found = [part for part in explanation.derivation(metric).parts if selection.admits(part)]
    return tuple(sorted(found, key=lambda part: -part.term.value))


def _check(explanation: Explanation, selection: Selection) -> None:
    parts = [part for derivation in explanation.derivations for part in derivation.parts]
    tensors = {name for part in parts for name in (part.tensor, part.tensor.partition("#")[0]) if name}
    known = {
        "einsum": {part.einsum for part in parts if part.einsum},
        "component": {part.component for part in parts if part.component},
        "tensor": tensors,
    }
    wrong = []
    for kind, valid in known.items():
        name = getattr(selection, kind)
        if name and name not in valid:
            hint = did_you_mean(name, sorted(valid), noun=f"{kind}s")
            wrong.append(Diagnostic(message=f"nothing here is due to {kind} {name}", hint=hint))
    if wrong:
        raise InputError(tuple(wrong))
