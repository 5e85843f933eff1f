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
    ReportedRemark,
)
from application.recording import Recorder
from domain.manifest import ObjectInfo
from domain.scan import LostReason, Scan
from infrastructure.embedded.folder import LOOPBACK, free_port
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.messaging.broker import Broker
from infrastructure.messaging.rights import COORDINATOR
from infrastructure.messaging.streams import ensure_streams
from infrastructure.postgres.acceptance import inventories
from infrastructure.postgres.eraser import Eraser
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.inventory import PostgresInventory
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
    """Reports as a scanner sends them, recorded at once, as the attempts that count by now."""

    recorder: Recorder
    log: PostgresScanLog
    inventory: PostgresInventory

    def scan(self, scan: str) -> Scan:
        """The scan as the log has it, with what clients have decided meanwhile."""
        return self.log.scan(scan)

    def report(self, *reports: AnyReport) -> None:
        self.recorder.record(reports)

    def list(self, scan: str, objects: Sequence[ObjectInfo], *, unit: int = 0, batches: int = 1) -> None:
        """List a unit to its end, in `batches` equal batches, once the inventories are as it was queued upon."""
        assert eventually(lambda: self.inventory.accepted_up_to() >= self.log.history(scan, 0, 1)[0].position)
        batches = batches if objects else 0
        attempt = self.scan(scan).units[unit].attempt
        who: dict[str, Any] = {"scan": scan, "worker": WORKER, "unit": unit, "attempt": attempt}
        self.report(ListingStarted(**who))
        size = -(-len(objects) // max(1, batches))
        for number in range(batches):
            block = object_columns.to_text(objects[number * size : (number + 1) * size])
            after = objects[number * size - 1].key if number else ""
            self.report(ObjectsListed(**who, batch=number + 1, after=after, objects=block))
        self.report(ListingCompleted(**who, batches=batches, after=objects[-1].key if objects else ""))

    def start(self, scan: str, chunk: int, *, worker: str = WORKER) -> None:
        self.report(ChunkStarted(**self._who(scan, chunk, worker), started_at=datetime.now(UTC)))

    def _who(self, scan: str, chunk: int, worker: str) -> dict[str, Any]:
        state = self.scan(scan).pending[chunk]
        return {"scan": scan, "worker": worker, "chunk": chunk, "attempt": state.attempt, "plan": state.plan}

    def complete(
        self,
        scan: str,
        chunk: int,
        *,
        exceptions: Sequence[ReportedException] = (),
        findings: Sequence[ReportedFinding] = (),
        remarks: Sequence[ReportedRemark] = (),
        allowed: int = 0,
        worker: str = WORKER,
    ) -> None:
        files = self.scan(scan).pending[chunk].chunk.files
        self.start(scan, chunk, worker=worker)
        self.report(
            ChunkCompleted(
                **self._who(scan, chunk, worker),
                started_at=datetime.now(UTC),
                scanned=files - len(exceptions),
                bytes_read=files * 100,
                exceptions=list(exceptions),
                findings=list(findings),
                remarks=list(remarks),
                allowed=allowed,
            )
        )

    def complete_all(self, scan: str) -> None:
        for chunk in sorted(self.scan(scan).pending):
            self.complete(scan, chunk)

    def lose(self, scan: str, chunk: int) -> int:
        """Lose the worker over the first object of a chunk until that is given up; gives the object's position.

        Its neighbours are left to chunks of their own.
        """
        index, _ = self.recorder.objects(scan, self.scan(scan).pending[chunk])[0]
        while (number := self._holder(scan, index)) is not None:
            self.start(scan, number)
            who = self._who(scan, number, WORKER)
            self.report(ChunkFailed(**who, reason=LostReason.WORKER_LOST, suspect=index))
        return index

    def _holder(self, scan: str, index: int) -> int | None:
        chunks = self.scan(scan).pending.items()
        return next((number for number, at in chunks if at.chunk.start <= index <= at.chunk.end), None)


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

    def start(self, connector: str, type_: str = "incremental", **options: Any) -> str:
        """A new scan's id, of that connector."""
        body = {"connectors": [connector], "type": type_, "options": options}
        answer = self.client().post("/api/v1/scans/parallel", json=body)
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
        "SCANLEDGER_WEBHOOK_ENDPOINTS": LOOPBACK,
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
    """The projector of views and inventories, and the eraser, in threads, for as long as the context lasts."""
    stop = threading.Event()
    followers = (projector(database_url), inventories(database_url), Eraser(database_url))
    threads = [threading.Thread(target=follower.run, args=(stop,)) for follower in followers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
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
    inventory = PostgresInventory(database_url)
    environment = api_environment(database_url, nats_settings(nats_server), key, port, str(folder))
    fleet = Fleet(Recorder(log, manifest, inventory, lambda: datetime.now(UTC)), log, inventory)
    with projecting(database_url), api_process(environment) as process:
        running = Api(
            f"http://{LOOPBACK}:{port}", make_key(database_url, key), database_url, key, process, fleet, str(folder)
        )
        yield running
        running.close()
    log.close()
    manifest.close()
    inventory.close()
    postgres_server.drop_database(database)
