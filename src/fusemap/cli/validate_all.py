"""`fusemap validate all`: every check that needs nothing but the package."""

from __future__ import annotations

import click

from fusemap.cli.output import table
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
    pages: dict[str, tuple[Checked, list[str]]] = {}
    pages["functional"] = (ran := check_functional(), functional_page(ran))
    pages["simulators"] = (crossed := check_simulators(), simulators_page(crossed))
    pages["published"] = (met := check_published(), published_page(met))
    pages["cuda"] = (executed := check_cuda(), cuda_page(executed))
    pages["components"] = (priced := compare(), components_page(priced))
    pages["accelforge"] = (peer := check_accelforge(), accelforge_page(peer))
    pages["timeloop"] = (loops := check_timeloop()[0], timeloop_page(loops))
    blocks = [block for name, (_, page) in pages.items() for block in (f"{name}\n{'=' * len(name)}", *page)]
    answers = [[name, "agrees" if found.agrees else "differs"] for name, (found, _) in pages.items()]
    summary = table(answers, ["check", "result"], "ll")
    return conclude({name: found for name, (found, _) in pages.items()}, [*blocks, summary], as_json=as_json)
