"""Findings exported in each format by the API, beside the same rows by COPY into a file.

The API's process reads pages and writes the format; a client takes the bytes over HTTP and writes them to a file. The
floor is one COPY of the same columns of the same rows, in the same order, as text, to a file: no HTTP, no format.
"""

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, get_args

import httpx

import infrastructure.wiring as w
from application.exporting import Format
from benchmarks.installation import Installation, installed, wait_for
from benchmarks.planted import plant
from benchmarks.tables import Table, figure, median, ratio
from infrastructure.embedded.folder import free_port
from infrastructure.postgres.tenants import DEFAULT_TENANT, bootstrap

FINDINGS, QUICK = 100_000, 5_000
OCCURRENCES = 5
ROUNDS = 3

_INSERT = (
    "INSERT INTO findings (scan_id, finding_id, connector, object, object_index, detector, category, confidence, count,"
    " \"column\", first_seen_at, occurrences) SELECT %s, 'fnd-' || md5(i::text), 'conn-1',"
    " 'data/year=2026/part-' || i || '.csv', i, 'payment.card', 'payment', 0.9, 5, 'card', now(), %s::jsonb"
    " FROM generate_series(1, %s) i"
)
_COPY = (
    'COPY (SELECT scan_id, finding_id, connector, object, detector, category, confidence, count, "column",'
    " first_seen_at, gone_at, occurrences FROM findings WHERE scan_id = '{scan}'"
    " ORDER BY category, detector, left(object, 256), object_index, finding_id) TO STDOUT"
)


@dataclass(frozen=True, slots=True)
class Exporting:
    """A scan with many findings, a client of an API in a process of its own, and a file to write to."""

    service: Installation
    client: httpx.Client
    pid: int
    scan: str
    file: IO[bytes]


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of each export and of each COPY; the file's bytes; bytes of memory above what a small export takes."""

    ours: Sequence[float]
    floor: Sequence[float]
    size: int
    memory: int


def run(*, quick: bool) -> None:
    findings, rounds = (QUICK, 1) if quick else (FINDINGS, ROUNDS)
    with _exporting(findings) as given:
        measured = {wanted: _measured(given, wanted, rounds) for wanted in get_args(Format)}
        _, size = _copied(given)
    title = f"{findings:,} findings of {OCCURRENCES} occurrences, exported by the API"
    table = Table(title, ("", "findings/s", "MB/s", "ratio to COPY", "file, MB", "memory above idle, MB"))
    for wanted, one in measured.items():
        seconds = median(one.ours)
        rates = figure(findings / seconds), figure(one.size / seconds / 1e6)
        table.add(wanted, *rates, f"{ratio(one.floor, one.ours):.2f}", *map(_megabytes, (one.size, one.memory)))
    seconds = median([second for one in measured.values() for second in one.floor])
    table.add("COPY", figure(findings / seconds), figure(size / seconds / 1e6), "", _megabytes(size), "")
    table.show()


def _megabytes(count: int) -> str:
    return figure(count / 1e6)


@contextmanager
def _exporting(findings: int) -> Iterator[Exporting]:
    with installed() as service, tempfile.TemporaryFile() as file:
        key, scan = _prepared(service, findings)
        with _client(service, key) as (client, pid):
            yield Exporting(service, client, pid, scan, file)


def _prepared(service: Installation, findings: int) -> tuple[str, str]:
    """An API key, and a scan with that many findings."""
    settings = service.settings
    key = bootstrap(service.database_url, settings.encryption_key_bytes(), tier="enterprise")
    scan = plant(w.open_log(settings), 1, max_workers=1, tenant=DEFAULT_TENANT).scan_id
    place = {"masked": "************1111", "byte_offset": 45, "length": 16, "line": 2, "column": 30}
    hit = {**place, "record_index": 0, "field": "card", "confidence": 0.9}
    follower = w.open_projector(settings)
    with service.database() as connection:
        connection.execute(_INSERT, (scan, json.dumps([hit] * OCCURRENCES), findings))
        connection.execute("VACUUM ANALYZE findings")
        while follower.catch_up(connection):
            pass
    return key, scan


@contextmanager
def _client(service: Installation, key: str) -> Iterator[tuple[httpx.Client, int]]:
    """A client of an API in a process of its own, and that process's id."""
    port = free_port()
    headers = {"Authorization": f"Bearer {key}"}
    with (
        service.process("api", ["api"], port=port) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=60) as client,
    ):
        wait_for(lambda: _answers(client), seconds=20)
        yield client, process.pid


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def _measured(given: Exporting, wanted: Format, rounds: int) -> Measured:
    _exported(given, wanted, object="data/year=2026/part-1.csv")
    Path(f"/proc/{given.pid}/clear_refs").write_text("5")  # the peak begins anew
    idle, ours, floor, size = _peak(given.pid), [], [], 0
    for _ in range(rounds):
        seconds, size = _exported(given, wanted)
        ours.append(seconds)
        floor.append(_copied(given)[0])
    return Measured(ours, floor, size, _peak(given.pid) - idle)


def _exported(given: Exporting, wanted: Format, **filters: str) -> tuple[float, int]:
    given.file.seek(0)
    began, size = time.perf_counter(), 0
    params = {"format": wanted, **filters}
    with given.client.stream("GET", f"/api/v1/scans/{given.scan}/findings/export", params=params) as answer:
        answer.raise_for_status()
        for block in answer.iter_raw():
            size += given.file.write(block)
    return time.perf_counter() - began, size


def _copied(given: Exporting) -> tuple[float, int]:
    given.file.seek(0)
    began, size = time.perf_counter(), 0
    with given.service.database() as connection, connection.cursor().copy(_COPY.format(scan=given.scan)) as rows:
        for block in rows:
            size += given.file.write(block)
    return time.perf_counter() - began, size


def _peak(pid: int) -> int:
    """The most memory that the process had resident, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024
