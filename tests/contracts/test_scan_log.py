"""The contract of the port `ScanLog`, on PostgreSQL and on the fake that tests of use cases take in its place."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any

import psycopg
import pytest

from application.messages import ReportedFinding
from application.ports import (
    Append,
    Claimed,
    ConcurrentAppend,
    ExceptionRow,
    FindingRow,
    LogRewound,
    ManifestPage,
    ObjectPartRow,
    PartRow,
    Recorded,
    Refused,
    Rows,
    ScanLog,
)
from domain.chunk import Chunk
from domain.coverage import Disposition
from domain.errors import NotFound, ServiceUnavailable
from domain.scan import Scan, Status
from domain.scan_events import ENDINGS, Cancelled, ChunkStarted, Completed, Failed, PartiallyCompleted, Paused, Resumed
from infrastructure.postgres.event_log import PostgresScanLog
from tests.application.memory_log import MemoryScanLog
from tests.domain.given import KEY, LATER, NOON, after, all_scanned, objects, queued, report, running_history
from tests.domain.samples import SAMPLES

ENDED = [ending.kind for ending in ENDINGS]
TABLES = ("manifest_pages", "object_exceptions", "findings", "report_parts", "object_parts", "incremental_claims")

ROWS = ("pages", "exceptions", "findings", "parts", "object_parts", "claims")
NONE, ONE_EACH = (0,) * len(ROWS), (1,) * len(ROWS)


@dataclass(frozen=True)
class Log:
    """A log under test, and how many rows of each table it holds."""

    log: ScanLog
    rows: Callable[[], tuple[int, ...]]


@pytest.fixture(scope="module")
def postgres(database_url: str) -> Iterator[PostgresScanLog]:
    log = PostgresScanLog(database_url, pool_size=6)
    yield log
    log.close()


@pytest.fixture(params=["memory", "postgres"])
def kept(request: pytest.FixtureRequest) -> Iterator[Log]:
    if request.param == "memory":
        fake = MemoryScanLog()
        held = fake.rows
        yield Log(fake, lambda: tuple(len(getattr(held, name)) for name in ROWS))
        return
    url = request.getfixturevalue("database_url")
    _empty(request.getfixturevalue("postgres_server").superuser_url, url)
    yield Log(request.getfixturevalue("postgres"), lambda: _counts(url))


@pytest.fixture
def log(kept: Log) -> ScanLog:
    return kept.log


def _empty(superuser_url: str, url: str) -> None:
    """Only a superuser who switches the log's trigger off can do this."""
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(superuser_url, dbname=name) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(f"TRUNCATE stored_events, {', '.join(TABLES)} RESTART IDENTITY".encode())


def _counts(url: str) -> tuple[int, ...]:
    with psycopg.connect(url) as connection:
        query = ", ".join(f"(SELECT count(*) FROM {table})" for table in TABLES)
        return tuple(connection.execute(f"SELECT {query}".encode()).fetchone() or ())


def some_rows(scan: str = "scan-1", *, at: int = 0) -> Rows:
    """One row of each table, as one report may leave them."""
    chunk = Chunk(at, at + 1, 2, 20)
    finding = ReportedFinding(
        index=at, object="k\0\n", detector="pii.email", category="pii", confidence=0.9, count=1, occurrences=[]
    )
    return Rows(
        pages=[ManifestPage(scan, at, 0, "conn-0", objects(2), [None, None], 0, [chunk])],
        exceptions=[ExceptionRow(scan, at, Disposition.FAILED, "network", "It sent \0.")],
        findings=[FindingRow(scan, f"fnd-{at}", "conn-0", finding.object, at, finding, NOON)],
        parts=[PartRow(scan, 0, 1, 1, b"part")],
        object_parts=[ObjectPartRow(scan, at, 0, 3, 2, b"[]")],
        claims=[("conn-0", scan)],
    )


def started(number: int) -> ChunkStarted:
    return ChunkStarted(
        at=NOON,
        actor="worker:w",
        chunk=number,
        attempt=1,
        worker="w",
        connector="c",
        start_index=0,
        end_index=0,
        files=1,
    )


# Appending and reading ------------------------------------------------------------------------------------------------


def test_an_empty_log_stands_at_zero(log: ScanLog) -> None:
    assert log.position() == 0
    assert list(log.read(0, 10)) == []
    assert list(log.open_scans()) == []
    assert log.append([]) == 0


def test_events_of_every_kind_are_read_back_in_order_with_their_places(log: ScanLog) -> None:
    position = log.append([Append("s", 0, SAMPLES)])
    read = log.read(0, 1000)
    assert [record.event for record in read] == list(SAMPLES)
    assert [record.version for record in read] == list(range(1, len(SAMPLES) + 1))
    assert [record.position for record in read] == sorted({record.position for record in read})
    assert position == log.position() == read[-1].position
    assert {record.stream for record in read} == {"s"}


def test_one_save_may_hold_several_streams_and_many_events(log: ScanLog) -> None:
    log.append([Append("a", 0, [queued()]), Append("b", 0, [queued()])])
    log.append([Append("a", 1, [started(n) for n in range(400)]), Append("b", 1, [started(0)])])
    assert [len(log.history(stream, 0, 1000)) for stream in "ab"] == [401, 2]
    assert [record.stream for record in log.read(0, 1000)] == ["a", "b", *["a"] * 400, "b"]


def test_reading_goes_on_after_a_position_and_stops_at_the_limit(log: ScanLog) -> None:
    log.append([Append("a", 0, [queued(), *(started(n) for n in range(9))])])
    seen: list[Recorded] = []
    while page := log.read(seen[-1].position if seen else 0, 4):
        assert len(page) <= 4
        seen += page
    assert [record.version for record in seen] == list(range(1, 11))


def test_a_history_is_of_one_stream_after_a_version_up_to_the_limit(log: ScanLog) -> None:
    log.append([Append("a", 0, [queued(), started(0), started(1)]), Append("b", 0, [queued()])])
    assert [record.version for record in log.history("a", 1, 10)] == [2, 3]
    assert [record.version for record in log.history("a", 0, 2)] == [1, 2]
    assert list(log.history("none", 0, 10)) == []


# All or nothing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_version", [0, 1])
def test_whoever_comes_second_writes_nothing(log: ScanLog, after_version: int) -> None:
    log.append([Append("a", 0, [queued(), started(0)])])
    with pytest.raises(ConcurrentAppend):
        log.append([Append("a", after_version, [started(1)])])
    assert len(log.history("a", 0, 10)) == 2


@pytest.mark.parametrize("stream", ["a", "none"])
def test_nothing_is_written_behind_a_gap(kept: Log, stream: str) -> None:
    kept.log.append([Append("a", 0, [queued(), started(0)])])
    with pytest.raises(LogRewound):
        kept.log.append([Append("b", 0, [queued()]), Append(stream, 3, [started(1), started(2)])], some_rows())
    assert kept.log.position() == 2
    assert kept.rows() == NONE
    kept.log.append([Append("a", 2, [started(1), started(2)])])
    assert [record.version for record in kept.log.history("a", 0, 10)] == [1, 2, 3, 4]


def test_a_conflict_in_one_stream_writes_nothing_to_any_and_no_row(kept: Log) -> None:
    kept.log.append([Append("a", 0, [queued()])])
    with pytest.raises(ConcurrentAppend):
        kept.log.append([Append("b", 0, [queued()]), Append("a", 0, [started(1)])], some_rows())
    assert kept.log.position() == 1
    assert kept.rows() == NONE
    kept.log.append([Append("a", 1, [started(1)])])
    assert [record.stream for record in kept.log.read(1, 10)] == ["a"]


def test_rows_are_written_with_the_events_that_count_them(kept: Log) -> None:
    kept.log.append([Append("scan-1", 0, [queued()])], some_rows())
    assert kept.rows() == ONE_EACH


def test_rows_may_come_without_events_and_give_the_last_position(kept: Log) -> None:
    position = kept.log.append([Append("scan-1", 0, [queued()])])
    assert kept.log.append([], Rows(parts=[PartRow("scan-1", 0, 1, 1, b"x")])) == position
    assert kept.rows() == (0, 0, 0, 1, 0, 0)


def test_a_part_recorded_twice_is_kept_once_and_goes_when_its_report_is_complete(kept: Log) -> None:
    parts = [PartRow("s", 0, 1, 1, b"x"), PartRow("s", 0, 2, 1, b"x"), PartRow("s", 1, 1, 1, b"x")]
    kept.log.append([], Rows(parts=parts))
    kept.log.append([], Rows(parts=parts))
    assert kept.rows()[3] == 3
    kept.log.append([], Rows(parts_done=[("s", 0, 2)]))
    assert kept.rows()[3] == 1


@pytest.mark.parametrize("table", ["pages", "exceptions", "findings", "object_parts"])
def test_rows_that_cannot_be_taken_are_refused_with_their_events(kept: Log, table: str) -> None:
    kept.log.append([Append("scan-1", 0, [queued()])], some_rows())
    again = Rows()
    setattr(again, table, getattr(some_rows(), table))
    with pytest.raises(Refused):
        kept.log.append([Append("scan-1", 1, [started(0)])], again)
    assert kept.rows() == ONE_EACH
    assert len(kept.log.history("scan-1", 0, 10)) == 1


def test_the_parts_of_a_huge_object_go_when_it_is_accounted_for_and_one_that_comes_with_that_is_not_kept(
    kept: Log,
) -> None:
    rows = [ObjectPartRow("s", index, part, 0, 0, b"[]") for index in (3, 4) for part in (0, 1)]
    kept.log.append([], Rows(object_parts=rows))
    assert kept.rows()[4] == 4
    last = ObjectPartRow("s", 3, 2, 0, 0, b"[]")
    kept.log.append([], Rows(object_parts=[last], object_parts_done=[("s", 3)]))
    assert kept.rows()[4] == 2


# Claims ---------------------------------------------------------------------------------------------------------------


def claiming(*connectors: str, scan: str) -> Rows:
    return Rows(claims=[(connector, scan) for connector in connectors])


def test_who_claims_what_another_open_scan_has_writes_nothing(kept: Log) -> None:
    kept.log.append([Append("a", 0, [queued()])], claiming("c1", scan="a"))
    with pytest.raises(Claimed) as caught:
        kept.log.append([Append("b", 0, [queued()])], claiming("c2", "c1", scan="b"))
    assert (caught.value.connector, caught.value.scan) == ("c1", "a")
    assert kept.log.position() == 1
    kept.log.append([Append("b", 0, [queued()])], claiming("c2", scan="b"))
    assert kept.rows()[5] == 2


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.kind)
def test_a_claim_is_free_once_its_scan_has_ended(log: ScanLog, ending: Any) -> None:
    log.append([Append("a", 0, [queued()])], claiming("c1", scan="a"))
    why = {"reason": "x"} if ending in {PartiallyCompleted, Failed} else {}
    log.append([Append("a", 1, [ending(at=LATER, actor=KEY, **why)])])
    log.append([Append("b", 0, [queued()])], claiming("c1", scan="b"))
    with pytest.raises(Claimed) as caught:
        log.append([Append("c", 0, [queued()])], claiming("c1", scan="c"))
    assert caught.value.scan == "b"


def test_of_many_who_claim_a_connector_at_once_one_does(log: ScanLog) -> None:
    def start(number: int) -> bool:
        try:
            log.append([Append(f"s{number}", 0, [queued()])], claiming("c1", scan=f"s{number}"))
        except Claimed:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(start, range(8))) == 1
    assert len(log.open_scans()) == 1


# Folding --------------------------------------------------------------------------------------------------------------


def finished_history() -> list[Any]:
    events = running_history(chunks=1)
    return [*events, *report(after(Scan(), events), 0, all_scanned(3))]


def test_a_scan_is_what_its_events_say(log: ScanLog) -> None:
    events = finished_history()
    log.append([Append("scan-1", 0, events)])
    assert log.scan("scan-1") == after(Scan(), events)
    assert log.scan("scan-1").status is Status.COMPLETED


def test_the_course_of_a_scan_leaves_out_its_bulk(log: ScanLog) -> None:
    events = finished_history()
    log.append([Append("scan-1", 0, events)])
    course = log.course("scan-1")
    whole = after(Scan(), events)
    assert (course.status, course.tenant, course.options) == (whole.status, whole.tenant, whole.options)
    assert (course.ended_at, course.units[0].status) == (whole.ended_at, whole.units[0].status)
    assert (course.version, course.coverage.enumerated, len(course.pending)) == (4, 0, 0)


def test_a_connector_is_what_its_events_say_even_when_deleted(log: ScanLog) -> None:
    events = [event for event in SAMPLES if event.kind.startswith("connector.")]
    log.append([Append("conn-1", 0, events)])
    connector = log.connector("conn-1")
    assert (connector.connector_id, connector.name, connector.version) == ("conn-1", "Bills", len(events))
    assert connector.deleted


def test_what_is_not_there_is_not_found(log: ScanLog) -> None:
    connector = next(event for event in SAMPLES if event.kind == "connector.created")
    log.append([Append("scan-1", 0, [queued()]), Append("conn-1", 0, [connector])])
    for find, names in [
        (log.scan, ["none", "conn-1"]),
        (log.course, ["none", "conn-1"]),
        (log.connector, ["none", "scan-1"]),
    ]:
        for name in names:
            with pytest.raises(NotFound):
                find(name)


def test_open_scans_are_those_without_an_ending_oldest_first(log: ScanLog) -> None:
    for name in ("z", "a", "m"):
        log.append([Append(name, 0, [queued()])])
    log.append([Append("conn-1", 0, [next(e for e in SAMPLES if e.kind == "connector.created")])])
    log.append([Append("a", 1, [Completed(at=LATER, actor="system:recorder")]), Append("z", 1, [started(0)])])
    assert list(log.open_scans()) == ["z", "m"]


# Appending next -------------------------------------------------------------------------------------------------------

CANCELLED = Cancelled(at=LATER, actor=KEY)


def test_appending_next_needs_no_version(log: ScanLog) -> None:
    log.append([Append("a", 0, [queued(), started(0)])])
    position = log.append_next("a", [CANCELLED], unless=ENDED)
    assert position == log.position()
    last = log.history("a", 2, 10)
    assert [(record.version, record.event) for record in last] == [(3, CANCELLED)]


def test_appending_next_gives_way_to_what_it_must_not_follow(log: ScanLog) -> None:
    log.append([Append("a", 0, [queued(), CANCELLED])])
    before = log.position()
    assert log.append_next("a", [CANCELLED], unless=ENDED) is None
    assert log.position() == before
    assert log.append_next("b", [queued()], unless=ENDED) is not None


PAUSED, RESUMED = Paused(at=LATER, actor=KEY), Resumed(at=LATER, actor=KEY)


def test_what_alternates_is_not_appended_twice_in_a_row(log: ScanLog) -> None:
    log.append([Append("a", 0, [queued()]), Append("b", 0, [queued()])])
    alternating = [PAUSED.kind, RESUMED.kind]
    answers = [
        log.append_next("a", [event], unless=ENDED, alternating=alternating) is not None
        for event in (PAUSED, PAUSED, RESUMED, RESUMED, PAUSED)
    ]
    assert answers == [True, False, True, False, True]
    log.append([Append("a", 4, [started(0)])])
    assert log.append_next("a", [PAUSED], unless=ENDED, alternating=alternating) is None
    assert log.append_next("b", [PAUSED], unless=ENDED, alternating=alternating) is not None
    assert [record.event.kind for record in log.history("a", 1, 9)][:3] == [PAUSED.kind, RESUMED.kind, PAUSED.kind]


def test_what_alternates_gives_way_to_an_ending_as_well(log: ScanLog) -> None:
    log.append([Append("a", 0, [queued(), PAUSED, CANCELLED])])
    assert log.append_next("a", [RESUMED], unless=ENDED, alternating=[PAUSED.kind, RESUMED.kind]) is None


def test_of_many_who_append_an_ending_at_once_one_does(log: ScanLog) -> None:
    log.append([Append("a", 0, [queued()])])
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: log.append_next("a", [CANCELLED], unless=ENDED), range(12)))
    assert sum(answer is not None for answer in answers) == 1
    assert len(log.history("a", 0, 10)) == 2


# Several writers ------------------------------------------------------------------------------------------------------


def test_a_follower_never_passes_over_an_event_of_concurrent_writers(log: ScanLog) -> None:
    done = Event()

    def write(writer: int) -> None:
        log.append([Append(f"s{writer}", 0, [queued()])])
        for number in range(40):
            log.append([Append(f"s{writer}", 1 + 3 * number, [started(n) for n in range(3)])])

    def follow() -> list[Recorded]:
        seen: list[Recorded] = []
        while True:
            last_round = done.is_set()
            while page := log.read(seen[-1].position if seen else 0, 50):
                seen += page
            if last_round:
                return seen

    with ThreadPoolExecutor(5) as pool:
        followed = pool.submit(follow)
        for writing in [pool.submit(write, writer) for writer in range(4)]:
            writing.result()
        done.set()
        seen = followed.result()
    assert len(seen) == 4 * 121
    for writer in range(4):
        versions = [record.version for record in seen if record.stream == f"s{writer}"]
        assert versions == list(range(1, 122))


# PostgreSQL alone -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stored_events SET topic = 'scan.completed'",
        "DELETE FROM stored_events",
        "TRUNCATE stored_events",
    ],
)
def test_the_log_cannot_be_rewritten(postgres: PostgresScanLog, database_url: str, statement: str) -> None:
    name = f"scan-{postgres.position()}-{statement[:3]}"
    position = postgres.append([Append(name, 0, [queued()])])
    with (
        psycopg.connect(database_url) as connection,
        pytest.raises(psycopg.errors.RaiseException, match="append-only"),
    ):
        connection.execute(statement.encode())
    assert postgres.position() == position


def test_an_auditor_reads_every_event_in_sql(postgres: PostgresScanLog, database_url: str) -> None:
    postgres.append([Append("audited", 0, SAMPLES)])
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT kind, data->>'actor' FROM events WHERE stream = 'audited' ORDER BY version"
        ).fetchall()
    assert rows == [(event.kind, event.actor) for event in SAMPLES]


def test_without_a_database_every_method_says_so(unused_port: int) -> None:
    calls: list[Callable[[ScanLog], object]] = [
        lambda log: log.scan("s"),
        lambda log: log.course("s"),
        lambda log: log.connector("c"),
        lambda log: log.append([Append("s", 0, [queued()])]),
        lambda log: log.append_next("s", [CANCELLED], unless=ENDED),
        lambda log: log.read(0, 1),
        lambda log: log.history("s", 0, 1),
        lambda log: log.open_scans(),
        lambda log: log.position(),
    ]

    def fails(call: Callable[[ScanLog], object]) -> None:
        log = PostgresScanLog(f"postgresql://nobody@127.0.0.1:{unused_port}/none", timeout=0.3)
        with pytest.raises(ServiceUnavailable):
            call(log)
        log.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        list(pool.map(fails, calls))


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
