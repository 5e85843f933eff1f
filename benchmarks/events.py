"""Chunk events a second, ingested and projected, beside a raw COPY of the same rows.

Ingest is what the recorder does between pulling and acknowledging: parse 200 reports, let the scan decide, and commit
the events in one transaction. Projection is the projector's follower. The floor copies the very rows that were ingested
into a table of the same shape, with the same indexes, 200 rows a transaction.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import psycopg

import infrastructure.wiring as w
from application.messages import ChunkCompleted, reports
from application.recording import Recorder
from benchmarks.installation import Installation, installed
from benchmarks.planted import FILES_A_CHUNK, Planted, plant
from benchmarks.tables import Table, figure, median, ratio
from infrastructure.postgres.follower import Follower

AIM_INGESTED = 10_000
BATCH = 200
_COLUMNS = "originator_id, originator_version, topic, state"

Connection = psycopg.Connection[tuple[object, ...]]


def run(*, quick: bool) -> None:
    rounds, chunks = (1, 2_000) if quick else (5, 10_000)
    ingested: list[float] = []
    projected: list[float] = []
    copied: list[float] = []
    with installed() as service, service.database() as connection, service.database() as following:
        connection.execute("CREATE TABLE floor (LIKE stored_events INCLUDING ALL)")
        follower = w.open_projector(service.settings)
        for _ in range(rounds):
            planted = _planted(service, follower, following, chunks)
            ingested.append(ingest(w.open_recorder(service.settings), planted))
            projected.append(project(follower, following, planted.chunks))
            copied.append(copy(connection, planted))
    table = Table("Chunk events a second", ("", "events/s", "COPY rows/s", "ratio", "aim"))
    for name, rates, aim in (("ingested", ingested, f"≥ {AIM_INGESTED:,}/s"), ("projected", projected, "")):
        table.add(name, figure(median(rates)), figure(median(copied)), f"{ratio(rates, copied):.2f}", aim)
    table.show()


def _planted(service: Installation, follower: Follower, following: Connection, chunks: int) -> Planted:
    planted = plant(w.open_log(service.settings), chunks, max_workers=64)
    while follower.catch_up(following):
        pass
    return planted


def completion(planted: Planted, chunk: int) -> ChunkCompleted:
    """The report of a worker to whom a chunk of this scan was easy."""
    return ChunkCompleted(
        scan=planted.scan_id,
        worker=f"worker-{chunk % 64}",
        chunk=chunk,
        attempt=1,
        plan=planted.plan,
        started_at=datetime.now(UTC),
        scanned=FILES_A_CHUNK,
        bytes_read=4_000,
        exceptions=[],
        findings=[],
    )


def slices(items: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    return (items[at : at + size] for at in range(0, len(items), size))


def ingest(recorder: Recorder, planted: Planted) -> float:
    """Events a second from JSON to committed. The recorder knows the scan already, as one that runs does."""
    bodies = [completion(planted, chunk).model_dump_json().encode() for chunk in range(planted.chunks)]
    recorder.scan(planted.scan_id)
    begin = time.perf_counter()
    for batch in slices(bodies, BATCH):
        recorder.record([reports.validate_json(body) for body in batch])
    return planted.chunks / (time.perf_counter() - begin)


def project(follower: Follower, connection: Connection, events: int) -> float:
    begin = time.perf_counter()
    while follower.catch_up(connection):
        pass
    return events / (time.perf_counter() - begin)


def copy(connection: Connection, planted: Planted) -> float:
    """Rows a second of the scan's events, copied as they stand, committed every BATCH rows."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM stored_events WHERE originator_id = %s AND originator_version > %s"
        " ORDER BY originator_version LIMIT %s",
        (planted.scan_id, planted.version, planted.chunks),
    ).fetchall()
    begin = time.perf_counter()
    for at in range(0, len(rows), BATCH):
        with connection.cursor() as cursor, cursor.copy(f"COPY floor ({_COLUMNS}) FROM STDIN") as copying:
            for row in rows[at : at + BATCH]:
                copying.write_row(row)
    return len(rows) / (time.perf_counter() - begin)
