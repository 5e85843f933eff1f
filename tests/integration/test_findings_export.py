"""Exports of findings over HTTP: whole, filtered, streamed in bounded memory, and never short without a sign."""

import csv
import io
import json
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import psutil
import psycopg
import pyarrow.parquet as pq
import pytest

from api.findings_export import MOST_OF_TENANT
from application.messages import ReportedFinding, ReportedOccurrence
from domain.manifest import ObjectInfo
from tests.fixtures_api import Api, Document, eventually

MANY = 24_000
FEW = 6_000
ROOM = 15_000_000
"""Bytes: half of what the findings in between take in any format, and less than a tenth as objects of Python."""

KEYS = ("=cmd|' /C calc'!A0", "a\nb.csv", "\u202egpj.exe", "nul\0.csv", "lone\ufffd80.csv", "ü/ñ.csv", "../x", "-1")
MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8; header=present",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "ocsf": "application/x-ndjson",
    "sarif": "application/sarif+json",
}
NAMES = {"csv": "csv", "ndjson": "ndjson", "parquet": "parquet", "ocsf": "ocsf.ndjson", "sarif": "sarif"}


def finding(index: int, key: str, detector: str, column: str | None = None) -> ReportedFinding:
    place = ReportedOccurrence(masked="***1", byte_offset=4, length=4, line=1, column=5)
    return ReportedFinding(
        index=index,
        object=key,
        detector=detector,
        category=detector.partition(".")[0],
        confidence=0.4 + index / 20,
        count=index + 2,
        column=column,
        occurrences=[place] * (index % 3),
    )


@pytest.fixture(scope="module")
def scan(api: Api) -> str:
    """A finished scan with findings in objects whose names are hostile, on more than one page."""
    scan = api.scan()
    api.fleet.list(scan, [ObjectInfo(key, 100) for key in KEYS])
    detectors = ("pii.email", "payment.card", "secret.gone")
    found = [finding(i, key, detector, "=c" if i % 2 else None) for i, key in enumerate(KEYS) for detector in detectors]
    api.fleet.complete(scan, 0, findings=found)
    api.settled(scan)
    return scan


def path(scan: str) -> str:
    return f"/api/v1/scans/{scan}/findings/export"


def listed(client: httpx.Client, scan: str, **params: Any) -> list[Document]:
    items: list[Document] = []
    wanted = {"limit": 7, **params}
    while True:
        answer = client.get(f"/api/v1/scans/{scan}/findings", params=wanted).json()
        items += answer["data"]
        if not answer["pagination"]["has_more"]:
            return items
        wanted["cursor"] = answer["pagination"]["next_cursor"]


def of_csv(body: bytes) -> Iterator[tuple[str, int]]:
    for row in csv.DictReader(io.StringIO(body.decode(), newline="")):
        yield row["finding_id"], int(row["count"])


def of_ndjson(body: bytes) -> Iterator[tuple[str, int]]:
    for line in body.splitlines():
        item = json.loads(line)
        yield item["finding_id"], item["count"]


def of_parquet(body: bytes) -> Iterator[tuple[str, int]]:
    for row in pq.read_table(io.BytesIO(body)).to_pylist():
        yield row["finding_id"], row["count"]


def of_ocsf(body: bytes) -> Iterator[tuple[str, int]]:
    for line in body.splitlines():
        event = json.loads(line)
        yield event["finding_info"]["uid"], event["data_security"]["total"]


def of_sarif(body: bytes) -> Iterator[tuple[str, int]]:
    for result in json.loads(body)["runs"][0]["results"]:
        yield result["properties"]["finding_id"], result["occurrenceCount"]


READ: dict[str, Callable[[bytes], Iterator[tuple[str, int]]]] = {
    "csv": of_csv,
    "ndjson": of_ndjson,
    "parquet": of_parquet,
    "ocsf": of_ocsf,
    "sarif": of_sarif,
}
FORMATS = pytest.mark.parametrize("kind", READ)


@FORMATS
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"category": "pii"},
        {"detector": "payment.card", "min_confidence": 0.6},
        {"severity": "critical"},
        {"object": KEYS[0]},
        {"connector": "conn-none"},
    ],
)
def test_an_export_has_the_findings_that_the_pages_have(api: Api, scan: str, kind: str, params: Document):
    client = api.client()
    answer = client.get(path(scan), params={"format": kind, **params})
    assert answer.status_code == 200, answer.text
    expected = [(item["finding_id"], item["count"]) for item in listed(client, scan, **params)]
    assert list(READ[kind](answer.content)) == expected
    assert bool(expected) is (params.get("connector") is None)


def test_a_line_of_ndjson_is_the_item_of_the_page(api: Api, scan: str):
    client = api.client()
    lines = client.get(path(scan), params={"format": "ndjson"}).text.split("\n")[:-1]
    assert [json.loads(line) for line in lines] == [{"scan_id": scan, **item} for item in listed(client, scan)]


@FORMATS
def test_a_file_says_what_it_is_and_of_which_version(api: Api, scan: str, kind: str):
    client = api.client()
    version = client.get(f"/api/v1/scans/{scan}").json()["data"]["version"]
    for method in ("GET", "HEAD"):
        answer = client.request(method, path(scan), params={"format": kind})
        assert answer.headers["content-type"] == MEDIA_TYPES[kind]
        assert answer.headers["content-disposition"] == f'attachment; filename="{scan}-findings.{NAMES[kind]}"'
        assert answer.headers["x-scan-version"] == str(version)
        assert answer.headers["x-scan-status"] == "completed"
        assert answer.headers["cache-control"] == "no-store"
        assert bool(answer.content) is (method == "GET")


def test_a_running_scan_is_exported_as_far_as_it_is(api: Api):
    scan = api.scan()
    api.fleet.list(scan, [ObjectInfo("a.csv", 100), ObjectInfo("b.csv", 10**9)])
    api.fleet.complete(scan, 0, findings=[finding(0, "a.csv", "pii.email")])
    version = api.settled(scan)["version"]
    answer = api.client().get(path(scan), params={"format": "sarif"})
    assert (answer.headers["x-scan-status"], answer.headers["x-scan-version"]) == ("running", str(version))
    [run] = answer.json()["runs"]
    assert len(run["results"]) == 1
    assert run["properties"] == {"scan_id": scan, "scan_version": version, "scan_status": "running"}


def test_a_file_names_the_place_that_the_scan_looked_at_wherever_the_connector_points_to_now(api: Api, scan: str):
    client = api.client()
    [connector] = client.get(f"/api/v1/scans/{scan}").json()["data"]["connectors"]
    root = {"uri": f"file://{api.folder}/"}
    assert client.patch(f"/api/v1/connectors/{connector}", json={"config": {"root": "/tmp"}}).status_code in {200, 400}
    [run] = client.get(path(scan), params={"format": "sarif"}).json()["runs"]
    assert run["originalUriBaseIds"] == {connector: root}
    event = json.loads(client.get(path(scan), params={"format": "ocsf"}).text.partition("\n")[0])
    assert event["resources"][0]["name"] == api.folder


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("", "format", "is required"),
        ("format=xml", "format", "'csv'"),
        ("format=csv&limit=5", "limit", "is not a parameter of this address"),
        ("format=csv&min_confidence=2", "min_confidence", "less than or equal to 1"),
        ("format=csv&format=csv", "format", "is given twice"),
    ],
)
def test_a_wrong_request_is_refused_in_the_envelope(api: Api, scan: str, query: str, field: str, message: str):
    answer = api.client().get(f"{path(scan)}?{query}")
    assert answer.status_code == 400
    [fault] = answer.json()["error"]["details"]["fields"]
    assert fault["field"] == field
    assert message in fault["message"]


def test_only_a_reader_of_the_tenant_gets_a_file(api: Api, scan: str):
    stranger = api.client(api.tenant_key("elsewhere"))
    writer = api.client(api.tenant_key(scopes=["connectors:write"]))
    for client, status in ((stranger, 404), (writer, 403), (api.client(""), 401)):
        assert client.get(path(scan), params={"format": "csv"}).status_code == status


# Large ones -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(api: Api) -> str:
    """A scan with MANY findings of 15 occurrences each, put in beside it."""
    scan = api.scan()
    api.fleet.list(scan, [])
    api.settled(scan)
    occurrence = {"masked": "************1111", "byte_offset": 45, "length": 16, "line": 2, "field": "card"}
    with psycopg.connect(api.database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO findings (scan_id, finding_id, connector, object, object_index, detector, category,"
            " confidence, count, first_seen_at, occurrences) SELECT %s, 'fnd-' || i, 'conn-1', 'data/' || i || '.csv',"
            " i, CASE WHEN i > %s THEN 'payment.card' ELSE 'payment.iban' END, 'payment', 0.9, 15, now(), %s::jsonb"
            " FROM generate_series(1, %s) i",
            (scan, FEW, json.dumps([occurrence] * 15), MANY),
        )
    return scan


@pytest.mark.parametrize("kind", ["parquet", "sarif"])
def test_four_times_as_many_findings_take_no_more_memory(api: Api, large: str, kind: str):
    few = peak(api, large, format=kind, detector="payment.iban")
    assert peak(api, large, format=kind) - few < ROOM


def peak(api: Api, scan: str, **params: str) -> int:
    """The most memory that the service takes while it sends a file, in bytes."""
    process, most = psutil.Process(api.process.pid), 0
    with api.client().stream("GET", path(scan), params=params) as answer:
        for _ in answer.iter_raw():
            most = max(most, process.memory_info().rss)
    return most


@contextmanager
def reading_slowly(api: Api, scan: str, kind: str) -> Iterator[socket.socket]:
    """A client that has taken the beginning of a file, through a window so small that the rest must wait."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", httpx.URL(api.url).port))
        head = f"GET {path(scan)}?format={kind} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.key}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(1024).startswith(b"HTTP/1.1 200")
        yield connection


def rest(connection: socket.socket) -> bytes:
    blocks = []
    while block := connection.recv(1 << 20):
        blocks.append(block)
    return b"".join(blocks)


@pytest.mark.parametrize("kind", ["csv", "sarif"])
def test_a_file_that_fails_on_its_way_is_cut_off_and_never_ended(api: Api, large: str, kind: str):
    with psycopg.connect(api.database_url, autocommit=True) as database, reading_slowly(api, large, kind) as connection:
        database.execute("ALTER TABLE findings RENAME TO findings_away")
        try:
            body = rest(connection)
        finally:
            database.execute("ALTER TABLE findings_away RENAME TO findings")
    assert len(body) > 10_000
    assert not body.endswith(b"\r\n0\r\n\r\n")


def test_a_client_of_http_sees_that_a_file_was_cut_off(api: Api, large: str):
    with (
        psycopg.connect(api.database_url, autocommit=True) as database,
        api.client().stream("GET", path(large), params={"format": "ocsf"}) as answer,
    ):
        database.execute("ALTER TABLE findings RENAME TO findings_away")
        try:
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                answer.read()
        finally:
            database.execute("ALTER TABLE findings_away RENAME TO findings")


def test_a_row_that_cannot_be_written_cuts_the_file_off_as_well(api: Api, large: str):
    change = "UPDATE findings SET occurrences = %s::jsonb WHERE scan_id = %s AND finding_id = 'fnd-5999'"
    with psycopg.connect(api.database_url, autocommit=True) as database:
        database.execute(change, ("5", large))
        try:
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                api.client().get(path(large), params={"format": "sarif", "detector": "payment.iban"})
        finally:
            database.execute(change, ("[]", large))


def test_a_tenant_has_so_many_exports_at_once_and_those_of_clients_that_left_are_over(api: Api, large: str):
    client = api.client()
    with ExitStack() as readers:
        for _ in range(MOST_OF_TENANT):
            readers.enter_context(reading_slowly(api, large, "sarif"))
        answer = client.get(path(large), params={"format": "csv"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "RATE_LIMITED")
        assert answer.headers["retry-after"] == "5"
        stranger = api.client(api.tenant_key("aside"))
        assert stranger.get(path(api.scan(stranger)), params={"format": "csv"}).status_code == 200
    assert eventually(lambda: client.head(path(large), params={"format": "csv"}).status_code == 200)


def test_lines_of_hostile_names_stay_lines(api: Api, scan: str):
    body = api.client().get(path(scan), params={"format": "csv"}).text
    rows: Sequence[Document] = list(csv.DictReader(io.StringIO(body, newline="")))
    shown = {item["object"] for item in listed(api.client(), scan)}
    assert {row["object"].removeprefix("'") for row in rows} == shown
    assert {row["column"] for row in rows} == {"", "'=c"}
    assert not re.search(r'(^|,)"[=+\-@\t\r]', body, re.MULTILINE)
