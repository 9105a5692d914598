"""A Timeloop problem: dimensions with sizes, data spaces with projections, as an Einsum of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from fusemap.archspec.document import Place
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean
from fusemap.validation.timeloop import vocabulary as words
from fusemap.validation.timeloop.reading.nodes import Node
from fusemap.validation.timeloop.reading.notes import Note
from fusemap.validation.timeloop.reading.values import Scope, whole

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_PROBLEM = ("version", "instance", "shape")
_SHAPE = ("name", "dimensions", "data_spaces", "coefficients")
_SPACE = ("name", "projection", "read_write")


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One dimension of an index, times a coefficient that may have a name."""

    dimension: str
    factor: int = 1
    coefficient: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """A data space: every position of `index` is a sum of terms."""

    name: str
    index: tuple[tuple[Term, ...], ...]
    output: bool
    place: Place

    @property
    def dimensions(self) -> frozenset[str]:
        """The dimensions that index it."""
        return frozenset(term.dimension for terms in self.index for term in terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemSpec:
    """`output = sum of the product of the inputs`; `sizes` are the dimensions in the order of the file."""

    name: str
    sizes: tuple[tuple[str, int], ...]
    tensors: tuple[TensorSpec, ...]
    place: Place

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The names of the dimensions."""
        return tuple(name for name, _ in self.sizes)

    @property
    def output(self) -> TensorSpec:
        """The tensor that is written."""
        return next(tensor for tensor in self.tensors if tensor.output)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that are read."""
        return tuple(tensor for tensor in self.tensors if not tensor.output)


def read_problem(node: Node, scope: Scope) -> tuple[ProblemSpec, list[Note]]:
    """The problem, and notes on what is left out; InputError lists every fault."""
    errors = [*check_version(node), *node.known(_PROBLEM, "the problem")]
    shape, instance = node.get("shape"), node.get("instance")
    if shape is None or instance is None:
        missing = "shape" if shape is None else "instance"
        raise node.error(f'the problem has no "{missing}"')
    shape.mapping("the shape")
    instance.mapping("the instance")
    errors += shape.known(_SHAPE, "the shape")
    reader = _Problem(shape=shape, instance=instance, scope=scope.inside(instance), errors=errors)
    found = reader.problem()
    notes = list(reader.densities())
    if errors or found is None:
        raise InputError(tuple(errors))
    used = {*found.dimensions, *reader.coefficients, "densities"}
    unused = [key for key in instance.fields if key not in used]
    if unused:
        text = f"instance keys that no projection uses: {', '.join(unused)}"
        notes.append(Note(affects="nothing", text=text, place=instance.key(unused[0])))
    return found, notes


def check_version(node: Node) -> Iterator[Diagnostic]:
    """An error for a format that is not version 0.4."""
    version = node.get("version")
    if version is not None and version.text != words.VERSION:
        message = f"version {version.text[:20]} is not supported"
        yield version.diagnostic(message, hint=f"supported: version {words.VERSION} (Timeloop's v4 front end)")


@dataclass(slots=True, kw_only=True)
class _Problem:
    shape: Node
    instance: Node
    scope: Scope
    errors: list[Diagnostic]
    coefficients: dict[str, int] = field(default_factory=dict)

    def problem(self) -> ProblemSpec | None:
        sizes = self.sizes()
        self.coefficients = dict(self._coefficients())
        spaces = self.shape.get("data_spaces")
        if spaces is None:
            self.errors.append(self.shape.diagnostic('the shape has no "data_spaces"'))
            return None
        tensors = [t for item in spaces.listed("data_spaces") if (t := self.tensor(item, sizes)) is not None]
        self.roles(spaces, tensors, sizes)
        if self.errors:
            return None
        tensors = [self.narrowed(t, tensors, sizes) for t in tensors]
        name = self.shape.get("name")
        text = name.text if name is not None and name.kind == "scalar" else ""
        return ProblemSpec(
            name=text, sizes=tuple(sizes.items()), tensors=tuple(tensors), place=self.shape.key("data_spaces")
        )

    def sizes(self) -> dict[str, int]:
        dimensions = self.shape.get("dimensions")
        if dimensions is None:
            raise self.shape.error('the shape has no "dimensions"')
        sizes: dict[str, int] = {}
        for item in dimensions.listed("dimensions"):
            name = item.name("a dimension")
            if not _NAME.fullmatch(name):
                self.fail(item, f'a dimension "{name[:40]}": expected letters, digits and _')
            elif name in sizes:
                self.fail(item, f"dimension {name} is there already")
            elif (size := self.instance.get(name)) is None:
                hint = did_you_mean(name, list(self.instance.fields), noun="keys")
                self.errors.append(self.instance.diagnostic(f"the instance gives dimension {name} no size", hint=hint))
            else:
                sizes[name] = self.whole(size, f"the size of {name}")
        return sizes

    def _coefficients(self) -> Iterator[tuple[str, int]]:
        node = self.shape.get("coefficients")
        for item in node.listed("coefficients") if node is not None else ():
            name = item.mapping("a coefficient").get("name")
            if name is None:
                self.fail(item, 'a coefficient has no "name"')
                continue
            value = self.instance.get(name.text) or item.get("default")
            if value is None:
                self.fail(item, f"coefficient {name.text} has no value in the instance, and no default")
            else:
                yield name.text, self.whole(value, f"coefficient {name.text}")

    def tensor(self, node: Node, sizes: dict[str, int]) -> TensorSpec | None:
        self.errors += node.mapping("a data space").known(_SPACE, "a data space")
        name, projection, writes = node.get("name"), node.get("projection"), node.get("read_write")
        if name is None or projection is None:
            self.fail(node, f'a data space has no "{"name" if name is None else "projection"}"')
            return None
        if not _NAME.fullmatch(name.text):
            self.fail(name, f'a data space "{name.text[:40]}": expected letters, digits and _')
        index = tuple(self.index(item, sizes) for item in projection.listed("a projection"))
        output = writes is not None and str(writes.value).lower() in ("true", "1")
        return TensorSpec(name=name.text, index=index, output=output, place=name.place)

    def index(self, node: Node, sizes: dict[str, int]) -> tuple[Term, ...]:
        """One position: a list of terms, each a list of a dimension and maybe a coefficient."""
        items = node.listed("a position of a projection")
        if not items:
            self.fail(node, "a position of a projection has no term")
        return tuple(t for item in items if (t := self.term(item, sizes)) is not None)

    def term(self, node: Node, sizes: dict[str, int]) -> Term | None:
        parts = node.listed("a term of a projection (as in [[R], [P, stride]])")
        if not 1 <= len(parts) <= 2:
            self.fail(node, f"a term is a dimension and at most one coefficient, found {len(parts)} parts")
            return None
        dimension = parts[0].name("a dimension")
        if dimension not in sizes:
            hint = did_you_mean(dimension, list(sizes), noun="dimensions")
            self.fail(parts[0], f'unknown dimension "{dimension[:40]}"', hint)
            return None
        if len(parts) == 1:
            return Term(dimension=dimension)
        factor = parts[1]
        if isinstance(factor.value, int) and not isinstance(factor.value, bool):
            return Term(dimension=dimension, factor=self.whole(factor, "a coefficient"))
        if factor.text not in self.coefficients:
            hint = did_you_mean(factor.text, list(self.coefficients), noun="coefficients")
            self.fail(factor, f'unknown coefficient "{factor.text[:40]}"', hint)
            return None
        return Term(dimension=dimension, factor=self.coefficients[factor.text], coefficient=factor.text)

    def roles(self, spaces: Node, tensors: Sequence[TensorSpec], sizes: dict[str, int]) -> None:
        """One tensor is written, with plain indices over dimensions that an input has; names differ."""
        outputs = [t for t in tensors if t.output]
        if len(outputs) != 1:
            found = ", ".join(t.name for t in outputs) or "none"
            self.fail(spaces, f"expected one data space with read_write: true, found {found}")
        elif not (read := [t for t in tensors if not t.output]):
            self.fail(spaces, "expected a data space that is read")
        else:
            output = outputs[0]
            if any(len(terms) != 1 or terms[0].factor != 1 for terms in output.index):
                message = f"the output {output.name} is indexed by a sum or a multiple"
                hint = "supported: sums in what is read; the output has one dimension per position"
                self.errors.append(output.place.diagnostic(message, hint=hint))
            first = [terms[0].dimension for terms in output.index if terms]
            if len(set(first)) < len(first):
                self.errors.append(output.place.diagnostic(f"the output {output.name} has a dimension twice"))
            covered = frozenset().union(*(t.dimensions for t in read))
            for name in sizes:
                if name not in covered and sizes[name] > 1:
                    self.fail(spaces, f"no data space that is read has the dimension {name}")
        names = [t.name[:1].upper() + t.name[1:] for t in tensors]
        for tensor, name in zip(tensors, names, strict=True):
            if names.count(name) > 1:
                self.errors.append(tensor.place.diagnostic(f"a second data space {tensor.name}"))

    def narrowed(self, tensor: TensorSpec, tensors: Sequence[TensorSpec], sizes: dict[str, int]) -> TensorSpec:
        """The output without dimensions of size 1 that no input has: it holds the same words."""
        if not tensor.output:
            return tensor
        covered = frozenset().union(*(t.dimensions for t in tensors if not t.output))
        return replace(tensor, index=tuple(terms for terms in tensor.index if terms[0].dimension in covered))

    def densities(self) -> Iterator[Note]:
        """Sparse tensors are refused; a density of 1 is dense."""
        node = self.instance.get("densities")
        for name, density in (node.fields if node is not None and node.kind == "mapping" else {}).items():
            value = density.get("density") if density.kind == "mapping" else density
            if value is not None and isinstance(value.value, int | float) and value.value == 1:
                yield Note(affects="nothing", text=f"{name} is dense", place=value.place)
                continue
            hint = "supported: dense tensors; Timeloop's counts of sparse ones are expectations over a density"
            assert node is not None
            self.errors.append(node.key(name).diagnostic(f"the density of {name} is not supported", hint=hint))

    def whole(self, node: Node, what: str) -> int:
        try:
            return whole(node, self.scope, what)
        except InputError as error:
            self.errors.extend(error.diagnostics)
            return 1

    def fail(self, node: Node, message: str, hint: str = "") -> None:
        self.errors.append(node.diagnostic(message, hint=hint))
