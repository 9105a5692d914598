"""The references of the attentions of published papers, family by family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import zoo_linear
import zoo_selective
import zoo_softmax

Reference = Callable[[Mapping[str, Any], Mapping[str, int]], Mapping[str, Any]]

FAMILIES = {"softmax": zoo_softmax, "linear": zoo_linear, "selective": zoo_selective}
REFERENCES: Mapping[str, Reference] = {n: r for family in FAMILIES.values() for n, r in family.REFERENCES.items()}
