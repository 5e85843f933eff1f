"""Objects a second of listing a bucket of very many: the source alone and the whole service, beside boto3's paginator.

The service is given nothing to read: from asking for a scan to its end it lists, reports, plans and records every
object. Everybody lists the same bucket of the same S3 server, in alternating rounds. That server, one Python process on
the same cores, goes through all of its keys for each page: hence the clients' own CPU time, the server's left out.
"""

from contextlib import ExitStack
from functools import partial

from benchmarks.many_objects import BUCKET, Rates, bare_list, bucket_of, in_turns, source_list, timed
from benchmarks.scanning import Scanner, scanner_of
from benchmarks.tables import Table, figure, median, ratio

AIM = 0.8
BARE, SOURCE, SERVICE = "boto3's paginator", "source alone", "whole service"
SLOTS = 1
NOTHING = ("zzz",)
"""A file type that no object has."""


def run(*, quick: bool) -> None:
    count, rounds = (5_000, 1) if quick else (50_000, 3)
    with ExitStack() as stack:
        server = stack.enter_context(bucket_of(count))
        scanner = stack.enter_context(scanner_of(server, BUCKET, slots=SLOTS))
        list_by_service(scanner, count)
        ways = {
            BARE: partial(timed, bare_list(server), count),
            SOURCE: partial(timed, stack.enter_context(source_list(server)), count),
            SERVICE: partial(list_by_service, scanner, count),
        }
        rates = in_turns(ways, count, rounds)
    _table(rates, count).show()


def list_by_service(scanner: Scanner, count: int) -> tuple[float, float]:
    """Seconds and CPU seconds of a scan that reads nothing, so that it ends as soon as all is listed."""
    measured = scanner.scan(file_types=NOTHING, seconds=600)
    if measured.scan.coverage.enumerated != count:
        raise RuntimeError(f"not everything was listed: {measured.scan.status} {measured.scan.coverage}")
    return measured.seconds, measured.cpu_seconds


def _table(rates: dict[str, Rates], count: int) -> Table:
    columns = ("", "objects/s", "÷ boto3's paginator", "aim", "client CPU µs an object")
    table = Table(f"Listing: {count:,} objects of one bucket", columns)
    for name, kept in rates.items():
        beside = "" if name == BARE else f"{ratio(kept.objects, rates[BARE].objects):.2f}"
        aim = f"≥ {AIM}" if name == SERVICE else ""
        table.add(name, figure(median(kept.objects)), beside, aim, figure(median(kept.cpu)))
    return table
