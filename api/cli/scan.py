"""`scanledger scan`: from a path or bucket to a result, with whatever that takes."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import rich_click as click
from rich.console import Console

from api.cli.client import Client, Document
from api.cli.connection import Service, connected_or_started, running
from api.cli.display import display_for
from api.cli.failures import EXIT_OF_STATUS, ApiFailure, Misuse
from api.cli.options import (
    data_options,
    diagnostics,
    json_option,
    output,
    repeated_flags,
    settings_of,
    write_json,
)
from api.cli.result import print_result
from api.cli.summary import summed
from api.cli.targets import S3Access, connectors_for, keys_from, parse_targets
from api.cli.watching import Watched, watch


@click.command(epilog="Exits with 0 completed, 1 error, 2 usage, 3 failed, 4 partial, 5 cancelled.")
@click.argument("targets", nargs=-1, required=True, metavar="PATH|s3://BUCKET/PREFIX…")
@click.option("--max-files", type=click.IntRange(min=1), metavar="N", help="Plan at most N objects.")
@click.option("--max-workers", type=click.IntRange(min=1), metavar="N", help="At most N chunks in work at once.")
@click.option("--file-type", "file_types", multiple=True, metavar="EXT", help="Extension to include; repeatable.")
@click.option("--prefix", "prefixes", multiple=True, metavar="PREFIX", help="Key prefix to include; repeatable.")
@click.option("--timeout-minutes", type=click.IntRange(1, 10080), metavar="N", help="End as timed out after this.")
@click.option(
    "--coverage-target", type=click.FloatRange(0, 1), metavar="SHARE", help="Share of objects that must be scanned."
)
@click.option("--strict", is_flag=True, help="A scan that ends below its coverage target has failed.")
@click.option("--incremental", is_flag=True, help="Read only what is new or changed since the scans before.")
@click.option("--sample", type=click.IntRange(1, 100), metavar="PERCENT", help="Read so many percent of the objects.")
@click.option("--detectors", metavar="NAME,…", help="Detectors to run, by id or category; default: all.")
@click.option("--priority", type=click.IntRange(0, 9), metavar="N", help="A higher one goes first; default: 5.")
@click.option("--name", metavar="NAME", help="Name of the connector, if one is made; default: the target.")
@click.option(
    "--endpoint-url",
    envvar=["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
    metavar="URL",
    help="Object store that is not Amazon's; default: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL.",
)
@click.option(
    "--region",
    envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
    metavar="REGION",
    help="Region of the buckets; default: AWS_REGION or AWS_DEFAULT_REGION.",
)
@click.option("--no-wait", is_flag=True, help="Start the scan and print its id, without waiting for its end.")
@json_option
@data_options
@click.pass_context
def scan(ctx: click.RichContext, /, targets: tuple[str, ...], **given: Any) -> None:
    """Scan folders, buckets or a single file, and print what was found.

    Uses the service that is up, or starts one for this run. Buckets are read with AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY if they are set, else with the service's own AWS credentials.
    """
    settings = settings_of(given["data"], given["config"])
    access = S3Access(given["endpoint_url"], given["region"], keys_from())
    flags = repeated_flags(settings, given["config"])
    up = running(settings)
    parsed = parse_targets(targets, access, local=up is None or up.local)
    if only := [target.key for target in parsed if target.key]:
        given["prefixes"] = _prefixes_of_file(only, given["prefixes"])
    if up is None and given["no_wait"]:
        raise Misuse("--no-wait needs a service that goes on: start one with `scanledger up`.")
    if given["name"] and len(parsed) > 1:
        raise Misuse("--name names one connector: give one target, or leave it out.")
    if up is None and (sys.stderr.isatty() or not given["as_json"]):
        click.echo(f"No service is up: starting one for this run, with its data in {settings.data}.", err=True)
    with connected_or_started(settings, up) as service:
        connectors = connectors_for(service.client, parsed, given["name"])
        started = service.client.post("/scans/parallel", body_of(connectors, given), creates=True)
        if given["no_wait"]:
            announce(started, flags, as_json=given["as_json"])
            return
        label = ", ".join(target.text for target in parsed)
        with minding_interruption(service, started["scan_id"], flags):
            final = _watched(service.client, started["scan_id"], label, as_json=given["as_json"])
        _report(service.client, final, label, flags, as_json=given["as_json"])
    ctx.exit(EXIT_OF_STATUS[final["status"]])


def body_of(connectors: list[str], given: dict[str, Any]) -> Document:
    """The request for POST /scans/parallel: only what was asked for, so that the service's defaults hold."""
    named = ("max_files", "max_workers", "timeout_minutes", "coverage_target", "priority")
    wanted = {**{name: given[name] for name in named}, "sample_percent": given["sample"]}
    options = {name: value for name, value in wanted.items() if value is not None}
    if given["file_types"]:
        options["file_types"] = [extension.removeprefix(".") for extension in given["file_types"]]
    if given["prefixes"]:
        options["prefixes"] = list(given["prefixes"])
    if given["strict"]:
        options["coverage_strategy"] = "strict"
    if given["detectors"]:
        options["detectors"] = [name.strip() for name in given["detectors"].split(",")]
    return {"connectors": connectors, "type": "incremental" if given["incremental"] else "full", "options": options}


def _prefixes_of_file(only: list[str], given: tuple[str, ...]) -> tuple[str, ...]:
    if given:
        raise Misuse("--prefix chooses from a folder: leave it out when you name a file.")
    return tuple(only)


def announce(started: Document, flags: str, *, as_json: bool) -> None:
    """Print the id of a scan that was started and is not waited for."""
    if as_json:
        write_json(started)
        return
    click.echo(started["scan_id"])
    click.echo(f"Watch it with: scanledger scans watch {started['scan_id']}{flags}", err=True)


def _watched(client: Client, scan_id: str, label: str, *, as_json: bool) -> Document:
    console = diagnostics() if as_json else output()
    return follow(client, Watched(scan_id, label), console, quiet=as_json)


def follow(client: Client, watched: Watched, console: Console, *, quiet: bool) -> Document:
    """Watch one scan to its end. `quiet`: bars if there is a terminal for them, else nothing."""
    display = display_for(console, silent=quiet and not console.is_terminal)
    return watch(client, [watched], display)[0]


@contextmanager
def minding_interruption(service: Service, scan_id: str, flags: str) -> Iterator[None]:
    """On Ctrl-C: a scan in a service of our own is cancelled with it, any other goes on, and we say how to return.

    A reader that closes the pipe ends the scan of our own service as well, without a word.
    """
    try:
        yield
    except BrokenPipeError:
        if service.own:
            with suppress(ApiFailure):
                service.client.post(f"/scans/{scan_id}/cancel")
        raise
    except KeyboardInterrupt:
        click.echo(err=True)
        if service.own:
            with suppress(ApiFailure):
                service.client.post(f"/scans/{scan_id}/cancel")
            click.echo(f"Cancelled scan {scan_id}; stopping the service.", err=True)
        else:
            click.echo(f"Scan {scan_id} goes on.", err=True)
            click.echo(f"  Watch it again:  scanledger scans watch {scan_id}{flags}", err=True)
            click.echo(f"  Cancel it:       scanledger scans cancel {scan_id}{flags}", err=True)
        raise


def _report(client: Client, final: Document, label: str, flags: str, *, as_json: bool) -> None:
    if as_json:
        write_json({**final, "findings": [one.document() for one in summed(client, final["scan_id"])]})
    else:
        print_result(output(), client, final, label, flags=flags)
