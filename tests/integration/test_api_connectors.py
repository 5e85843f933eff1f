"""Connectors over HTTP: secrets go in and never come out."""

from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from api import documents
from domain.connector import Connector
from infrastructure.postgres.credentials import PostgresCredentials
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.secrets import EnvelopeVault
from tests.fixtures_api import Api, Document

CONNECTORS = "/api/v1/connectors"
SECRET = "hush-hush-9Zt"
S3: Document = {
    "name": "Bucket",
    "type": "s3",
    "config": {
        "bucket": "exports",
        "region": "eu-west-1",
        "endpoint_url": "http://127.0.0.1:9",
        "prefixes": ["a/"],
        "access_key_id": "AKIAEXAMPLE",
        "secret_access_key": SECRET,
    },
}


@pytest.fixture
def client(api: Api) -> httpx.Client:
    return api.client()


def made(client: httpx.Client, **changes: Any) -> Document:
    answer = client.post(CONNECTORS, json={**S3, **changes})
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["data"])


def fields(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 400, answer.text
    return sorted(fault["field"] for fault in answer.json()["error"]["details"]["fields"])


def stored_secrets(api: Api, connector: str) -> dict[str, str]:
    log = PostgresScanLog(api.database_url, pool_size=1)
    found: Connector = log.connector(connector)
    log.close()
    return PostgresCredentials(api.database_url, EnvelopeVault(api.encryption_key)).of(found)


def test_a_connector_is_found_as_it_was_made(api: Api, client: httpx.Client):
    answer = client.post(CONNECTORS, json=S3)
    data = answer.json()["data"]
    assert data.keys() == documents.ConnectorDocument.model_fields.keys()
    assert (data["status"], data["execution"], data["has_credentials"]) == ("pending_test", "managed", True)
    found = client.get(answer.headers["Location"])
    assert found.json()["data"] == data
    assert found.headers["ETag"] == '"1"'
    assert client.get(answer.headers["Location"], headers={"If-None-Match": '"1"'}).status_code == 304


def test_secrets_are_sealed_at_rest_and_never_come_back(api: Api, client: httpx.Client):
    data = made(client)
    identifier = data["connector_id"]
    assert stored_secrets(api, identifier)["secret_access_key"] == SECRET
    answers = [
        client.get(f"{CONNECTORS}/{identifier}").text,
        client.get(CONNECTORS, params={"limit": 100}).text,
        client.patch(f"{CONNECTORS}/{identifier}", json={"name": "x"}).text,
        client.post(f"{CONNECTORS}/{identifier}/test").text,
    ]
    assert not any(SECRET in text or "AKIAEXAMPLE" in text for text in answers)
    with psycopg.connect(api.database_url) as connection:
        for table in ("stored_events", "connector_views", "connector_secrets", "idempotency_keys"):
            rows = connection.execute(f"SELECT t::text FROM {table} t").fetchall()
            assert SECRET.encode().hex() not in str(rows)
            assert SECRET not in str(rows)


def test_every_fault_of_body_and_config_is_told_at_once(client: httpx.Client):
    body = {"name": "", "type": "s3", "colour": 1, "config": {"bucket": "NO", "region": 5, "secret_access_key": "x"}}
    assert fields(client.post(CONNECTORS, json=body)) == [
        "colour",
        "config.access_key_id",
        "config.bucket",
        "config.region",
        "name",
    ]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"name": None}, ["name"]),
        ({"name": "x" * 201}, ["name"]),
        ({"type": "ftp"}, ["type"]),
        ({"execution": "byoc"}, ["execution"]),
        ({"config": None}, ["config"]),
        ({"config": {}}, ["config.bucket"]),
        ({"config": {"bucket": "exports", "root": "/tmp"}}, ["config.root"]),
        ({"pool": "default"}, ["pool"]),
    ],
)
def test_a_wrong_field_is_named(client: httpx.Client, changes: Document, wrong: list[str]):
    assert fields(client.post(CONNECTORS, json={**S3, **changes})) == wrong


def test_a_folder_outside_the_allowed_roots_is_refused_even_through_a_link(api: Api, client: httpx.Client):
    link = Path(api.folder) / "out"
    link.symlink_to("/etc")
    for root in ("/etc", f"{api.folder}/..", str(link), "relative", f"{api.folder}\0"):
        answer = client.post(CONNECTORS, json={"name": "f", "type": "filesystem", "config": {"root": root}})
        assert answer.status_code == 400
        [fault] = answer.json()["error"]["details"]["fields"]
        assert fault["field"] in {"config.root", "body"}
    outside = client.post(CONNECTORS, json={"name": "f", "type": "filesystem", "config": {"root": "/etc"}})
    assert api.folder in outside.json()["error"]["details"]["fields"][0]["message"]
    link.unlink()


def test_every_fault_of_a_config_has_its_own_path(client: httpx.Client):
    config = {**S3["config"], "prefixes": ["a/", 5, "x\0"], "secret_access_key": "two\nlines", "bucket": 1}
    assert fields(client.post(CONNECTORS, json={**S3, "config": config})) == [
        "config.bucket",
        "config.prefixes[1]",
        "config.prefixes[2]",
        "config.secret_access_key",
    ]


def test_a_changed_config_forgets_how_the_last_test_went(api: Api, client: httpx.Client):
    path = f"{CONNECTORS}/{made(client)['connector_id']}"
    assert client.post(f"{path}/test").json()["data"]["detail"]
    changed = client.patch(path, json={"config": {"prefixes": ["c/"]}}).json()["data"]
    assert (changed["status"], changed["detail"]) == ("pending_test", None)
    assert client.get(path).json()["data"] == changed


def test_a_replayed_answer_says_where_the_thing_is_and_carries_the_id_of_its_own_request(client: httpx.Client):
    once = {"Idempotency-Key": "replayed"}
    first, again = (client.post(CONNECTORS, json=S3, headers={**once, "X-Request-ID": given}) for given in ("a", "b"))
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert again.json()["metadata"]["request_id"] == again.headers["X-Request-ID"] == "b"
    assert again.json()["data"] == first.json()["data"]


def test_a_patch_changes_what_it_names_and_nothing_else(api: Api, client: httpx.Client):
    before = made(client)
    path = f"{CONNECTORS}/{before['connector_id']}"
    named = client.patch(path, json={"name": "Other"}).json()["data"]
    assert named == {**before, "name": "Other", "version": 2}
    moved = client.patch(path, json={"config": {"prefixes": ["b/"], "region": None}}).json()["data"]
    assert moved["config"] == {"bucket": "exports", "endpoint_url": "http://127.0.0.1:9", "prefixes": ["b/"]}
    assert client.get(path).json()["data"] == moved
    assert stored_secrets(api, before["connector_id"])["secret_access_key"] == SECRET


def test_credentials_are_replaced_whole_or_removed(api: Api, client: httpx.Client):
    identifier = made(client)["connector_id"]
    path = f"{CONNECTORS}/{identifier}"
    assert fields(client.patch(path, json={"config": {"secret_access_key": "new"}})) == ["config.access_key_id"]
    pair = {"access_key_id": "AKIANEW", "secret_access_key": "new"}
    assert client.patch(path, json={"config": pair}).json()["data"]["has_credentials"] is True
    assert stored_secrets(api, identifier) == pair
    without = client.patch(path, json={"config": {"access_key_id": None, "secret_access_key": None}})
    assert without.json()["data"]["has_credentials"] is False
    assert stored_secrets(api, identifier) == {}


def test_stored_credentials_are_not_sent_to_another_endpoint(client: httpx.Client):
    path = f"{CONNECTORS}/{made(client)['connector_id']}"
    elsewhere = {"endpoint_url": "http://127.0.0.1:10"}
    assert fields(client.patch(path, json={"config": elsewhere})) == ["config.endpoint_url"]
    pair = {"access_key_id": "AKIANEW", "secret_access_key": "new"}
    assert client.patch(path, json={"config": {**elsewhere, **pair}}).status_code == 200


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ["body"]),
        ({"type": "filesystem"}, ["type"]),
        ({"execution": "byoc"}, ["execution"]),
        ({"name": None}, ["name"]),
        ({"status": "error"}, ["status"]),
        ({"config": {"bucket": "NO"}}, ["config.bucket"]),
        ({"config": {"bucket": None}}, ["config.bucket"]),
    ],
)
def test_a_wrong_patch_is_refused(client: httpx.Client, body: Document, wrong: list[str]):
    path = f"{CONNECTORS}/{made(client)['connector_id']}"
    assert fields(client.patch(path, json=body)) == wrong


def test_a_disabled_connector_is_not_scanned_until_it_is_enabled(api: Api, client: httpx.Client):
    identifier = api.connector()
    path = f"{CONNECTORS}/{identifier}"
    assert client.patch(path, json={"status": "disabled"}).json()["data"]["status"] == "disabled"
    assert client.post(f"{path}/test").json()["data"]["status"] == "disabled"
    start = {"connectors": [identifier], "type": "full"}
    refused = client.post("/api/v1/scans/parallel", json=start)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "CONNECTOR_DISABLED")
    assert client.patch(path, json={"status": "active"}).json()["data"]["status"] == "pending_test"
    assert client.post("/api/v1/scans/parallel", json=start).status_code == 201


def test_a_test_tells_whether_the_source_can_be_listed(api: Api, client: httpx.Client):
    good = client.post(f"{CONNECTORS}/{api.connector()}/test").json()["data"]
    assert good.keys() == documents.TestedConnector.model_fields.keys()
    assert (good["ok"], good["status"]) == (True, "active")
    gone = Path(api.folder) / "gone"
    gone.mkdir()
    identifier = api.connector(config={"root": str(gone)})
    gone.rmdir()
    bad = client.post(f"{CONNECTORS}/{identifier}/test").json()["data"]
    assert (bad["ok"], bad["status"]) == (False, "error")
    found = client.get(f"{CONNECTORS}/{identifier}").json()["data"]
    assert (found["status"], found["detail"]) == ("error", bad["detail"])


def test_a_deleted_connector_is_gone_with_its_secrets(api: Api, client: httpx.Client):
    identifier = made(client)["connector_id"]
    path = f"{CONNECTORS}/{identifier}"
    assert client.delete(path).json()["data"] == {"connector_id": identifier, "deleted": True}
    for answer in (
        client.get(path),
        client.delete(path),
        client.patch(path, json={"name": "x"}),
        client.post(f"{path}/test"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "CONNECTOR_NOT_FOUND")
    assert identifier not in client.get(CONNECTORS, params={"limit": 100}).text
    with psycopg.connect(api.database_url) as connection:
        rows = connection.execute("SELECT FROM connector_secrets WHERE connector_id = %s", (identifier,)).fetchall()
    assert rows == []


def test_a_connector_is_kept_while_an_open_scan_reads_it(api: Api, client: httpx.Client):
    identifier = api.connector()
    start = {"connectors": [identifier], "type": "full"}
    scan = client.post("/api/v1/scans/parallel", json=start).json()["data"]["scan_id"]
    refused = client.delete(f"{CONNECTORS}/{identifier}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "CONNECTOR_IN_USE")
    client.post(f"/api/v1/scans/{scan}/cancel")
    assert client.delete(f"{CONNECTORS}/{identifier}").status_code == 200


def test_pages_give_every_connector_of_the_tenant_once(api: Api):
    client = api.client(api.tenant_key("collector"))
    identifiers = [api.connector(client) for _ in range(5)]
    foreign = made(api.client())["connector_id"]
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        answer = client.get(CONNECTORS, params=params).json()
        seen += [item["connector_id"] for item in answer["data"]]
        if not answer["pagination"]["has_more"]:
            break
        params["cursor"] = answer["pagination"]["next_cursor"]
    assert seen == identifiers[::-1]
    for method in ("GET", "DELETE"):
        assert client.request(method, f"{CONNECTORS}/{foreign}").status_code == 404
