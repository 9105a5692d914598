"""Random well-formed cascades for property tests."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from fusemap.einsum_cascade.operators import BUILTIN
from fusemap.einsum_cascade.scope import rank_variables, reduced_variables, variables_of
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Apply,
    Cascade,
    Chain,
    Einsum,
    Expr,
    FloorDiv,
    Index,
    Lookup,
    Modulo,
    Number,
    OperatorName,
    RankExpr,
    Reduce,
    ReduceVar,
    ShapeDecl,
    ShapeName,
    SizeOf,
    Stop,
    TensorName,
    Term,
    ValueOf,
    VarName,
)

VARIABLES = tuple(VarName(v) for v in ("e", "m", "p", "m1", "m0", "k2"))
SHAPES = tuple(ShapeName(s) for s in ("M", "M1", "M0", "W", "P"))
TENSORS = tuple(TensorName(t) for t in ("E", "I", "N", "O", "Q", "S", "PI", "Beta", "QK_1", "Lm", "RNV", "A", "B", "C"))
NUMBERS = ("0", "1", "2.", ".5", "1e-5", "3.25E+2", "inf")


@st.composite
def affines(draw: DrawFn, variables: tuple[VarName, ...] = VARIABLES) -> Affine:
    """A sum of up to three terms."""
    terms = []
    for _ in range(draw(st.integers(1, 3))):
        sign = draw(st.sampled_from((1, -1)))
        shape = draw(st.sampled_from(SHAPES))
        kind = draw(st.integers(0, 3 if variables else 1))
        if kind == 0:
            terms.append(Term(sign=sign, constant=draw(st.integers(0, 99))))
        elif kind == 1:
            terms.append(Term(sign=sign, shape=shape))
        else:
            var = draw(st.sampled_from(variables))
            terms.append(Term(sign=sign, var=var, shape=shape if kind == 3 else None))
    return Affine(terms=tuple(terms))


@st.composite
def rank_exprs(draw: DrawFn, variables: tuple[VarName, ...] = VARIABLES) -> RankExpr:
    """An index of any form."""
    kind = draw(st.integers(0, 5 if variables else 0))
    if kind == 4:
        return FloorDiv(var=draw(st.sampled_from(variables)), shape=draw(st.sampled_from(SHAPES)))
    if kind == 5:
        return Modulo(var=draw(st.sampled_from(variables)), shape=draw(st.sampled_from(SHAPES)))
    if kind > 1:
        return Affine(terms=(Term(var=draw(st.sampled_from(variables))),))
    return draw(affines(variables))


def _is_shape(expr: RankExpr) -> bool:
    """A shape alone, which as index of its own rank is taken for a variable in the wrong case."""
    return (
        isinstance(expr, Affine)
        and len(expr.terms) == 1
        and expr.terms[0].var is None
        and expr.terms[0].shape is not None
    )


@st.composite
def conditions(draw: DrawFn, variables: tuple[VarName, ...]) -> tuple[Chain, ...]:
    """No, one or two chained comparisons."""
    chains = []
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 2)))):
        relations = draw(st.lists(st.sampled_from(("<", "<=", ">", ">=", "==")), min_size=1, max_size=2))
        operands = [draw(rank_exprs(variables)) for _ in range(len(relations) + 1)]
        chains.append(Chain(operands=tuple(operands), relations=tuple(relations)))
    return tuple(chains)


def _looked_up(indexes: tuple[tuple[TensorName, int], ...]) -> st.SearchStrategy[RankExpr]:
    """An index that is an element of one of the tensors."""

    def lookup(choice: tuple[TensorName, int]) -> st.SearchStrategy[RankExpr]:
        plain = rank_exprs().filter(lambda e: not _is_shape(e)).map(lambda e: Index(expr=e))
        indices = st.lists(plain, min_size=choice[1], max_size=choice[1]).map(tuple)
        return indices.map(lambda i: Lookup(access=Access(tensor=choice[0], indices=i)))

    return st.sampled_from(indexes).flatmap(lookup)


def exprs(
    known: tuple[tuple[TensorName, int], ...], indexes: tuple[tuple[TensorName, int], ...] = ()
) -> st.SearchStrategy[Expr]:
    """A value expression over tensors with given numbers of ranks, filtered at times, some read at `indexes`."""

    def access(choice: tuple[TensorName, int]) -> st.SearchStrategy[Expr]:
        def filtered(expr: RankExpr) -> st.SearchStrategy[Index]:
            return conditions(rank_variables(expr)).map(lambda c: Index(expr=expr, conditions=c))

        plain = rank_exprs().filter(lambda e: not _is_shape(e))
        index = st.one_of(plain, plain, _looked_up(indexes) if indexes else plain).flatmap(filtered)
        indices = st.lists(index, min_size=choice[1], max_size=choice[1]).map(tuple)
        return st.builds(lambda i: Access(tensor=choice[0], indices=i), indices)

    leaves: st.SearchStrategy[Expr] = st.one_of(
        st.sampled_from(NUMBERS).map(lambda t: Number(text=t)),
        st.sampled_from(SHAPES).map(lambda s: SizeOf(shape=s)),
        rank_exprs().map(lambda e: ValueOf(expr=e)),
        *(access(k) for k in known),
    )

    def grown(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
        def applied(name: str) -> st.SearchStrategy[Expr]:
            arity = BUILTIN.map(name).arity
            args = st.lists(inner, min_size=arity, max_size=arity).map(tuple)
            return st.builds(lambda a: Apply(operator=OperatorName(name), args=a), args)

        return st.sampled_from(BUILTIN.map_names).flatmap(applied)

    return st.recursive(leaves, grown, max_leaves=8)


@st.composite
def einsums(
    draw: DrawFn,
    name: TensorName,
    known: tuple[tuple[TensorName, int], ...],
    indexes: tuple[tuple[TensorName, int], ...] = (),
) -> Einsum:
    """An Einsum with any reduction and conditions in any place."""
    ranks = draw(st.lists(st.sampled_from(VARIABLES), unique=True, max_size=3))
    plain = Access(tensor=name, indices=tuple(Index(expr=Affine(terms=(Term(var=v),))) for v in ranks))
    expr = draw(exprs(known, indexes))
    variables = variables_of(Einsum(output=plain, reduce=None, expr=expr))
    indices = tuple(Index(expr=i.expr, conditions=draw(conditions(variables))) for i in plain.indices)
    output = Access(tensor=name, indices=indices)
    reduced = reduced_variables(output, expr)
    reduce, implied = None, draw(st.booleans())
    if reduced and implied:
        reduce = Reduce(
            operator=OperatorName("sum"), variables=tuple(ReduceVar(var=v) for v in reduced), explicit=False
        )
    elif reduced:
        order = draw(st.permutations(reduced))
        found = tuple(ReduceVar(var=v, conditions=draw(conditions(variables))) for v in order)
        folding = [o.name for o in BUILTIN.reductions if not o.ranked]
        reduce = Reduce(operator=draw(st.sampled_from(folding)), variables=found)
    places = set(ranks) - set(variables_of(expr))
    if len(reduced) == 1 and places and draw(st.booleans()):
        return _ranked(output, expr, reduced[0], min(places))
    return Einsum(output=output, reduce=reduce, expr=expr, conditions=draw(conditions(variables)))


def _ranked(output: Access, expr: Expr, var: VarName, places: VarName) -> Einsum:
    """A topk without conditions on the left, where they could tie what is ranked to the place."""
    plain = tuple(Index(expr=i.expr) for i in output.indices)
    reduce = Reduce(operator=OperatorName("topk"), variables=(ReduceVar(var=var),), places=places)
    return Einsum(output=Access(tensor=output.tensor, indices=plain), reduce=reduce, expr=expr)


def _declarations() -> tuple[ShapeDecl, ...]:
    m, m1, m0, w, p = SHAPES
    return (ShapeDecl(name=m, factors=(m1, m0)), ShapeDecl(name=p, factors=(m,)), ShapeDecl(name=w, constant=2))


@st.composite
def cascades(draw: DrawFn) -> Cascade:
    """Inputs, Einsums that read what stands before them, and at times a running sum."""
    names = list(draw(st.permutations(TENSORS)))
    inputs = []
    known: list[tuple[TensorName, int]] = []
    for _ in range(draw(st.integers(0, 3))):
        ranks = draw(st.lists(st.sampled_from(VARIABLES), unique=True, max_size=3))
        inputs.append(
            Access(tensor=names.pop(), indices=tuple(Index(expr=Affine(terms=(Term(var=v),))) for v in ranks))
        )
        known.append((inputs[-1].tensor, len(ranks)))
    body: list[Einsum] = []
    indexes = list(known)
    for _ in range(draw(st.integers(1, 4))):
        body.append(draw(einsums(names.pop(), tuple(known), tuple(indexes))))
        if body[-1].reduce is not None and body[-1].reduce.places is not None:
            indexes.append((body[-1].name, len(body[-1].output.indices)))
        known.append((body[-1].name, len(body[-1].output.indices)))
    stops: tuple[Stop, ...] = ()
    inits: tuple[Einsum, ...] = ()
    if draw(st.booleans()):
        running = names.pop()
        stops, inits, added = _running_sum(running, draw(affines(())))
        body += added
    chosen = draw(st.lists(st.sampled_from([e.name for e in body]), unique=True))
    return Cascade(
        name=draw(st.sampled_from(("x", "attention-1pass", "a.b_c+2"))),
        shapes=_declarations(),
        inputs=tuple(inputs),
        outputs=tuple(chosen),
        stops=stops,
        inits=inits,
        einsums=tuple(body),
    )


def _running_sum(name: TensorName, bound: Affine) -> tuple[tuple[Stop, ...], tuple[Einsum, ...], tuple[Einsum, ...]]:
    """stop: i >= bound, init: name[0] = -inf, name[i+1] = name[i] + val(i)."""
    var = VarName("i")

    def at(*terms: Term) -> Access:
        return Access(tensor=name, indices=(Index(expr=Affine(terms=terms)),))

    start = Einsum(
        output=at(Term(constant=0)), reduce=None, expr=Apply(operator=OperatorName("neg"), args=(Number(text="inf"),))
    )
    value = ValueOf(expr=Affine(terms=(Term(var=var),)))
    step = Einsum(
        output=at(Term(var=var), Term(constant=1)),
        reduce=None,
        expr=Apply(operator=OperatorName("add"), args=(at(Term(var=var)), value)),
    )
    return (Stop(var=var, bound=bound),), (start,), (step,)
