"""The layers of a whole model: what their files may hold, and what they are at the sizes of a workload."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from fusemap.archspec.schema import ExpressionField, SpecModel
from fusemap.archspec.types import Workload
from fusemap.einsum_cascade.types import Cascade

LINEAR = "linear-layer"


class LayerModel(SpecModel):
    """A layer: the cascades that compute it (the fastest counts), the sizes of their ranks, and how often it runs.

    `batch` ranks index every tensor. `times` is the file's `blocks` where it is left out. `parameters` are the
    weights of one of its `times`; left out, those of a linear layer are K * N per `batch` rank, of others none.
    `active` are those of them that a token uses; left out, all. `kind` names the part of the model it belongs to.
    """

    cascades: Annotated[list[str], Field(min_length=1)] = Field(default_factory=lambda: [LINEAR])
    ranks: dict[str, ExpressionField]
    batch: list[str] = Field(default_factory=list)
    times: ExpressionField | None = None
    parameters: ExpressionField | None = None
    active: ExpressionField | None = None
    kind: str = ""


class KindModel(SpecModel):
    """A kind of layers: how many there are, and of how many tokens each keeps keys and values (left out: of none)."""

    times: ExpressionField
    held: ExpressionField | None = None


class ExpertsModel(SpecModel):
    """Experts of a mixture: how many there are, how many a token uses, and how many the tokens of a step reach."""

    routed: ExpressionField
    chosen: ExpressionField
    tokens: ExpressionField
    touched: ExpressionField
    rule: str


class BlockModel(SpecModel):
    """The layers of a model by name, in the order of running; all numbers are expressions of the model's ranks.

    `blocks`: how many there are. `cache`: words that a token leaves in the cache of one block. `derived`: further
    names that the numbers may use. `layers` run in the blocks, `after` once behind them. `parameters`: those that
    no layer multiplies by. `causal`: whether a position sees those before it alone.
    """

    description: str
    source: str
    extends: str | list[str] = ""
    blocks: ExpressionField
    cache: ExpressionField
    causal: bool = True
    derived: dict[str, ExpressionField] = Field(default_factory=dict)
    kinds: dict[str, KindModel] = Field(default_factory=dict)
    experts: ExpertsModel | None = None
    layers: dict[str, LayerModel]
    after: dict[str, LayerModel] = Field(default_factory=dict)
    parameters: dict[str, ExpressionField] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer at the sizes of a model: what to map, how often it runs, its weights each time."""

    name: str
    kind: str
    cascades: tuple[Cascade, ...] = field(repr=False)
    workload: Workload = field(repr=False)
    times: int
    parameters: int
    active: int
    in_blocks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of layers at the sizes of a model; each keeps keys and values of `held` tokens of a sequence."""

    name: str
    times: int
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """The experts of a layer: `routed` of them, each of `tokens` tokens uses `chosen`, together they reach `touched`.

    `rule` says how `touched` was chosen.
    """

    routed: int
    chosen: int
    tokens: int
    touched: int
    rule: str

    @property
    def expected(self) -> float:
        """The expected number that the tokens reach if each chooses uniformly: X (1 - (1 - TOP / X)^T).

        >>> round(Experts(routed=256, chosen=8, tokens=64, touched=256, rule="").expected, 1)
        222.4
        """
        return self.routed * (1 - (1 - self.chosen / self.routed) ** self.tokens)

    def to_json(self) -> dict[str, object]:
        """The numbers as a JSON object."""
        return {
            "routed": self.routed,
            "per_token": self.chosen,
            "tokens": self.tokens,
            "touched": self.touched,
            "rule": self.rule,
            "expected_if_uniform": self.expected,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The layers of a model at its sizes; `cache_words` is what a token leaves in the cache of one block."""

    description: str
    source: str
    blocks: int
    cache_words: int
    causal: bool
    kinds: tuple[Kind, ...]
    experts: Experts | None
    layers: tuple[Layer, ...]
    other_parameters: tuple[tuple[str, int], ...]

    @property
    def parameters(self) -> int:
        """Parameters of the whole model: layers times their weights, and the others."""
        return sum(x.times * x.parameters for x in self.layers) + sum(n for _, n in self.other_parameters)

    @property
    def active_parameters(self) -> int:
        """Those that a token uses: all but the experts that it is not sent to."""
        return self.parameters - sum(x.times * (x.parameters - x.active) for x in self.layers)

    @property
    def words_of_a_token(self) -> int:
        """Words that a token leaves in the caches of all layers, as long as all of them keep it."""
        return self.cache_words * sum(kind.times for kind in self.kinds if kind.held)

    @property
    def words_held(self) -> int:
        """Words that the caches of all layers hold for one sequence."""
        return self.cache_words * sum(kind.times * kind.held for kind in self.kinds)
