"""`scanledger tenants …` and `scanledger keys …`: who may use the service. They work on its database directly."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, get_args

import rich_click as click
from rich.table import Table

from api.cli.options import data_options, database_settings, json_option, output, write_json, write_json_list
from api.cli.text import cell, moment
from infrastructure import wiring

_TIERS: Final = get_args(wiring.TierName)


class TenantName(click.ParamType[str]):
    """A tenant's name, which is its ID too."""

    name = "NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", str(value)):
            self.fail(f"{str(value)!r} is not a tenant's name: at most 63 of a-z, 0-9 and -.", param, ctx)
        return str(value)


class KeyId(click.ParamType[str]):
    """The public part of an API key. What is not one may be a whole key, so it is never repeated."""

    name = "KEY_ID"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"[a-z0-9]{12}", str(value)):
            self.fail("a key's ID is the 12 characters between sl_ and the next _; see `keys list`.", param, ctx)
        return str(value)


@click.group()
def tenants() -> None:
    """Make and list tenants, on the database itself."""


@tenants.command()
@click.argument("name", type=TenantName())
@click.option("--tier", type=click.Choice(_TIERS), help="Its limits; default: the setting default_tier.")
@json_option
@data_options
def create(name: str, tier: str | None, as_json: bool, data: Path | None, config: Path | None) -> None:
    """Make a tenant. NAME is its ID too: a-z, 0-9 and -."""
    settings = database_settings(data, config)
    made = wiring.create_tenant(settings, name, tier or settings.default_tier)
    if as_json:
        write_json(made)
        return
    click.echo(f"Made tenant {made['tenant_id']}, tier {made['tier']}.")
    click.echo(f"  Its first key:  scanledger keys create --tenant {made['tenant_id']}", err=True)


@tenants.command("list")
@json_option
@data_options
def list_tenants(as_json: bool, data: Path | None, config: Path | None) -> None:
    """List tenants, oldest first."""
    found = wiring.list_tenants(database_settings(data, config))
    if as_json:
        write_json_list(map(_document, found))
        return
    table = Table("Tenant", "Tier", "Created", pad_edge=False, box=None, header_style="bold")
    table.add_column("Name", overflow="fold")
    for one in map(_document, found):
        table.add_row(*map(cell, (one["tenant_id"], one["tier"], moment(one["created_at"]), one["name"])))
    output().print(table)


@click.group()
def keys() -> None:
    """Make, list and revoke API keys, on the database itself."""


@keys.command("create")
@click.option("--tenant", required=True, metavar="ID", help="The tenant whose data the key opens.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(wiring.SCOPES),
    help="What it may do; repeatable; default: all but admin, which includes every other.",
)
@json_option
@data_options
def create_key(tenant: str, scopes: tuple[str, ...], as_json: bool, data: Path | None, config: Path | None) -> None:
    """Make an API key and print it, this once: only a hash of it is kept. Needs the encryption key."""
    settings = database_settings(data, config, also=("encryption_key",))
    made = wiring.create_key(settings, tenant, tuple(dict.fromkeys(scopes)) or wiring.USUAL_SCOPES)
    if as_json:
        write_json(made)
        return
    click.echo(made["api_key"])
    click.echo(f"  Key {made['key_id']} of tenant {tenant}: {', '.join(made['scopes'])}.", err=True)
    click.echo("  It is shown this once; use it as SCANLEDGER_API_KEY.", err=True)


@keys.command("list")
@click.option("--tenant", metavar="ID", help="Only keys of this tenant.")
@json_option
@data_options
def list_keys(tenant: str | None, as_json: bool, data: Path | None, config: Path | None) -> None:
    """List API keys without their secrets, oldest first, revoked ones too."""
    found = wiring.list_keys(database_settings(data, config), tenant)
    if as_json:
        write_json_list(map(_document, found))
        return
    table = Table("Key", "Tenant", "Created", "Revoked", pad_edge=False, box=None, header_style="bold")
    table.add_column("Scopes", overflow="fold")
    for one in map(_document, found):
        times = (moment(one["created_at"]), moment(one["revoked_at"]))
        table.add_row(*map(cell, (one["key_id"], one["tenant_id"], *times, " ".join(one["scopes"]))))
    output().print(table)


@keys.command()
@click.argument("key_id", type=KeyId())
@json_option
@data_options
def revoke(key_id: str, as_json: bool, data: Path | None, config: Path | None) -> None:
    """Revoke an API key for good. Running services follow within ten seconds."""
    wiring.revoke_key(database_settings(data, config), key_id)
    if as_json:
        write_json({"key_id": key_id, "revoked": True})
    else:
        click.echo(f"Revoked key {key_id}; running services follow within ten seconds.")


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON: times in RFC 3339, UTC."""
    return {name: _written(value) if isinstance(value, datetime) else value for name, value in row.items()}


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
