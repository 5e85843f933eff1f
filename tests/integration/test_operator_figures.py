"""The sums that /metrics tells: those of the log, kept as it grows, at the same cost however much there is."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
import pytest

from api.service_metrics import of_database
from application.operating import DatabaseFigures, FindingTotal, OpenWork
from domain.detectors import detectors
from infrastructure.postgres.figures import PostgresFigures
from infrastructure.postgres.migrate import migrate
from infrastructure.postgres.read_pool import ReadPool
from infrastructure.postgres.replay import rebuild
from tests.integration.test_views import example, project_all, write

FINDINGS = """
INSERT INTO findings SELECT 'scan-' || n %% %s, 'finding-' || n, 'conn-1', 'object-' || n, n,
    CASE WHEN n %% 2 = 0 THEN 'payment.card' ELSE 'own.badge' END,
    CASE WHEN n %% 2 = 0 THEN 'payment' ELSE 'own' END, 0.9, 3, NULL, now(), '[]' FROM generate_series(1, %s) AS n
"""


def figures(url: str) -> DatabaseFigures:
    async def read() -> DatabaseFigures:
        pool = ReadPool(url, size=2)
        await pool.open()
        try:
            return await PostgresFigures(pool).read()
        finally:
            await pool.close()

    return asyncio.run(read())


def values(told: DatabaseFigures) -> dict[str, float]:
    return {
        sample.name + "".join(f"/{value}" for value in sample.labels.values()): sample.value
        for family in of_database(told)
        for sample in family.samples
    }


def all_rows(url: str) -> list[list[tuple[object, ...]]]:
    with psycopg.connect(url) as connection:
        return [
            connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in ("scan_totals", "scan_loads", "finding_totals")
        ]


@pytest.fixture
def filled(new_database: Callable[[], str]) -> str:
    url = new_database()
    for number in range(4):
        write(url, f"scan-{number}", example(number))
    write(url, "scan-4", example(0)[:4])
    project_all(url)
    with psycopg.connect(url) as connection:
        connection.execute(FINDINGS, (4, 1_000))
    return url


def test_the_sums_are_those_of_the_views(filled: str) -> None:
    told = values(figures(filled))
    with psycopg.connect(filled) as connection:
        by_status = connection.execute("SELECT status, count(*) FROM scan_views GROUP BY status").fetchall()
        sums = connection.execute(
            "SELECT sum((view -> 'coverage' ->> 'enumerated')::bigint), sum((view ->> 'chunks')::bigint),"
            " sum((view ->> 'bytes_processed')::bigint) FROM scan_views"
        ).fetchone()
    for status, count in by_status:
        assert told[f"scanledger_scans/{status}"] == count
    names = ("scanledger_objects_discovered_total", "scanledger_chunks_planned_total", "scanledger_read_bytes_total")
    assert tuple(told[name] for name in names) == sums
    accounted = sum(value for name, value in told.items() if name.startswith("scanledger_objects_accounted_total/"))
    assert accounted <= told["scanledger_objects_discovered_total"]
    assert told["scanledger_findings_total/payment/high"] == 500
    assert told["scanledger_finding_hits_total/other/medium"] == 1_500
    assert told["scanledger_wanted_workers"] > 0
    assert told["scanledger_follower_lag_events/projector"] == 0


def test_an_older_database_gets_the_same_sums_when_it_is_migrated(filled: str) -> None:
    before = all_rows(filled)
    assert all(before)
    with psycopg.connect(filled) as connection:
        connection.execute("DROP TABLE scan_totals, scan_loads, finding_totals, scan_traces")
        connection.execute("DROP TRIGGER count_findings ON findings")
        connection.execute("DROP FUNCTION count_findings")
        connection.execute("DELETE FROM schema_migrations WHERE version = 11")
    assert migrate(filled) == ["0011_operators.sql"]
    assert all_rows(filled) == before
    assert rebuild(filled).differing == 0


def test_erasing_findings_takes_nothing_from_what_was_counted(filled: str) -> None:
    with psycopg.connect(filled) as connection:
        connection.execute("DELETE FROM findings WHERE scan_id = 'scan-1'")
    assert values(figures(filled))["scanledger_findings_total/payment/high"] == 500


def test_a_follower_that_stands_still_is_behind_by_events_and_by_the_age_of_the_oldest(filled: str) -> None:
    with psycopg.connect(filled) as connection:
        connection.execute("INSERT INTO followers VALUES ('seal', 2), ('ahead', 1000000)")
        [(at,)] = connection.execute(
            "SELECT (convert_from(state, 'UTF8')::json ->> 'at')::timestamptz FROM stored_events"
            " WHERE notification_id > 2 ORDER BY notification_id LIMIT 1"
        ).fetchall()
    told = figures(filled)
    assert told.lags["seal"].events == told.events - 2
    assert told.lags["seal"].seconds == pytest.approx((datetime.now(UTC) - at).total_seconds(), abs=10)
    assert (told.lags["ahead"].events, told.lags["ahead"].seconds) == (0, 0.0)


def test_no_tenant_can_make_labels_grow() -> None:
    known = {detector.category for detector in detectors()}
    found = [FindingTotal(f"own{number}.x", f"own{number}", 1, 1) for number in range(100)]
    told = values(DatabaseFigures({}, found, work=OpenWork(), events=0, lags={}, webhooks={}))
    labels = {name.split("/")[1] for name in told if name.startswith("scanledger_findings_total")}
    assert labels <= known | {"other"}
    assert told["scanledger_findings_total/other/medium"] == 100


@pytest.mark.torture
def test_a_scrape_of_a_thousand_scans_and_a_million_findings_takes_milliseconds(
    new_database: Callable[[], str],
) -> None:
    url = new_database()
    with psycopg.connect(url) as connection:
        connection.execute(FINDINGS, (1_000, 1_000_000))
    courses = [example(number)[:40] for number in range(4)]
    for number in range(1_000):
        write(url, f"scan-{number}", courses[number % 4], [40])
    project_all(url)
    figures(url)
    began = time.perf_counter()
    told = figures(url)
    seconds = time.perf_counter() - began
    print(f"one scrape, connecting included: {seconds * 1000:.1f} ms")
    assert values(told)["scanledger_findings_total/payment/high"] == 500_000
    assert seconds < 0.25
