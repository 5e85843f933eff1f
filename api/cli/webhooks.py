"""`scanledger webhooks …`."""

from collections.abc import Sequence
from pathlib import Path

import rich_click as click
from rich.table import Table

from api.cli.connection import connected
from api.cli.failures import ERROR
from api.cli.options import data_options, json_option, limit_option, output, settings_of, write_json, write_json_list
from api.cli.scans import Identifier
from api.cli.text import cell, moment, printable

webhook_id_argument = click.argument("webhook_id", type=Identifier(), metavar="ID")


@click.group()
def webhooks() -> None:
    """Have events sent to URLs: make, list, test and remove webhooks, and see what was delivered."""


@webhooks.command()
@click.argument("url", metavar="URL")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Kind of event to send, or *; repeatable.")
@click.option("--description", metavar="TEXT", help="What people call it.")
@json_option
@data_options
def add(
    url: str, *, kinds: Sequence[str], description: str | None, as_json: bool, data: Path | None, config: Path | None
) -> None:
    """Have events sent to a URL. Prints the secret that verifies them, this once.

    Without --kind: how scans go, not each of their chunks.
    """
    given = {"url": url, "kinds": list(kinds), "description": description}
    body = {name: value for name, value in given.items() if value}
    with connected(settings_of(data, config)) as service:
        made = service.client.post("/webhooks", body, creates=True)
    if as_json:
        write_json(made)
        return
    click.echo(printable(f"{made['webhook_id']} sends {', '.join(made['kinds'])} to {made['url']}"))
    click.echo(f"Secret: {made['secret']} (shown this once)")


@webhooks.command("list")
@limit_option
@json_option
@data_options
def list_webhooks(limit: int | None, as_json: bool, data: Path | None, config: Path | None) -> None:
    """List webhooks, newest first."""
    with connected(settings_of(data, config)) as service:
        found = service.client.items("/webhooks", limit=limit)
        if as_json:
            write_json_list(found)
            return
        table = Table("Webhook", "Status", "Created", pad_edge=False, box=None, header_style="bold")
        for heading in ("URL", "Kinds", "Description"):
            table.add_column(heading, overflow="fold")
        for one in found:
            status = "gone" if one["disabled_reason"] == "gone" else one["status"]
            about = (one["webhook_id"], status, moment(one["created_at"]), one["url"], ", ".join(one["kinds"]))
            table.add_row(*map(cell, about), cell(one["description"]))
        output().print(table)


@webhooks.command()
@webhook_id_argument
@data_options
def remove(webhook_id: str, data: Path | None, config: Path | None) -> None:
    """Delete a webhook, and all that was to be sent to it."""
    with connected(settings_of(data, config)) as service:
        service.client.delete(f"/webhooks/{webhook_id}")
    click.echo(f"Deleted {webhook_id}.", err=True)


def _switch(webhook_id: str, status: str, data: Path | None, config: Path | None) -> None:
    with connected(settings_of(data, config)) as service:
        service.client.patch(f"/webhooks/{webhook_id}", {"status": status})
    click.echo(f"{webhook_id} is {status}.", err=True)


@webhooks.command()
@webhook_id_argument
@data_options
def enable(webhook_id: str, data: Path | None, config: Path | None) -> None:
    """Send to a webhook again that was disabled, by whomever."""
    _switch(webhook_id, "enabled", data, config)


@webhooks.command()
@webhook_id_argument
@data_options
def disable(webhook_id: str, data: Path | None, config: Path | None) -> None:
    """Send nothing more to a webhook until it is enabled; what is queued waits."""
    _switch(webhook_id, "disabled", data, config)


@webhooks.command(epilog="Exits with 1 if the receiver does not accept it.")
@webhook_id_argument
@json_option
@data_options
@click.pass_context
def test(ctx: click.Context, webhook_id: str, as_json: bool, data: Path | None, config: Path | None) -> None:
    """Send a ping now, and tell what came back."""
    with connected(settings_of(data, config)) as service:
        answer = service.client.post(f"/webhooks/{webhook_id}/test")
    if as_json:
        write_json(answer)
    else:
        outcome = "works" if answer["ok"] else "does not work"
        click.echo(printable(f"{webhook_id} {outcome}: {answer['detail']} ({answer['milliseconds']} ms)"))
    ctx.exit(0 if answer["ok"] else ERROR)


@webhooks.command("rotate-secret")
@webhook_id_argument
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, 168),
    metavar="N",
    help="How long the former secret signs as well; default: 24.",
)
@json_option
@data_options
def rotate_secret(
    webhook_id: str, overlap_hours: int | None, as_json: bool, data: Path | None, config: Path | None
) -> None:
    """Give a webhook a new secret, printed this once."""
    body = {} if overlap_hours is None else {"overlap_hours": overlap_hours}
    with connected(settings_of(data, config)) as service:
        answer = service.client.post(f"/webhooks/{webhook_id}/rotate-secret", body)
    if as_json:
        write_json(answer)
        return
    click.echo(f"Secret: {answer['secret']} (shown this once)")
    click.echo(f"The former one signs as well until {moment(answer['former_valid_until'])}.")


@webhooks.command()
@webhook_id_argument
@click.option("--status", type=click.Choice(["pending", "delivered", "dead"]), help="Only those in this state.")
@limit_option
@json_option
@data_options
def deliveries(
    webhook_id: str, *, status: str | None, limit: int | None, as_json: bool, data: Path | None, config: Path | None
) -> None:
    """List what was sent to a webhook, or is to be: the last events first."""
    with connected(settings_of(data, config)) as service:
        found = service.client.items(f"/webhooks/{webhook_id}/deliveries", {"status": status}, limit=limit)
        if as_json:
            write_json_list(found)
            return
        table = Table("Delivery", "Status", "Tried", "Next", pad_edge=False, box=None, header_style="bold")
        for heading in ("Event", "Kind", "Last answer"):
            table.add_column(heading, overflow="fold")
        for one in found:
            about = (one["delivery_id"], one["status"], one["attempts"], moment(one["next_attempt_at"]))
            table.add_row(*map(cell, (*about, one["event_id"], one["kind"], one["last_detail"])))
        output().print(table)


@webhooks.command()
@webhook_id_argument
@click.argument("delivery_ids", nargs=-1, type=Identifier(), metavar="[DELIVERY]…")
@click.option("--dead", is_flag=True, help="All that are dead.")
@data_options
def resend(webhook_id: str, delivery_ids: Sequence[str], dead: bool, data: Path | None, config: Path | None) -> None:
    """Send deliveries again, with all their attempts."""
    if bool(delivery_ids) == dead:
        raise click.UsageError("Name deliveries, or give --dead for all that are dead.")
    path = f"/webhooks/{webhook_id}/deliveries"
    with connected(settings_of(data, config)) as service:
        if dead:
            # All of them before the first one is dead no more, and the pages shift.
            delivery_ids = [one["delivery_id"] for one in service.client.items(path, {"status": "dead"})]
        for delivery in delivery_ids:
            sent = service.client.post(f"{path}/{delivery}/resend")
            click.echo(printable(f"{sent['delivery_id']} {sent['event_id']} is sent again."))
    if not delivery_ids:
        click.echo("Nothing is dead.", err=True)
