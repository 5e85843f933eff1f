"""`scanledger scans cancel|pause|resume|redrive`: what becomes of a scan from here on."""

from pathlib import Path

import rich_click as click

from api.cli.client import Document
from api.cli.connection import connected
from api.cli.failures import EXIT_OF_STATUS
from api.cli.options import data_options, json_option, repeated_flags, settings_of, write_json
from api.cli.scan import announce
from api.cli.scans import scan_id_argument, scans, watched_to_its_end
from api.cli.text import number
from infrastructure.wiring import Settings

__all__ = ["cancel", "pause", "redrive", "resume", "scans"]


@scans.command()
@scan_id_argument
@json_option
@data_options
def cancel(scan_id: str, as_json: bool, data: Path | None, config: Path | None) -> None:
    """Cancel a scan; what it found so far stays."""
    answer = _posted(settings_of(data, config), f"/scans/{scan_id}/cancel")
    if as_json:
        write_json(answer)
        return
    partial = answer["partial_results"]
    click.echo(
        f"Scan {scan_id} is {answer['status']}, after {number(partial['files_processed'])} files "
        f"and {number(partial['findings_count'])} findings."
    )


@scans.command()
@scan_id_argument
@json_option
@data_options
def pause(scan_id: str, as_json: bool, data: Path | None, config: Path | None) -> None:
    """Pause a scan: what is in work finishes, and its time stands still until it is resumed."""
    settings = settings_of(data, config)
    answer = _posted(settings, f"/scans/{scan_id}/pause")
    if as_json:
        write_json(answer)
        return
    click.echo(f"Scan {scan_id} is {answer['status']}.")
    click.echo(f"  Go on with it:  scanledger scans resume {scan_id}{repeated_flags(settings, config)}", err=True)


@scans.command()
@scan_id_argument
@json_option
@data_options
def resume(scan_id: str, as_json: bool, data: Path | None, config: Path | None) -> None:
    """Go on with a paused scan."""
    answer = _posted(settings_of(data, config), f"/scans/{scan_id}/resume")
    if as_json:
        write_json(answer)
    else:
        click.echo(f"Scan {scan_id} is {answer['status']}.")


def _posted(settings: Settings, path: str) -> Document:
    with connected(settings) as service:
        answer: Document = service.client.post(path)
        return answer


@scans.command(epilog="Exits with 0 completed, 1 error, 2 usage, 3 failed, 4 partial, 5 cancelled.")
@scan_id_argument
@click.option("--no-wait", is_flag=True, help="Start the scan and print its id, without waiting for its end.")
@json_option
@data_options
@click.pass_context
def redrive(
    ctx: click.Context, scan_id: str, *, no_wait: bool, as_json: bool, data: Path | None, config: Path | None
) -> None:
    """Scan again just what failed or remained in a scan that has ended."""
    settings = settings_of(data, config)
    flags = repeated_flags(settings, config)
    with connected(settings) as service:
        started = service.client.post(f"/scans/{scan_id}/redrive", creates=True)
        if no_wait:
            announce(started, flags, as_json=as_json)
            return
        status = watched_to_its_end(service, started["scan_id"], flags, as_json=as_json)
    ctx.exit(EXIT_OF_STATUS[status])
