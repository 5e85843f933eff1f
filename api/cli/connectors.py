"""`scanledger connectors …`."""

import json
from pathlib import Path

import rich_click as click
from rich.table import Table

from api.cli.client import Document
from api.cli.connection import connected
from api.cli.failures import ERROR
from api.cli.options import data_options, json_option, limit_option, output, settings_of, write_json, write_json_list
from api.cli.scans import Identifier
from api.cli.targets import passed
from api.cli.text import cell, moment, printable

connector_id_argument = click.argument("connector_id", type=Identifier(), metavar="ID")


@click.group()
def connectors() -> None:
    """List, show, test and delete connectors: the buckets and folders that scans read."""


@connectors.command("list")
@limit_option
@json_option
@data_options
def list_connectors(limit: int | None, as_json: bool, data: Path | None, config: Path | None) -> None:
    """List connectors, newest first."""
    with connected(settings_of(data, config)) as service:
        found = service.client.items("/connectors", limit=limit)
        if as_json:
            write_json_list(found)
            return
        table = Table("Connector", "Type", "Status", "Created", pad_edge=False, box=None, header_style="bold")
        table.add_column("Name", overflow="fold")
        for one in found:
            columns = (one["connector_id"], one["type"], one["status"], moment(one["created_at"]), one["name"])
            table.add_row(*map(cell, columns))
        output().print(table)


@connectors.command()
@connector_id_argument
@json_option
@data_options
def show(connector_id: str, as_json: bool, data: Path | None, config: Path | None) -> None:
    """Show a connector and its settings, without its secrets."""
    with connected(settings_of(data, config)) as service:
        connector = service.client.get(f"/connectors/{connector_id}")
    if as_json:
        write_json(connector)
        return
    for name, value in _flat(connector).items():
        click.echo(printable(f"{name:<20} {value if isinstance(value, str) else json.dumps(value)}"))


def _flat(connector: Document) -> Document:
    config = {f"config.{name}": value for name, value in connector["config"].items()}
    return {name: value for name, value in connector.items() if name != "config"} | config


@connectors.command(epilog="Exits with 1 if the connector does not work.")
@connector_id_argument
@json_option
@data_options
@click.pass_context
def test(ctx: click.Context, connector_id: str, as_json: bool, data: Path | None, config: Path | None) -> None:
    """Test whether a connector's bucket or folder can be listed."""
    with connected(settings_of(data, config)) as service:
        answer = service.client.post(f"/connectors/{connector_id}/test")
    if as_json:
        write_json(answer)
    else:
        outcome = "works" if passed(answer) else "does not work"
        click.echo(printable(f"{connector_id} {outcome}: {answer.get('detail') or 'it can be listed.'}"))
    ctx.exit(0 if passed(answer) else ERROR)


@connectors.command()
@connector_id_argument
@data_options
def delete(connector_id: str, data: Path | None, config: Path | None) -> None:
    """Delete a connector and its secrets; its scans stay."""
    with connected(settings_of(data, config)) as service:
        service.client.delete(f"/connectors/{connector_id}")
    click.echo(f"Deleted {connector_id}.", err=True)
