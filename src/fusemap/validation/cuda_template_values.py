"""Values of a cascade's Einsums as CUDA C++: where each operand lies in a thread, and how a sign binds."""

from __future__ import annotations

from collections.abc import Mapping

from fusemap.einsum_cascade.emit.order import offset
from fusemap.einsum_cascade.scope import output_variables, shape_of
from fusemap.einsum_cascade.types import Access, Affine, Apply, Chain, Coordinate, Expr, Number, VarName
from fusemap.validation.cuda_template import Template

_FUNCTIONS = {"exp": "expf({})", "max": "fmaxf({}, {})", "log": "logf({})"}
_SIGNS = {"add": ("+", 4), "sub": ("-", 4), "mul": ("*", 5), "div": ("/", 5)}


class Values:
    """The texts of a template's expressions, tensors as a thread calls them."""

    def __init__(self, template: Template) -> None:
        self.t = template
        self.inputs = {str(a.tensor): a for a in template.cascade.inputs}
        self.keyed = {n: a for n, a in self.inputs.items() if template.key in output_variables(a)}
        outputs = {str(t) for t in template.cascade.outputs}
        shapes = {str(shape_of(v)) for v in (*template.features, *template.batch, template.key, template.query)}
        chunk = {str(shape_of(template.chunk))} if template.chunk else set()
        self.reserved = {*shapes, *chunk, *self.inputs, *outputs, "BP", "BM", "tile", "key", "seen", "i"}

    def name(self, tensor: str) -> str:
        """What a thread calls its part of a tensor; a pointer or a size may have the name already."""
        return f"{tensor}_" if tensor in self.reserved else tensor

    def own(self, access: Access) -> tuple[VarName, ...]:
        """The axes that a thread (or a key of a tile) has of a tensor."""
        gone = {self.t.query, *self.t.batch, self.t.key, self.t.step}
        return tuple(v for v in output_variables(access) if v not in gone)

    def condition(self, chain: Chain) -> str:
        """A filter of a key and a query, as a thread has them."""
        texts = [self._coordinate(o) for o in chain.operands]
        pairs = zip(texts, chain.relations, texts[1:], strict=False)
        return " && ".join(f"{a} {r} {b}" for a, r, b in pairs)

    def _coordinate(self, expr: Coordinate) -> str:
        assert isinstance(expr, Affine)
        text = ""
        for term in expr.terms:
            value = (
                str(term.constant)
                if term.constant is not None
                else str(term.shape)
                if term.var is None
                else str(term.var)
            )
            value = "tile + key" if term.var == self.t.key else value
            sign = ("-" if term.sign < 0 else "") if not text else (" - " if term.sign < 0 else " + ")
            text += sign + value
        return text

    def expr(self, expr: Expr, given: Mapping[VarName, str] | None = None, binding: int = 0) -> str:
        """The value; `given` are variables that stand for something else, `binding` is of the sign around it."""
        if isinstance(expr, Access):
            return self._read(expr, given or {})
        if isinstance(expr, Number):
            return "INFINITY" if expr.text == "inf" else f"{float(expr.text)!r}f"
        assert isinstance(expr, Apply)
        name = str(expr.operator)
        if name == "neg":
            return f"-{self.expr(expr.args[0], given, 6)}"
        if name in _SIGNS:
            sign, own = _SIGNS[name]
            left, right = self.expr(expr.args[0], given, own), self.expr(expr.args[1], given, own + 1)
            text = f"{left} {sign} {right}"
            return f"({text})" if own < binding else text
        return _FUNCTIONS[name].format(*(self.expr(a, given) for a in expr.args))

    def _read(self, access: Access, given: Mapping[VarName, str]) -> str:
        name = str(access.tensor)
        source = self.t.views.get(name, name)
        if source in self.keyed:
            chunk = f"key + {given.get(self.t.chunk, self.t.chunk)}" if self.t.chunk else "key"
            features = [v for v in output_variables(access) if v in self.t.features]
            return f"tile_{source}[{chunk}]" + "".join(f"[{given.get(v, v)}]" for v in features)
        indices = "".join(f"[{given.get(v, v)}]" for v in self.own(access))
        if name in self.inputs:
            return f"reg_{name}{indices}"
        stored = self.t.stored[name]
        if stored.twice and stored.var is not None:
            step = offset(access.indices[stored.dropped[0]].expr, stored.var)
            return f"{f'new_{name}' if step == 1 else self.name(name)}{indices}"
        return f"{self.name(name)}{indices}"
