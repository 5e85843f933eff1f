"""The views: what the projector writes is what the log says, however it came to write it."""

import functools
import itertools
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from application.ports import Append
from application.progress import ScanView, begin, project
from domain.connector import ConnectorChanged, ConnectorCreated, ConnectorDeleted, ConnectorType, Execution
from domain.errors import Conflict
from domain.scan_events import Cancelled, Queued, ScanEvent
from infrastructure.postgres import replay
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.projector import VIEWS, projector
from infrastructure.postgres.replay import rebuild, rebuild_until
from tests.domain.given import NOON
from tests.domain.histories import histories


def write(url: str, scan_id: str, events: Sequence[ScanEvent], sizes: Sequence[int] = (7,)) -> None:
    log, version = PostgresScanLog(url), 0
    try:
        while version < len(events):
            size = sizes[version % len(sizes)]
            log.append([Append(scan_id, version, events[version : version + size])])
            version += len(events[version : version + size])
    finally:
        log.close()


def project_all(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        follower = projector(url)
        while follower.catch_up(connection):
            pass


def rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    with psycopg.connect(url) as connection:
        return {table: connection.execute(f"SELECT t::text FROM {table} t ORDER BY 1").fetchall() for table in VIEWS}


def folded(scan_id: str, events: Sequence[ScanEvent]) -> ScanView:
    assert isinstance(events[0], Queued)
    progress = begin(scan_id, events[0])
    for event in events[1:]:
        progress = project(progress, event)
    return progress.view


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=histories(), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_the_stored_view_is_the_pure_fold_of_the_events_however_they_were_batched(
    database_url: str, events: list[ScanEvent], sizes: list[int]
) -> None:
    scan_id = f"scan-{uuid.uuid4()}"
    write(database_url, scan_id, events, sizes)
    project_all(database_url)
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT view::text FROM scan_views WHERE scan_id = %s", (scan_id,)).fetchone()
    assert row is not None
    assert msgspec.json.decode(row[0], type=ScanView) == folded(scan_id, events)


@pytest.fixture
def projected(new_database: Callable[[], str]) -> str:
    url = new_database()
    for number in range(4):
        write(url, f"scan-{number}", example(number))
    log = PostgresScanLog(url)
    created = ConnectorCreated(
        at=NOON,
        actor="key:a",
        tenant="t",
        name="n",
        type=ConnectorType.FILESYSTEM,
        execution=Execution.MANAGED,
        pool="default",
        config={"root": "/srv"},
        has_credentials=False,
    )
    log.append([Append("conn-1", 0, [created, ConnectorChanged(at=NOON, actor="key:a", name="m")])])
    log.append([Append("conn-2", 0, [created, ConnectorDeleted(at=NOON, actor="key:a")])])
    log.close()
    project_all(url)
    return url


@functools.cache
def example(number: int) -> list[ScanEvent]:
    """One history that is long enough to be worth projecting, the same in every run."""
    found: list[list[ScanEvent]] = []

    @settings(max_examples=30, deadline=None, database=None, derandomize=True)
    @given(histories())
    def collect(events: list[ScanEvent]) -> None:
        found.append(events)

    collect()
    return sorted(found, key=len)[-1 - number]


def test_a_rebuild_from_the_log_gives_identical_rows(projected: str) -> None:
    before = rows(projected)
    assert all(found for name, found in before.items() if name != "scan_loads")
    replayed = rebuild(projected)
    assert (replayed.differing, replayed.switched) == (0, True)
    assert {table.table: table.rows for table in replayed.tables} == {
        name: len(found) for name, found in before.items()
    }
    assert rows(projected) == before


def tampered(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE scan_views SET status = 'completed', version = 99 WHERE scan_id = 'scan-1'")
        connection.execute("DELETE FROM connector_views WHERE connector_id = 'conn-1'")
        connection.execute("INSERT INTO scan_worker_views VALUES ('scan-1', 'nobody', '{}')")


def test_a_rebuild_tells_each_row_that_was_tampered_with_and_puts_it_right(projected: str) -> None:
    before = rows(projected)
    tampered(projected)
    replayed = rebuild(projected)
    scans, workers, connectors, totals, loads = (table.shown for table in replayed.tables)
    [status] = [row[0] for row in before["scan_views"] if "scan-1" in str(row[0])]
    assert [(row.key, row.kind, set(row.fields)) for row in scans] == [("scan-1", "changed", {"status", "version"})]
    assert scans[0].fields["version"][0] == "99"
    assert f",{scans[0].fields['version'][1]}," in str(status)
    assert [(row.key, row.kind) for row in workers] == [("scan-1/nobody", "surplus")]
    assert [(row.key, row.kind) for row in connectors] == [("conn-1", "missing")]
    assert [*totals, *loads] == []
    assert rows(projected) == before
    assert rebuild(projected).differing == 0


def test_a_dry_run_compares_and_changes_nothing(projected: str) -> None:
    tampered(projected)
    before = rows(projected)
    replayed = rebuild(projected, dry_run=True)
    assert (replayed.differing, replayed.switched) == (3, False)
    assert rows(projected) == before


def test_a_row_of_an_earlier_version_that_means_the_same_is_no_difference(projected: str) -> None:
    before = rows(projected)
    with psycopg.connect(projected) as connection:
        connection.execute("UPDATE scan_views SET view = view - 'erased_at' - 'hits_allowed'")
    assert rebuild(projected).differing == 0
    assert rows(projected) == before


def test_the_views_as_they_stood_are_left_in_a_schema_of_their_own(projected: str) -> None:
    before = rows(projected)
    replayed = rebuild_until(projected, NOON)
    assert rows(projected) == before
    again = rebuild_until(projected, NOON)
    assert (again, again.switched) == (replayed, False)
    log = PostgresScanLog(projected)
    with psycopg.connect(projected) as connection:
        found = connection.execute(f"SELECT scan_id, view::text FROM {replayed.schema}.scan_views".encode()).fetchall()
    assert len(found) == 4
    for scan_id, view in found:
        events = [record.event for record in log.history(scan_id, 0, 10_000)]
        then = list(itertools.takewhile(lambda event: event.at <= NOON, events))
        assert msgspec.json.decode(view, type=ScanView) == folded(scan_id, then)  # type: ignore[arg-type]
    log.close()


def test_a_rebuild_that_is_killed_leaves_nothing_and_a_second_one_at_once_is_refused(projected: str) -> None:
    before = rows(projected)
    tampered(projected)
    inside, go_on = threading.Event(), threading.Event()
    ended: list[BaseException] = []

    def held(cursor: psycopg.Cursor[Any], *_: object) -> None:
        inside.set()
        go_on.wait(10)
        cursor.execute("SELECT 1")

    def run() -> None:
        try:
            rebuild(projected)
        except psycopg.Error as error:
            ended.append(error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "_put_right", held)
        thread = threading.Thread(target=run)
        thread.start()
        assert inside.wait(10)
        with pytest.raises(Conflict, match="being rebuilt already"):
            rebuild(projected)
        with psycopg.connect(projected, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND state = 'idle in transaction'"
            )
        go_on.set()
        thread.join()
    assert len(ended) == 1
    with psycopg.connect(projected) as connection:
        assert connection.execute("SELECT FROM pg_namespace WHERE nspname LIKE 'views%'").fetchall() == []
    assert rebuild(projected).differing == 3
    assert rows(projected) == before


def test_the_projector_goes_on_while_the_views_are_rebuilt_and_both_come_out_alike(projected: str) -> None:
    stop, written = threading.Event(), threading.Event()
    follower = projector(projected)
    threads = [threading.Thread(target=follower.run, args=(stop,))]

    def write_on() -> None:
        for number in range(8):
            write(projected, f"scan-new-{number}", example(number % 4), [3])
        written.set()

    threads.append(threading.Thread(target=write_on))
    for thread in threads:
        thread.start()
    rebuilt = 0
    while not written.is_set():
        assert rebuild(projected).differing == 0
        rebuilt += 1
    stop.set()
    for thread in threads:
        thread.join()
    assert rebuilt > 1
    project_all(projected)
    assert rebuild(projected, dry_run=True).differing == 0


def test_a_projector_forgets_what_it_remembers_of_rows_that_were_put_right(projected: str) -> None:
    opened = example(0)[:2]
    write(projected, "scan-open", opened)
    follower = projector(projected)
    with psycopg.connect(projected, autocommit=True) as connection:
        follower.catch_up(connection)
        views = follower._apply.__self__  # type: ignore[attr-defined]
        views._kept["scan-open"] = views._kept.pop("scan-open").__class__(folded("scan-open", opened[:1]))
        rebuild(projected)
        cancelled = Cancelled(at=NOON, actor="key:a")
        log = PostgresScanLog(projected)
        log.append([Append("scan-open", 2, [cancelled])])
        log.close()
        while follower.catch_up(connection):
            pass
    assert rebuild(projected).differing == 0


def test_two_projectors_at_once_apply_every_event_once(new_database: Callable[[], str]) -> None:
    url = new_database()
    for number in range(6):
        write(url, f"scan-{number}", example(number % 4), [3])
    stop = threading.Event()
    threads = [threading.Thread(target=projector(url).run, args=(stop,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    log = PostgresScanLog(url)
    deadline = threading.Event()
    for _ in range(400):
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT position FROM followers WHERE name = 'projector'").fetchone()
        if row and row[0] == log.position():
            break
        deadline.wait(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    log.close()
    assert rebuild(url).differing == 0
