"""The service as a whole over HTTP: keys, headers, methods, its own pages, and life without database or broker."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from api import detector_documents, documents
from infrastructure.embedded.folder import LOOPBACK, DataFolder, free_port
from infrastructure.embedded.nats import EmbeddedNats
from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.postgres.migrate import migrate
from infrastructure.postgres.tenants import bootstrap, ensure_tenant, make_key, revoke_key
from tests.fixtures_api import Api, api_environment, api_process, eventually, nats_settings

SCANS = "/api/v1/scans"


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Basic abc", "Bearer nonsense", f"Bearer sl_{'a' * 12}_{'b' * 43}", "Bearer é"],
)
def test_without_a_valid_key_there_is_401(api: Api, header: str | None):
    headers = {} if header is None else {"Authorization": header.encode()}
    for path in (SCANS, "/api/v1/connectors", "/api/v1/detectors", f"{SCANS}/x"):
        answer = api.client("").get(path, headers=headers)
        assert code_of(answer) == (401, "UNAUTHENTICATED")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_key_with_another_secret_is_refused(api: Api):
    altered = api.key[:-1] + ("A" if api.key[-1] != "A" else "B")
    assert code_of(api.client(altered).get(SCANS)) == (401, "UNAUTHENTICATED")


def test_a_revoked_key_is_refused(api: Api):
    key = api.tenant_key()
    assert revoke_key(api.database_url, key.split("_")[1])
    assert code_of(api.client(key).get(SCANS)) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", SCANS, "scans:read"),
        ("GET", f"{SCANS}/x", "scans:read"),
        ("POST", f"{SCANS}/parallel", "scans:write"),
        ("POST", f"{SCANS}/x/cancel", "scans:write"),
        ("POST", f"{SCANS}/x/pause", "scans:write"),
        ("POST", f"{SCANS}/x/resume", "scans:write"),
        ("POST", f"{SCANS}/x/redrive", "scans:write"),
        ("GET", "/api/v1/connectors", "scans:read"),
        ("POST", "/api/v1/connectors", "connectors:write"),
        ("PATCH", "/api/v1/connectors/x", "connectors:write"),
        ("DELETE", "/api/v1/connectors/x", "connectors:write"),
        ("POST", "/api/v1/connectors/x/test", "connectors:write"),
    ],
)
def test_a_key_without_the_scope_is_forbidden_and_told_which(api: Api, method: str, path: str, scope: str):
    others = [name for name in ("scans:read", "scans:write", "connectors:write") if name != scope]
    answer = api.client(api.tenant_key(scopes=others)).request(method, path)
    assert code_of(answer) == (403, "FORBIDDEN")
    assert answer.json()["error"]["details"] == {"required_scope": scope}
    allowed = api.client(api.tenant_key(scopes=[scope])).request(method, path)
    assert allowed.status_code not in {401, 403}


def test_the_first_key_is_made_once_and_kept_while_it_works(api: Api):
    first = bootstrap(api.database_url, api.encryption_key, tier="team")
    assert bootstrap(api.database_url, api.encryption_key, tier="team", kept=first) == first
    lost = bootstrap(api.database_url, api.encryption_key, tier="team", kept="sl_nonsense")
    assert lost != first
    assert api.client(first).get(SCANS).status_code == 200


# Requests of the wrong kind -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/nothing", f"{SCANS}/x/stop", "/api/v2/scans", "/web/x/y"])
def test_an_unknown_address_is_404_in_the_envelope(api: Api, path: str):
    assert code_of(api.client().get(path)) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", SCANS, "GET"),
        ("GET", f"{SCANS}/x/cancel", "POST"),
        ("GET", f"{SCANS}/x/pause", "POST"),
        ("DELETE", f"{SCANS}/x", "GET"),
        ("TRACE", "/", "GET"),
    ],
)
def test_a_wrong_method_is_405_and_told_the_right_one(api: Api, method: str, path: str, allowed: str):
    answer = api.client().request(method, path)
    assert code_of(answer) == (405, "METHOD_NOT_ALLOWED")
    assert allowed in answer.headers["Allow"]


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
def test_a_body_that_is_not_json_is_415(api: Api, kind: str | None):
    headers = {} if kind is None else {"Content-Type": kind}
    answer = api.client().post(f"{SCANS}/parallel", content=b'{"type": "full"}', headers=headers)
    assert code_of(answer) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_compressed_body_is_415_and_identity_is_none(api: Api):
    for coding, status in (("gzip", 415), ("identity, br", 415), ("identity", 400)):
        headers = {"Content-Type": "application/json", "Content-Encoding": coding}
        answer = api.client().post(f"{SCANS}/parallel", content=b"{}", headers=headers)
        assert answer.status_code == status


@pytest.mark.parametrize("path", [SCANS, f"{SCANS}/nothing", "/healthz", "/", "/nothing", f"{SCANS}/x/cancel"])
def test_head_answers_as_get_does_without_a_body(api: Api, path: str):
    client = api.client()
    whole, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    for name in ("Content-Type", "ETag", "Allow"):
        assert head.headers.get(name) == whole.headers.get(name)


def test_a_body_over_one_mebibyte_is_413_also_when_its_length_is_not_told(api: Api):
    json = {"Content-Type": "application/json"}
    whole = api.client().post(f"{SCANS}/parallel", content=b" " * (1024 * 1024 + 1), headers=json)
    assert code_of(whole) == (413, "PAYLOAD_TOO_LARGE")

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    streamed = api.client().post(f"{SCANS}/parallel", content=pieces(), headers=json)
    assert code_of(streamed) == (413, "PAYLOAD_TOO_LARGE")


def test_a_deeply_nested_body_is_400(api: Api):
    json = {"Content-Type": "application/json"}
    answer = api.client().post(f"{SCANS}/parallel", content=b"[" * 5_000 + b"]" * 5_000, headers=json)
    assert code_of(answer) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize("name", ["%00", "..%2f..", "x" * 500, "%ff", "%F0%9F%98%80", "'", "scan-"])
def test_an_id_that_cannot_exist_is_404(api: Api, name: str):
    for what, path in (("SCAN", f"{SCANS}/{name}"), ("CONNECTOR", f"/api/v1/connectors/{name}")):
        answer = api.client().get(path)
        assert answer.status_code == 404
        assert code_of(answer)[1] in {f"{what}_NOT_FOUND", "NOT_FOUND"}


def test_a_request_id_is_echoed_if_it_is_one_and_made_if_not(api: Api):
    client = api.client()
    for given in ("mine-1", "a b", "x" * 128):
        answer = client.get(SCANS, headers={"X-Request-ID": given})
        assert answer.headers["X-Request-ID"] == answer.json()["metadata"]["request_id"] == given
    for given in ("x" * 129, "é", ""):
        answer = client.get(SCANS, headers={"X-Request-ID": given.encode()})
        made = answer.headers["X-Request-ID"]
        assert made == answer.json()["metadata"]["request_id"] != given
    failed = client.get("/nothing", headers={"X-Request-ID": "mine-2"})
    assert failed.headers["X-Request-ID"] == failed.json()["metadata"]["request_id"] == "mine-2"


def test_errors_come_as_problem_documents_to_who_asks(api: Api):
    for path in ("/nothing", f"{SCANS}/x", f"{SCANS}?limit=0"):
        answer = api.client().get(path, headers={"Accept": "application/problem+json"})
        assert answer.headers["content-type"].startswith("application/problem+json")
        documents.Problem.model_validate(answer.json())
        assert answer.json()["status"] == answer.status_code


# The service about itself ---------------------------------------------------------------------------------------------


def test_service_addresses_need_no_key_and_have_an_alias(api: Api):
    client = api.client("")
    for name in ("healthz", "readyz", "metrics", "schema"):
        for path in (f"/{name}", f"/api/v1/{name}"):
            assert client.get(path).status_code == 200
    assert documents.Ready.model_validate(client.get("/readyz").json()["data"])
    assert set(client.get("/readyz").json()["data"]["checks"]) == {"database", "migrations", "broker"}


def test_metrics_tell_requests_by_route_and_scans_by_status(api: Api):
    scan = api.scan()
    api.client().get(f"{SCANS}/{scan}")
    text = api.client("").get("/metrics").text
    assert 'scanledger_api_requests_total{method="GET",route="/api/v1/scans/{scan}",status="200"}' in text
    assert scan not in text
    assert eventually(lambda: 'scanledger_scans{status="queued"} 0.0' not in api.client("").get("/metrics").text)
    assert "process_resident_memory_bytes" in text


def test_detectors_are_listed_with_the_ruleset_that_scans_carry(api: Api):
    answer = api.client().get("/api/v1/detectors")
    detector_documents.Detectors.model_validate(answer.json())
    assert "payment.card" in {item["detector"] for item in answer.json()["data"]}
    queued = api.client().get(f"{SCANS}/{api.scan()}/events").json()["data"][0]
    assert queued["data"]["ruleset"] == answer.json()["ruleset"]
    assert api.client().get("/api/v1/detectors", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_the_pages_load_nothing_from_elsewhere(api: Api):
    client = api.client("")
    for path in ("/", "/docs"):
        page = client.get(path)
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert "http" not in page.text.replace("http-equiv", "")
        assert "<script>" not in page.text
        for asset in [part.split('"')[0] for part in page.text.split('="/web/')[1:]]:
            assert client.get(f"/web/{asset}").status_code == 200


# Database and broker away ---------------------------------------------------------------------------------------------


@pytest.fixture
def key() -> bytes:
    return os.urandom(32)


def test_with_database_and_broker_away_every_request_is_answered_503_quickly(key: bytes):
    port, nowhere = free_port(LOOPBACK), free_port(LOOPBACK)
    database = f"postgresql://nobody:nothing@{LOOPBACK}:{nowhere}/none"
    nats = {"SCANLEDGER_NATS_URL": f"nats://{LOOPBACK}:{nowhere}"}
    token = f"sl_{'a' * 12}_{'b' * 43}"
    with api_process(api_environment(database, nats, key, port, "/tmp")):
        url = f"http://{LOOPBACK}:{port}"
        for path in (SCANS, "/readyz"):
            began = time.monotonic()
            answer = httpx.get(url + path, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=15)
            assert code_of(answer) == (503, "SERVICE_UNAVAILABLE")
            assert int(answer.headers["Retry-After"]) >= 1
            assert time.monotonic() - began < 6
        assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
        told = httpx.get(f"{url}/metrics", trust_env=False, timeout=15).text
        assert "scanledger_database_up 0.0" in told
        assert "scanledger_broker_up 0.0" in told
        assert "scanledger_api_requests_total" in told


@pytest.mark.torture
def test_a_broker_that_goes_away_stops_new_scans_and_not_pausing_or_cancelling(
    new_database: Callable[[], str], key: bytes, tmp_path: Path
):
    database, port = new_database(), free_port(LOOPBACK)
    token = bootstrap(database, key, tier="team")
    folder = DataFolder(tmp_path / "nats")
    with folder.locked():
        nats = EmbeddedNats(folder)
        nats.start()
        with api_process(api_environment(database, nats_settings(nats), key, port, str(tmp_path))):
            headers = {"Authorization": f"Bearer {token}"}
            client = httpx.Client(base_url=f"http://{LOOPBACK}:{port}", headers=headers, trust_env=False, timeout=15)
            assert eventually(lambda: client.get("/readyz").status_code == 200)
            body = {"name": "f", "type": "filesystem", "config": {"root": str(tmp_path)}}
            connector = client.post("/api/v1/connectors", json=body).json()["data"]["connector_id"]
            start = {"connectors": [connector], "type": "full"}
            scan = client.post(f"{SCANS}/parallel", json=start).json()["data"]["scan_id"]
            nats.stop()
            once = {"Idempotency-Key": "while-away"}
            refused = client.post(f"{SCANS}/parallel", json=start, headers=once)
            assert code_of(refused) == (503, "SERVICE_UNAVAILABLE")
            assert client.get(f"{SCANS}/{scan}").status_code == 200
            told = client.get("/metrics").text
            assert "scanledger_broker_up 0.0" in told
            assert 'scanledger_scans{status="queued"}' in told
            for verb, status in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
                assert client.post(f"{SCANS}/{scan}/{verb}").json()["data"]["status"] == status
            assert code_of(client.post(f"{SCANS}/{scan}/redrive")) == (503, "SERVICE_UNAVAILABLE")
            nats.start()
            assert eventually(lambda: client.get("/readyz").status_code == 200)
            assert client.post(f"{SCANS}/parallel", json=start, headers=once).status_code == 201
            client.close()
        nats.stop()


FOLDER = {"name": "f", "type": "filesystem", "config": {"root": "/tmp"}}


def assert_away(client: httpx.Client) -> None:
    """Every request that needs the database is answered 503 within seconds."""
    start = {"connectors": ["conn-x"], "type": "full"}
    for method, path, body in (
        ("GET", SCANS, None),
        ("POST", f"{SCANS}/parallel", start),
        ("POST", "/api/v1/connectors", FOLDER),
    ):
        began = time.monotonic()
        answer = client.request(method, path, json=body)
        assert code_of(answer) == (503, "SERVICE_UNAVAILABLE")
        assert "Retry-After" in answer.headers
        assert time.monotonic() - began < 8


@contextmanager
def frozen(postgres: EmbeddedPostgres) -> Iterator[None]:
    """All processes of the server stand still."""
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


@pytest.mark.torture
def test_a_database_that_goes_away_or_freezes_is_told_and_found_again(
    key: bytes, nats_server: EmbeddedNats, tmp_path_factory: pytest.TempPathFactory
):
    folder, port = DataFolder(tmp_path_factory.mktemp("database")), free_port(LOOPBACK)
    with folder.locked():
        postgres = EmbeddedPostgres(folder)
        postgres.start()
        migrate(postgres.url)
        token = bootstrap(postgres.url, key, tier="team")
        with api_process(api_environment(postgres.url, nats_settings(nats_server), key, port, "/tmp")) as process:
            headers = {"Authorization": f"Bearer {token}"}
            client = httpx.Client(base_url=f"http://{LOOPBACK}:{port}", headers=headers, trust_env=False, timeout=15)
            assert client.get(SCANS).status_code == 200
            postgres.stop()
            assert_away(client)
            postgres.start()
            assert eventually(lambda: client.get(SCANS).status_code == 200, seconds=15)
            with frozen(postgres):
                assert_away(client)
            assert eventually(lambda: client.get(SCANS).status_code == 200, seconds=15)
            once = {"Idempotency-Key": "after-the-frost"}
            assert client.post("/api/v1/connectors", json=FOLDER, headers=once).status_code == 201
            assert client.get("/readyz").status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            client.close()
        postgres.stop()


def test_it_ends_on_sigterm_while_clients_hold_connections_and_live_streams(
    api: Api, key: bytes, nats_server: EmbeddedNats
):
    port = free_port(LOOPBACK)
    ensure_tenant(api.database_url, "default", name="Default", tier="team")
    token = make_key(api.database_url, key)
    environment = api_environment(api.database_url, nats_settings(nats_server), key, port, "/tmp")
    scan = api.scan()
    with (
        api_process(environment) as process,
        httpx.Client(trust_env=False) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        headers = {"Authorization": f"Bearer {token}"}
        url = f"http://{LOOPBACK}:{port}/api/v1"
        assert client.get(f"{url}/scans", headers=headers).status_code == 200
        polling = threads.submit(client.get, f"{url}/scans/{scan}?wait=60&version=99", headers=headers, timeout=60)
        with client.stream("GET", f"{url}/events/live", headers=headers, timeout=60) as live:
            frames = live.iter_lines()
            assert next(frames).startswith("retry:")
            assert next(frames).startswith("id:")
            process.send_signal(signal.SIGTERM)
            # To its end, and not cut off: httpx would raise.
            assert list(frames) == [""]
        assert polling.result().status_code == 200
        assert process.wait(8) == 0
