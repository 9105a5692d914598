"""Evaluate a function at many points at once, and split them where its decisions fall differently.

A batch is given as a tree (dataclasses, tuples, lists, dicts) with `Lanes` at its leaves. `run` calls a function on the
whole of it; on a `Divergence` it takes the batch apart and calls the function on each side. A side of few points, and
every point that needs plain numbers (`OneByOne`), is evaluated with plain numbers, by the same function.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusemap.archspec.divergence import Divergence, OneByOne, Texts
from fusemap.archspec.document import TextFault
from fusemap.archspec.lanes import Lanes, gathered
from fusemap.diagnostics import DoesNotFit, InputError

Index: TypeAlias = NDArray[np.int64]
Refusal: TypeAlias = InputError | DoesNotFit

FEW = 6  # a run with lanes costs about as much as this many with plain numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The points `index` of a batch with their common result, a tree of lanes, or what refuses all of them.

    `texts` fills in texts for one of them; `plain` says that the points could only be evaluated one by one.
    """

    index: Index
    result: Any = None
    refusal: Refusal | None = None
    texts: Texts | None = None
    plain: bool = False

    def text(self, text: str, lane: int) -> str:
        """A text of the result, as it reads for one point of the group."""
        return text if self.texts is None else rendered(text, self.texts, lane)


def run(function: Callable[[Any], Any], batch: Any, index: Index) -> Iterator[Group]:
    """The results of the function on a batch whose points are numbered by `index`, group by group.

    The groups are disjoint and together have every point once. Refusals (InputError, DoesNotFit) are results.
    """
    pending = [(batch, index)]
    while pending:
        tree, points = pending.pop()
        if len(points) <= FEW:
            yield from _one_by_one(function, tree, points, plain=False)
            continue
        try:
            yield _result(function, tree, points, _texts(tree))
        except Divergence as split:
            sides = (np.flatnonzero(split.mask), np.flatnonzero(~split.mask))
            pending += [(take(tree, side), points[side]) for side in sides]
        except OneByOne:
            yield from _one_by_one(function, tree, points, plain=True)


def _one_by_one(function: Callable[[Any], Any], tree: Any, points: Index, *, plain: bool) -> Iterator[Group]:
    for i in range(len(points)):
        group = _result(function, take(tree, np.array([i])), points[i : i + 1], None)
        yield dataclasses.replace(group, plain=plain)


def _result(function: Callable[[Any], Any], tree: Any, points: Index, texts: Texts | None) -> Group:
    try:
        with np.errstate(all="ignore"):  # as Python: a float too large is infinite, which the expressions refuse
            return Group(index=points, result=function(tree), texts=texts)
    except (InputError, DoesNotFit) as refusal:
        return Group(index=points, refusal=refusal, texts=texts)


def take(tree: Any, lanes: Index) -> Any:
    """The tree with some of its lanes; where all of them are one number, with that number."""
    return mapped(lambda leaf: collapsed(leaf.values[lanes], leaf.texts), tree)


def collapsed(values: NDArray[Any], texts: Texts) -> Any:
    """Values as lanes, or as the one plain number that they all are.

    >>> collapsed(np.array([4, 4]), Texts())
    4
    """
    first = values[0]
    if (values == first).all():
        return first.item() if isinstance(first, np.generic) else first
    return Lanes(values, texts)


def lanes_of(values: Sequence[Any], texts: Texts) -> Any:
    """Python numbers as lanes, or as the one number that they all are."""
    if all(type(v) is type(values[0]) and v == values[0] for v in values):
        return values[0]
    return gathered(list(values), texts)


def mapped(change: Callable[[Lanes], Any], tree: Any) -> Any:
    """The tree with every `Lanes` in it changed; parts without any are the same objects."""
    if isinstance(tree, Lanes):
        return change(tree)
    if isinstance(tree, tuple | list):
        items = [mapped(change, item) for item in tree]
        same = all(a is b for a, b in zip(items, tree, strict=True))
        return tree if same else tuple(items) if isinstance(tree, tuple) else items
    if isinstance(tree, dict):
        found = {key: mapped(change, item) for key, item in tree.items()}
        return tree if all(found[key] is tree[key] for key in tree) else found
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        fields = {f.name: getattr(tree, f.name) for f in dataclasses.fields(tree)}
        changed = {name: mapped(change, value) for name, value in fields.items()}
        different = {name: value for name, value in changed.items() if value is not fields[name]}
        return dataclasses.replace(tree, **different) if different else tree
    return tree


def _texts(tree: Any) -> Texts | None:
    """The texts that the lanes of a tree write into."""
    found: list[Texts] = []

    def note(leaf: Lanes) -> Lanes:
        found.append(leaf.texts)
        return leaf

    mapped(note, tree)
    return found[0] if found else None


def stacked(trees: Sequence[Any], which: Index, texts: Texts) -> Any:
    """One tree of lanes from several of the same form: lane i has the numbers of `trees[which[i]]`.

    Divergence where the form or a text differs, or numbers are ints in some and floats in others.
    """
    first = trees[0]
    if len(trees) == 1:
        return first
    if isinstance(first, bool | str) or first is None or not _same_form(trees):
        different = np.array([tree != first or type(tree) is not type(first) for tree in trees])
        if different.any():
            raise Divergence(different[which])
        return first
    if isinstance(first, int | float):
        return collapsed(gathered(list(trees), texts).values[which], texts)
    return type(first)(stacked(items, which, texts) for items in zip(*trees, strict=True))


def _same_form(trees: Sequence[Any]) -> bool:
    kind = type(trees[0])
    if issubclass(kind, tuple | list):
        return all(isinstance(tree, kind) and len(tree) == len(trees[0]) for tree in trees)
    return issubclass(kind, int | float) and all(isinstance(tree, int | float) for tree in trees)


def by_value(function: Callable[..., Any], *arguments: Any) -> Any:
    """`function` of plain numbers for arguments that may be lanes, called once for each different combination.

    Divergence where it refuses some of them.

    >>> by_value(max, 2, 3)
    3
    """
    lanes = [a for a in arguments if isinstance(a, Lanes)]
    if not lanes:
        return function(*arguments)
    columns = [a.values if isinstance(a, Lanes) else np.full(lanes[0].values.shape, a, dtype=object) for a in arguments]
    keys = list(zip(*(column.tolist() for column in columns), strict=True))
    places: dict[Any, int] = {}
    which = np.array([places.setdefault(key, len(places)) for key in keys])
    answers: list[Any] = []
    refused: dict[int, Exception] = {}
    for number, key in enumerate(places):
        try:
            answers.append(function(*key))
        except (ArithmeticError, TextFault, ValueError, InputError, DoesNotFit) as error:
            refused[number] = error
            answers.append(None)
    if refused:
        reasons = {str(error) for error in refused.values()}
        if len(refused) == len(answers) and (len(reasons) == 1 or len(answers) == 1):
            raise refused[0]
        some = {n for n, error in refused.items() if str(error) == str(next(iter(refused.values())))}
        raise Divergence(np.isin(which, list(some)))
    return stacked(answers, which, lanes[0].texts)


def rendered(text: str, texts: Texts, lane: int) -> str:
    """The text with every number in it written as it is in one lane."""

    def fill(match: re.Match[str]) -> str:
        write, arguments = texts.written[int(match[1])]
        plain = [a.lane(lane) if isinstance(a, Lanes) else a for a in arguments]
        return rendered(write(*plain), texts, lane)

    return re.sub("\ue000([0-9]+)\ue001", fill, text)
