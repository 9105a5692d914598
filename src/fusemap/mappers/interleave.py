"""Which of two tile tasks an array works on in each cycle, so that values between them need not wait.

A task is a stream of unit steps along its innermost loop. A stream whose innermost rank indexes its result
delivers one word per lane in every step; one that reduces it (a dot product) delivers at its last step only.
Where no memory keeps such words, those that arrive before their reader is ready wait in registers. The period
is the work of the busiest array; at that period the peak number of waiting words is least, exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fusemap.diagnostics import input_error

Counts: TypeAlias = tuple[int, ...]  # unit cycles that each passing stream has had in this period
Backlog: TypeAlias = tuple[int, ...]  # words of each passing that wait when the period starts


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A tile task: `steps` unit steps per period on `resource`, each of `cycles` cycles."""

    name: str
    resource: str
    steps: int
    cycles: int = 1

    @property
    def work(self) -> int:
        """Cycles per period."""
        return self.steps * self.cycles


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """Word n of `producer` goes to step n of `consumer`, with nowhere to wait but registers."""

    producer: str
    consumer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interleaving:
    """What every array works on in each cycle of the period; None is idle.

    `waiting` is the peak number of words per lane that wait between two streams, the least that is possible.
    `backlog` are the words of each passing that are there when the period starts, those included that its
    first cycle takes. A word is there in the cycle after the step that makes it.
    """

    streams: tuple[Stream, ...]
    passings: tuple[Passing, ...]
    period: int
    slots: tuple[tuple[str, tuple[str | None, ...]], ...]
    waiting: int
    backlog: tuple[int, ...]

    def slot(self, resource: str) -> tuple[str | None, ...]:
        """The pattern of one array."""
        return dict(self.slots)[resource]

    @property
    def leads(self) -> dict[str, tuple[int, int]]:
        """Of each passing stream: the group that words tie it to, and the words it leads by when the period starts."""
        return _leads(self.passings, self.backlog)

    def to_json(self) -> dict[str, object]:
        """The pattern as plain lists and dictionaries."""
        return {
            "period": self.period,
            "waiting_words_per_lane": self.waiting,
            "slots": {resource: list(slots) for resource, slots in self.slots},
            "passings": [[p.producer, p.consumer] for p in self.passings],
            "backlog": list(self.backlog),
        }


def interleave(
    streams: Sequence[Stream], passings: Sequence[Passing], *, whole: frozenset[str] = frozenset()
) -> Interleaving:
    """The pattern of least period, then of fewest words that wait, over all orders of the unit steps.

    Streams of a resource in `whole` are not interleaved: each runs from its first step to its last.
    InputError: a passing between streams of different numbers of steps, of an unknown stream, or in a circle.

    >>> streams = [Stream(name="SLNV", resource="2d", steps=2), Stream(name="BQK", resource="2d", steps=2),
    ...            Stream(name="SPNV", resource="1d", steps=2), Stream(name="RNV", resource="1d", steps=2)]
    >>> best = interleave(streams, [Passing(producer="SLNV", consumer="RNV"), Passing(producer="SPNV", consumer="RNV")])
    >>> best.waiting, best.slot("2d"), best.slot("1d")
    (0, ('SLNV', 'BQK', 'SLNV', 'BQK'), ('SPNV', 'RNV', 'SPNV', 'RNV'))
    """
    problem = _Problem.of(streams, passings)
    for words in range(sum(s.steps for s in problem.passing) + 1):
        for fixed in _placements(problem, whole):
            for backlog in problem.backlogs(words, fixed):
                path = problem.path(words, backlog, fixed)
                if path is not None:
                    return _filled(problem, path, words, backlog)
    names = ", ".join(s.name for s in problem.passing)
    raise input_error(f"{names} hand words to each other in a circle: none can begin")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Problem:
    """`passing` are the streams that hand words over; the rest of the work of a resource fills its other cycles."""

    streams: tuple[Stream, ...]
    passings: tuple[Passing, ...]
    passing: tuple[Stream, ...]
    ends: tuple[tuple[int, int], ...]  # producer and consumer of each passing, as numbers of `passing`
    period: int

    @staticmethod
    def of(streams: Sequence[Stream], passings: Sequence[Passing]) -> _Problem:
        by_name = {s.name: s for s in streams}
        for p in passings:
            unknown = [name for name in (p.producer, p.consumer) if name not in by_name]
            if unknown:
                raise input_error(f"{unknown[0]} hands words over but is no stream")
            if by_name[p.producer].steps != by_name[p.consumer].steps:
                raise input_error(
                    f"{p.producer} delivers {by_name[p.producer].steps} words, "
                    f"{p.consumer} takes {by_name[p.consumer].steps}"
                )
        busy: dict[str, int] = {}
        for s in streams:
            busy[s.resource] = busy.get(s.resource, 0) + s.work
        names = list(dict.fromkeys(n for p in passings for n in (p.producer, p.consumer)))
        return _Problem(
            streams=tuple(streams),
            passings=tuple(passings),
            passing=tuple(by_name[n] for n in names),
            ends=tuple((names.index(p.producer), names.index(p.consumer)) for p in passings),
            period=max(busy.values(), default=0),
        )

    def backlogs(self, words: int, fixed: Mapping[int, int]) -> Iterable[Backlog]:
        """Words that may be there at the start; between streams with fixed starts they are known up to whole tiles."""
        choices = []
        for producer, consumer in self.ends:
            every = range(words + 2)  # one more than may wait: the first cycle takes it
            if producer in fixed and consumer in fixed:
                steps = self.passing[producer].steps
                ahead = self._first(producer, fixed[producer]) - self._first(consumer, fixed[consumer])
                choices.append([b for b in every if (b - ahead) % steps == 0])
            else:
                choices.append(list(every))
        return (backlog for backlog in itertools.product(*choices) if _agree(self.passings, backlog))

    def _first(self, stream: int, start: int) -> int:
        """Words of its current tile that a whole stream has passed when the period starts."""
        gone = (-start) % self.period
        return min(gone // self.passing[stream].cycles, self.passing[stream].steps)

    def path(self, words: int, backlog: Backlog, fixed: Mapping[int, int]) -> list[Counts] | None:
        """Counts after every cycle of a period in which never more than `words` wait; None if there is none."""
        layers: list[dict[Counts, Counts]] = [{(0,) * len(self.passing): ()}]
        for cycle in range(self.period):
            layer: dict[Counts, Counts] = {}
            for counts in layers[-1]:
                for after in self._successors(counts, cycle, fixed):
                    if after not in layer and self._waits(counts, after, backlog, words):
                        layer[after] = counts
            layers.append(layer)
        full = tuple(s.work for s in self.passing)
        if full not in layers[-1]:
            return None
        path = [full]
        for layer in reversed(layers[1:]):
            path.append(layer[path[-1]])
        return path[::-1]

    def _successors(self, counts: Counts, cycle: int, fixed: Mapping[int, int]) -> Iterator[Counts]:
        """Every choice of at most one stream per resource; other work of a resource must still fit."""
        choices = []
        for resource in dict.fromkeys(s.resource for s in self.streams):
            mine = [i for i, s in enumerate(self.passing) if s.resource == resource]
            forced = [i for i in mine if i in fixed and (cycle - fixed[i]) % self.period < self.passing[i].work]
            free = [i for i in mine if i not in fixed and counts[i] < self.passing[i].work]
            choices.append(forced if forced else [*free, None])
        for chosen in itertools.product(*choices):
            after = list(counts)
            for i in chosen:
                if i is not None:
                    after[i] += 1
            yield tuple(after)

    def _waits(self, before: Counts, after: Counts, backlog: Backlog, words: int) -> bool:
        """Does every word arrive before the cycle that takes it, and no more than `words` wait in that cycle?"""
        total = 0
        for (producer, consumer), start in zip(self.ends, backlog, strict=True):
            made = before[producer] // self.passing[producer].cycles
            taken = -(-after[consumer] // self.passing[consumer].cycles)
            waiting = start + made - taken
            if waiting < 0:
                return False
            total += waiting
        return total <= words


def _leads(passings: Sequence[Passing], backlog: Backlog) -> dict[str, tuple[int, int]]:
    """(group, words ahead within it) of each stream, along any way between two of them."""
    leads: dict[str, tuple[int, int]] = {}
    for group, first in enumerate(passings):
        leads.setdefault(first.consumer, (group, 0))
        for _ in passings:
            for p, words in zip(passings, backlog, strict=True):
                if p.consumer in leads:
                    tied, ahead = leads[p.consumer]
                    leads.setdefault(p.producer, (tied, ahead + words))
                elif p.producer in leads:
                    tied, ahead = leads[p.producer]
                    leads[p.consumer] = (tied, ahead - words)
    return leads


def _agree(passings: Sequence[Passing], backlog: Backlog) -> bool:
    """Is every stream as many words ahead of another on all ways between them? Word n is for step n."""
    leads = _leads(passings, backlog)
    return all(leads[p.producer][1] - leads[p.consumer][1] == n for p, n in zip(passings, backlog, strict=True))


def _placements(problem: _Problem, whole: frozenset[str]) -> Iterator[dict[int, int]]:
    """Starts of the streams that run whole, without overlap; the first one is at 0, as a period has no first cycle."""
    numbers = [i for i, s in enumerate(problem.passing) if s.resource in whole]
    if not numbers:
        yield {}
        return
    for rest in itertools.product(range(problem.period), repeat=len(numbers) - 1):
        starts = dict(zip(numbers, (0, *rest), strict=True))
        taken = [
            (problem.passing[i].resource, (start + n) % problem.period)
            for i, start in starts.items()
            for n in range(problem.passing[i].work)
        ]
        if len(set(taken)) == len(taken):
            yield starts


def _filled(problem: _Problem, path: Sequence[Counts], words: int, backlog: Backlog) -> Interleaving:
    """The pattern of a path, the other streams of each resource one after another in its open cycles."""
    slots = []
    for resource in dict.fromkeys(s.resource for s in problem.streams):
        others = [s for s in problem.streams if s.resource == resource and s not in problem.passing]
        left = [s.name for s in others for _ in range(s.work)]
        row: list[str | None] = []
        for before, after in itertools.pairwise(path):
            steps = (
                s.name
                for s, x, y in zip(problem.passing, before, after, strict=True)
                if s.resource == resource and y > x
            )
            name = next(steps, None)
            row.append(name if name is not None else (left.pop(0) if left else None))
        slots.append((resource, tuple(row)))
    return Interleaving(
        streams=problem.streams,
        passings=problem.passings,
        period=problem.period,
        slots=tuple(slots),
        waiting=words,
        backlog=backlog,
    )
