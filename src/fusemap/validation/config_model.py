"""A model's `config.json` as a workload, with the weights that its layers add up to."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass

from fusemap.archspec.config_workload import ConfigWorkload, read_config
from fusemap.archspec.types import Workload
from fusemap.archspec.workloads import parse_workload
from fusemap.validation.inference_block import load_block

_ANY_LENGTH = 1024  # weights do not depend on it


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigModel:
    """What was read of a configuration, and the model's weights: all, and those that a token uses."""

    read: ConfigWorkload
    parameters: int
    active_parameters: int

    @property
    def text(self) -> str:
        """The workload file."""
        return self.read.text

    def at(self, length: int | None = None) -> Workload:
        """The workload, of a length where the file does not fix one; it goes where a workload goes."""
        return parse_workload(self.text, length=length, file=f"{self.read.name}.yaml")

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/workload/1` of a configuration."""
        read = self.read
        return {
            "schema": "fusemap/workload/1",
            "name": read.name,
            "config": read.config,
            "model_type": read.model_type,
            "family": read.family,
            "phase": "decode" if read.decode else "prefill",
            "block": list(read.parts),
            "ranks": {rank.name: _number(rank.text) for rank in read.ranks},
            "parameters": self.parameters,
            "active_parameters": self.active_parameters,
            "defaults": [default.to_json() for default in read.defaults],
            "ignored": list(read.ignored),
            "unknown": list(read.unknown),
            "notes": list(read.notes),
            "text": read.text,
        }


def workload_from_config(
    path: str | os.PathLike[str],
    *,
    name: str = "",
    decode: bool = False,
    batch: int | None = None,
    length: int | None = None,
    uniform: bool = False,
    family: str = "",
) -> ConfigModel:
    """The workload of a Hugging Face `config.json`: prefill, or with `decode` one step with LENGTH tokens cached.

    `batch` prompts or sequences (1, 64); `length` instead of LENGTH; `uniform` takes the number of experts that uniform
    routing is expected to reach. A `model_type` that is not known can be read as a `family` that is. InputError names
    every key, with its place, that is wrong, missing, or changes the cost in a way that is not supported.
    """
    read = read_config(path, name=name, decode=decode, batch=batch, length=length, uniform=uniform, as_family=family)
    workload = parse_workload(read.text, length=None if length else _ANY_LENGTH, file=f"{read.name}.yaml")
    block = load_block(dataclasses.replace(workload, name=read.name))
    return ConfigModel(read=read, parameters=block.parameters, active_parameters=block.active_parameters)


def _number(text: str) -> int | str:
    return int(text) if text.isdigit() else text
