"""`make demo`: a service and an S3 server from nothing, two buckets and a folder scanned at once, the sums verified.

Ends by itself: 0 if every sum is what the generator put there, 1 if not, 130 on Ctrl-C. Leaves no process behind.
"""

import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import fill
from objects import Place, places
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from verify import faults_of

from api.cli.client import Client, Document
from api.cli.connection import stored_credentials
from api.cli.display import display_for
from api.cli.failures import Failure, Terminated
from api.cli.options import output
from api.cli.result import print_coverage, print_failures, print_findings, print_heading
from api.cli.summary import summed
from api.cli.text import byte_size, cell, moment, number
from api.cli.watching import Watched, watch
from domain.errors import ScanledgerError
from infrastructure.s3_server import S3Server
from infrastructure.wiring import load_settings, running_service

DATA: Final = Path(".scanledger-demo")
EVENTS_SHOWN: Final = 6
GO_ON: Final = f"""
Go on:
  .venv/bin/scanledger scan ~/Documents                   your own files, with a service just for that
  .venv/bin/scanledger up                                 the service, until Ctrl-C: its page at /, its API at /docs
  .venv/bin/scanledger up --data {DATA}          the same with the scans of this demo in it; then, elsewhere:
  .venv/bin/scanledger scans list --data {DATA}  what was scanned
  .venv/bin/scanledger --help"""


def main() -> int:
    """The demo from start to end; its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    console = output()
    try:
        return _demo(console)
    except KeyboardInterrupt:
        console.print("Interrupted: everything was stopped.")
        return 130
    except (Failure, ScanledgerError) as error:
        (error if isinstance(error, Failure) else Failure(str(error))).show()
        return 1


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


def _demo(console: Console) -> int:
    began = time.monotonic()
    console.print(Rule("Scanledger demo", characters="─"))
    with ExitStack() as stack:
        server, client, made = _prepared(console, stack)
        scans = [_started(client, place, config) for place, config in _connectors(server, made)]
        console.print(f"Scanning {len(scans)} places at once.")
        finals = watch(client, scans, display_for(console))
        faults = _presented(console, client, made, scans, finals)
        stack.callback(_finish_undisturbed)
    _conclude(console, faults, time.monotonic() - began)
    return 1 if faults else 0


def _prepared(console: Console, stack: ExitStack) -> tuple[S3Server, Client, Sequence[Place]]:
    """A filled S3 server and folder, and a service that may read them; both stop with `stack`."""
    shutil.rmtree(DATA, ignore_errors=True)
    folder = DATA.resolve() / "shared-drive"
    folder.mkdir(parents=True)
    server = stack.enter_context(S3Server())
    with _apart(_filled, server, folder) as filling:
        console.print("Starting PostgreSQL, NATS, the service and an S3 server; making two buckets and a folder …")
        settings = load_settings({"data": DATA, "port": 0, "filesystem_roots": (folder,)})
        stack.enter_context(running_service(settings))
        made = filling.result()
    total = sum(place.total_bytes for place in made)
    objects = sum(len(place.objects) for place in made)
    console.print(f"There are {number(objects)} objects of {byte_size(total)}, {len(made) - 1} buckets and a folder.")
    credentials = stored_credentials(DATA)
    if credentials is None:
        raise Failure("The service left no credentials.")
    return server, stack.enter_context(Client(*credentials)), made


@contextmanager
def _apart(work: Any, *arguments: object) -> Iterator["Future[Any]"]:
    """`work` in a thread, while the caller does something else."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(work, *arguments)


def _filled(server: S3Server, folder: Path) -> Sequence[Place]:
    *buckets, drive = places()
    for bucket in buckets:
        fill.fill_bucket(server, bucket)
    fill.fill_folder(folder, drive)
    return [*buckets, drive]


def _connectors(server: S3Server, made: Sequence[Place]) -> Iterator[tuple[Place, Document]]:
    *buckets, drive = made
    access = {
        "endpoint_url": server.endpoint_url,
        "region": server.region,
        "access_key_id": server.access_key_id,
        "secret_access_key": server.secret_access_key,
    }
    for bucket in buckets:
        yield bucket, {"type": "s3", "config": {"bucket": bucket.name, **access}}
    yield drive, {"type": "filesystem", "config": {"root": str(DATA.resolve() / drive.name)}}


def _started(client: Client, place: Place, connector: Document) -> Watched:
    made = client.post("/connectors", {"name": place.name, **connector}, creates=True)
    client.post(f"/connectors/{made['connector_id']}/test")
    body = {"connectors": [made["connector_id"]], "type": "full"}
    scan = client.post("/scans/parallel", body, creates=True)
    return Watched(scan["scan_id"], place.name)


def _presented(
    console: Console, client: Client, made: Sequence[Place], scans: Sequence[Watched], finals: Sequence[Document]
) -> list[str]:
    """Print what the scans came to; every sum that is not what the generator put there."""
    faults: list[str] = []
    for place, scan, final in zip(made, scans, finals, strict=True):
        sums = summed(client, scan.scan_id)
        console.print()
        console.print(Rule(place.name, characters="─"))
        print_heading(console, final)
        print_coverage(console, final)
        print_findings(console, sums)
        if final["progress"]["files_failed"]:
            print_failures(console, client, final)
        faults += faults_of(place, final, sums)
    console.print()
    _print_history(console, client, scans[0])
    return faults


def _print_history(console: Console, client: Client, scan: Watched) -> None:
    """The first and the last events of a scan, and how many of each kind there are."""
    events = list(client.items(f"/scans/{scan.scan_id}/events"))
    console.print(Rule(f"History of {scan.label}: {len(events)} events", characters="─"))
    table = Table("Version", "At", "Event", "By", pad_edge=False, box=None, header_style="bold")
    for event in events[:EVENTS_SHOWN]:
        table.add_row(*_event_row(event))
    if len(events) > 2 * EVENTS_SHOWN:
        table.add_row("…", "", f"{len(events) - 2 * EVENTS_SHOWN} more", "")
    for event in events[max(EVENTS_SHOWN, len(events) - EVENTS_SHOWN) :]:
        table.add_row(*_event_row(event))
    console.print(table)


def _event_row(event: Document) -> Iterator[Any]:
    yield str(event["version"])
    yield moment(event["occurred_at"])
    yield cell(event["kind"])
    yield cell(event["actor"])


def _conclude(console: Console, faults: Sequence[str], seconds: float) -> None:
    console.print()
    console.print(Rule("Result", characters="─"))
    for fault in faults:
        console.print(cell(f"WRONG: {fault}", "red"))
    if not faults:
        console.print("Verified: every object is accounted for, every sum is what was put there.", style="green")
    console.print(f"Took {seconds:.0f} s. Everything was stopped; the results are kept in {DATA}/.")
    console.print(GO_ON, soft_wrap=True)


def _finish_undisturbed() -> None:
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
