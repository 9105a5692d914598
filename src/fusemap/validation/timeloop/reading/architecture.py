"""A Timeloop v4 architecture walked as its front end does: containers pass attributes on, fanouts multiply.

Source: pytimeloop/timeloopfe/common/version_transpilers/v4_to_v3.py (Accelergy-Project/timeloop-python, b8aaf2c).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fusemap.archspec.arithmetic import Value
from fusemap.archspec.document import Place
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean
from fusemap.validation.timeloop import vocabulary as words
from fusemap.validation.timeloop.reading.levels import ArchitectureSpec, LevelSpec, MeshSpec, PassSpec
from fusemap.validation.timeloop.reading.nodes import Node
from fusemap.validation.timeloop.reading.notes import Note
from fusemap.validation.timeloop.reading.problem import check_version
from fusemap.validation.timeloop.reading.storage import StorageReader
from fusemap.validation.timeloop.reading.values import Scope, flag, number, whole

_NETWORKS = ("XY_NoC", "Legacy", "ReductionTree", "SimpleMulticast")
_LEAF = ("name", "attributes", "spatial", "constraints", "sparse_optimizations")
_COMPONENT = (*_LEAF, "class", "subclass", "required_actions", "area_scale", "energy_scale", "enabled")
_CONTAINER = (*_LEAF, "networks")
MAX_LEVELS = 200


def read_architecture(node: Node, variables: Scope) -> tuple[ArchitectureSpec, list[Note]]:
    """The levels of an architecture, and notes on what is left out; InputError lists every fault."""
    walker = _Walker(node=node, variables=variables)
    return walker.architecture(), walker.notes


@dataclass(slots=True, kw_only=True)
class _Walker:
    node: Node
    variables: Scope
    inherited: dict[str, Node] = field(default_factory=dict)
    levels: list[LevelSpec] = field(default_factory=list)
    passes: list[PassSpec] = field(default_factory=list)
    computes: list[Node] = field(default_factory=list)
    errors: list[Diagnostic] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    names: dict[str, Node] = field(default_factory=dict)
    branches: int = 0

    def architecture(self) -> ArchitectureSpec:
        self.errors += check_version(self.node)
        if (old := self.node.keys.get("subtree") or self.node.keys.get("local")) is not None:
            hint = "supported: the nodes of version 0.4; Timeloop's front end converts older files"
            self.errors.append(old.diagnostic("an architecture of subtrees (version 0.3) is not supported", hint=hint))
            raise InputError(tuple(self.errors))
        self.errors += self.node.known(("version", "nodes"), "the architecture")
        nodes = self.node.get("nodes")
        if nodes is None:
            raise InputError((*self.errors, self.node.diagnostic('the architecture has no "nodes"')))
        self.branch(nodes, None)
        cycle, source = self.cycle()
        self.complete()
        if self.errors:
            raise InputError(tuple(self.errors))
        return ArchitectureSpec(
            levels=tuple(self.levels),
            passes=tuple(self.passes),
            names=tuple(self.names),
            compute=self.computes[-1].fields["name"].text,
            cycle_s=cycle,
            cycle_source=source,
            place=self.node.key("nodes"),
        )

    def branch(self, nodes: Node, parallel: tuple[int, int] | None) -> None:
        for node in nodes.listed("nodes"):
            if len(self.levels) > MAX_LEVELS:
                raise node.error(f"too many levels: more than {MAX_LEVELS}")
            self.one(node, parallel)

    def one(self, node: Node, parallel: tuple[int, int] | None) -> None:
        """One node by its tag."""
        tag = node.tag
        if tag == words.PARALLEL:
            self.parallel(node, parallel)
        elif tag == words.HIERARCHICAL:
            self.errors += node.mapping("a branch").known(("nodes",), "a branch")
            if (inner := node.get("nodes")) is not None:
                self.branch(inner, parallel)
        elif tag == words.PIPELINED:
            hint = f"supported: {words.HIERARCHICAL}, {words.PARALLEL}, {words.CONTAINER}, {words.COMPONENT}"
            self.errors.append(node.diagnostic("!Pipelined is not supported", hint=hint))
        elif tag in (words.CONTAINER, words.COMPONENT, words.NOTHING):
            self.leaf(node.mapping("a node"), parallel)
        else:
            hint = f"it needs a tag: {words.CONTAINER}, {words.COMPONENT}, {words.PARALLEL}, {words.HIERARCHICAL}"
            self.errors.append(node.diagnostic("a node without a tag", hint=hint))

    def parallel(self, node: Node, outer: tuple[int, int] | None) -> None:
        self.errors += node.mapping("a branch").known(("nodes",), "a branch")
        inner = node.get("nodes")
        if outer is not None:
            self.errors.append(node.diagnostic("!Parallel inside !Parallel is not supported"))
            return
        self.branches += 1
        for i, child in enumerate(inner.listed("nodes") if inner is not None else ()):
            self.one(child, (self.branches, i))

    def leaf(self, node: Node, parallel: tuple[int, int] | None) -> None:
        if node.tag == words.NOTHING:
            if parallel is not None:
                constraints = node.get("constraints")
                self.passes.append(PassSpec(parallel=parallel, constraints=constraints, place=node.place))
            return
        what = "a container" if node.tag == words.CONTAINER else "a component"
        self.errors += node.known(_CONTAINER if node.tag == words.CONTAINER else _COMPONENT, what)
        name = node.get("name")
        if name is None:
            self.errors.append(node.diagnostic(f'{what} has no "name"'))
            return
        if (enabled := node.get("enabled")) is not None and not flag(enabled, "enabled"):
            self.notes.append(Note(affects="nothing", text=f"{name.text} is not enabled", place=enabled.place))
            return
        if (first := self.names.setdefault(name.text, node)) is not node:
            self.errors.append(name.diagnostic(f"a second {name.text}: the first stands at {first.place.span}"))
        self._refuse_sparse(node, name.text)
        own = node.get("attributes")
        if node.tag == words.CONTAINER:
            self.inherited |= own.mapping("attributes").fields if own is not None else {}
        self.fanout(node, name.text, parallel)
        if node.tag == words.COMPONENT:
            self.component(node, name.text, parallel)

    def _refuse_sparse(self, node: Node, name: str) -> None:
        sparse = node.get("sparse_optimizations")
        if sparse is not None and (sparse.fields or sparse.items):
            hint = "supported: dense hardware; no gating, skipping or compression"
            place = node.key("sparse_optimizations")
            self.errors.append(place.diagnostic(f"{name}: sparse optimizations are not supported", hint=hint))
        networks = node.get("networks")
        if networks is not None and networks.items:
            self.errors.append(self._network(node.key("networks"), name))

    def _network(self, place: Place, name: str) -> Diagnostic:
        hint = "fusemap has no network between levels: words move without a cost on the way"
        return place.diagnostic(f"{name}: a network is not supported", hint=hint)

    def fanout(self, node: Node, name: str, parallel: tuple[int, int] | None) -> None:
        """The fanout of a node, which stands before it."""
        spatial = node.get("spatial")
        if spatial is None:
            return
        self.errors += spatial.mapping("spatial").known(("meshX", "meshY"), "spatial")
        sizes = []
        for key in ("meshX", "meshY"):
            mesh = spatial.get(key)
            try:
                scope = self.scope(node)
                sizes.append(1 if mesh is None else whole(mesh, scope, f"{key} of {name}"))
            except InputError as error:
                self.errors.extend(error.diagnostics)
                sizes.append(1)
        if sizes == [1, 1]:
            return
        if parallel is not None:
            hint = "Timeloop's front end refuses it too; a storage in a branch stands in one place"
            self.errors.append(node.key("spatial").diagnostic(f"{name}: a fanout inside !Parallel", hint=hint))
            return
        mesh_of = MeshSpec(
            name=name, x=sizes[0], y=sizes[1], constraints=node.get("constraints"), place=node.key("spatial")
        )
        self.levels.append(mesh_of)

    def scope(self, node: Node) -> Scope:
        """What the attributes of a node may name: each other, those of the containers, the variables."""
        around = Scope(fields=dict(self.inherited), outer=self.variables)
        own = node.get("attributes")
        return around if own is None else around.inside(own.mapping("attributes"))

    def component(self, node: Node, name: str, parallel: tuple[int, int] | None) -> None:
        kind = node.get("class")
        if kind is None:
            self.errors.append(node.diagnostic(f'{name} has no "class"'))
        elif any(part in kind.text for part in words.STORAGE_CLASSES):
            if self.computes:
                self.errors.append(node.diagnostic(f"{name} stands after the compute component"))
            reader = StorageReader(
                node=node,
                name=name,
                attributes=self.scope(node),
                own=node.get("attributes"),
                errors=self.errors,
                notes=self.notes,
            )
            self.levels.append(reader.read(parallel, "DRAM" in kind.text))
        elif any(part in kind.text for part in words.COMPUTE_CLASSES):
            self.computes.append(node)
        elif any(part in kind.text for part in _NETWORKS):
            self.errors.append(self._network(kind.place, name))
        elif "nothing" not in kind.text:
            valid = (*words.STORAGE_CLASSES, *words.COMPUTE_CLASSES)
            hint = did_you_mean(kind.text, valid, noun="words in a class")
            self.errors.append(kind.diagnostic(f'{name}: unknown class "{kind.text[:40]}"', hint=hint))

    def cycle(self) -> tuple[Value, str]:
        """The length of a cycle, in seconds, and where it is said."""
        scope = Scope(fields=dict(self.inherited), outer=self.variables)
        found = scope.find("global_cycle_seconds")
        if found is None:
            hint = "give it in variables, in the attributes of a container, or with --define global_cycle_seconds=1e-9"
            self.errors.append(self.node.diagnostic("global_cycle_seconds is not given", hint=hint))
            return 1, ""
        node, inner = found
        if not isinstance(node, Node):
            return node, f"global_cycle_seconds = {node:g} given by the caller"
        try:
            value = number(node, inner.without("global_cycle_seconds"), "global_cycle_seconds")
        except InputError as error:
            self.errors.extend(error.diagnostics)
            return 1, ""
        if value <= 0:
            self.errors.append(node.diagnostic("global_cycle_seconds is not above 0"))
            return 1, ""
        return value, str(node.place.span)

    def complete(self) -> None:
        """A storage comes first, one compute unit last."""
        nodes: Sequence[Node] = self.computes
        place = self.node.key("nodes")
        if not nodes:
            hint = f"its class has one of {', '.join(words.COMPUTE_CLASSES)} in it"
            self.errors.append(place.diagnostic("the architecture has no compute component", hint=hint))
        for node in nodes[1:]:
            self.errors.append(node.diagnostic("a second compute component: expected one, as the last node"))
        if not self.levels or isinstance(self.levels[0], MeshSpec):
            self.errors.append(place.diagnostic("the outermost level is no storage"))
