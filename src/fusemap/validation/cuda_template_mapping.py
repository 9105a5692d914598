"""The mapping of a generated kernel for the model of the GPU, and its entry in a `kernels.yaml`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fusemap.einsum_cascade.points import is_view
from fusemap.einsum_cascade.scope import accesses, shape_of
from fusemap.einsum_cascade.types import Einsum, VarName
from fusemap.validation.cuda_template import Template
from fusemap.validation.cuda_template_code import layout

KERNEL, CASCADE, MAPPING = "kernel.cu", "kernel.cascade", "kernel.yaml"
FEATURES, QUERIES, KEYS, BATCH, CHUNK = 32, 32, 32, 2, 4  # by default: of a rank, of a block, at a time
SIZES = 256


def mapping_text(template: Template) -> str:
    """The dataflow: blocks of BP queries over a grid, BM keys in shared memory, the rest in registers."""
    cascade = template.cascade
    kept = _kept(template)
    names = [str(e.name) for e in _mapped(template)]
    lines = [
        "description: one pass; what runs over the keys rests in registers, a block shares BM keys at a time",
        f"source: {KERNEL}",
        f"cascades: [{cascade.name}]",
        "",
        "nests:",
        *_nests(template, {"": None, **{n: k for n, k in kept.values() if k is not None}}),
        "",
        "einsums:",
        *_einsums(template, kept),
        "",
        "binding:",
        "  - phase: all",
        "    pipelined: true",
        f"    stages: [{{name: all, work: {{threads: [{', '.join(names)}]}}}}]",
    ]
    return "\n".join(lines) + "\n"


def _nests(template: Template, kept: Mapping[str, tuple[str, ...] | None]) -> Iterator[str]:
    """A nest for Einsums that bring in what they read, and one for each that has some of it already."""
    query, step = template.query, template.step
    steps = f"BM / {shape_of(template.chunk)}" if template.chunk else "BM"
    grid = ", ".join([*(f"{v}: {shape_of(v)}" for v in template.batch), f"{query}: {shape_of(query)} / BP"])
    inner = [f"{v}: {shape_of(v)}" for v in (*((template.chunk,) if template.chunk else ()), *template.features)]
    for name, keep in kept.items():
        held = "" if keep is None else f", keep: [{', '.join(keep)}]"
        yield f"  {name or 'thread'}:"
        yield "    array: threads"
        yield "    levels:"
        yield f"      - {{memory: hbm, loops: [{step}: {shape_of(template.key)} / BM]{held}}}"
        yield f"      - {{spatial: grid, loops: [{grid}]}}"
        yield f"      - {{memory: shared, loops: [{step}: {steps}]}}"
        yield f"      - {{spatial: block, loops: [{query}: BP]}}"
        yield f"      - {{memory: threads.registers, loops: [{', '.join(inner)}]}}"


def _kept(template: Template) -> dict[str, tuple[str, tuple[str, ...] | None]]:
    """By Einsum its nest, and what of memory it brings in where an Einsum before it has brought in the rest."""
    loaded: set[str] = set()
    found: dict[str, tuple[str, tuple[str, ...] | None]] = {}
    for einsum in _mapped(template):
        inputs = _inputs(template, einsum)
        new = [a for a, source in inputs.items() if source not in loaded]
        if len(new) == len(inputs):
            found[str(einsum.name)] = ("", None)
        else:
            out = [str(einsum.name)] if einsum.name in template.cascade.outputs else []
            found[str(einsum.name)] = ("_".join(["again", *new, *out]), (*new, *out))
        loaded |= set(inputs.values())
    return found


def _einsums(template: Template, kept: Mapping[str, tuple[str, tuple[str, ...] | None]]) -> Iterator[str]:
    """The nest of each Einsum, what it reads from tiles in shared memory, and what an output is a view of."""
    shown = {str(a.tensor) for e in template.after if is_view(e) for a in accesses(e)}
    for einsum in _mapped(template):
        shared = [a for a, source in _inputs(template, einsum).items() if _keyed(template, source)]
        keep = [f"hbm: [{einsum.name}]"] if str(einsum.name) in shown else []
        keep += [f"shared: [{', '.join(shared)}]"] if shared else []
        nest = kept[str(einsum.name)][0] or "thread"
        yield f"  {einsum.name}: {{nest: {nest}{', keep: {' + ', '.join(keep) + '}' if keep else ''}}}"


def _mapped(template: Template) -> tuple[Einsum, ...]:
    """The Einsums that compute something: what is a view of another one has no place of its own."""
    return tuple(e for e in (*template.before, *template.body, *template.after) if not is_view(e))


def _inputs(template: Template, einsum: Einsum) -> dict[str, str]:
    """Inputs that an Einsum reads, by the name that it reads them under."""
    known = {str(a.tensor) for a in template.cascade.inputs}
    names = [str(a.tensor) for a in accesses(einsum)]
    return {n: template.views.get(n, n) for n in names if template.views.get(n, n) in known}


def _keyed(template: Template, tensor: str) -> bool:
    access = next(a for a in template.cascade.inputs if a.tensor == tensor)
    return template.key in layout(template, access)


def kernels_text(template: Template, name: str, entry: str) -> str:
    """The `kernels.yaml` of one kernel."""
    query, key, chunk = (shape_of(v) if v else None for v in (template.query, template.key, template.chunk))
    constants = {str(shape_of(v)): FEATURES for v in template.features} | {"BP": QUERIES, "BM": KEYS}
    constants |= {str(chunk): CHUNK} if chunk else {}
    constants |= {str(s.name): s.constant for s in template.cascade.shapes if s.constant is not None}
    whole = [f"{key} / BM", *([f"BM / {chunk}"] if chunk else [])]
    outputs = [e.output for e in template.after if e.name in template.cascade.outputs]
    tensors = [*template.cascade.inputs, *outputs]
    shapes = {str(a.tensor): f"[{', '.join(map(_shape, layout(template, a)))}]" for a in tensors}
    inputs = [str(a.tensor) for a in template.cascade.inputs]
    grid = ", ".join([f"{query} / BP", *(str(shape_of(v)) for v in template.batch)])
    keyed = next(n for n in inputs if _keyed(template, n))
    sizes = {str(query): SIZES, str(key): SIZES} | {str(shape_of(v)): BATCH for v in template.batch}
    alias = {str(s.name): str(s.factors[0]) for s in template.cascade.shapes if len(s.factors) == 1}
    small = {str(query): 64, str(key): 128} | {str(shape_of(v)): BATCH for v in template.batch}
    lines = [
        f"description: generated from the cascade {template.cascade.name}",
        "source: written by fusemap derive",
        f"sizes: {{{_items(_without(sizes, alias))}}}",
        f"checked: [{{{_items(_without(sizes, alias))}}}, {{{_items(_without(small, alias))}}}]",
        "",
        "kernels:",
        f"  {name}:",
        f"    description: one pass over {key}; a thread per query of {query}",
        f"    file: {KERNEL}",
        f"    cascade: {CASCADE}",
        "    softmax: false",
        f"    passes: {{tensor: {keyed}, rank: {key}}}",
        f"    prediction: {{cascade: {CASCADE}, mapping: {MAPPING}}}",
        *([f"    sizes: {{{_items(alias)}}}"] if alias else []),
        f"    constants: {{{_items(constants)}}}",
        f"    whole: [{', '.join(whole)}]",
        f"    tensors: {{{', '.join(f'{n}: {s}' for n, s in shapes.items())}}}",
        f"    inputs: [{', '.join(inputs)}]",
        f"    outputs: [{', '.join(str(a.tensor) for a in outputs)}]",
        "    launches:",
        f"      - {{entry: {entry}, grid: [{grid}], block: [BP],"
        f" arguments: [{', '.join([*shapes, str(query), str(key)])}]}}",
    ]
    return "\n".join(lines) + "\n"


def _shape(var: VarName) -> str:
    return str(shape_of(var))


def _without(sizes: Mapping[str, int], names: Mapping[str, str]) -> dict[str, int]:
    return {n: v for n, v in sizes.items() if n not in names}


def _items(sizes: Mapping[str, int | str]) -> str:
    return ", ".join(f"{n}: {v}" for n, v in sizes.items())
