"""The cases of a baseline: lists expanded, names loaded once, each evaluated; every fault with its place."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from fusemap.archspec.document import Document, Path
from fusemap.diagnostics import Diagnostic, DoesNotFit, InputError
from fusemap.sim.choose import evaluate_case, time_case
from fusemap.validation.accounting import accounting
from fusemap.validation.regress_inputs import Case, Inputs, Loader
from fusemap.validation.regress_model import NAME_LENGTH, CaseModel
from fusemap.validation.regress_snapshot import Refused, Snapshot, snapshot

MOST_CASES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the cases come to now, by name and in their order, and the digests of what they name."""

    results: Mapping[str, Snapshot | Refused]
    digests: Mapping[str, str]


def expand(cases: Mapping[str, CaseModel], document: Document) -> tuple[Case, ...]:
    """The cases under the key `cases` of a document; InputError where two have one name, or there are too many.

    A case with lists stands for all their combinations.
    """
    found: dict[str, Case] = {}
    errors: list[Diagnostic] = []
    for name, model in cases.items():
        path: Path = ("cases", name)
        for case in itertools.islice(_combinations(name, model, document, path), MOST_CASES + 1):
            if case.name in found:
                errors.append(document.diagnostic(path, f'two cases are named "{case.name}"', key=True))
            elif len(case.name) > NAME_LENGTH:
                message = f"the name of a case has more than {NAME_LENGTH} characters"
                errors.append(document.diagnostic(path, message, key=True))
            found.setdefault(case.name, case)
        if len(found) > MOST_CASES:  # before anything that takes as long is done with them
            raise document.error(path, f"too many cases: more than {MOST_CASES:,}", key=True)
    if errors:
        raise InputError(tuple(errors))
    return tuple(found.values())


def _combinations(name: str, model: CaseModel, document: Document, path: Path) -> Iterator[Case]:
    lengths = [None] if model.length is None else model.length
    axes = [model.cascade, model.arch, model.workload, lengths, model.dataflow, model.accounting]
    listed = [axis if isinstance(axis, list) else [axis] for axis in axes]
    for key, axis in zip(("cascade", "arch", "workload", "length", "dataflow", "accounting"), listed, strict=True):
        if not axis:
            raise document.error((*path, key), "expected at least one value")
    for cascade, arch, workload, length, dataflow, rules in itertools.product(*listed):
        question = str(workload) if length is None else f"{workload}@{length}"
        sized = isinstance(model.workload, list) or isinstance(model.length, list)
        shown = [
            (isinstance(model.cascade, list), cascade),
            (isinstance(model.arch, list), arch),
            (sized, question),
            (isinstance(model.dataflow, list), dataflow),
            (isinstance(model.accounting, list), rules),
        ]
        yield Case(
            name=" ".join([name, *(str(value) for listed_there, value in shown if listed_there)]),
            cascade=str(cascade),
            arch=str(arch),
            workload=question,
            dataflow=str(dataflow),
            accounting=str(rules),
            model=model,
            document=document,
            path=path,
        )


def evaluate_cases(cases: Sequence[Case]) -> Found:
    """Evaluate every case; what does not fit is a result, InputError has all that is wrong with any."""
    loader = Loader()
    ready = [(case, loader.inputs(case)) for case in cases]
    loader.finish()
    results: dict[str, Snapshot | Refused] = {}
    for case, inputs in ready:
        assert inputs is not None, case.name
        try:
            results[case.name] = _result(case, inputs)
        except InputError as error:
            loader.fail(case, case.path, error)
    loader.finish()
    return Found(results=results, digests=loader.digests)


def refusal(answer: DoesNotFit) -> str:
    """Why nothing fits, on one line."""
    return f"{answer.subject}: {'; '.join(str(violation) for violation in answer.violations)}"


def _result(case: Case, inputs: Inputs) -> Snapshot | Refused:
    """The numbers of a case, or why nothing fits."""
    rules = partial(accounting, case.accounting, without=case.model.without)
    question = (inputs.cascade, inputs.machine, inputs.workload, inputs.dataflow)
    try:
        if not case.model.energy:
            return snapshot(time_case(*question, accounting=rules, sizes=case.model.sizes))
        report = evaluate_case(*question, accounting=rules, sizes=case.model.sizes).report
        return snapshot(report, inputs.machine)
    except DoesNotFit as answer:
        return Refused(reason=refusal(answer))
