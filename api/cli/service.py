"""Commands that run the service, whole or in parts, and look after its installation."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

import rich_click as click
from rich.table import Table

from api.cli.connection import CREDENTIALS, stored_credentials
from api.cli.failures import ERROR, Misuse
from api.cli.options import data_options, database_settings, json_option, output, settings_of, write_json
from api.cli.text import cell
from domain.errors import Invalid
from infrastructure import wiring

_STYLE_OF_STATE: Final = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="TCP port of the API; 0 takes any free one.")
@click.option("--workers", type=click.IntRange(1, 1024), metavar="N", help="Chunks in work at once; default: cores.")
@data_options
def up(port: int | None, workers: int | None, data: Path | None, config: Path | None) -> None:
    """Run the service with its own PostgreSQL and NATS, for this machine only, until Ctrl-C or SIGTERM."""
    settings = settings_of(data, config, port=port, workers=workers)
    before = stored_credentials(settings.data)

    def announce(url: str, api_key: str) -> None:
        click.echo(f"Scanledger is up at {url}")
        click.echo(f"  Data:         {settings.data}")
        click.echo(f"  Credentials:  {settings.data / CREDENTIALS} (the other commands read them there)")
        if before is None or before[1] != api_key:
            click.echo(f"  API key:      {api_key} (shown this once)")
        click.echo("  Ctrl-C stops it.")

    wiring.serve(settings, announce, lambda news: click.echo(news, err=True))
    click.echo("Stopped.")


@click.command()
@click.option("--host", metavar="ADDRESS", help="Address to listen on; default: 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="TCP port; default: 8420.")
@data_options
def api(host: str | None, port: int | None, data: Path | None, config: Path | None) -> None:
    """Run the API alone."""
    _become("api", settings_of(data, config, host=host, port=port), "api")


@click.command()
@click.option("--slots", type=click.IntRange(1, 1024), metavar="N", help="Chunks in work at once; default: cores.")
@data_options
def worker(slots: int | None, data: Path | None, config: Path | None) -> None:
    """Run one worker of the fleet alone: it lists, reads and detects."""
    _become("scanner", settings_of(data, config, workers=slots), "workers", "scanner")


@click.command()
@data_options
def coordinator(data: Path | None, config: Path | None) -> None:
    """Run the orchestrator, the recorder and the projector alone."""
    _become("coordinator", settings_of(data, config), "workers", *wiring.COORDINATOR_ROLES)


@click.command()
@data_options
def followers(data: Path | None, config: Path | None) -> None:
    """Run what follows the log for others alone: the publisher of events, their seal, and webhooks."""
    _become("coordinator", settings_of(data, config), "workers", *wiring.FOLLOWER_ROLES)


def _become(role: wiring.Role, settings: wiring.Settings, *module: str) -> NoReturn:
    """Turn this process into that part of the service, told only what its role needs."""
    attached = wiring.attached_settings(settings)
    try:
        attached.require(role)
    except Invalid as invalid:
        raise Misuse(*_told(f"The {module[-1]} cannot run.", invalid)) from None
    environment = wiring.child_environment(role, attached)
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", *module], environment)  # noqa: S606 — our own modules


def _told(message: str, invalid: Invalid) -> tuple[str, list[str]]:
    return message, [f"{fault.field}: {fault.message}" for fault in invalid.faults]


@click.command()
@data_options
def migrate(data: Path | None, config: Path | None) -> None:
    """Bring the database's schema up to date. Embedded ones are by themselves."""
    applied = wiring.migrate_database(database_settings(data, config))
    for name in applied:
        click.echo(f"Applied {name}")
    if not applied:
        click.echo("The schema is up to date: nothing to apply.")


@click.command(epilog="Exits with 1 if something is a problem.")
@json_option
@data_options
@click.pass_context
def doctor(ctx: click.Context, as_json: bool, data: Path | None, config: Path | None) -> None:
    """Look for what is wrong with this installation, and say how to mend it. Changes nothing."""
    checks = wiring.diagnose(settings_of(data, config))
    if as_json:
        write_json(checks)
    else:
        output().print(_as_table(checks))
    ctx.exit(ERROR if any(check["state"] == "problem" for check in checks) else 0)


def _as_table(checks: Sequence[Mapping[str, str]]) -> Table:
    table = Table("Check", "", pad_edge=False, box=None, header_style="bold")
    for heading in ("Found", "What to do"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        state = cell(check["state"], _STYLE_OF_STATE[check["state"]])
        table.add_row(cell(check["name"]), state, cell(check["found"]), cell(check["remedy"]))
    return table
