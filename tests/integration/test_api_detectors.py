"""Own detectors and the allow list over HTTP."""

from typing import Any

import httpx
import pytest

from api import detector_documents as documents
from domain.detectors.own import combined
from tests.fixtures_api import Api, Document

DETECTORS = "/api/v1/detectors"
ALLOW_LIST = "/api/v1/allow-list"
RULE: Document = {
    "id": "acme.employee-no",
    "name": "Employee number",
    "confidence": 0.8,
    "patterns": [r"(?<![\w-])EMP-\d{6}(?![\w-])"],
    "matches": ["badge EMP-123456"],
    "near_misses": ["EMP-1234567"],
    "severity": "high",
}


@pytest.fixture
def client(api: Api, request: pytest.FixtureRequest) -> httpx.Client:
    """A client of a tenant of the test's own."""
    tenant = f"t{abs(hash(request.node.nodeid)) % 10**9}"
    return api.client(api.tenant_key(tenant))


def make(client: httpx.Client, *, headers: dict[str, str] | None = None, **changes: Any) -> httpx.Response:
    return client.post(DETECTORS, json={**RULE, **changes}, headers=headers)


def faults(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 400, answer.text
    return {fault["field"]: fault["message"] for fault in answer.json()["error"]["details"]["fields"]}


def test_a_detector_is_tried_out_kept_shown_changed_and_deleted(client: httpx.Client):
    made = make(client, sample="one\nEMP-654321")
    assert made.status_code == 201, made.text
    data = made.json()["data"]
    documents.TriedDetector.model_validate(data)
    assert data.keys() == documents.TriedDetector.model_fields.keys()
    assert data["test"]["matches"] == [{"ok": True, "hits": 1}]
    assert data["test"]["near_misses"] == [{"ok": True, "hits": 0}]
    [hit] = data["test"]["sample"]["hits"]
    assert (hit["line"], hit["column"], hit["byte_offset"], hit["masked"]) == (2, 1, 4, "***-****21")
    assert made.headers["Location"] == f"{DETECTORS}/acme.employee-no"
    shown = client.get(made.headers["Location"]).json()["data"]
    documents.DetectorDetail.model_validate(shown)
    assert shown == {name: value for name, value in data.items() if name not in {"test", "dry_run"}}
    changed = client.put(made.headers["Location"], json={"name": "No.", "confidence": 0.5, "patterns": ["E-\\d{9}"]})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["data"]["confidence"], changed.json()["data"]["matches"]) == (0.5, [])
    assert changed.json()["data"]["created_at"] == data["created_at"]
    assert client.delete(made.headers["Location"]).json()["data"] == {"detector": "acme.employee-no", "deleted": True}
    assert client.get(made.headers["Location"]).json()["error"]["code"] == "DETECTOR_NOT_FOUND"
    assert client.delete(made.headers["Location"]).status_code == 404
    assert client.put(made.headers["Location"], json={k: v for k, v in RULE.items() if k != "id"}).status_code == 404


def test_own_detectors_stand_in_the_list_behind_those_that_are_built_in(client: httpx.Client, api: Api):
    before = client.get(DETECTORS).json()
    assert make(client).status_code == 201
    answer = client.get(DETECTORS)
    documents.Detectors.model_validate(answer.json())
    *built_in, own = answer.json()["data"]
    assert built_in == before["data"]
    assert (own["detector"], own["id"], own["custom"], own["severity"]) == ("acme.employee-no",) * 2 + (True, "high")
    assert own["patterns"] == RULE["patterns"]
    card = next(one for one in built_in if one["detector"] == "payment.card")
    assert (card["custom"], card["patterns"], card["severity"], card["validator"]) == (False, None, "high", "card")
    assert answer.json()["ruleset"] not in {before["ruleset"], combined(before["ruleset"], "")}
    stranger = api.client(api.tenant_key("stranger"))
    assert stranger.get(DETECTORS).json()["ruleset"] == before["ruleset"]
    assert stranger.get(f"{DETECTORS}/acme.employee-no").status_code == 404
    assert stranger.get(f"{DETECTORS}/payment.card").json()["data"]["custom"] is False


def test_a_dry_run_keeps_nothing(client: httpx.Client):
    tried = make(client, dry_run=True, sample="EMP-000001 EMP-000002")
    assert (tried.status_code, tried.json()["data"]["test"]["sample"]["count"]) == (200, 2)
    assert client.get(f"{DETECTORS}/acme.employee-no").status_code == 404
    assert make(client).status_code == 201
    rule = {name: value for name, value in RULE.items() if name != "id"}
    tried = client.put(f"{DETECTORS}/acme.employee-no", json={**rule, "confidence": 0.1, "dry_run": True})
    assert (tried.status_code, tried.json()["data"]["confidence"]) == (200, 0.1)
    assert client.get(f"{DETECTORS}/acme.employee-no").json()["data"]["confidence"] == 0.8


def test_every_fault_is_named(client: httpx.Client):
    told = faults(make(client, id="Acme", name="", patterns=[], confidence=2, colour="red", matches=[1]))
    assert told.keys() == {"name", "patterns", "confidence", "colour", "matches[0]"}
    assert faults(make(client, patterns=[5, {"regex": "EMP-1", "x": 1}])).keys() == {"patterns[0]", "patterns[1]"}
    assert faults(make(client, id="Acme", patterns=["EMP-1", "a("])).keys() == {"id", "patterns[1]"}
    told = faults(make(client, validator="lunn", patterns=[r"(?<=x)EMP-\d", "EMP-1", r"EMP-(\d)\1"]))
    assert told.keys() == {"validator", "patterns[0]", "patterns[2]"}
    assert "looks around" in told["patterns[0]"]
    told = faults(make(client, matches=["EMP-1", "EMP-123456"], near_misses=["EMP-123456"]))
    assert told.keys() == {"matches[0]", "near_misses[0]"}
    assert faults(make(client, sample="x" * 65_537)).keys() == {"sample"}


def test_an_evil_pattern_is_answered_at_once(client: httpx.Client):
    evil = make(client, patterns=["aaa(a+)+$"], matches=[], near_misses=[], sample="a" * 65_000 + "!", dry_run=True)
    assert evil.status_code == 200
    assert evil.elapsed.total_seconds() < 3
    assert evil.json()["data"]["test"]["sample"] == {"count": 0, "hits": []}


def test_an_id_is_taken_once(client: httpx.Client):
    assert make(client).status_code == 201
    again = make(client, confidence=0.7)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "DETECTOR_EXISTS")
    for answer in (
        make(client, id="payment.card"),
        client.put(f"{DETECTORS}/payment.card", json={k: v for k, v in RULE.items() if k != "id"}),
        client.delete(f"{DETECTORS}/payment.card"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "DETECTOR_BUILT_IN")


def test_the_same_key_makes_a_detector_once(client: httpx.Client):
    first = make(client, headers={"Idempotency-Key": "k1"})
    again = make(client, headers={"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code, again.headers["Idempotent-Replayed"]) == (201, 201, "true")
    assert again.json()["data"] == first.json()["data"]
    assert make(client, confidence=0.1, headers={"Idempotency-Key": "k1"}).status_code == 422
    # As if the first answer had been lost: another key, the same detector.
    assert make(client, headers={"Idempotency-Key": "k2"}).status_code == 201
    assert make(client, confidence=0.1, headers={"Idempotency-Key": "k3"}).status_code == 409


def test_a_tenant_has_a_hundred_detectors_at_most(client: httpx.Client):
    rule = {"name": "x", "confidence": 0.5, "patterns": ["EMP-1"]}
    for number in range(100):
        assert client.post(DETECTORS, json={**rule, "id": f"acme.no{number}"}).status_code == 201
    more = client.post(DETECTORS, json={**rule, "id": "acme.more"})
    assert (more.status_code, more.json()["error"]["code"]) == (409, "DETECTOR_LIMIT_REACHED")


def test_who_may_only_read_changes_nothing(client: httpx.Client, api: Api):
    reader = api.client(api.tenant_key(scopes=["scans:read"]))
    assert reader.get(f"{DETECTORS}/payment.card").status_code == 200
    assert reader.get(ALLOW_LIST).status_code == 200
    for answer in (make(reader), reader.delete(f"{DETECTORS}/a.b"), reader.post(ALLOW_LIST, json={})):
        assert (answer.status_code, answer.json()["error"]["details"]["required_scope"]) == (403, "connectors:write")


# Scans ----------------------------------------------------------------------------------------------------------------


def test_a_scan_may_name_own_detectors_and_is_pinned_to_them(api: Api, client: httpx.Client):
    assert make(client).status_code == 201
    scans = [api.scan(client, detectors=["acme"]), api.scan(client), api.scan(client, detectors=["acme.employee-no"])]
    pinned = [client.get(f"/api/v1/scans/{scan}/events").json()["data"][0]["data"] for scan in scans]
    assert [queued["detectors"] for queued in pinned] == [["acme.employee-no"], [], ["acme.employee-no"]]
    assert len({queued["rules"] for queued in pinned}) == 1
    assert pinned[0]["rules"]
    assert {queued["ruleset"] for queued in pinned} == {client.get(DETECTORS).json()["ruleset"]}
    client.delete(f"{DETECTORS}/acme.employee-no")
    body = {
        "connectors": [api.connector(client)],
        "type": "full",
        "options": {"detectors": ["pii", "acme"], "max_files": 0},
    }
    assert faults(client.post("/api/v1/scans/parallel", json=body)).keys() == {
        "options.detectors[1]",
        "options.max_files",
    }
    after = client.get(f"/api/v1/scans/{api.scan(client)}/events").json()["data"][0]["data"]
    assert after["rules"] == ""


# The allow list -------------------------------------------------------------------------------------------------------


def test_what_is_put_on_the_allow_list_is_shown_without_the_value(client: httpx.Client):
    value = {"detector": "payment.card", "value": "4111111111111111", "reason": "A test number."}
    made = client.post(ALLOW_LIST, json=value, headers={"Idempotency-Key": "k1"})
    assert made.status_code == 201, made.text
    data = made.json()["data"]
    documents.AllowanceDocument.model_validate(data)
    assert data["value_sha256"] == "9bbef19476623ca56c17da75fd57734dbf82530686043a6e491c6d71befe8f6e"
    assert "4111111111111111" not in made.text
    assert client.post(ALLOW_LIST, json=value, headers={"Idempotency-Key": "k1"}).json()["data"] == data
    assert client.get(made.headers["Location"]).json()["data"] == data
    client.post(ALLOW_LIST, json={"pattern": r".*@example\.com", "reason": "Ours."})
    client.post(ALLOW_LIST, json={"detector": "pii", "object_prefix": "fixtures/", "reason": "Made up."})
    first = client.get(ALLOW_LIST, params={"limit": 2}).json()
    rest = client.get(ALLOW_LIST, params={"limit": 2, "cursor": first["pagination"]["next_cursor"]}).json()
    assert [one["object_prefix"] for one in first["data"]] == ["fixtures/", None]
    assert rest["data"] == [data]
    assert rest["pagination"]["has_more"] is False
    assert client.delete(made.headers["Location"]).json()["data"]["deleted"] is True
    assert client.delete(made.headers["Location"]).json()["error"]["code"] == "ALLOWANCE_NOT_FOUND"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"value": "x"}, {"reason"}),
        ({"reason": "r"}, {"value"}),
        ({"reason": "r", "value": "x", "pattern": "x"}, {"value"}),
        ({"reason": "r", "pattern": "(?=x)"}, {"pattern"}),
        ({"reason": "r", "detector": "weather", "pattern": "x("}, {"detector", "pattern"}),
        ({"reason": "", "value": "", "detector": None}, {"reason", "value", "detector"}),
    ],
)
def test_what_cannot_be_allowed_is_told(client: httpx.Client, body: Document, fields: set[str]):
    assert faults(client.post(ALLOW_LIST, json=body)).keys() == fields


def test_the_allow_list_changes_the_ruleset(client: httpx.Client):
    before = client.get(DETECTORS).json()["ruleset"]
    entry = client.post(ALLOW_LIST, json={"value": "x", "reason": "r"}).headers["Location"]
    assert client.get(DETECTORS).json()["ruleset"] != before
    client.delete(entry)
    assert client.get(DETECTORS).json()["ruleset"] == before
