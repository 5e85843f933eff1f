"""Findings and history over HTTP."""

import json

import httpx
import pytest

from api import documents
from application.messages import ReportedFinding, ReportedOccurrence
from domain.manifest import ObjectInfo
from tests.fixtures_api import Api, Document, eventually

LONG = "x" * 300


def finding(index: int, key: str, detector: str, confidence: float = 0.9, column: str | None = None) -> ReportedFinding:
    return ReportedFinding(
        index=index,
        object=key,
        detector=detector,
        category=detector.partition(".")[0],
        confidence=confidence,
        count=2,
        column=column,
        occurrences=[ReportedOccurrence(masked="***1", byte_offset=4, length=4, line=1)],
    )


@pytest.fixture(scope="module")
def scan(api: Api) -> str:
    """A finished scan with findings in objects whose names begin alike for 300 characters."""
    scan = api.scan()
    keys = [*(f"{LONG}-{i}" for i in range(4)), "ü/ñ.csv", "z\n\u0001.csv"]
    api.fleet.list(scan, [ObjectInfo(key, 100) for key in keys])
    found = [finding(i, key, "pii.email", 0.5 + i / 100) for i, key in enumerate(keys)]
    found += [finding(i, key, "payment.card", 0.945, column="c") for i, key in enumerate(keys)]
    found += [finding(0, keys[0], "payment.card", 0.3, column="d")]
    api.fleet.complete(scan, 0, findings=found)
    assert api.settled(scan)["progress"]["findings_count"] == len(found)
    return scan


def pages(client: httpx.Client, scan: str, **params: str | int | float) -> list[Document]:
    items: list[Document] = []
    url = f"/api/v1/scans/{scan}/findings"
    while True:
        answer = client.get(url, params=params).json()
        items += answer["data"]
        if not answer["pagination"]["has_more"]:
            return items
        params["cursor"] = answer["pagination"]["next_cursor"]


def test_findings_come_once_each_by_category_detector_and_object(api: Api, scan: str):
    items = pages(api.client(), scan, limit=2)
    assert len(items) == len({item["finding_id"] for item in items}) == 13
    order = [(item["category"], item["detector"], item["object"][:256].encode()) for item in items]
    assert order == sorted(order)
    assert pages(api.client(), scan, limit=100) == items
    documents.Finding.model_validate(items[0])
    assert items[0].keys() == documents.Finding.model_fields.keys()
    assert items[0]["occurrences"] == [{"masked": "***1", "byte_offset": 4, "length": 4, "line": 1}]


def test_findings_are_filtered_as_they_are_shown(api: Api, scan: str):
    client = api.client()
    assert {item["category"] for item in pages(client, scan, category="pii")} == {"pii"}
    assert len(pages(client, scan, detector="payment.card")) == 7
    assert len(pages(client, scan, detector="payment")) == 0
    assert [item["object"] for item in pages(client, scan, object="ü/ñ.csv")] == ["ü/ñ.csv"] * 2
    assert len(pages(client, scan, object=f"{LONG}-1")) == 2
    assert len(pages(client, scan, object=LONG)) == 0
    connector = pages(client, scan, limit=1)[0]["connector"]
    assert len(pages(client, scan, connector=connector)) == 13
    assert pages(client, scan, connector="conn-x") == []
    for least in (0.3, 0.5, 0.52, 0.94, 0.95, 1):
        shown = [i for i in pages(client, scan) if i["confidence"] >= least]
        assert pages(client, scan, min_confidence=least) == shown


def test_findings_of_an_object_that_a_later_scan_no_longer_finds_are_gone_since_then(api: Api):
    client, connector = api.client(), api.connector()
    first = api.start(connector)
    api.fleet.list(first, [ObjectInfo(key, 100, "e") for key in ("a.csv", "b.csv")])
    api.fleet.complete(first, 0, findings=[finding(i, key, "pii.email") for i, key in enumerate(("a.csv", "b.csv"))])
    before = api.settled(first)["finished_at"]
    assert [item["gone_at"] for item in pages(client, first)] == [None, None]
    second = api.start(connector)
    api.fleet.list(second, [ObjectInfo("b.csv", 100, "e")])
    assert api.settled(second)["status"] == "completed"
    assert eventually(lambda: any(item["gone_at"] for item in pages(client, first)))
    gone, there = pages(client, first)
    assert (gone["object"], there["object"], there["gone_at"]) == ("a.csv", "b.csv", None)
    assert gone["gone_at"] > before


def test_findings_have_the_severity_of_their_detector_as_it_was_when_the_scan_was_queued(api: Api):
    client = api.client(api.tenant_key("severe"))
    rule = {"name": "Badge", "confidence": 0.8, "patterns": ["EMP-[0-9]{6}"]}
    for name, severity in (("acme.badge", "critical"), ("acme.desk", "low")):
        made = client.post("/api/v1/detectors", json={**rule, "id": name, "severity": severity})
        assert made.status_code == 201
    scan = api.scan(client)
    client.put("/api/v1/detectors/acme.badge", json={**rule, "severity": "low"})
    client.delete("/api/v1/detectors/acme.desk")
    api.fleet.list(scan, [ObjectInfo("a.csv", 100)])
    severities = {
        "acme.badge": "critical",
        "acme.desk": "low",
        "acme.gone": "medium",
        "payment.card": "high",
        "secret.gone": "critical",
        "network.gone": "low",
    }
    api.fleet.complete(scan, 0, findings=[finding(0, "a.csv", detector) for detector in severities])
    assert {item["detector"]: item["severity"] for item in pages(client, scan)} == severities
    for severity in ("low", "medium", "high", "critical"):
        wanted = [detector for detector, known in severities.items() if known == severity]
        assert sorted(wanted) == [item["detector"] for item in pages(client, scan, severity=severity, limit=1)]
    answer = client.get(f"/api/v1/scans/{scan}/findings?severity=grave")
    assert answer.json()["error"]["details"]["fields"][0]["field"] == "severity"


def test_the_place_of_a_hit_is_shown_in_all_its_parts(api: Api):
    scan = api.scan()
    api.fleet.list(scan, [ObjectInfo("a.zip", 100)])
    place = {"masked": "*1", "confidence": 0.5, "inner_path": "b.zip!/c.xlsx", "page": 1, "sheet": "S", "cell": "C17"}
    shown = finding(0, "a.zip", "pii.email").model_copy(update={"occurrences": [ReportedOccurrence(**place)]})
    api.fleet.complete(scan, 0, findings=[shown])
    api.settled(scan)
    [item] = pages(api.client(), scan)
    assert item["occurrences"] == [place]
    assert place.keys() <= documents.FoundOccurrence.model_fields.keys()


@pytest.mark.parametrize("value", ["nan", "2", "-0.1", "high", "inf", ""])
def test_a_confidence_that_is_none_is_a_fault(api: Api, scan: str, value: str):
    answer = api.client().get(f"/api/v1/scans/{scan}/findings?min_confidence={value}")
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["fields"][0]["field"] == "min_confidence"


def test_the_history_is_every_version_in_order(api: Api, scan: str):
    client = api.client()
    events: list[Document] = []
    params: dict[str, str | int] = {"limit": 2}
    while True:
        answer = client.get(f"/api/v1/scans/{scan}/events", params=params).json()
        events += answer["data"]
        if not answer["pagination"]["has_more"]:
            break
        params["cursor"] = answer["pagination"]["next_cursor"]
    version = client.get(f"/api/v1/scans/{scan}").json()["data"]["version"]
    assert [event["version"] for event in events] == list(range(1, version + 1))
    assert [event["kind"] for event in events[:2]] == ["scan.queued", "scan.listing-started"]
    assert events[-1]["kind"] == "scan.completed"
    for event in events:
        documents.Event.model_validate(event)
        assert event["event_id"] == f"{scan}:{event['version']}"
        assert not {"at", "actor", "schema"} & event["data"].keys()
    positions = [event["position"] for event in events]
    assert positions == sorted(set(positions))
    assert events[0]["actor"].startswith("key:")


def test_ndjson_gives_the_same_history_in_one_stream(api: Api, scan: str):
    client = api.client()
    listed = client.get(f"/api/v1/scans/{scan}/events", params={"limit": 100}).json()["data"]
    streamed = client.get(f"/api/v1/scans/{scan}/events", headers={"Accept": "application/x-ndjson"})
    assert streamed.headers["content-type"].startswith("application/x-ndjson")
    assert [json.loads(line) for line in streamed.text.splitlines()] == listed


def test_history_may_be_read_with_the_audit_scope_alone(api: Api, scan: str):
    auditor = api.client(api.tenant_key(scopes=["audit:read"]))
    assert auditor.get(f"/api/v1/scans/{scan}/events").status_code == 200
    assert auditor.get(f"/api/v1/scans/{scan}").status_code == 403
    writer = api.client(api.tenant_key(scopes=["connectors:write"]))
    assert writer.get(f"/api/v1/scans/{scan}/events").status_code == 403
