"""The whole service scanning one bucket, again and again: what benchmarks of scans share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import infrastructure.wiring as w
from application.connectors import Connectors, NewConnector
from application.ports import ScanLog
from application.scans import ScanRequest, Service, start_scan
from benchmarks.installation import Installation, cpu_seconds, installed, new_id, wait_for
from domain.connector import ConnectorType
from domain.scan import Scan
from infrastructure.embedded.folder import LOOPBACK
from infrastructure.s3_server import S3Server
from infrastructure.secrets import EnvelopeVault

TENANT = "benchmark"
ACTOR = "key:benchmark"
RULESET = "benchmark"


@dataclass(frozen=True, slots=True)
class Measured:
    """A scan that ended, the seconds from asking for it to its end, and the CPU seconds of all roles meanwhile."""

    scan: Scan
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Scanner:
    """The roles of a running service, and a connector of theirs."""

    service: Installation
    log: ScanLog
    connector: str
    pids: Sequence[int]

    def scan(self, kind: str = "full", *, file_types: tuple[str, ...] = (), seconds: float = 120) -> Measured:
        """Scan the bucket and wait for the end. Raises TimeoutError after `seconds`."""
        settings = self.service.settings
        cpu, begin, scan_id = cpu_seconds(self.pids), w.utc_now(), new_id("scan")
        start_scan(
            Service(self.log, w.open_inventory(settings), w.open_rulesets(settings), RULESET, 10**9, w.utc_now),
            ScanRequest((self.connector,), kind, file_types=file_types),
            scan_id=scan_id,
            tenant=TENANT,
            tier=self.service.settings.tier("enterprise"),
            connectors=[self.log.connector(self.connector)],
            actor=ACTOR,
        )
        wait_for(lambda: self.log.course(scan_id).status.ended, seconds=seconds, every=0.05)
        scan = self.log.scan(scan_id)
        assert scan.ended_at is not None
        return Measured(scan, (scan.ended_at - begin).total_seconds(), cpu_seconds(self.pids) - cpu)


@contextmanager
def scanner_of(server: S3Server, bucket: str, *, slots: int) -> Iterator[Scanner]:
    """A service of its own with `slots` slots, each in a process of its own, and a connector for `bucket`."""
    with installed() as service:
        log = w.open_log(service.settings)
        connector = _connector(service, log, server, bucket)
        with (
            service.process("coordinator", ["workers", "orchestrator", "recorder", "projector"]) as coordinator,
            service.process("scanner", ["workers", "scanner"], workers=slots, s3_endpoints=(LOOPBACK,)) as scanner,
        ):
            yield Scanner(service, log, connector, [coordinator.pid, scanner.pid])


def _connector(service: Installation, log: ScanLog, server: S3Server, bucket: str) -> str:
    vault = EnvelopeVault(service.settings.encryption_key_bytes())
    connector = new_id("conn")
    config: dict[str, object] = {"bucket": bucket, "endpoint_url": server.endpoint_url, "region": server.region}
    keys = {"access_key_id": server.access_key_id, "secret_access_key": server.secret_access_key}
    new = NewConnector("benchmark", ConnectorType.S3, config, keys)
    Connectors(log, vault, TENANT, ACTOR, w.utc_now).create(connector, new)
    return connector
