"""`fusemap workload from-config`: a model's `config.json` as a workload file."""

from __future__ import annotations

import click

from fusemap.archspec.document import TextFault, text_place
from fusemap.archspec.workloads import parse_length
from fusemap.cli.files import write_whole
from fusemap.cli.output import emit_json
from fusemap.cli.quantities import number
from fusemap.validation.config_model import ConfigModel, workload_from_config


@click.command("from-config", short_help="A config.json as a workload file.")
@click.argument("config", metavar="CONFIG.json")
@click.option("--decode", is_flag=True, help="One decoding step instead of the prefill of a prompt.")
@click.option(
    "--batch", type=click.IntRange(min=1), metavar="N", help="Prompts or sequences.  [default: 1, decoding 64]"
)
@click.option("--length", metavar="N[K|M]", help="Write this length instead of LENGTH, which follows the name's @.")
@click.option("--name", default="", metavar="NAME", help="Name of the model.  [default: the configuration's]")
@click.option("--family", default="", metavar="TYPE", help="Read an unknown model_type as this known one.")
@click.option("--uniform-routing", "uniform", is_flag=True, help="Reach the experts that are expected, not all.")
@click.option("--out", "target", metavar="FILE", help="Write to this file instead of standard output.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document: ranks, weights, defaults, notes.")
def command(
    config: str,
    decode: bool,
    batch: int | None,
    length: str | None,
    name: str,
    family: str,
    uniform: bool,
    target: str | None,
    as_json: bool,
) -> None:
    """Write CONFIG.json, a configuration of the transformers library, as a workload file.

    Keys that change the cost and are not supported are errors. What the configuration leaves out is as in the
    library; the file and --json name each default.

    \b
    Example:
      fusemap workload from-config config.json --decode --out mine-decode.yaml
      fusemap evaluate model --arch fusemax-cloud --workload mine-decode.yaml@4K
    """
    found = workload_from_config(
        config, name=name, decode=decode, batch=batch, length=_length(length), uniform=uniform, family=family
    )
    if target is not None:
        write_whole(target, found.text.encode())
    if as_json:
        emit_json(found.to_json())
    elif target is None:
        click.echo(found.text, nl=False)
    else:
        click.echo(_summary(found))
        click.echo(f"written to {target}", err=True)


def _length(text: str | None) -> int | None:
    try:
        return None if text is None else parse_length(text)
    except TextFault as fault:
        raise fault.at(text_place(text or "", "--length")) from None


def _summary(found: ConfigModel) -> str:
    """What was read: the weights, and what was not in the configuration or is left out."""
    read = found.read
    active = f", {number(found.active_parameters)} of them for a token"
    weights = f"{number(found.parameters)} weights{active if found.active_parameters != found.parameters else ''}"
    lines = [f"{read.name}, read as {read.model_type}: {weights}"]
    lines += [f"{default.key} is {default.rule}" for default in read.defaults]
    return "\n".join([*lines, *read.notes])
