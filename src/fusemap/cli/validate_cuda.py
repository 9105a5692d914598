"""`fusemap validate cuda`: kernels executed from their source and from PTX, against what is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.sizes import parse_sizes
from fusemap.cli.validate_cuda_page import cuda_page
from fusemap.cli.validate_outcome import PICTURES, conclude, progress
from fusemap.diagnostics import input_error
from fusemap.validation.cuda_check import CudaCheck, check_kernels
from fusemap.validation.cuda_gpu_recording import read_recording, recordings


@click.command("cuda", short_help="Attention kernels, executed, against what cascade and mapping predict.")
@click.option("--figure", metavar="FILE", help="Draw the cross-check (.png, .pdf, .svg).")
@click.option("--kernel", "kernels", metavar="NAME", multiple=True, help="Of the kernels only this (repeatable).")
@click.option("--kernels", "folder", metavar="DIR", help="Not the package's kernels: those that DIR/kernels.yaml has.")
@click.option("--size", "sizes", metavar="NAME=N", multiple=True, help="A size of the kernels, at these alone: P=64.")
@click.option("--record", metavar="FILE", help="Measure the kernels on this machine's GPU first and write that here.")
@click.option("--recording", "read", metavar="FILE", multiple=True, help="Hold this recording too (repeatable).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    figure: str | None,
    kernels: tuple[str, ...],
    folder: str | None,
    sizes: tuple[str, ...],
    record: str | None,
    read: tuple[str, ...],
    as_json: bool,
) -> int:
    """Execute attention kernels and hold loads, stores and operations against the prediction.

    No GPU is needed: source and PTX are executed in software. The exit code is 1 where something does not agree.

    \b
    Example:
      fusemap validate cuda --kernel 3pass --size P=64 --size M=256
    """
    suffix = suffix_of(figure, PICTURES) if figure is not None else None
    if folder is not None and (record or read):
        raise input_error("--kernels names files of yours, and recordings are of the package's kernels")
    found = check_cuda(kernels, folder, parse_sizes(sizes), record, read)
    if figure is not None and suffix is not None:
        from fusemap.validation.cuda_figure import render_kernels

        write_whole(figure, render_kernels(found, suffix))
    return conclude({"cuda": found}, cuda_page(found), as_json=as_json, written=figure)


def check_cuda(
    kernels: tuple[str, ...] = (),
    folder: str | None = None,
    sizes: Mapping[str, int] | None = None,
    record: str | None = None,
    read: tuple[str, ...] = (),
) -> CudaCheck:
    """The kernels' cross-check, with the recordings that there are, are made or are given."""
    chosen = [sizes] if sizes else None
    if folder is not None:
        return check_kernels(kernels or None, chosen, folder=Path(folder), recorded={}, progress=progress)
    found = {**recordings(), **{Path(file).name: read_recording(file) for file in read}}
    if record is not None:
        from fusemap.validation.cuda_gpu_run import record_gpu

        found[Path(record).name] = record_gpu(
            Path(record), kernels, chosen or (), say=lambda text: click.echo(text, err=True)
        )
    return check_kernels(kernels or None, chosen, recorded=found, progress=progress)
