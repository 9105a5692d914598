"""`fusemap validate all`: every check that needs nothing but the package."""

from __future__ import annotations

import click

from fusemap.cli.validate_accelforge import accelforge_page
from fusemap.cli.validate_components import components_page
from fusemap.cli.validate_cuda import check_cuda
from fusemap.cli.validate_cuda_page import cuda_page
from fusemap.cli.validate_functional import functional_page
from fusemap.cli.validate_outcome import Checked, conclude
from fusemap.cli.validate_published import check_published, published_page
from fusemap.cli.validate_simulators import check_simulators, simulators_page
from fusemap.cli.validate_timeloop import timeloop_page
from fusemap.validation.accelforge.check import check_accelforge
from fusemap.validation.functional import check_functional
from fusemap.validation.hwcomponents.compare import compare
from fusemap.validation.timeloop.check import check_timeloop


@click.command("all", short_help="Every check, with what the package has recorded.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(as_json: bool) -> int:
    """Run every check, one after another; the exit code is 1 where something does not agree.

    \b
    Example:
      fusemap validate all --json
    """
    ran, crossed, met, executed = check_functional(), check_simulators(), check_published(), check_cuda()
    priced, peer, (loops, _) = compare(), check_accelforge(), check_timeloop()
    blocks = [*functional_page(ran), *simulators_page(crossed), *published_page(met), *cuda_page(executed)]
    found: dict[str, Checked] = {"functional": ran, "simulators": crossed, "published": met, "cuda": executed}
    blocks += [*components_page(priced), *accelforge_page(peer), *timeloop_page(loops)]
    return conclude({**found, "components": priced, "accelforge": peer, "timeloop": loops}, blocks, as_json=as_json)
