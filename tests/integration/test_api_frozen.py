"""A database that stands still, or was gone for a moment, and views that lag behind the log."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import psutil
import psycopg
import pytest

from application.ports import Append
from application.reading import Answer, ScanRow
from domain.errors import NotFound, ServiceUnavailable
from domain.policy import ScanOptions
from domain.scan import Status
from domain.scan_events import Cancelled, ListingUnit, Queued
from infrastructure.api_ports import LogThreads
from infrastructure.embedded.folder import DataFolder
from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.idempotency import PostgresIdempotencyKeys
from infrastructure.postgres.migrate import migrate
from infrastructure.postgres.queries import PostgresReadModel
from infrastructure.postgres.read_pool import ReadPool
from infrastructure.postgres.tenants import ensure_tenant
from tests.fixtures_api import eventually, projecting

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
QUEUED = Queued(
    at=NOON,
    actor="key:k",
    tenant="t",
    type="full",
    connectors=("conn-1",),
    units=(ListingUnit("conn-1", ""),),
    options=ScanOptions(max_files=10, max_workers=2, max_object_bytes=1000),
    ruleset="r",
)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server of this module's own, which its tests may freeze."""
    folder = DataFolder(tmp_path_factory.mktemp("frozen"))
    with folder.locked():
        server = EmbeddedPostgres(folder)
        server.start()
        try:
            migrate(server.url)
            ensure_tenant(server.url, "t", name="t", tier="free")
            yield server
        finally:
            server.stop()


@contextmanager
def frozen(postgres: EmbeddedPostgres) -> Iterator[None]:
    assert postgres.pid is not None
    server = psutil.Process(postgres.pid)
    processes = [server, *server.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def with_pool(url: str, act: Callable[[ReadPool], Awaitable[Any]], *, size: int = 4) -> Any:
    async def run() -> Any:
        pool = ReadPool(url, size=size)
        await pool.open()
        try:
            return await act(pool)
        finally:
            await pool.close()

    return asyncio.run(run())


def test_a_read_of_a_frozen_database_ends_in_time_and_the_next_one_works_when_it_has_thawed(postgres: EmbeddedPostgres):
    async def act(pool: ReadPool) -> None:
        await pool.rows("SELECT 1")
        with frozen(postgres):
            began = time.monotonic()
            with pytest.raises(ServiceUnavailable):
                await pool.rows("SELECT 1", within=0.5)
            assert time.monotonic() - began < 2
        assert await pool.rows("SELECT 2") == [(2,)]

    with_pool(postgres.url, act)


def test_what_was_refused_for_a_frozen_database_is_not_written_when_it_thaws(postgres: EmbeddedPostgres):
    log, threads = PostgresScanLog(postgres.url, timeout=1, bounded=True), LogThreads(2, seconds=0.5)
    log.append([Append("scan-warm", 0, [QUEUED])])
    appends = [Append("scan-late", 0, [QUEUED])]

    async def act() -> None:
        with frozen(postgres):
            began = time.monotonic()
            tries = (threads(log.append, appends) for _ in range(20))
            refused = await asyncio.gather(*tries, return_exceptions=True)
            assert {type(outcome) for outcome in refused} == {ServiceUnavailable}
            assert time.monotonic() - began < 3

    asyncio.run(act())
    threads.close()
    with pytest.raises(NotFound):
        log.course("scan-late")
    assert log.append(appends) > 0
    log.close()


def test_the_time_of_a_request_is_up_before_a_commit_is_sent(postgres: EmbeddedPostgres):
    """The lock is held past the deadline: the insert waits for it, and what it inserted is rolled back."""
    log, threads = PostgresScanLog(postgres.url, timeout=1, bounded=True), LogThreads(2, seconds=0.5)
    with psycopg.connect(postgres.url) as holder:
        holder.execute("LOCK TABLE stored_events IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(ServiceUnavailable):
            asyncio.run(threads(log.append, [Append("scan-locked", 0, [QUEUED])]))
    threads.close()
    with pytest.raises(NotFound):
        log.course("scan-locked")
    log.close()


def test_connections_that_the_server_has_dropped_are_never_handed_out(postgres: EmbeddedPostgres):
    keys = os.urandom(32)

    async def act(pool: ReadPool) -> Any:
        await asyncio.gather(*(pool.rows("SELECT pg_sleep(0.05)") for _ in range(4)))
        with psycopg.connect(postgres.url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity"
                " WHERE application_name = 'scanledger-api' AND pid <> pg_backend_pid()"
            )
        async with PostgresIdempotencyKeys(pool, keys).claim("t", "dropped", "POST /things", b"{}") as claim:
            claim.answer = Answer(201, b"{}")
        return claim.kept

    assert with_pool(postgres.url, act) is None


@pytest.mark.parametrize("projected", [False, True])
def test_a_cancelled_scan_is_read_as_cancelled_though_the_projector_has_not_seen_it(
    postgres: EmbeddedPostgres, projected: bool
):
    log, scan = PostgresScanLog(postgres.url), f"scan-cancelled-{projected}"

    def read(tenant: str) -> ScanRow | None:
        found: ScanRow | None = with_pool(postgres.url, lambda pool: PostgresReadModel(pool).scan(tenant, scan))
        return found

    def in_views() -> bool:
        with psycopg.connect(postgres.url) as connection:
            return connection.execute("SELECT FROM scan_views WHERE scan_id = %s", (scan,)).rowcount == 1

    log.append([Append(scan, 0, [QUEUED])])
    if projected:
        with projecting(postgres.url):
            assert eventually(in_views)
    assert in_views() == projected
    log.append([Append(scan, 1, [Cancelled(at=NOON, actor="key:k")])])
    log.close()
    row = read("t")
    assert row is not None
    assert (row.view.status, row.view.version) == (Status.CANCELLED, 2)
    assert read("another") is None
