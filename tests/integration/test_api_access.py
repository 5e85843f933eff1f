"""Who read what is on record before they have it, and stays on record."""

import psycopg
import pytest

from api import retention_schemas as documents
from domain.manifest import ObjectInfo
from tests.fixtures_api import Api, Document


@pytest.fixture
def auditor(api: Api) -> str:
    """A key of a tenant of its own, so that its record is this test's alone."""
    return api.tenant_key("watched", scopes=("admin",))


def accesses(api: Api, auditor: str, **filters: str) -> list[Document]:
    answer = api.client(auditor).get("/api/v1/audit/access", params={"limit": "100", **filters})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


def test_every_read_of_findings_ledger_and_history_is_recorded_with_who_and_how_many(api: Api, auditor: str):
    client = api.client(auditor)
    scan = api.scan(client)
    api.fleet.list(scan, [ObjectInfo("a", 1), ObjectInfo("b", 1)])
    paths = ("findings?category=pii&object=jane", "objects?disposition=remaining", "events?limit=2")
    ids = [client.get(f"/api/v1/scans/{scan}/{path}").headers["X-Request-ID"] for path in paths]
    client.get(f"/api/v1/scans/{scan}/events", headers={"Accept": "application/x-ndjson"})
    found = accesses(api, auditor, scan=scan)
    documents.AccessDocument.model_validate(found[0])
    assert [(one["operation"], one["rows"]) for one in found] == [
        ("events", None),
        ("events", 2),
        ("objects", 2),
        ("findings", 0),
    ]
    assert [one["request_id"] for one in reversed(found[1:])] == ids
    assert {one["actor"] for one in found} == {f"key:{auditor.split('_')[1]}"}
    findings = found[-1]["filters"]
    assert findings["category"] == "pii"
    assert findings["object"].startswith("hmac:")
    assert "jane" not in str(found)


def test_reading_the_record_is_recorded_and_filters_and_pages_agree(api: Api, auditor: str):
    client = api.client(auditor)
    scan = api.scan(client)
    for _ in range(3):
        client.get(f"/api/v1/scans/{scan}/findings")
    accesses(api, auditor, scan=scan)
    own = accesses(api, auditor, operation="access")
    assert own[0]["filters"] == {"scan": scan}
    whole = accesses(api, auditor, scan=scan, key=auditor.split("_")[1], operation="findings")
    assert len(whole) == 3
    first = client.get("/api/v1/audit/access", params={"scan": scan, "limit": "2"}).json()
    cursor = first["pagination"]["next_cursor"]
    second = client.get("/api/v1/audit/access", params={"scan": scan, "limit": "2", "cursor": cursor}).json()
    assert [*first["data"], *second["data"]] == whole
    newest = whole[0]["at"]
    assert accesses(api, auditor, scan=scan, since=newest) == whole[:1]
    assert accesses(api, auditor, scan=scan, until=newest) == whole[1:]


def test_nobody_sees_another_tenants_record_or_any_without_the_right(api: Api, auditor: str):
    scan = api.scan(api.client(auditor))
    api.client(auditor).get(f"/api/v1/scans/{scan}/findings")
    assert accesses(api, api.key, scan=scan) == []
    reader = api.tenant_key("watched", scopes=("scans:read",))
    assert api.client(reader).get("/api/v1/audit/access").status_code == 403


@pytest.mark.parametrize("query", ["operation=peeking", "since=yesterday", "limit=0"])
def test_a_wrong_filter_of_the_record_is_named(api: Api, query: str):
    answer = api.client().get(f"/api/v1/audit/access?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["fields"][0]["field"] == query.partition("=")[0]


@pytest.mark.parametrize("statement", ["UPDATE access_records SET key_id = 'x'", "DELETE FROM access_records"])
def test_the_record_is_append_only(api: Api, auditor: str, statement: str):
    accesses(api, auditor)
    with psycopg.connect(api.database_url) as connection, pytest.raises(psycopg.Error, match="append-only"):
        connection.execute(statement.encode())


def test_what_cannot_be_recorded_is_not_answered(api: Api, auditor: str):
    client = api.client(auditor)
    scan = api.scan(client)
    with psycopg.connect(api.database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE access_records RENAME TO elsewhere")
        try:
            for what in ("findings", "objects", "events"):
                answer = client.get(f"/api/v1/scans/{scan}/{what}")
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        finally:
            connection.execute("ALTER TABLE elsewhere RENAME TO access_records")
