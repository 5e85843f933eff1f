"""`scanledger audit …`: history to take away, and to verify without the service."""

import re
from pathlib import Path
from typing import Any, Final

import rich_click as click

from api.cli.connection import connected
from api.cli.failures import Failure, Misuse
from api.cli.options import data_options, database_settings, json_option, settings_of, write_json
from api.cli.output_files import STDOUT, opened
from api.cli.text import byte_size, plural, printable
from infrastructure import wiring

_END: Final = re.compile(rb'\n\{"end":[^\n]*\n\Z')


@click.group()
def audit() -> None:
    """Prove what happened: exports of the history that verify without the service."""


@audit.command()
@click.option("--scan", metavar="ID", help="The whole history of this scan.")
@click.option("--since", metavar="TIME", help="All that occurred from this moment on, as in 2026-01-31T00:00:00Z.")
@click.option("--until", metavar="TIME", help="With --since: before this moment; default: up to the last checkpoint.")
@click.option(
    "-o", "--output", metavar="FILE", default=STDOUT, help="Where it goes, once it is whole; - is stdout, the default."
)
@data_options
def export(output: str, data: Path | None, config: Path | None, **wanted: Any) -> None:
    """Write a scan's history, or all that happened in a time, with the proofs that `audit verify` goes by."""
    if (wanted["scan"] is None) == (wanted["since"] is None):
        raise Misuse("Give one: --scan ID or --since TIME.")
    with (
        connected(settings_of(data, config)) as service,
        service.client.download("/audit/export", wanted) as answer,
        opened(output) as file,
    ):
        size, end = 0, b""
        for block in answer.blocks:
            size, end = size + file.write(block), (end + block)[-200:]
        if not _END.search(end):
            raise Failure("The export broke off: what is stored may have been altered; see the log of the api.")
    if output != STDOUT:
        click.echo(f"{byte_size(size)} written to {output}.", err=True)


@audit.command(epilog="Exits with 0 verified, 1 cannot read, 10 tampered with.")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--key", metavar="PUBLIC", help="The public key, from a place you trust: `audit key`.")
@click.option(
    "--checkpoints",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="The checkpoints that are kept outside the database.",
)
@click.pass_context
def verify(ctx: click.Context, file: Path, key: str | None, checkpoints: Path | None) -> None:
    """Verify an export: that no event of it was changed, removed, added or put elsewhere. Needs no service.

    The verifier is one file that runs alone, too: infrastructure/audit/verify.py.
    """
    ctx.exit(wiring.verify_export(file, key, checkpoints))


@audit.command()
@click.option("--local", is_flag=True, help="That of the key this machine signs with, not what the service says.")
@json_option
@data_options
def key(local: bool, as_json: bool, data: Path | None, config: Path | None) -> None:
    """Show the public key that checkpoints are signed with."""
    settings = settings_of(data, config)
    if local:
        public = wiring.local_seal_key(settings)
        if public is None:
            raise Failure(f"There is no key here: set {wiring.variable('seal_key')}, or name the data folder.")
        told: dict[str, Any] = {"keys": [{"public_key": public}]}
    else:
        with connected(settings) as service:
            told = service.client.get("/audit/key")
    if as_json:
        write_json(told)
        return
    for one in told["keys"]:
        click.echo(printable(one["public_key"]))


@audit.command("accept-restore")
@data_options
def accept_restore(data: Path | None, config: Path | None) -> None:
    """Let logs go on that do not continue their checkpoints outside, because an older database was restored.

    Each begins anew under a name of its own, and every checkpoint of it says which one it gave up.
    """
    accepted = wiring.accept_restore(database_settings(data, config, also=["seal_folder"]))
    for one in accepted:
        lost = f"{plural(one['given_up'], 'event')} were told of outside"
        click.echo(f"{one['tenant']}: goes on as {one['origin']} with {one['size']} events; {lost}.")
    if not accepted:
        click.echo("Every log continues its checkpoints outside: nothing was changed.")
