"""The CUDA C++ of a 1-pass kernel: one function, a thread per query, every Einsum of the cascade as a statement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from textwrap import wrap

from fusemap.einsum_cascade.emit.refusal import refused
from fusemap.einsum_cascade.printer import format_einsum
from fusemap.einsum_cascade.scope import output_variables, shape_of
from fusemap.einsum_cascade.types import Access, Apply, Einsum, VarName
from fusemap.validation.cuda_prediction_counts import continued
from fusemap.validation.cuda_template import Template
from fusemap.validation.cuda_template_values import Values

WIDTH = 112
_IDENTITY = {"sum": "0.0f", "max": "-3.402823466e38f"}
_JOIN = {"sum": "{} + {}", "max": "fmaxf({}, {})"}


def layout(template: Template, access: Access) -> tuple[VarName, ...]:
    """The ranks of a tensor in memory, row-major: what blocks share, then keys or queries, then features.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> from fusemap.validation.cuda_template import softmax_like
    >>> found = softmax_like(load("attention-1pass"))
    >>> [layout(found, a) for a in found.cascade.inputs]
    [('p', 'e'), ('m', 'e'), ('m', 'f')]
    """
    order = (*template.batch, template.key, template.query, *template.features)
    return tuple(v for v in order if v in output_variables(access))


def kernel_source(template: Template, entry: str) -> str:
    """The whole file."""
    return "\n".join(_Code(template, entry).lines()) + "\n"


class _Code:
    def __init__(self, template: Template, entry: str) -> None:
        self.t, self.entry = template, entry
        self.v = Values(template)
        self.outputs = {str(e.name): e for e in template.after if e.name in template.cascade.outputs}
        self.continued = continued(template.cascade)

    def lines(self) -> Iterator[str]:
        yield from self._head()
        yield ""
        yield from self._signature()
        yield "{"
        yield from _indented(self._body())
        yield "}"

    def _head(self) -> Iterator[str]:
        tensors = [*self.v.inputs.values(), *(e.output for e in self.outputs.values())]
        shapes = [str(a.tensor) + "".join(f"[{shape_of(v)}]" for v in layout(self.t, a)) for a in tensors]
        yield f"// {self.t.cascade.name}: a thread has one query, the block brings in BM keys at a time."
        yield f"// {', '.join(shapes)}; compiled with {' '.join(f'-D{n}=' for n in self._constants())}."

    def _constants(self) -> tuple[str, ...]:
        chunk = (str(shape_of(self.t.chunk)),) if self.t.chunk else ()
        fixed = (str(s.name) for s in self.t.cascade.shapes if s.constant is not None)
        return (*(str(shape_of(v)) for v in self.t.features), "BP", "BM", *chunk, *fixed)

    def _signature(self) -> Iterator[str]:
        pointers = [f"const float *{n}" for n in self.v.inputs] + [f"float *{n}" for n in self.outputs]
        sizes = [f"int {shape_of(v)}" for v in (self.t.query, self.t.key)]
        glued = [text.replace(" ", "\0") for text in (*pointers, *sizes)]  # a line ends between parameters
        head = f'extern "C" __global__ void {self.entry}({", ".join(glued)})'
        yield from (line.replace("\0", " ") for line in wrap(head, WIDTH, subsequent_indent=" " * 16))

    def _body(self) -> Iterator[str]:
        for access in self.v.keyed.values():
            features = "".join(f"[{shape_of(v)}]" for v in self.v.own(access))
            yield f"__shared__ float tile_{access.tensor}[BM]{features};"
        yield f"const int {self.t.query} = blockIdx.x * BP + threadIdx.x;"
        for dim, var in zip("yz", self.t.batch, strict=False):
            yield f"const int {var} = blockIdx.{dim};"
        yield ""
        for name, access in self.v.inputs.items():
            if name not in self.v.keyed:
                yield from self._loaded(access)
        for einsum in self.t.before:
            yield from self._statement(einsum)
        for einsum in self.t.cascade.inits:
            yield from self._statement(einsum, comment="init: ")
        yield ""
        yield f"for (int tile = 0; tile < {shape_of(self.t.key)}; tile += BM) {{"
        yield from _indented(self._tile())
        yield "}"
        for einsum in self.t.after:
            yield from self._statement(einsum)
        for einsum in self.outputs.values():
            yield from self._stored_to_memory(einsum)

    def _tile(self) -> Iterator[str]:
        for access in self.v.keyed.values():
            count = "*".join(["BM", *(str(shape_of(v)) for v in self.v.own(access))])
            target = "&tile_" + str(access.tensor) + "[0]" * (1 + len(self.v.own(access)))
            start = self._address(access, {str(self.t.key): "tile"}, zero=True)
            yield f"for (int i = threadIdx.x; i < {count}; i += BP)"
            yield f"    ({target})[i] = {access.tensor}[{start} + i];"
        yield "__syncthreads();"
        step = str(shape_of(self.t.chunk)) if self.t.chunk else "1"
        yield f"for (int key = 0; key < BM; key += {step}) {{"
        yield from _indented(self._steps())
        yield "}"
        yield "__syncthreads();"

    def _steps(self) -> Iterator[str]:
        if self.t.seen:
            yield f"const bool seen = {' && '.join(self.v.condition(c) for c in self.t.seen)};"
        for einsum in self.t.body:
            yield from self._statement(einsum)
        for einsum in self.t.body:
            if self.t.stored[str(einsum.name)].twice:
                yield from self._moved(einsum)

    def _moved(self, einsum: Einsum) -> Iterator[str]:
        """The new value becomes the old one of the next step."""
        name = str(einsum.name)
        yield from self._nest(self.v.own(einsum.output), lambda at: f"{self.v.name(name)}{at} = new_{name}{at};")

    # --- statements -----------------------------------------------------------------------------

    def _statement(self, einsum: Einsum, comment: str = "") -> Iterator[str]:
        """A declaration and the loops over the features, keys of the chunk and what is reduced."""
        yield f"// {comment}{format_einsum(einsum)}"
        stored = self.t.stored[str(einsum.name)]
        inside = einsum in self.t.body
        name = f"new_{einsum.name}" if inside and stored.twice else self.v.name(str(einsum.name))
        own = self.v.own(einsum.output)
        declared = not (inside and stored.kind == "running") or stored.twice
        guard = inside and str(einsum.name) in self.t.guarded
        simple = declared and not own and einsum.reduce is None and not guard and not self._joins(einsum)
        if simple:
            yield (
                f"const float {name} = {self.v.expr(einsum.expr)};"
                if inside
                else f"float {name} = {self.v.expr(einsum.expr)};"
            )
            return
        if declared:
            yield f"float {name}{''.join(f'[{shape_of(v)}]' for v in own)};"
        lines = [*self._joined(einsum, name)] if self._joins(einsum) else [*self._computed(einsum, name, own)]
        if guard:
            yield "if (seen) {"
            yield from _indented(lines)
            yield "}"
        else:
            yield from lines

    def _computed(self, einsum: Einsum, name: str, own: Sequence[VarName]) -> Iterator[str]:
        if einsum.reduce is None:
            yield from self._nest(own, lambda at: f"{name}{at} = {self.v.expr(einsum.expr)};")
            return
        operator = str(einsum.reduce.operator)
        reduced = [v.var for v in einsum.reduce.variables]
        at = "".join(f"[{v}]" for v in own)
        lines: list[str] = []
        value = self.v.expr(einsum.expr)
        if str(einsum.name) in self.continued and len(reduced) > 1:
            raise refused(self.t.cascade, einsum, "it reduces two ranks into a running value")
        if str(einsum.name) in self.continued:  # goes into a running value, so that it starts from its first value
            lines.append(f"{name}{at} = {self.v.expr(einsum.expr, {reduced[0]: '0'})};")
            start = "1"
        else:
            lines.append(f"{name}{at} = {_IDENTITY[operator]};")
            start = "0"
        update = f"{name}{at} = {_JOIN[operator].format(f'{name}{at}', value)};"
        lines += _nested([(str(v), start, str(shape_of(v))) for v in reduced], [update])
        yield from _nested([(str(v), "0", str(shape_of(v))) for v in own], lines)

    def _joins(self, einsum: Einsum) -> bool:
        """Is it a running value that takes in what a filter may leave out?"""
        expr = einsum.expr
        if not isinstance(expr, Apply) or expr.operator not in ("add", "max") or str(einsum.name) in self.t.guarded:
            return False
        return any(isinstance(a, Access) and str(a.tensor) in self.t.guarded for a in expr.args)

    def _joined(self, einsum: Einsum, name: str) -> Iterator[str]:
        """The operand that is always there, and both where the key is seen."""
        assert isinstance(einsum.expr, Apply)
        (always,) = [a for a in einsum.expr.args if not (isinstance(a, Access) and str(a.tensor) in self.t.guarded)]
        own = self.v.own(einsum.output)
        yield from self._nest(
            own, lambda at: f"{name}{at} = seen ? {self.v.expr(einsum.expr)} : {self.v.expr(always)};"
        )

    def _nest(self, own: Sequence[VarName], line: Callable[[str], str]) -> Iterator[str]:
        yield from _nested([(str(v), "0", str(shape_of(v))) for v in own], [line("".join(f"[{v}]" for v in own))])

    # --- memory ---------------------------------------------------------------------------------

    def _loaded(self, access: Access) -> Iterator[str]:
        own = self.v.own(access)
        yield f"float reg_{access.tensor}{''.join(f'[{shape_of(v)}]' for v in own)};"
        at = self._address(access, {})
        yield from self._nest(own, lambda index: f"reg_{access.tensor}{index} = {access.tensor}[{at}];")

    def _stored_to_memory(self, einsum: Einsum) -> Iterator[str]:
        at = self._address(einsum.output, {})
        yield from self._nest(
            self.v.own(einsum.output), lambda index: f"{einsum.name}[{at}] = {self.v.name(str(einsum.name))}{index};"
        )

    def _address(self, access: Access, given: dict[str, str], *, zero: bool = False) -> str:
        """The linear index of an element; features are 0 where only the start of a row is asked for."""
        text = ""
        for var in layout(self.t, access):
            value = given.get(str(var), "0" if zero and var in self.t.features else str(var))
            text = f"({text})" if " + " in text else text
            text = f"{text} * {shape_of(var)} + {value}" if text else value
        return text.replace(" + 0", "") or "0"


def _nested(loops: Sequence[tuple[str, str, str]], lines: Sequence[str]) -> list[str]:
    """Lines in loops `(variable, first, end)`, outer first; a single line without braces."""
    inner = list(lines)
    for var, first, end in reversed(loops):
        head = f"for (int {var} = {first}; {var} < {end}; ++{var})"
        if len(inner) == 1 and len(head) + len(inner[0]) < WIDTH:
            inner = [f"{head} {inner[0]}"]
        else:
            inner = [f"{head} {{", *_indented(inner), "}"]
    return inner


def _indented(lines: Iterator[str] | Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield f"    {line}" if line else ""
