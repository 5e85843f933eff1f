"""`scanledger events`: everything that happened, and what happens now."""

import json
from pathlib import Path
from typing import Any

import rich_click as click

from api.cli.client import Document
from api.cli.connection import connected
from api.cli.options import data_options, json_option, limit_option, output, settings_of, write_json_list
from api.cli.text import cell, moment


def gist(event: Document) -> str:
    """What an event says, in few characters."""
    said = json.dumps(event["data"], sort_keys=True)
    return said if len(said) <= 160 else f"{said[:159]}…"


def event_line(event: Document) -> str:
    stream = event["scan_id"] or event["connector_id"]
    about = f"{event['kind']}  {stream}  {event['actor']}  {gist(event)}"
    return f"{event['position']:>8}  {moment(event['occurred_at'])}  {about}"


@click.command()
@click.option("--kind", multiple=True, metavar="KIND", help="Only events of this kind, as scan.completed; repeatable.")
@click.option("--connector", metavar="ID", help="Only events of this connector, and of scans that read it.")
@click.option("--since", metavar="TIME", help="Only what occurred from this time on (RFC 3339).")
@click.option("--until", metavar="TIME", help="Only what occurred before this time (RFC 3339).")
@click.option("--follow", is_flag=True, help="Tell what comes, until Ctrl-C. Lost connections are made anew.")
@click.option("--after", type=click.IntRange(min=0), metavar="POSITION", help="With --follow: begin after this event.")
@limit_option
@json_option
@data_options
def events(
    *,
    follow: bool,
    after: int | None,
    limit: int | None,
    as_json: bool,
    data: Path | None,
    config: Path | None,
    **wanted: Any,
) -> None:
    """List everything that happened to scans and connectors, oldest first, or follow it with --follow.

    With --follow --json, one event a line.
    """
    _require_one_way(follow=follow, after=after, wanted={**wanted, "limit": limit})
    with connected(settings_of(data, config)) as service:
        console = output()
        if follow:
            for event in service.client.live("/events/live", after):
                line = json.dumps(event) if as_json else cell(event_line(event))
                console.print(line, soft_wrap=True, markup=False, highlight=False)
            return
        found = service.client.items("/events", wanted, limit)
        if as_json:
            write_json_list(found)
            return
        for event in found:
            console.print(cell(event_line(event)), soft_wrap=True)


def _require_one_way(*, follow: bool, after: int | None, wanted: dict[str, Any]) -> None:
    if not follow and after is not None:
        raise click.UsageError("--after goes with --follow; without it, --since says where to begin.")
    if follow and (given := [name for name, value in wanted.items() if value]):
        raise click.UsageError(f"--{given[0]} does not go with --follow, which tells everything that comes.")
