"""The REST API as a process of its own on real servers, the projector beside it, and a fleet played by the test."""

import asyncio
import base64
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from application import object_columns
from application.messages import (
    AnyReport,
    ChunkCompleted,
    ChunkFailed,
    ChunkStarted,
    ListingCompleted,
    ListingStarted,
    ObjectsListed,
    ReportedException,
    ReportedFinding,
)
from application.recording import Recorder
from domain.manifest import ObjectInfo
from domain.scan import LostReason
from infrastructure.embedded.folder import LOOPBACK, free_port
from infrastructure.embedded.nats import COORDINATOR, EmbeddedNats
from infrastructure.messaging.broker import Broker
from infrastructure.messaging.streams import ensure_streams
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.manifest import PostgresManifestStore
from infrastructure.postgres.projector import projector
from infrastructure.postgres.tenants import ensure_tenant, make_key
from infrastructure.settings import Settings
from tests.fixtures_servers import PostgresServer

READY_SECONDS = 20.0
WORKER = "worker-1"
Document = dict[str, Any]


def eventually(holds: Callable[[], bool], *, seconds: float = 10.0) -> bool:
    """Whether `holds()` comes true within `seconds`."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not holds():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.02)
    return True


@dataclass
class Fleet:
    """Reports as a scanner sends them, recorded at once."""

    recorder: Recorder

    def report(self, *reports: AnyReport) -> None:
        self.recorder.record(reports)

    def list(self, scan: str, objects: Sequence[ObjectInfo], *, unit: int = 0, batches: int = 1) -> None:
        """List a unit to its end, in `batches` equal batches."""
        batches = batches if objects else 0
        who: dict[str, Any] = {"scan": scan, "worker": WORKER, "unit": unit, "attempt": 1}
        self.report(ListingStarted(**who))
        size = -(-len(objects) // max(1, batches))
        for number in range(batches):
            block = object_columns.to_text(objects[number * size : (number + 1) * size])
            after = objects[number * size - 1].key if number else ""
            self.report(ObjectsListed(**who, batch=number + 1, after=after, objects=block))
        self.report(ListingCompleted(**who, batches=batches, after=objects[-1].key if objects else ""))

    def plan(self, scan: str, chunk: int) -> str:
        return self.recorder.scan(scan).pending[chunk].plan

    def start(self, scan: str, chunk: int, *, worker: str = WORKER, attempt: int = 1) -> None:
        at, plan = datetime.now(UTC), self.plan(scan, chunk)
        self.report(ChunkStarted(scan=scan, worker=worker, chunk=chunk, attempt=attempt, plan=plan, started_at=at))

    def complete(
        self,
        scan: str,
        chunk: int,
        *,
        exceptions: Sequence[ReportedException] = (),
        findings: Sequence[ReportedFinding] = (),
        worker: str = WORKER,
    ) -> None:
        files = self.recorder.scan(scan).pending[chunk].chunk.files
        self.start(scan, chunk, worker=worker)
        self.report(
            ChunkCompleted(
                scan=scan,
                worker=worker,
                chunk=chunk,
                attempt=1,
                plan=self.plan(scan, chunk),
                started_at=datetime.now(UTC),
                scanned=files - len(exceptions),
                bytes_read=files * 100,
                exceptions=list(exceptions),
                findings=list(findings),
            )
        )

    def lose(self, scan: str, chunk: int) -> None:
        """Lose the chunk's worker until the chunk is given up."""
        for attempt in (1, 2, 3):
            self.start(scan, chunk, attempt=attempt)
            who: dict[str, Any] = {"scan": scan, "worker": WORKER, "chunk": chunk, "attempt": attempt}
            self.report(ChunkFailed(**who, plan=self.plan(scan, chunk), reason=LostReason.WORKER_LOST))


@dataclass
class Api:
    """A running API. `key` is an admin's; `clients` are closed with it."""

    url: str
    key: str
    database_url: str
    encryption_key: bytes
    process: "subprocess.Popen[bytes]"
    fleet: Fleet
    folder: str
    _clients: list[httpx.Client] = field(default_factory=list)

    def client(self, key: str | None = None) -> httpx.Client:
        """A client with that key (default: the admin's; empty: none)."""
        shown = self.key if key is None else key
        headers = {"Authorization": f"Bearer {shown}"} if shown else {}
        client = httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=20)
        self._clients.append(client)
        return client

    def tenant_key(
        self, tenant: str = "default", *, tier: str = "enterprise", scopes: Sequence[str] = ("admin",)
    ) -> str:
        """A key of that tenant, which is made if needed."""
        ensure_tenant(self.database_url, tenant, name=tenant, tier=tier)
        return make_key(self.database_url, self.encryption_key, tenant, scopes)

    def connector(self, client: httpx.Client | None = None, **changes: Any) -> str:
        """A new filesystem connector's id."""
        body = {"name": "folder", "type": "filesystem", "config": {"root": self.folder}, **changes}
        answer = (client or self.client()).post("/api/v1/connectors", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["data"]["connector_id"])

    def scan(self, client: httpx.Client | None = None, **options: Any) -> str:
        """A new scan's id, of a connector of its own."""
        client = client or self.client()
        body = {"connectors": [self.connector(client)], "type": "full", "options": options}
        answer = client.post("/api/v1/scans/parallel", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["data"]["scan_id"])

    def settled(self, scan: str) -> Document:
        """The scan, once the views have all that the log has."""
        log = PostgresScanLog(self.database_url, pool_size=1)
        last = log.history(scan, 0, 10_000)[-1].version
        log.close()
        client = self.client()
        path = f"/api/v1/scans/{scan}"
        assert eventually(lambda: client.get(path).json()["data"]["version"] >= last)
        return dict(client.get(path).json()["data"])

    def close(self) -> None:
        for client in self._clients:
            client.close()


def api_environment(
    database_url: str, nats: Mapping[str, str], encryption_key: bytes, port: int, roots: str
) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("SCANLEDGER_")},
        "SCANLEDGER_CONFIG": "",
        "SCANLEDGER_HOST": LOOPBACK,
        "SCANLEDGER_PORT": str(port),
        "SCANLEDGER_DATABASE_URL": database_url,
        "SCANLEDGER_ENCRYPTION_KEY": base64.b64encode(encryption_key).decode(),
        "SCANLEDGER_FILESYSTEM_ROOTS": roots,
        "SCANLEDGER_S3_ENDPOINTS": LOOPBACK,
        "SCANLEDGER_TIERS": '{"free": {"max_files": 100, "max_workers": 2, "requests_per_minute": 5}}',
        **nats,
    }


@contextmanager
def api_process(environment: Mapping[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    """`python -m api`, answering; ended by SIGTERM."""
    process = subprocess.Popen([sys.executable, "-m", "api"], env=dict(environment))
    try:
        url = f"http://{LOOPBACK}:{environment['SCANLEDGER_PORT']}/healthz"
        assert eventually(lambda: process.poll() is not None or _answers(url), seconds=READY_SECONDS)
        assert process.poll() is None, f"the api ended with {process.returncode}"
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def nats_settings(server: EmbeddedNats) -> dict[str, str]:
    user, password = server.login(COORDINATOR)
    return {"SCANLEDGER_NATS_URL": server.url, "SCANLEDGER_NATS_USER": user, "SCANLEDGER_NATS_PASSWORD": password}


async def _make_streams(server: EmbeddedNats) -> None:
    user, password = server.login(COORDINATOR)
    broker = Broker(Settings(nats_url=server.url, nats_user=user, nats_password=password).broker("api"), name="test")  # type: ignore[call-arg, arg-type]  # pydantic makes secrets of strings
    await broker.connect(patience=5)
    await ensure_streams(broker.jetstream, ack_wait=30)
    await broker.close()


@contextmanager
def projecting(database_url: str) -> Iterator[None]:
    """The projector, in a thread, for as long as the context lasts."""
    stop = threading.Event()
    thread = threading.Thread(target=projector(database_url).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture(scope="session")
def api(
    postgres_server: PostgresServer, nats_server: EmbeddedNats, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """One service for all tests of the API, each of which makes what it needs.

    The tier `free` has 100 files, 2 workers and 5 requests a minute.
    """
    folder = tmp_path_factory.mktemp("folder")
    (folder / "a.txt").write_text("nothing to see")
    key, port = os.urandom(32), free_port(LOOPBACK)
    database = postgres_server.create_database()
    database_url = postgres_server.url(database)
    asyncio.run(_make_streams(nats_server))
    ensure_tenant(database_url, "default", name="Default", tier="enterprise")
    log, manifest = PostgresScanLog(database_url), PostgresManifestStore(database_url)
    environment = api_environment(database_url, nats_settings(nats_server), key, port, str(folder))
    fleet = Fleet(Recorder(log, manifest, lambda: datetime.now(UTC)))
    with projecting(database_url), api_process(environment) as process:
        running = Api(
            f"http://{LOOPBACK}:{port}", make_key(database_url, key), database_url, key, process, fleet, str(folder)
        )
        yield running
        running.close()
    log.close()
    manifest.close()
    postgres_server.drop_database(database)
