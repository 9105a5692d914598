"""Random small cascades, as text and sizes, for properties of the pass analysis.

`program(seed, family)` is a pure function of its arguments, so that thousands can be made without hypothesis;
`programs()` is the strategy. Every program is well-formed at its sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from hypothesis import strategies as st

MAPS = ("{} + {}", "{} * {}", "max({}, {})", "exp({} - {})", "{} - {}", "{} / {}")
SINGLE = ("{}", "exp({})", "square({})", "-{}")
STEPS = ("{} + {}", "max({}, {})", "{} * {}")
REDUCTIONS = ("sum", "sum", "max", "min")
SOURCES = {"k": "A[k]", "m": "A[m]", "m0": "BA[m1,m0]"}  # what every program of a family can read in a variable
FILTERS = ("m <= p", "m <= p", "m < p", "m >= p", "p-W < m <= p", "p-W < m <= p", "p <= m < p+W", "m == p", "m < W")


@dataclass(frozen=True, slots=True)
class PassProgram:
    """A cascade's text and the sizes of its shapes."""

    text: str
    sizes: Mapping[str, int]
    family: str


@dataclass(frozen=True, slots=True)
class Form:
    """A way to read a tensor, and the variables in it."""

    text: str
    variables: frozenset[str]


@dataclass(slots=True)
class Draft:
    """A cascade under construction: `order` are its variables as they stand in accesses."""

    random: Random
    order: tuple[str, ...]
    forms: list[Form] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    stops: dict[str, str] = field(default_factory=dict)
    einsums: int = 0

    def name(self) -> str:
        """A tensor that does not exist yet."""
        self.einsums += 1
        return f"T{self.einsums}"

    def access(self, name: str, variables: frozenset[str], changes: Mapping[str, str] | None = None) -> str:
        """`T[m,p]`, with some variables replaced."""
        indices = [(changes or {}).get(v, v) for v in self.order if v in variables]
        return f"{name}[{','.join(indices)}]" if indices else name

    def offer(self, name: str, variables: frozenset[str], *changes: Mapping[str, str]) -> None:
        """Let later Einsums read a tensor as it is, and with variables replaced."""
        for change in ({}, *changes):
            values = [change.get(v, v) for v in variables]
            self.forms.append(
                Form(self.access(name, variables, change), frozenset(v for v in self.order if _occurs(v, values)))
            )

    def operand(self, allowed: frozenset[str]) -> Form:
        """Something to read in these variables; what was made last is the most probable."""
        known = [f for f in self.forms if f.variables <= allowed]
        return self.random.choices(known, weights=[n * n for n in range(2, len(known) + 2)])[0]

    def expression(self, allowed: frozenset[str]) -> Form:
        """One to three operands under map operators."""
        first = self.operand(allowed)
        text, used = self.random.choice(SINGLE).format(first.text), first.variables
        for _ in range(self.random.choice((0, 1, 1, 1, 2))):
            other = self.operand(allowed)
            pair = [f"({text})" if " " in text or text.startswith("-") else text, other.text]
            self.random.shuffle(pair)
            text, used = self.random.choice(MAPS).format(*pair), used | other.variables
        return Form(text, used)


def _occurs(variable: str, indices: list[str]) -> bool:
    return any(variable in i.replace("+", " ").replace("-", " ").replace("*", " ").split() for i in indices)


def plain(draft: Draft, allowed: frozenset[str], *, filters: tuple[str, ...] = ()) -> frozenset[str]:
    """T[kept] = reduce[others] of an expression, at times filtered; the kept variables."""
    expression = draft.expression(allowed)
    odds = draft.random.choice((0.3, 0.6, 1.0))
    kept = frozenset(v for v in draft.order if v in expression.variables and draft.random.random() < odds)
    reduced = [v for v in draft.order if v in expression.variables - kept]
    usable = [f for f in filters if {"m", "p"} & set(f.split()) <= expression.variables and _filterable(f, expression)]
    condition = draft.random.choice(usable) if usable and draft.random.random() < 0.6 else ""
    name = draft.name()
    left, over, where = draft.access(name, kept), ", ".join(reduced), f" for {condition}" if condition else ""
    if condition and draft.random.random() < 0.5:
        target = reduced[0] if reduced else next(v for v in draft.order if v in kept)
        left = left if reduced else draft.access(name, kept, {target: f"{target}: {condition}"})
        over, where = ", ".join(f"{v}: {condition}" if v == target else v for v in reduced), ""
    reduction = f"{draft.random.choice(REDUCTIONS)}[{over}] " if reduced else ""
    draft.lines.append(f"{left} = {reduction}{expression.text}{where}")
    return kept


def _filterable(condition: str, expression: Form) -> bool:
    return all(v in expression.variables for v in ("m", "p") if _occurs(v, condition.split()))


def normalise(draft: Draft, variable: str, allowed: frozenset[str]) -> None:
    """A statistic of something over a variable, and the same thing by that statistic, as a softmax does."""
    expression = draft.expression(allowed)
    if variable not in expression.variables:
        expression = Form(f"({expression.text}) * {SOURCES[variable]}", expression.variables)
    used = expression.variables | ({"m1", "m0"} if variable == "m0" else {variable})
    statistic, result = draft.name(), draft.name()
    value = draft.access(statistic, used - {variable})
    draft.lines.append(f"{value} = {draft.random.choice(REDUCTIONS)}[{variable}] {expression.text}")
    draft.lines.append(f"{draft.access(result, used)} = exp(({expression.text}) - {value})")
    draft.offer(statistic, used - {variable})
    draft.offer(result, used)


def scan(draft: Draft, variable: str, allowed: frozenset[str]) -> None:
    """R[v+1] = R[v] op x[v]; at times x is the difference to R[v] itself."""
    expression = draft.expression(allowed)
    used = expression.variables | {variable}
    name, draft.stops[variable] = draft.name(), variable.upper()
    here, following = draft.access(name, used), draft.access(name, used, {variable: f"{variable}+1"})
    draft.lines.append(f"init: {draft.access(name, used, {variable: '0'})} = 0")
    added = f"({expression.text})"
    if draft.random.random() < 0.2:
        change = draft.name()
        added = draft.access(change, used)
        draft.lines.append(f"{added} = ({expression.text}) - {here}")
        draft.offer(change, used)
    pair = [here, added]
    draft.random.shuffle(pair)
    draft.lines.append(f"{following} = {draft.random.choice(STEPS).format(*pair)}")
    draft.offer(name, used, {variable: f"{variable}+1"}, {variable: variable.upper()})


def line(random: Random) -> PassProgram:
    """Over one rank K: element-wise operations, reductions, forward and suffix scans, neighbours, reflections."""
    draft = Draft(random, ("k",))
    k, most = frozenset(("k",)), random.randint(2, 8)
    draft.offer("A", k)
    draft.offer("B", k)
    vectors = ["A", "B"]
    while draft.einsums < most:
        kind = random.choice(("plain", "plain", "plain", "normal", "scan", "suffix", "shift"))
        if kind == "plain":
            kept = plain(draft, k)
            reflected = ({"k": "K-1-k"},) if kept and random.random() < 0.2 else ()
            draft.offer(f"T{draft.einsums}", kept, *reflected)
            vectors += [f"T{draft.einsums}"] if kept else []
        elif kind == "normal":
            normalise(draft, "k", k)
        elif kind == "scan":
            scan(draft, "k", k)
        elif kind == "suffix":
            name, draft.stops["j"] = draft.name(), "K"
            step = random.choice(STEPS).format(f"{name}[j]", f"{random.choice(vectors)}[K-1-j]")
            draft.lines += [f"init: {name}[0] = 0", f"{name}[j+1] = {step}"]
            draft.forms += [Form(f"{name}[{at}]", k) for at in ("K-k", "K-k-1")] + [Form(f"{name}[K]", frozenset())]
        else:
            name, vector = draft.name(), random.choice(vectors)
            draft.lines.append(f"{name}[k] = {vector}[k] * {vector}[k+1] for k+1 < K")
            draft.offer(name, k)
    return _finished(draft, "line", ("input A[k], B[k]",), {"K": random.randint(4, 6)})


def plane(random: Random) -> PassProgram:
    """Over two ranks M and P: row and column reductions, broadcasts, scans along M, transposed uses."""
    square = random.random() < 0.4
    swap = ({"m": "p", "p": "m"},) if square else ()
    draft = Draft(random, ("m", "p"))
    both = frozenset(draft.order)
    for name, variables in (("Q", "p"), ("X", "mp"), ("A", "m")):
        draft.offer(name, frozenset(variables), *(swap if random.random() < 0.5 else ()))
    most = random.randint(2, 8)
    while draft.einsums < most:
        kind = random.choice(("plain", "plain", "plain", "normal", "scan"))
        if kind == "scan":
            scan(draft, "m", both)
        elif kind == "normal":
            normalise(draft, "m", both)
        else:
            kept = plain(draft, both)
            draft.offer(f"T{draft.einsums}", kept, *(swap if kept and random.random() < 0.3 else ()))
    heads = ("shape P = M",) if square else ()
    sizes = {"M": 4} if square else {"M": random.randint(4, 5), "P": random.randint(2, 3)}
    return _finished(draft, "plane", (*heads, "input X[m,p], A[m], Q[p]"), sizes)


def chunks(random: Random) -> PassProgram:
    """Over M = M1*M0: views, chunk reductions, scans over chunks and within them, reductions of all of M."""
    draft = Draft(random, ("m", "m1", "m0"))
    split = frozenset(("m1", "m0"))
    draft.lines.append("BA[m1,m0] = A[m1*M0+m0]")
    draft.offer("A", frozenset("m"))
    draft.forms.append(Form("A[m1*M0+m0]", split))
    draft.offer("C", frozenset(("m1",)))
    draft.offer("BA", split)
    most = random.randint(2, 7)
    while draft.einsums < most:
        kind = random.choice(("split", "split", "split", "flat", "m1", "m1", "m0", "normal", "chunk"))
        if kind == "split":
            kept = plain(draft, split)
            draft.offer(f"T{draft.einsums}", kept)
        elif kind == "flat":
            kept = plain(draft, frozenset("m"))
            draft.offer(f"T{draft.einsums}", kept)
            draft.forms += [Form(f"T{draft.einsums}[m1*M0+m0]", split)] if kept else []
        elif kind == "normal":
            normalise(draft, "m", frozenset("m"))
        elif kind == "chunk":
            normalise(draft, "m0", split)
        else:
            scan(draft, kind, frozenset(("m1",)) if kind == "m1" else split)
    outer, inner = random.choice(((3, 2), (2, 3), (2, 2)))
    return _finished(draft, "chunks", ("shape M = M1*M0", "input A[m], C[m1]"), {"M1": outer, "M0": inner})


def filtered(random: Random) -> PassProgram:
    """Over M and P = M: causal, windowed and prefix Einsums, and what reads them."""
    draft = Draft(random, ("m", "p"))
    both = frozenset(draft.order)
    for name, variables in (("Q", "p"), ("A", "m")):
        draft.offer(name, frozenset(variables))
    name, condition = draft.name(), random.choice(FILTERS)
    draft.lines.append(f"{name}[m: {condition}, p] = Q[p] * A[m]")
    draft.offer(name, both)
    most = random.randint(2, 8)
    while draft.einsums < most:
        if random.random() < 0.2:
            normalise(draft, "m", both)
        else:
            kept = plain(draft, both, filters=FILTERS)
            draft.offer(f"T{draft.einsums}", kept)
    return _finished(draft, "filtered", ("shape P = M, W = 2", "input A[m], Q[p]"), {"M": random.randint(4, 5)})


FAMILIES: Mapping[str, Callable[[Random], PassProgram]] = {
    "line": line,
    "plane": plane,
    "chunks": chunks,
    "filtered": filtered,
}


def program(seed: int, family: str) -> PassProgram:
    """The program of a family that the seed stands for."""
    return FAMILIES[family](Random(f"{family} {seed}"))


def programs() -> st.SearchStrategy[PassProgram]:
    """Programs of all families."""
    return st.builds(program, st.integers(0, 2**32), st.sampled_from(sorted(FAMILIES)))


def _finished(draft: Draft, family: str, heads: tuple[str, ...], sizes: Mapping[str, int]) -> PassProgram:
    stops = [f"stop: {v} >= {bound}" for v, bound in draft.stops.items()]
    names = [line.split(" = ")[0].split("[")[0] for line in draft.lines if not line.startswith("init")]
    outputs = f"output {', '.join(dict.fromkeys(names))}"
    return PassProgram("\n".join((f"cascade {family}", *heads, outputs, *stops, *draft.lines, "")), sizes, family)
