"""The functions of the package about published studies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusemap.loading import load_bench

if TYPE_CHECKING:
    from fusemap.validation.audit import Audit
    from fusemap.validation.reproduction import Reproduction


def reproduce(study: str, *, accounting: str = "published") -> Reproduction:
    """Recompute a published study, as it charged (`published`) or with its slips corrected (`principled`).

    The result holds every row, the headline claims, and how they agree with the published values.
    """
    from fusemap.validation.reproduction import reproduce as reproduced

    return reproduced(load_bench(study), accounting)


def audit(study: str) -> Audit:
    """The known slips of a published study's accounting: what each is, and its effect on every headline claim."""
    from fusemap.validation.audit import audit as audited

    return audited(load_bench(study))
