"""The views: what the projector writes is what the log says, however it came to write it."""

import threading
import uuid
from collections.abc import Callable, Sequence

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from application.ports import Append
from application.progress import ScanView, begin, project
from domain.connector import ConnectorChanged, ConnectorCreated, ConnectorDeleted, ConnectorType, Execution
from domain.scan_events import Queued, ScanEvent
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.projector import VIEWS, projector, rebuild
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
    strategy = histories()
    for number in range(4):
        write(url, f"scan-{number}", _example(strategy, number))
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


def _example(strategy: st.SearchStrategy[list[ScanEvent]], number: int) -> list[ScanEvent]:
    """One history that is long enough to be worth projecting, the same in every run."""
    found: list[list[ScanEvent]] = []

    @settings(max_examples=30, deadline=None, database=None, derandomize=True)
    @given(strategy)
    def collect(events: list[ScanEvent]) -> None:
        found.append(events)

    collect()
    return sorted(found, key=len)[-1 - number]


def test_a_rebuild_from_the_log_gives_identical_rows(projected: str) -> None:
    before = rows(projected)
    assert all(before.values())
    assert rebuild(projected) == []
    assert rows(projected) == before


def test_a_rebuild_reports_a_row_that_was_tampered_with_and_mends_it(projected: str) -> None:
    before = rows(projected)
    with psycopg.connect(projected) as connection:
        connection.execute("UPDATE scan_views SET status = 'completed', version = 99 WHERE scan_id = 'scan-1'")
        connection.execute("DELETE FROM connector_views WHERE connector_id = 'conn-1'")
    differences = rebuild(projected)
    assert len(differences) == 3
    assert {line.split(",")[0] for line in differences} == {"scan_views", "connector_views"}
    assert rows(projected) == before


def test_two_projectors_at_once_apply_every_event_once(new_database: Callable[[], str]) -> None:
    url = new_database()
    for number in range(6):
        write(url, f"scan-{number}", _example(histories(), number % 4), [3])
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
    assert rebuild(url) == []
