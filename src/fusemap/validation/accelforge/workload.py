"""A cascade with sizes as an AccelForge workload: which ranks index which tensors, and nothing of what is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from fusemap.archspec.types import Workload
from fusemap.diagnostics import InputError, Span, input_error
from fusemap.einsum_cascade import scope
from fusemap.einsum_cascade.points import is_view
from fusemap.einsum_cascade.printer import format_rank_expr
from fusemap.einsum_cascade.source import cascade_source
from fusemap.einsum_cascade.types import Access, Affine, Cascade, Einsum
from fusemap.mappers.space import make_problem
from fusemap.mappers.types import EinsumSpace, Problem

# Names that AccelForge's set expressions give a meaning of their own, and the name of its totals.
RESERVED = ("All", "Inputs", "Intermediates", "Nothing", "Outputs", "Persistent", "Shared", "Tensors", "Total")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTensor:
    """A tensor of an AccelForge Einsum: `projection` is (rank, rank variable) for each of its positions."""

    name: str
    projection: tuple[tuple[str, str], ...]
    output: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerEinsum:
    """What AccelForge keeps of an Einsum. `operators` are ours, of one point; it has no place for them."""

    name: str
    tensors: tuple[PeerTensor, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerWorkload:
    """A whole workload: extents of rank variables, Einsums, and `instances`, how often all of it runs.

    `results` are outputs of the cascade that it reads itself, `notes` say what was left out.
    """

    cascade: str
    workload: str
    word_bits: int
    instances: int
    extents: tuple[tuple[str, int], ...]
    einsums: tuple[PeerEinsum, ...]
    results: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    source: Cascade | None = field(default=None, compare=False, repr=False)

    def error(self, einsum: PeerEinsum, message: str, *, hint: str) -> InputError:
        """The error of one Einsum, at its line where the cascade is known."""
        found = [e for e in self.source.einsums if e.name == einsum.name] if self.source else []
        if self.source is None or not found:
            return input_error(message, hint=hint)
        return InputError((cascade_source(self.source).diagnostic(found[0].span, message, hint),))

    @property
    def chains(self) -> tuple[tuple[str, ...], ...]:
        """The chains of operators that occur, each once."""
        return tuple(dict.fromkeys(einsum.operators for einsum in self.einsums))

    def to_yaml(self) -> str:
        """The text of `workload.yaml`."""
        head = [f"# cascade {self.cascade}, workload {self.workload}", *(f"# left out: {note}" for note in self.notes)]
        shape = [f"    {name}: 0 <= {name} < {extent}" for name, extent in self.extents]
        top = ["workload:", f"  n_instances: {self.instances}", f"  bits_per_value: {{All: {self.word_bits}}}"]
        lines = [*head, *top, "  iteration_space_shape:", *shape, "  einsums:"]
        for einsum in self.einsums:
            lines += [f"  - name: {einsum.name}", "    tensor_accesses:"]
            lines += [f"    - {_access(tensor)}" for tensor in einsum.tensors]
            # what an architecture may ask: does this Einsum need that chain of operators?
            own = {chain_name(chain): "All" if chain == einsum.operators else "Nothing" for chain in self.chains}
            lines.append(f"    renames: {{{', '.join(f'{name}: {value}' for name, value in own.items())}}}")
        return "\n".join(lines) + "\n"


def _access(tensor: PeerTensor) -> str:
    indices = ", ".join(f"{rank}: {variable}" for rank, variable in tensor.projection)
    return f"{{name: {tensor.name}, projection: {{{indices}}}{', output: True' if tensor.output else ''}}}"


def chain_name(operators: tuple[str, ...]) -> str:
    """The name under which a chain of operators is known in the exported files.

    >>> chain_name(("sub", "exp"))
    'ops_sub_exp'
    """
    return "_".join(("ops", *operators)) if operators else "ops_none"


def peer_workload(cascade: Cascade, workload: Workload, sizes: Mapping[str, int], word_bytes: int) -> PeerWorkload:
    """The cascade as AccelForge can say it.

    Left out with a note: operators, filters, tensors that only show another one under new indices. InputError with
    file and line for what has no counterpart: recurrences, coordinates that are data, indices that are sums.
    """
    _refuse(cascade)
    problem = make_problem(cascade, workload, sizes)
    writers = {str(e.name): e for e in cascade.einsums}
    declared = {str(a.tensor): a for a in (*cascade.inputs, *(e.output for e in cascade.einsums))}
    spaces = problem.spaces
    sized = dict(problem.sizes)
    einsums = tuple(_einsum(writers[space.name], space, declared, sized) for space in spaces)
    variables = {str(v) for space in spaces for v in scope.variables_of(writers[space.name])}
    batch = [(r, n) for r, n in spaces[0].ranks if r not in variables] if spaces else []
    extents = dict(pair for space in spaces for pair in space.ranks if pair[0] in variables)
    read = {t.name for e in einsums for t in e.tensors if not t.output}
    return PeerWorkload(
        cascade=cascade.name,
        workload=problem.workload,
        word_bits=8 * word_bytes,
        instances=math.prod(n for _, n in batch),
        extents=tuple(extents.items()),
        einsums=einsums,
        results=tuple(str(name) for name in scope.outputs(cascade) if name in read),
        notes=tuple(_notes(cascade, problem, batch)),
        source=cascade,
    )


def single_workload(space: EinsumSpace, workload: str, word_bytes: int) -> PeerWorkload:
    """One Einsum of a problem alone, whatever the rest of its cascade is; batch ranks are ranks like others."""
    order = [rank for rank, _ in space.ranks]
    tensors = tuple(
        PeerTensor(
            name=operand.label.replace("#", "_"),
            projection=tuple((rank.upper(), rank) for rank in order if rank in operand.ranks),
            output=operand.is_output,
        )
        for operand in space.operands
    )
    return PeerWorkload(
        cascade=space.name,
        workload=workload,
        word_bits=8 * word_bytes,
        instances=1,
        extents=space.ranks,
        einsums=(PeerEinsum(name=space.name, tensors=tensors, operators=space.operators),),
    )


def _notes(cascade: Cascade, problem: Problem, batch: list[tuple[str, int]]) -> list[str]:
    """What the workload file does not say."""
    notes = [f"{s.name}: operators {' + '.join(s.operators)}" for s in problem.spaces if s.operators]
    notes += [f"{e.name}: its filter; the whole rectangle runs" for e in cascade.einsums if scope.conditions_of(e)]
    notes += [
        f"{view} is {source} under other indices; here it is a tensor of its own" for view, source in problem.views
    ]
    if batch:
        named = " x ".join(f"{rank.upper()} = {n}" for rank, n in batch)
        notes.append(f"the workload is repeated {named} times; no loop over these ranks can be spread over an array")
    return notes


def _refuse(cascade: Cascade) -> None:
    """InputError that lists everything AccelForge has no counterpart for."""
    source = cascade_source(cascade)
    found = []

    def add(span: Span, what: str, hint: str) -> None:
        found.append(source.diagnostic(span, f"AccelForge cannot express {what}", hint))

    for stop in cascade.stops:
        add(stop.span, f"the iterative rank {stop.var}", "its Einsums are no recurrences; export a cascade without")
    views = {str(e.name) for e in cascade.einsums if is_view(e)}
    inputs = {str(name) for name in scope.input_names(cascade)}
    for einsum in (*cascade.inits, *cascade.einsums):
        if einsum.reduce is not None and einsum.reduce.places is not None:
            add(einsum.reduce.span, f"{einsum.reduce.operator} of Einsum {einsum.name}", "its coordinates are data")
        if str(einsum.name) in views:
            shown = str(scope.accesses(einsum)[0].tensor)
            if shown not in inputs and shown not in views:
                add(einsum.span, f"{einsum.name}, {shown} under other indices", "views of inputs are exported")
            continue
        accesses = tuple(dict.fromkeys(scope.accesses(einsum)))
        for access in (einsum.output, *accesses):
            if access.tensor in RESERVED:
                add(access.span, f"a tensor of the name {access.tensor}", f"it reserves {', '.join(RESERVED)}")
            for index in access.indices:
                if not isinstance(index.expr, Affine):
                    text = f"{access.tensor}[{format_rank_expr(index.expr)}]"
                    add(
                        index.span,
                        f"the index of {text} in Einsum {einsum.name}",
                        "sums of rank variables are exported",
                    )
        twice = [a for a in accesses if sum(b.tensor == a.tensor for b in accesses) > 1]
        if twice:
            add(twice[1].span, f"{twice[1].tensor} read twice by Einsum {einsum.name}", "a tensor stands there once")
        if any(a.tensor == einsum.name for a in accesses):
            add(einsum.span, f"Einsum {einsum.name}, which reads what it writes", "it has no recurrences")
    if found:
        raise InputError(tuple(dict.fromkeys(found)))


def _variable(expr: object) -> str | None:
    """The variable that an index is, or None where it is anything else."""
    if not isinstance(expr, Affine) or len(expr.terms) != 1:
        return None
    term = expr.terms[0]
    plain = term.sign == 1 and term.shape is None and term.constant is None
    return str(term.var) if plain and term.var is not None else None


def _written(expr: object, sizes: Mapping[str, int]) -> str:
    """A sum of rank variables with the sizes put in: `m1*M0+m0` is `m1*256+m0`."""
    assert isinstance(expr, Affine), expr  # `_refuse` has seen to it
    text = ""
    for term in expr.terms:
        factors = [str(term.var)] if term.var is not None else []
        factors += [str(sizes[term.shape])] if term.shape is not None else []
        factors += [str(term.constant)] if term.constant is not None else []
        text += f"{'-' if term.sign < 0 else '+'}{'*'.join(factors)}"
    return text.removeprefix("+")


def _einsum(einsum: Einsum, space: EinsumSpace, declared: Mapping[str, Access], sizes: Mapping[str, int]) -> PeerEinsum:
    inputs = [_tensor(a, declared, sizes) for a in dict.fromkeys(scope.accesses(einsum))]
    output = _tensor(einsum.output, declared, sizes, output=True)
    return PeerEinsum(name=space.name, tensors=(*inputs, output), operators=space.operators)


def _tensor(
    access: Access, declared: Mapping[str, Access], sizes: Mapping[str, int], *, output: bool = False
) -> PeerTensor:
    ranks = [_variable(index.expr) or f"r{n}" for n, index in enumerate(declared[str(access.tensor)].indices)]
    variables = [_written(index.expr, sizes) for index in access.indices]
    names = [f"{rank.upper()}{'' if ranks.count(rank) == 1 else f'_{n}'}" for n, rank in enumerate(ranks)]
    return PeerTensor(name=str(access.tensor), projection=tuple(zip(names, variables, strict=True)), output=output)
