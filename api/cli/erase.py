"""`scanledger erase scan|connector ID`: erase what scans found and looked at, for privacy law."""

import threading
from pathlib import Path
from typing import Final

import rich_click as click

from api.cli.client import Document
from api.cli.connection import connected
from api.cli.connectors import connector_id_argument
from api.cli.options import data_options, json_option, settings_of, write_json
from api.cli.scans import scan_id_argument
from api.cli.text import number
from infrastructure.wiring import Settings

_POLL_SECONDS: Final = 0.5

yes_option = click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")


@click.group()
def erase() -> None:
    """Erase what scans found and looked at; their history and sums stay. It cannot be undone."""


@erase.command("scan")
@scan_id_argument
@yes_option
@json_option
@data_options
def erase_scan(scan_id: str, *, yes: bool, as_json: bool, data: Path | None, config: Path | None) -> None:
    """Erase the findings, the manifest and the exceptions of a scan that has ended."""
    _confirmed(yes, f"Erase what scan {scan_id} found and looked at?")
    erased = _erased(settings_of(data, config), f"/scans/{scan_id}/data")
    _show(erased, f"Erased the data of scan {scan_id}", as_json=as_json)


@erase.command("connector")
@connector_id_argument
@yes_option
@json_option
@data_options
def erase_connector(connector_id: str, *, yes: bool, as_json: bool, data: Path | None, config: Path | None) -> None:
    """Erase the data of all scans of a connector, and what is known of its objects. The connector stays."""
    _confirmed(yes, f"Erase what all scans of connector {connector_id} found and looked at?")
    erased = _erased(settings_of(data, config), f"/connectors/{connector_id}/data")
    scans = f"{number(erased['scans'])} scans of connector {connector_id}"
    _show(erased, f"Erased the data of {scans}", as_json=as_json)


def _confirmed(yes: bool, question: str) -> None:
    if not yes:
        click.confirm(question, abort=True, err=True)


def _erased(settings: Settings, path: str) -> Document:
    """Ask for it, and wait until nothing is left."""
    with connected(settings) as service:
        while True:
            answer: Document = service.client.delete(path)
            if answer["state"] == "erased":
                return answer
            threading.Event().wait(_POLL_SECONDS)


def _show(erased: Document, told: str, *, as_json: bool) -> None:
    if as_json:
        write_json(erased)
        return
    counts = ", ".join(f"{number(count)} {table}" for table, count in erased["erased"].items() if count)
    click.echo(f"{told}: {counts or 'there was none'}.")
