"""A scan as it stood once is what the views had then, for any history a fleet and its clients can make."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from application.history import PastScan
from application.ports import Append
from application.reading import ScanRow
from domain.scan_events import Queued, ScanEvent
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.history import PostgresHistory
from infrastructure.postgres.projector import Projector
from infrastructure.postgres.queries import PostgresReadModel
from infrastructure.postgres.read_pool import ReadPool
from tests.domain.histories import histories

TENANT = "past"


@pytest.fixture(scope="module")
def log(database_url: str) -> Iterator[PostgresScanLog]:
    log = PostgresScanLog(database_url)
    yield log
    log.close()


async def _shown_and_past(url: str, log: PostgresScanLog, scan: str, events: list[ScanEvent]) -> None:
    pool = ReadPool(url, size=1)
    await pool.open()
    views, past = PostgresReadModel(pool), PostgresHistory(pool)
    projector = Projector()
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            shown: list[ScanRow] = []
            for version, event in enumerate(events):
                log.append([Append(scan, version, [event])])
                with connection.transaction(), connection.cursor() as cursor:
                    projector.apply(cursor, log.history(scan, version, 1))
                row = await views.scan(TENANT, scan)
                assert row is not None
                shown.append(row)
        for version, (row, event) in enumerate(zip(shown, events, strict=True), 1):
            assert await past.version_of(TENANT, scan, version) == PastScan(row.view, row.workers, event.at)
        assert await past.version_of("another", scan, 1) is None
        assert await past.version_of(TENANT, scan, len(events) + 1) is None
    finally:
        await pool.close()


@given(history=histories())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_version_of_a_scan_can_be_shown_again(
    database_url: str, log: PostgresScanLog, history: list[ScanEvent]
) -> None:
    first = history[0]
    assert isinstance(first, Queued)
    events = [replace(first, tenant=TENANT), *history[1:]]
    scan = f"scan-past-{log.position()}"
    asyncio.run(_shown_and_past(database_url, log, scan, events))
