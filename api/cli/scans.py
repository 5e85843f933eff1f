"""`scanledger scans …`: everything about scans that exist."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

import rich_click as click
from rich.table import Table

from api.cli.client import Client, Document
from api.cli.connection import Service, connected
from api.cli.events import gist
from api.cli.failures import EXIT_OF_STATUS
from api.cli.options import (
    data_options,
    json_option,
    limit_option,
    output,
    repeated_flags,
    settings_of,
    write_json,
    write_json_list,
)
from api.cli.result import position, print_coverage, print_heading, print_result
from api.cli.scan import follow, minding_interruption
from api.cli.text import byte_size, cell, moment, number, percent, shortened
from api.cli.watching import Watched
from domain.detectors.rule import Severity

Command = TypeVar("Command", bound=Callable[..., Any])


class Identifier(click.ParamType[str]):
    """An id of the API, as it can stand in a path."""

    name = "ID"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", str(value)):
            self.fail(f"{str(value)!r} is not an id: letters, digits, - and _.", param, ctx)
        return str(value)


scan_id_argument = click.argument("scan_id", type=Identifier(), metavar="ID")


def finding_filters(command: Command) -> Command:
    """The options that choose findings, by the names that the API has for them."""
    for option in (
        click.option("--object", "object", metavar="KEY", help="Only this object."),
        click.option("--connector", metavar="ID", help="Only objects of this connector."),
        click.option(
            "--min-confidence", type=click.FloatRange(0, 1), metavar="X", help="Only findings at least this certain."
        ),
        click.option("--severity", type=click.Choice(get_args(Severity)), help="Only detectors this grave."),
        click.option("--detector", metavar="ID", help="Only this detector, such as pii.email."),
        click.option("--category", metavar="NAME", help="Only this category, such as pii."),
    ):
        command = option(command)
    return command


@click.group()
def scans() -> None:
    """List, show, watch and steer scans, and read what they found."""


@scans.command("list")
@click.option("--connector", metavar="ID", help="Only scans of this connector.")
@click.option(
    "--status",
    multiple=True,
    type=click.Choice(["queued", "running", "paused", *EXIT_OF_STATUS]),
    help="Only scans in this status; repeatable.",
)
@click.option("--since", metavar="TIME", help="Only scans created after this time (RFC 3339).")
@click.option("--type", type=click.Choice(["full", "incremental"]), help="Only scans of this type.")
@limit_option
@json_option
@data_options
def list_scans(limit: int | None, as_json: bool, data: Path | None, config: Path | None, **wanted: Any) -> None:
    """List scans, newest first."""
    with connected(settings_of(data, config)) as service:
        found = service.client.items("/scans", wanted, limit)
        if as_json:
            write_json_list(found)
            return
        table = Table("Scan", "Status", "Created", pad_edge=False, box=None, header_style="bold")
        for heading in ("Files", "Read", "Findings", "Coverage"):
            table.add_column(heading, justify="right")
        table.add_column("Redrive of")
        for scan in found:
            table.add_row(*_row(scan))
        output().print(table)


def _row(scan: Document) -> Iterator[Any]:
    progress = scan["progress"]
    yield cell(scan["scan_id"])
    yield cell(scan["status"])
    yield cell(moment(scan["created_at"]))
    yield f"{number(progress['files_processed'])}/{number(progress['files_total'])}"
    yield byte_size(progress["bytes_processed"])
    yield number(progress["findings_count"])
    yield percent(scan["coverage"]["coverage_pct"])
    yield cell(scan["redrive_of"])


@scans.command()
@scan_id_argument
@click.option("--version", type=click.IntRange(min=1), metavar="N", help="As it stood after this event of its history.")
@click.option("--at", metavar="TIME", help="As it stood at this time (RFC 3339).")
@json_option
@data_options
def show(
    *, scan_id: str, version: int | None, at: str | None, as_json: bool, data: Path | None, config: Path | None
) -> None:
    """Show a scan: coverage with reasons, findings with masked samples. As it once stood, without the findings."""
    settings = settings_of(data, config)
    with connected(settings) as service:
        scan = service.client.get(f"/scans/{scan_id}", {"version": version, "at": at})
        if as_json:
            write_json(scan)
        elif version is not None or at is not None:
            print_heading(output(), scan, f"version {scan['version']}")
            print_coverage(output(), scan)
        else:
            print_result(output(), service.client, scan, flags=repeated_flags(settings, config))


@scans.command(epilog="Exits with 0 completed, 3 failed, 4 partial, 5 cancelled.")
@scan_id_argument
@json_option
@data_options
@click.pass_context
def watch(ctx: click.Context, scan_id: str, as_json: bool, data: Path | None, config: Path | None) -> None:
    """Watch a scan until it ends, then show it."""
    settings = settings_of(data, config)
    flags = repeated_flags(settings, config)
    with connected(settings) as service:
        status = watched_to_its_end(service, scan_id, flags, as_json=as_json)
    ctx.exit(EXIT_OF_STATUS[status])


def watched_to_its_end(service: Service, scan_id: str, flags: str, *, as_json: bool) -> str:
    """Follow a scan until it ends and print the result; the status it ended in."""
    with minding_interruption(service, scan_id, flags):
        console = output()
        final = follow(service.client, Watched(scan_id, scan_id), console, quiet=as_json)
        if as_json:
            write_json(final)
        else:
            print_result(console, service.client, final, flags=flags)
        return str(final["status"])


def _listing(
    name: str, help_text: str, line: Callable[[Document], str], *filters: Callable[[Command], Command]
) -> click.Command:
    """A command that lists what belongs to one scan: a line an item, or JSON."""

    def command(
        scan_id: str, limit: int | None, as_json: bool, data: Path | None, config: Path | None, **wanted: Any
    ) -> None:
        with connected(settings_of(data, config)) as service:
            found = _items(service.client, f"/scans/{scan_id}/{name}", wanted, limit)
            if as_json:
                write_json_list(found)
                return
            console = output()
            for item in found:
                console.print(cell(line(item)), soft_wrap=True)

    for decorate in (data_options, json_option, limit_option, *reversed(filters), scan_id_argument):
        command = decorate(command)
    return scans.command(name, help=help_text)(command)


def _items(client: Client, path: str, wanted: dict[str, Any], limit: int | None) -> Iterator[Document]:
    return client.items(path, wanted, limit)


def _worker_line(worker: Document) -> str:
    chunk = worker["chunk"]
    at = f" chunk {chunk['chunk_id']} ({chunk['file_count']} files)" if chunk else ""
    return (
        f"{worker['worker_id']}  {worker['status']}{at}  {number(worker['chunks_completed'])} chunks, "
        f"{number(worker['files_processed_total'])} files  last seen {moment(worker['last_seen_at'])}"
    )


def _finding_line(finding: Document) -> str:
    hits = "; ".join(f"{shortened(hit['masked'])}{position(hit)}" for hit in finding["occurrences"][:3])
    gone = f"  (gone by {moment(finding['gone_at'])})" if finding.get("gone_at") else ""
    return (
        f"{finding['detector']}  ×{number(finding['count'])}  {finding['confidence']:.2f}  {finding['object']}{gone}"
        f"  {hits}"
    )


def _object_line(entry: Document) -> str:
    detail = f"  {entry['detail']}" if entry.get("detail") else ""
    before = f"  (scanned by {entry['scanned_by']})" if entry.get("scanned_by") else ""
    return f"{entry['disposition']}  {entry.get('reason') or ''}  {entry['object']}{detail}{before}"


def _event_line(event: Document) -> str:
    return f"{event['version']:>6}  {moment(event['occurred_at'])}  {event['kind']}  {event['actor']}  {gist(event)}"


_listing("workers", "List the workers that took part in a scan.", _worker_line)
_listing(
    "findings",
    "List what a scan found, masked, by category, detector and object.",
    _finding_line,
    finding_filters,
)
_listing(
    "objects",
    "List the objects that were skipped, failed or remain, with reasons.",
    _object_line,
    click.option(
        "--disposition", type=click.Choice(["skipped", "failed", "remaining"]), help="Only objects of this fate."
    ),
    click.option("--reason", metavar="REASON", help="Only objects with this reason, such as access_denied."),
)
_listing("events", "List a scan's history, oldest first: what happened, when, and by whom.", _event_line)
