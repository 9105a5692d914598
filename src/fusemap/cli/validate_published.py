"""`fusemap validate published`: the values of the FuseMax study."""

from __future__ import annotations

import click

from fusemap.cli.validate_outcome import conclude
from fusemap.validation.reproduce import load_bench
from fusemap.validation.reproduction import Reproduction, reproduce
from fusemap.validation.study import load_study
from fusemap.validation.tables import agreement_sentences


@click.command("published", short_help="The values of the FuseMax study.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(as_json: bool) -> int:
    """Recompute the published values of the FuseMax study by its own accounting.

    The exit code is 1 where something does not agree.

    \b
    Example:
      fusemap validate published
    """
    found = check_published()
    return conclude({"published": found}, published_page(found), as_json=as_json)


def check_published() -> Reproduction:
    """The study reproduced under the published accounting."""
    return reproduce(load_bench(load_study("fusemax")), "published")


def published_page(found: Reproduction) -> list[str]:
    """How many values are met, and how closely."""
    return ["published values of fusemax", *agreement_sentences(found)]
