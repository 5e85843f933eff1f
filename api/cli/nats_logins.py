"""`scanledger nats-config` and `scanledger subscriber-login`: who may do what on NATS."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from api.cli.failures import Misuse
from api.cli.options import data_options, json_option, settings_of, write_json
from api.cli.tenants import TenantName
from domain.errors import Invalid
from infrastructure import wiring


class PasswordHash(click.ParamType[tuple[str, str]]):
    """USER=HASH."""

    name = "USER=HASH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        user, given, hashed = str(value).partition("=")
        if not given:
            self.fail("give the user and the bcrypt hash of the password, as USER=HASH.", param, ctx)
        return user, hashed


@click.command("nats-config")
@click.option(
    "--tenant", "tenants", multiple=True, type=TenantName(), help="Make a login for its subscribers; repeatable."
)
@click.option(
    "--password-hash",
    "hashes",
    multiple=True,
    type=PasswordHash(),
    help="The bcrypt hash of a login's password; repeatable. Passwords of all others are made.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to a file that only you can read; default: to stdout.",
)
def nats_config(tenants: tuple[str, ...], hashes: tuple[tuple[str, str], ...], output: Path | None) -> None:
    """Write the accounts, logins and rights of a NATS server: coordinator, workers, subscribers of tenants.

    Passwords that are made stand in what is written, and are told on stderr this once.
    """
    try:
        made = wiring.nats_config(tuple(dict.fromkeys(tenants)), dict(hashes))
    except Invalid as invalid:
        faults = [f"{fault.field}: {fault.message}" for fault in invalid.faults]
        raise Misuse("These logins cannot be made.", faults) from None
    if output is None:
        click.echo(made.text, nl=False)
    else:
        _write_private(output, made.text)
    for user, password in made.made.items():
        click.echo(f"{user}  {password}", err=True)


def _write_private(path: Path, text: str) -> None:
    """One that is there is kept: a server may run by it."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Misuse(f"There is a file {path} already.", ["Nothing was written: give another name with -o."]) from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


@click.command("subscriber-login")
@json_option
@data_options
def subscriber_login(as_json: bool, data: Path | None, config: Path | None) -> None:
    """Show how subscribers of the first tenant reach the NATS server of `scanledger up`."""
    try:
        login: Mapping[str, str] = wiring.subscriber_login(settings_of(data, config))
    except Invalid as invalid:
        raise Misuse(invalid.faults[0].message) from None
    if as_json:
        write_json(login)
        return
    for name, value in login.items():
        click.echo(f"{name + ':':10}{value}")
