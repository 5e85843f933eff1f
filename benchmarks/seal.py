"""Events a second that are sealed, beside reading the same rows and hashing their lines; and proofs in a large log.

The seal reads each event, makes its line, hashes that, grows the tree, and writes leaves and nodes with its position in
one transaction. The floor reads the same rows, makes the same lines and hashes them, and writes nothing.
"""

import asyncio
import random
import tempfile
import time
from pathlib import Path

import psycopg

import infrastructure.wiring as w
from application.audit_export import export_of_window, exported
from application.auditing import prove_event, prove_growth
from application.history import LoggedEvent, cloud_event
from benchmarks.events import completion
from benchmarks.installation import installed
from benchmarks.planted import plant
from benchmarks.tables import Table, figure, median, ratio
from domain.merkle import leaf_hash
from infrastructure.audit.outside import OutsideFolder
from infrastructure.audit.signing import SealKey
from infrastructure.audit.verify import verify
from infrastructure.postgres.notary import Notary
from infrastructure.postgres.read_pool import ReadPool
from infrastructure.postgres.sealed_log import PostgresSealedLog
from infrastructure.postgres.sealing import BATCH, Sealer

AIM = 20_000
KEY = SealKey(bytes(32))
_MORE = """
INSERT INTO stored_events (originator_id, originator_version, topic, state)
SELECT e.originator_id, m.version + n, e.topic, e.state
FROM (SELECT * FROM stored_events WHERE topic = 'scan.chunk-completed' ORDER BY originator_version LIMIT 1) e,
     (SELECT max(originator_version) AS version FROM stored_events) m, generate_series(1, %s) n
"""
_NEXT = (
    "SELECT originator_id, originator_version, notification_id, topic, state FROM stored_events"
    " WHERE notification_id > %s ORDER BY notification_id LIMIT %s"
)

Connection = psycopg.Connection[tuple[object, ...]]


def run(*, quick: bool) -> None:
    rounds, events = (1, 5_000) if quick else (5, 200_000)
    sealed: list[float] = []
    hashed: list[float] = []
    with installed() as service, service.database() as connection, tempfile.TemporaryDirectory() as outside:
        planted = plant(w.open_log(service.settings), 10, max_workers=4)
        w.open_recorder(service.settings).record([completion(planted, 0)])
        sealer, notary = Sealer(), Notary(KEY, OutsideFolder(Path(outside)))
        notary.begin(connection)
        _seal(sealer, connection)
        for _ in range(rounds):
            (position,) = connection.execute("SELECT max(notification_id) FROM stored_events").fetchone() or (0,)
            connection.execute(_MORE, (events,))
            sealed.append(_seal(sealer, connection))
            hashed.append(_hash(connection, int(str(position))))
        notary.begin(connection)
        notary.heed(sealer.catch_up(connection), caught_up=True)
        notary.listen(0)
        notary.attend(connection)
        proofs = asyncio.run(_proofs(service.database_url, rounds * events, 20 if quick else 300))
        file = Path(outside) / "export.jsonl"
        export = asyncio.run(_export(service.database_url, file))
        size = file.stat().st_size
        verified = _verify(file)
    table = Table("Events a second sealed", ("", "events/s", "read and hashed/s", "ratio", "aim"))
    table.add("sealed", figure(median(sealed)), figure(median(hashed)), f"{ratio(sealed, hashed):.2f}", f"≥ {AIM:,}/s")
    table.show()
    total = rounds * events
    table = Table(f"A log of {total:,} events", ("", "figure"))
    table.add("proof of an event", f"{1e3 * proofs[0]:.1f} ms")
    table.add("proof of growth", f"{1e3 * proofs[1]:.1f} ms")
    table.add("exported", f"{figure(total / export)} events/s, {size / export / 1e6:.0f} MB/s")
    table.add("verified", f"{figure(total / verified)} events/s")
    table.show()


def _seal(sealer: Sealer, connection: Connection) -> float:
    begin, events = time.perf_counter(), 0
    while sealed := sealer.catch_up(connection).count:
        events += sealed
    return events / (time.perf_counter() - begin)


def _hash(connection: Connection, position: int) -> float:
    begin, events = time.perf_counter(), 0
    while rows := connection.execute(_NEXT, (position, BATCH)).fetchall():
        for row in rows:
            leaf_hash(cloud_event(LoggedEvent(*row), "default"))  # type: ignore[arg-type]
        events, position = events + len(rows), int(str(rows[-1][2]))
    return events / (time.perf_counter() - begin)


async def _proofs(url: str, events: int, times: int) -> tuple[float, float]:
    """Median seconds of the proof of an event, and of that of growth, both checked by the service as ever."""
    pool = ReadPool(url, size=1)
    await pool.open()
    log, choice = PostgresSealedLog(pool), random.Random(1)
    rows = await pool.rows("SELECT tenant_id, max(leaf) FROM sealed_events GROUP BY 1")
    tenant, last = rows[0]
    streams = await pool.rows("SELECT originator_id FROM stored_events WHERE topic = 'scan.chunk-completed' LIMIT 1")
    of_event, of_growth = [], []
    for _ in range(times):
        begin = time.perf_counter()
        await prove_event(log, tenant, f"{streams[0][0]}:{choice.randrange(1, events)}")
        of_event.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        await prove_growth(log, tenant, choice.randrange(1, last), last)
        of_growth.append(time.perf_counter() - begin)
    await pool.close()
    return median(of_event), median(of_growth)


async def _export(url: str, file: Path) -> float:
    pool = ReadPool(url, size=1)
    await pool.open()
    log = PostgresSealedLog(pool)
    ((tenant, since),) = await pool.rows("SELECT tenant_id, min(occurred_at) FROM sealed_events GROUP BY 1")
    begin = time.perf_counter()
    with file.open("wb") as out:
        async for lines in exported(log, tenant, await export_of_window(log, tenant, since, None)):
            out.write(lines)
    seconds = time.perf_counter() - begin
    await pool.close()
    return seconds


def _verify(path: Path) -> float:
    begin = time.perf_counter()
    with path.open("rb") as file:
        list(verify(file, KEY.public, path.parent))
    return time.perf_counter() - begin
