"""An incremental scan of a bucket in which nothing changed, beside a bare LIST of the same bucket.

The whole service, from asking for the scan to its end: it lists, merges with the inventory, plans and records every
object, and opens none. The inventory is written beforehand as the scan before would have left it. Alternating rounds;
the bare LISTs are boto3's paginator and the service's own source. Every round checks that all was found unchanged.
"""

from contextlib import ExitStack
from functools import partial
from itertools import chain

from benchmarks.installation import Installation
from benchmarks.many_objects import BUCKET, Rates, bare_list, bucket_of, in_turns, open_bucket, source_list, timed
from benchmarks.scanning import RULESET, Scanner, scanner_of
from benchmarks.tables import Table, figure, median, ratio
from domain.coverage import SkipReason
from domain.inventory import Known, Ruleset
from infrastructure.postgres.inventory_pages import ENTRIES_A_PAGE, encode, key_bytes
from infrastructure.s3_server import S3Server

AIM = 1.3
BARE, SOURCE, SERVICE = "boto3's paginator", "source alone", "incremental scan"


def run(*, quick: bool) -> None:
    count, rounds = (5_000, 1) if quick else (200_000, 2)
    with ExitStack() as stack:
        server = stack.enter_context(bucket_of(count))
        scanner = stack.enter_context(scanner_of(server, BUCKET, slots=1))
        _know(scanner, server)
        _scan(scanner, count)
        ways = {
            BARE: partial(timed, bare_list(server), count),
            SOURCE: partial(timed, stack.enter_context(source_list(server)), count),
            SERVICE: partial(_scan, scanner, count),
        }
        rates = in_turns(ways, count, rounds)
    _table(rates, count).show()


def _know(scanner: Scanner, server: S3Server) -> None:
    """An inventory of all that the bucket holds, as a scan that read everything leaves it."""
    with open_bucket(server) as source:
        rules = Ruleset(RULESET)
        entries = [
            Known(e.key, e.size, e.etag, "scan-before", rules) for e in chain.from_iterable(source.list_pages(""))
        ]
    _write(scanner.service, scanner.connector, scanner.log.connector(scanner.connector).location, entries)


def _write(service: Installation, connector: str, location: str, entries: list[Known]) -> None:
    with service.database() as connection, connection.transaction(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO inventories VALUES (%s, %s, 1, %s, 'scan-before')", (connector, location, len(entries))
        )
        for at in range(0, len(entries), ENTRIES_A_PAGE):
            page = entries[at : at + ENTRIES_A_PAGE]
            cursor.execute(
                "INSERT INTO inventory_pages VALUES (%s, 1, %s, %s, %s)",
                (connector, key_bytes(page[0].key), len(page), encode(page)),
            )


def _scan(scanner: Scanner, count: int) -> tuple[float, float]:
    measured = scanner.scan("incremental", seconds=600)
    if measured.scan.coverage.skipped != {SkipReason.UNCHANGED: count}:
        raise RuntimeError(f"not everything was found unchanged: {measured.scan.status} {measured.scan.coverage}")
    return measured.seconds, measured.cpu_seconds


def _table(rates: dict[str, Rates], count: int) -> Table:
    columns = ("", "objects/s", "time ÷ boto3's paginator", "time ÷ source alone", "aim", "client CPU µs an object")
    table = Table(f"Incremental: {count:,} unchanged objects of one bucket", columns)
    for name, kept in rates.items():
        beside = [f"{ratio(rates[other].objects, kept.objects):.2f}" for other in (BARE, SOURCE)]
        aim = f"≤ {AIM}" if name == SERVICE else ""
        table.add(name, figure(median(kept.objects)), *beside, aim, figure(median(kept.cpu)))
    return table
