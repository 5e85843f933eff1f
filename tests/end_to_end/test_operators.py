"""What operators see of a real ring: traces, metrics and logs, and in them nothing of what was scanned or is secret."""

import asyncio
import json
import re
import secrets
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.aio.msg import Msg
from prometheus_client.parser import text_string_to_metric_families

from application.process_figures import FAMILIES
from infrastructure.messaging.streams import report_subject
from infrastructure.s3_server import S3Server
from tests.end_to_end.canaries import CONTENT, NAME, Emitted, files, objects, tables
from tests.end_to_end.collector import CollectedSpan, Collector, collecting
from tests.end_to_end.ring import FOLLOWERS, Ring, wait_until

pytestmark = pytest.mark.timeout(240)
"""The ring of its own and its scans are made within the first test."""

TRACE = secrets.token_hex(16)
CALLER = secrets.token_hex(8)
BUCKET = "canaries"
WRONG_SECRET = "canarySecretOfAConnectorThatIsRefused42"
NONSENSE = report_subject("default", "none")
WORKERS = ("orchestrator", "recorder", "projector", "scanner")


@dataclass
class Observed:
    """A ring that has done two scans: one traced by its caller, one of a bucket; and what was seen of it."""

    ring: Ring
    collector: Collector
    path: Path
    traced: str = ""
    answers: list[Emitted] = field(default_factory=list)
    messages: list[Emitted] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)

    def get(self, path: str) -> httpx.Response:
        answer = self.ring.client.get(path)
        self.answers.append(Emitted(path, answer.content))
        return answer

    def spans(self, scan: str) -> list[CollectedSpan]:
        [trace] = {s.trace for s in self.collector.spans if s.attributes.get("scanledger.scan") == scan} or {""}
        return [span for span in self.collector.spans if span.trace == trace]

    def metrics(self, part: str) -> dict[str, float]:
        """The samples of a process's own /metrics, or of the api's, by name and label values."""
        port = self.ring.settings.port if part == "api" else self.ring.metrics_port(part)
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        self.answers.append(Emitted(f"metrics of {part}", text.encode()))
        return parsed(text)


def parsed(text: str) -> dict[str, float]:
    samples: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        assert family.type in {"counter", "gauge", "histogram"}, family.name
        for sample in family.samples:
            key = "/".join([sample.name, *sample.labels.values()])
            assert key not in samples, f"{key} twice"
            samples[key] = sample.value
    return samples


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server, s3_client: Any) -> Iterator[Observed]:
    path, folder = tmp_path_factory.mktemp("observed"), tmp_path_factory.mktemp("canaries")
    s3_client.create_bucket(Bucket=BUCKET)
    for key, body in objects():
        (folder / key).write_bytes(body)
        s3_client.put_object(Bucket=BUCKET, Key=f"in/{key}", Body=body)
    with collecting() as collector:
        ring = Ring(path, [folder], otlp_endpoint=collector.url, metrics_port=1, log_level="debug")
        with ring.running(), heard(ring) as messages:
            for follower in FOLLOWERS:
                ring.start(follower)
            seen = Observed(ring, collector, path, messages=messages)
            seen.secrets = {**_secrets(ring, s3_server), "webhook secret": _webhook(seen)}
            seen.traced = _scan_traced(seen, folder)
            _scan_bucket(seen, s3_server)
            _send_nonsense(seen)
            yield seen


def _secrets(ring: Ring, server: S3Server) -> dict[str, str]:
    settings = ring.settings
    named = {
        "encryption key": settings.encryption_key,
        "seal key": settings.seal_key,
        "NATS password": settings.nats_password,
        "NATS password of workers": settings.worker_nats_password,
    }
    found = {name: value.get_secret_value() for name, value in named.items() if value is not None}
    key = ring.client.headers["Authorization"].rpartition("_")[2]
    return {**found, "API key": key, "connector secret": server.secret_access_key, "refused secret": WRONG_SECRET}


def _webhook(seen: Observed) -> str:
    """A webhook that the collector receives; its secret."""
    answer = seen.ring.client.post("/webhooks", json={"url": f"{seen.collector.url}/hook"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["secret"]).removeprefix("whsec_")


def _scan_traced(seen: Observed, folder: Path) -> str:
    ring = seen.ring
    connector = ring.connect_folder(folder)
    body = {"connectors": [connector], "type": "full", "options": {}}
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    answer = ring.client.post("/scans/parallel", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    scan = str(answer.json()["data"]["scan_id"])
    ring.wait_for_end(scan)
    return scan


def _scan_bucket(seen: Observed, server: S3Server) -> None:
    config = {"bucket": BUCKET, "endpoint_url": server.endpoint_url, "access_key_id": server.access_key_id}
    good = seen.ring.connect_bucket({**config, "secret_access_key": server.secret_access_key})
    bad = seen.ring.connect_bucket({**config, "secret_access_key": WRONG_SECRET})
    for scan in [seen.ring.start_scan(good), seen.ring.start_scan(bad)]:
        seen.ring.wait_for_end(scan)


def _send_nonsense(seen: Observed) -> None:
    """What nobody of ours would send: its contents are not to be repeated."""
    body = {"name": "x", "type": "s3", "config": {"bucket": 7, "secret_access_key": [WRONG_SECRET]}}
    answer = seen.ring.client.post("/connectors", json=body)
    assert answer.status_code in {400, 422}, answer.text
    seen.answers.append(Emitted("a refused connector", answer.content))

    async def publish() -> None:
        async with seen.ring.broker() as broker:
            nonsense = json.dumps({"kind": "chunk-completed", "scan": CONTENT["phrase"]}).encode()
            await broker.publish_stored(NONSENSE, nonsense, message_id="nonsense")

    asyncio.run(publish())
    seen.ring.wait_until_quiet()


@contextmanager
def heard(ring: Ring) -> Iterator[list[Emitted]]:
    """Everything on the subjects of the ring, from here on."""
    messages: list[Emitted] = []
    done, ready = threading.Event(), threading.Event()

    @asynccontextmanager
    async def listening() -> AsyncIterator[None]:
        async with ring.broker() as broker:

            async def on_message(message: Msg) -> None:
                if message.subject != NONSENSE:
                    head = json.dumps(message.headers or {}).encode()
                    messages.append(Emitted(message.subject, message.data + head))

            await broker.client.subscribe("scan.>", cb=on_message)
            yield

    async def listen() -> None:
        async with listening():
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(listen()))
    thread.start()
    assert ready.wait(10)
    try:
        yield messages
    finally:
        done.set()
        thread.join()


def names(spans: list[CollectedSpan]) -> set[str]:
    return {span.name for span in spans}


EVERY_SPAN = {"POST /api/v1/scans/parallel", "dispatch listing", "list unit", "dispatch chunk", "scan chunk"}
IN_CODE = re.compile(r"`([^`]+)`")
EVERY_SPAN |= {"record batch", "scan end"}


def test_one_trace_goes_from_the_request_to_the_last_chunk(observed: Observed):
    scan = observed.traced
    chunks = observed.ring.count(scan, "chunk-completed")

    def whole() -> bool:
        spans = observed.spans(scan)
        read = [span for span in spans if span.name == "scan chunk"]
        return names(spans) >= EVERY_SPAN and len(read) >= chunks

    wait_until("all spans are there", whole, within=20, every=0.2)
    spans = observed.spans(scan)
    assert {span.trace for span in spans} == {TRACE}
    by_id = {span.span: span for span in spans}
    [request] = [span for span in spans if span.name.startswith("POST ")]
    assert request.parent == CALLER
    assert {span.parent for span in spans} <= {*by_id, CALLER}
    assert {link for span in spans for link in span.links} <= set(by_id)
    parents = {(by_id[span.parent].name, span.name) for span in spans if span is not request}
    assert ("dispatch chunk", "scan chunk") in parents
    assert ("dispatch listing", "list unit") in parents
    assert ("scan chunk", "record batch") in parents
    assert (request.name, "dispatch chunk") in parents
    assert (request.name, "scan end") in parents
    [end] = [span for span in spans if span.name == "scan end"]
    assert end.start >= max(span.start for span in spans if span.name == "scan chunk")
    assert len({span.service for span in spans}) == 3


def test_the_spans_of_chunks_tell_what_they_came_to(observed: Observed):
    read = [span.attributes for span in observed.spans(observed.traced) if span.name == "scan chunk"]
    coverage = observed.ring.shown(observed.traced)["coverage"]
    sums: Mapping[str, int] = {
        name: sum(int(str(chunk[f"scanledger.{name}"])) for chunk in read) for name in ("objects", "failed", "bytes")
    }
    assert sums["objects"] == coverage["total_scanned"]
    assert sums["failed"] > 0
    assert sums["bytes"] > 0
    assert {chunk["scanledger.outcome"] for chunk in read} == {"done"}


def test_the_document_tells_every_span_with_all_its_attributes(observed: Observed):
    document = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
    table = document.split("| span |")[1].split("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    told = {name: set(IN_CODE.findall(attributes)) for cell, *_, attributes in rows for name in IN_CODE.findall(cell)}
    assert set(told) == EVERY_SPAN
    for span in observed.spans(observed.traced):
        attributes = set(span.attributes) - {"scanledger.scan"}
        ids = {"scanledger.unit", "scanledger.chunk"}
        assert attributes == told[span.name] or attributes | ids == told[span.name] | ids, span.name


def test_a_scan_that_has_ended_leaves_no_trace_context_behind(observed: Observed):
    wait_until("none is left", lambda: observed.ring.rows("SELECT count(*) FROM scan_traces")[0][0] == 0)


def test_the_api_tells_the_sums_of_the_ring(observed: Observed):
    def told() -> dict[str, float] | None:
        metrics = observed.metrics("api")
        lags = [
            metrics.get(f"scanledger_follower_lag_events/{name}") for name in ("projector", "inventories", *FOLLOWERS)
        ]
        return metrics if lags == [0] * (2 + len(FOLLOWERS)) else None

    metrics = wait_until("every follower is current", told, every=1)
    views = observed.ring.rows("SELECT status, count(*) FROM scan_views GROUP BY status")
    assert {status: metrics[f"scanledger_scans/{status}"] for status, _ in views} == dict(views)
    assert metrics["scanledger_database_up"] == metrics["scanledger_broker_up"] == 1
    assert metrics["scanledger_findings_total/payment/high"] > 0
    assert metrics["scanledger_objects_accounted_total/failed/parse_error"] > 0
    assert metrics["scanledger_wanted_workers"] == metrics["scanledger_commands_outstanding"] == 0
    assert metrics["scanledger_worker_slots/default"] == 2
    assert metrics["scanledger_webhook_deliveries/dead"] == 0
    assert {"scanledger_follower_lag_seconds/inventories", "process_open_fds"} <= set(metrics)


@pytest.mark.parametrize("part", WORKERS)
def test_a_worker_process_tells_the_figures_of_its_role_and_no_others(observed: Observed, part: str):
    told = {name.split("/")[0].removeprefix("scanledger_") for name in observed.metrics(part)}
    wanted = {
        name + ("_total" if family.kind == "counter" else "")
        for name, family in FAMILIES.items()
        if name.startswith(f"{part}_")
    }
    assert {name for name in told if name.split("_")[0] in WORKERS} == wanted
    assert "process_resident_memory_bytes" in told


def test_the_figures_of_the_workers_agree_with_what_was_recorded(observed: Observed):
    scanner, recorder = observed.metrics("scanner"), observed.metrics("recorder")
    [(chunks,)] = observed.ring.rows("SELECT count(*) FROM stored_events WHERE topic = 'scan.chunk-completed'")
    assert scanner["scanledger_scanner_chunks_total/done"] == chunks
    [(read,)] = observed.ring.rows("SELECT value FROM scan_totals WHERE (name, label) = ('bytes', 'read')")
    assert scanner["scanledger_scanner_read_bytes_total"] == read
    assert scanner["scanledger_scanner_chunk_seconds_total"] > 0
    assert recorder["scanledger_recorder_reports_total/changed"] >= chunks
    assert recorder["scanledger_recorder_reports_total/unknown"] == 1
    assert observed.metrics("orchestrator")["scanledger_orchestrator_leads"] == 1


def test_every_log_entry_of_ours_is_json_and_those_about_a_chunk_carry_its_ids_and_trace(observed: Observed):
    lines = [line for part in (*WORKERS, *FOLLOWERS, "api") for line in observed.ring.log_of(part).splitlines()]
    entries = [json.loads(line) for line in lines]
    assert all({"event", "level", "timestamp"} <= set(entry) for entry in entries)
    about = [entry for entry in entries if entry["event"] == "scanner.work_ended" and "chunk" in entry]
    assert {entry["scan"] for entry in about} >= {observed.traced}
    assert {entry["trace_id"] for entry in about if entry["scan"] == observed.traced} == {TRACE}


def _pages(observed: Observed) -> None:
    """Ask for everything the API has to tell."""
    for path in (
        "/connectors",
        "/scans",
        "/detectors",
        "/allow-list",
        "/schema",
        "/webhooks",
        "/events",
        "/audit/checkpoints",
    ):
        observed.get(path)
    for scan in observed.get("/scans").json()["data"]:
        for part in ("", "/findings", "/objects", "/events", "/workers"):
            observed.get(f"/scans/{scan['scan_id']}{part}")
    for part in (*WORKERS, "api"):
        observed.metrics(part)


def test_no_secret_and_nothing_of_an_object_is_in_anything_the_ring_emits(observed: Observed):
    _pages(observed)
    wait_until("events are delivered", lambda: observed.collector.posted, within=20)
    delivered = [Emitted("a delivery", body) for body in [*observed.collector.posted]]
    traces = [Emitted("traces", body) for body in observed.collector.bodies]
    logs = [*files(observed.path / "logs"), *files(observed.path / "checkpoints")]
    logs += [Emitted(path.name, path.read_bytes()) for path in observed.path.glob("*.log")]
    emitted = [*logs, *observed.messages, *tables(observed.ring.database_url), *observed.answers, *traces, *delivered]
    kinds = {each.place.split(".")[1] for each in observed.messages}
    assert kinds == {"cmd", "list", "report", "control", "progress", "credentials", "events"}
    assert all([traces, logs, observed.messages, observed.answers])
    for kind, value in {**CONTENT, **observed.secrets}.items():
        assert [each.place for each in emitted if each.holds(value)] == [], kind
    stored = [*files(observed.path / "nats")]
    for kind, value in observed.secrets.items():
        assert [each.place for each in stored if each.holds(value)] == [], kind


def test_no_name_of_an_object_is_in_traces_metrics_or_logs(observed: Observed):
    emitted = [Emitted("traces", body) for body in observed.collector.bodies]
    emitted += [each for each in observed.answers if each.place.startswith("metrics")]
    emitted += files(observed.path / "logs")
    assert [each.place for each in emitted if each.holds(NAME)] == []


def test_the_canaries_are_found_where_they_are(observed: Observed):
    assert Emitted("as hex", CONTENT["card"].encode().hex().encode()).holds(CONTENT["card"])
    assert Emitted("plain", b"x" + CONTENT["card"].encode()).holds(CONTENT["card"])
    told = observed.get(f"/scans/{observed.traced}/objects")
    assert Emitted("the ledger, which names objects", told.content).holds(NAME)
    detectors = {row[0] for row in observed.ring.rows("SELECT DISTINCT detector FROM findings")}
    assert {"payment.card", "pii.email"} <= detectors
    assert any(detector.startswith("secret.aws") for detector in detectors)
