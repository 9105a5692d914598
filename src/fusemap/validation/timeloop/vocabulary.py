"""The words of Timeloop's v4 files, shared by what writes and what reads them.

Source: the v4 front end (Accelergy-Project/timeloopfe, commit 5603893, and pytimeloop/timeloopfe of
Accelergy-Project/timeloop-python, commit b8aaf2c) and what timeloop-model reads (NVlabs/timeloop, commit 4cf6d4c).
"""

from __future__ import annotations

import string
from collections.abc import Iterable

VERSION = "0.4"

# Top-level keys of a specification.
PROBLEM, ARCHITECTURE, MAPPING, CONSTRAINTS = "problem", "architecture", "mapping", "constraints"
ENERGY_TABLE, AREA_TABLE, VARIABLES = "ERT", "ART", "variables"

# Tags of architecture nodes, and classes of components.
COMPONENT, CONTAINER, HIERARCHICAL, PARALLEL, PIPELINED, NOTHING = (
    "!Component",
    "!Container",
    "!Hierarchical",
    "!Parallel",
    "!Pipelined",
    "!Nothing",
)
DRAM, SRAM, REGISTERS, COMPUTE = "DRAM", "SRAM", "regfile", "compute"
STORAGE_CLASSES = ("DRAM", "SRAM", "regfile", "smartbuffer", "storage")
COMPUTE_CLASSES = ("mac", "intmac", "fpmac", "compute")

# Kinds of a mapping's or a constraint's directives.
TEMPORAL, SPATIAL, DATASPACE = "temporal", "spatial", "dataspace"

# Dimensions are single letters: a permutation is read letter by letter (src/mapping/parser.cpp).
LETTERS = string.ascii_uppercase + string.ascii_lowercase


def letters(ranks: Iterable[str]) -> dict[str, str]:
    """A letter per rank: its first letter in upper case, else in lower case, else the first that is free.

    >>> letters(["m1", "m0", "p", "mask"])
    {'m1': 'M', 'm0': 'm', 'p': 'P', 'mask': 'A'}
    """
    given: dict[str, str] = {}
    for rank in ranks:
        first = rank[:1]
        wanted = (first.upper(), first.lower(), *LETTERS)
        given[rank] = next(letter for letter in wanted if letter in LETTERS and letter not in given.values())
    return given


def identifier(name: str) -> str:
    """A name without the characters that the files split names at.

    >>> identifier("array_2d.registers"), identifier("RM#2")
    ('array_2d_registers', 'RM_2')
    """
    return "".join(c if c.isalnum() or c == "_" else "_" for c in name)
