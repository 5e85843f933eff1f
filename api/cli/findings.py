"""`scanledger findings export`: what a scan found, as a file for others."""

import sys
from pathlib import Path
from typing import Any, get_args

import rich_click as click

from api.cli.connection import connected
from api.cli.failures import EXIT_OF_STATUS, Misuse
from api.cli.options import data_options, settings_of
from api.cli.output_files import STDOUT, opened
from api.cli.scans import finding_filters, scan_id_argument
from api.cli.text import byte_size
from application.exporting import Format


@click.group()
def findings() -> None:
    """Hand what scans found on to others."""


@findings.command()
@scan_id_argument
@click.option("--format", type=click.Choice(get_args(Format)), required=True, help="Format of the file.")
@click.option(
    "-o", "--output", metavar="FILE", default=STDOUT, help="Where it goes, once it is whole; - is stdout, the default."
)
@finding_filters
@data_options
def export(scan_id: str, output: str, data: Path | None, config: Path | None, **wanted: Any) -> None:
    """Write all findings of a scan, masked, as one file. No part of one ever stays at FILE."""
    if output == STDOUT and wanted["format"] == "parquet" and sys.stdout.isatty():
        raise Misuse("Parquet is no text for a terminal: write it to a file with -o FILE.")
    with (
        connected(settings_of(data, config)) as service,
        opened(output) as file,
        service.client.download(f"/scans/{scan_id}/findings/export", wanted) as answer,
    ):
        size = sum(map(file.write, answer.blocks))
        if answer.status not in EXIT_OF_STATUS:
            note = f"The scan is {answer.status}: this is what it had found by version {answer.version}."
            click.echo(note, err=True)
    if output != STDOUT:
        click.echo(f"{byte_size(size)} written to {output}.", err=True)
