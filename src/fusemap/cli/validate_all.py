"""`fusemap validate all`: every check that needs nothing but the package."""

from __future__ import annotations

import click

from fusemap.cli.validate_cuda import check_cuda
from fusemap.cli.validate_cuda_page import cuda_page
from fusemap.cli.validate_outcome import conclude
from fusemap.cli.validate_published import check_published, published_page
from fusemap.cli.validate_simulators import check_simulators, simulators_page


@click.command("all", short_help="Every check, with what the package has recorded.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(as_json: bool) -> int:
    """Run every check, one after another; the exit code is 1 where something does not agree.

    \b
    Example:
      fusemap validate all --json
    """
    crossed, met, executed = check_simulators(), check_published(), check_cuda()
    blocks = [*simulators_page(crossed), *published_page(met), *cuda_page(executed)]
    return conclude({"simulators": crossed, "published": met, "cuda": executed}, blocks, as_json=as_json)
