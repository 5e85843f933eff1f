"""The seal, stepped by hand on a real database, with a clock of its own."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from application.audit_export import export_of_scan, export_of_window, exported
from application.history import LoggedEvent, cloud_event
from application.ports import Append
from domain.scan_events import Cancelled, Queued, ScanEvent
from infrastructure.audit.outside import Outside, OutsideFolder, file_name
from infrastructure.audit.signing import SealKey
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.notary import Notary, Policy
from infrastructure.postgres.read_pool import ReadPool
from infrastructure.postgres.sealed_log import PostgresSealedLog
from infrastructure.postgres.sealing import Sealer
from tests.domain.given import KEY, LATER, NOON, running_history

KEY_TO_SIGN = SealKey(bytes(range(32)))
CANCELLED = Cancelled(at=LATER, actor=KEY)


def history(tenant: str, *, begun: datetime = NOON) -> list[ScanEvent]:
    """Of a scan that is running, with its first event at `begun` and each later one a second after that before."""
    first, *rest = running_history()
    assert isinstance(first, Queued)
    return [
        replace(event, at=begun + timedelta(seconds=n))
        for n, event in enumerate([replace(first, tenant=tenant), *rest])
    ]


async def _exported(url: str, tenant: str, scan: str | None, since: datetime | None, until: datetime | None) -> bytes:
    pool = ReadPool(url, size=1)
    await pool.open()
    log = PostgresSealedLog(pool)
    try:
        export = await (
            export_of_scan(log, tenant, scan) if scan else export_of_window(log, tenant, since or NOON, until)
        )
        return b"".join([line async for line in exported(log, tenant, export)])
    finally:
        await pool.close()


def export(
    url: str, tenant: str, *, scan: str | None = None, since: datetime | None = None, until: datetime | None = None
) -> bytes:
    """The file that the API sends."""
    return asyncio.run(_exported(url, tenant, scan, since, until))


def lines(url: str, tenant: str) -> list[tuple[int, bytes]]:
    """Position and exported line of every event of a tenant, straight from the log."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT originator_id, originator_version, notification_id, topic, state FROM stored_events e"
            " WHERE (SELECT convert_from(state, 'UTF8')::jsonb ->> 'tenant' FROM stored_events f"
            "        WHERE f.originator_id = e.originator_id AND f.originator_version = 1) = %s"
            " ORDER BY notification_id",
            (tenant,),
        ).fetchall()
    return [(row[2], cloud_event(LoggedEvent(*row), tenant)) for row in rows]


@dataclass
class Seal:
    """The follower, stepped by hand, with a clock of its own."""

    url: str
    log: PostgresScanLog
    folder: Path
    superuser: str
    now: float = 0.0
    outside: Outside | None = None

    def __post_init__(self) -> None:
        self.outside = self.outside or OutsideFolder(self.folder)
        self.restart()

    def restart(self, key: SealKey | None = KEY_TO_SIGN) -> None:
        """As after a lost connection, or in another process."""
        self.sealer = Sealer()
        self.notary = Notary(key, self.outside, Policy(10, 60.0), lambda: self.now)
        with psycopg.connect(self.url, autocommit=True) as connection:
            self.notary.begin(connection)

    def step(self) -> None:
        """Seal all there is, and sign what is due."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            while (sealed := self.sealer.catch_up(connection)).count:
                self.notary.heed(sealed, caught_up=False)
            self.notary.heed(sealed, caught_up=True)
            self.notary.listen(0.01)
            self.notary.attend(connection)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.step()

    def scan(self, name: str, tenant: str = "t", *, ended: bool = True, begun: datetime = NOON) -> None:
        events = history(tenant, begun=begun)
        ending = [Cancelled(at=begun + timedelta(seconds=9), actor=KEY)] if ended else []
        self.log.append([Append(name, 0, [*events, *ending])])

    def rewrite(self) -> psycopg.Connection[Any]:
        """A connection of a superuser, for whom no trigger runs."""
        connection = psycopg.connect(self.superuser)
        connection.execute("SET session_replication_role = replica")
        return connection

    def sizes(self, tenant: str = "t") -> list[int]:
        """Of the checkpoints in the database; all of them are outside, and signed."""
        with psycopg.connect(self.url) as connection:
            rows = connection.execute(
                "SELECT generation, size, note FROM checkpoints WHERE tenant_id = %s ORDER BY 1, 2", (tenant,)
            ).fetchall()
        for generation, size, note in rows:
            path = self.folder / tenant / file_name((generation, size))
            assert path.read_text("utf-8") == note
            assert path.stat().st_mode & 0o777 == 0o400
        return [size for _, size, _ in rows]

    def trouble(self, tenant: str = "t") -> str | None:
        with psycopg.connect(self.url) as connection:
            row = connection.execute("SELECT trouble FROM sealed_logs WHERE tenant_id = %s", (tenant,)).fetchone()
        assert row is not None
        return None if row[0] is None else str(row[0])
