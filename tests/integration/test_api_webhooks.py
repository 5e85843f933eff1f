"""Webhooks over HTTP."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from api import webhook_documents as documents
from domain.webhook import DEFAULT_KINDS, MOST_WEBHOOKS
from infrastructure.postgres.webhook_queue import PostgresWebhookQueue, webhook_follower
from infrastructure.secrets import EnvelopeVault
from infrastructure.webhooks.http import WebhookHttp
from infrastructure.webhooks.secrets import SecretBox
from tests.fixtures_api import Api, Document
from tests.webhook_receiver import Receiver, Reply, receiving
from workers.webhooks import WebhookSender

WEBHOOKS = "/api/v1/webhooks"


@pytest.fixture(scope="module")
def _receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def receiver(_receiver: Receiver) -> Receiver:
    _receiver.received.clear()
    _receiver.script.clear()
    return _receiver


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> str:
    return f"w{abs(hash(request.node.nodeid)) % 10**9}"


@pytest.fixture
def client(api: Api, tenant: str) -> httpx.Client:
    """A client of a tenant of the test's own."""
    return api.client(api.tenant_key(tenant))


def make(client: httpx.Client, url: str, **more: Any) -> Document:
    answer = client.post(WEBHOOKS, json={"url": url, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["data"])


def faults(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 400, answer.text
    return {fault["field"]: fault["message"] for fault in answer.json()["error"]["details"]["fields"]}


def deliver(api: Api) -> None:
    """Enter all that was logged, and send all that is due."""

    def clock() -> datetime:
        return datetime.now(UTC)

    async def send() -> None:
        http = WebhookHttp(("127.0.0.0/8",), clock)
        await WebhookSender(queue, http.post, clock, keep=timedelta(days=1)).drain()
        await http.close()

    with psycopg.connect(api.database_url, autocommit=True) as connection:
        while webhook_follower(api.database_url, clock).catch_up(connection):
            pass
    queue = PostgresWebhookQueue(api.database_url, SecretBox(EnvelopeVault(api.encryption_key)))
    asyncio.run(send())
    queue.close()


def test_a_webhook_is_made_shown_changed_and_deleted(client: httpx.Client, receiver: Receiver) -> None:
    answer = client.post(WEBHOOKS, json={"url": receiver.url()})
    made = answer.json()["data"]
    documents.CreatedWebhook.model_validate(made)
    assert made.keys() == documents.CreatedWebhook.model_fields.keys()
    assert (made["kinds"], made["status"], made["description"]) == (list(DEFAULT_KINDS), "enabled", "")
    assert made["secret"].startswith("whsec_")
    path = answer.headers["Location"]
    assert path == f"{WEBHOOKS}/{made['webhook_id']}"
    shown = client.get(path)
    documents.WebhookDocument.model_validate(shown.json()["data"])
    assert shown.json()["data"] == {name: value for name, value in made.items() if name != "secret"}
    assert client.get(path, headers={"If-None-Match": shown.headers["ETag"]}).status_code == 304
    changed = client.patch(path, json={"status": "disabled", "kinds": ["*"], "description": "All"}).json()["data"]
    documents.WebhookDocument.model_validate(changed)
    assert (changed["status"], changed["disabled_reason"]) == ("disabled", "by_client")
    assert (changed["kinds"], changed["description"], changed["url"]) == (["*"], "All", receiver.url())
    assert client.get(path).json()["data"] == changed
    assert client.patch(path, json={"status": "enabled"}).json()["data"]["disabled_reason"] is None
    deleted = client.delete(path).json()["data"]
    assert deleted == {"webhook_id": made["webhook_id"], "deleted": True}
    for answer in (client.get(path), client.delete(path), client.patch(path, json={"status": "enabled"})):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "WEBHOOK_NOT_FOUND")


def test_every_fault_of_a_request_is_named(client: httpx.Client) -> None:
    told = faults(client.post(WEBHOOKS, json={"url": "http://example.com", "kinds": ["scan.queued", "x"], "more": 1}))
    assert told.keys() == {"url", "kinds[1]", "more"}
    assert "https://" in told["url"]
    assert "scan.queued" in told["kinds[1]"]
    for url, said in {
        "https://10.0.0.1/": "no public address",
        "https://169.254.169.254/": "link-local",
        "https://u:p@example.com/": "user or password",
        "x": "such as",
    }.items():
        assert said in faults(client.post(WEBHOOKS, json={"url": url}))["url"]
    assert faults(client.post(WEBHOOKS, json={})).keys() == {"url"}
    ok = {"url": "https://example.com"}
    assert faults(client.post(WEBHOOKS, json={**ok, "kinds": []})).keys() == {"kinds"}
    assert "twice" in faults(client.post(WEBHOOKS, json={**ok, "kinds": ["*", "*"]}))["kinds"]
    assert faults(client.post(WEBHOOKS, json={**ok, "description": "x" * 201})).keys() == {"description"}
    made = make(client, "https://example.com")
    path = f"{WEBHOOKS}/{made['webhook_id']}"
    assert faults(client.patch(path, json={})).keys() == {"body"}
    assert faults(client.patch(path, json={"url": None, "status": "gone"})).keys() == {"url", "status"}
    assert faults(client.post(f"{path}/rotate-secret", json={"overlap_hours": 169})).keys() == {"overlap_hours"}
    assert faults(client.get(f"{path}/deliveries?status=lost")).keys() == {"status"}
    for delivery in ("dlv-x", "dlv-1", "7", "dlv-99999999999999999999"):
        answer = client.post(f"{path}/deliveries/{delivery}/resend")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "DELIVERY_NOT_FOUND")


def test_the_same_key_makes_one_webhook_and_tells_its_secret_again_without_keeping_it_in_the_clear(
    client: httpx.Client, api: Api, tenant: str
) -> None:
    headers, body = {"Idempotency-Key": "one"}, {"url": "https://example.com"}
    first = client.post(WEBHOOKS, json=body, headers=headers).json()["data"]
    with psycopg.connect(api.database_url) as connection:
        row = connection.execute("SELECT body FROM idempotency_keys WHERE tenant_id = %s", (tenant,)).fetchone()
    assert row is not None
    assert b"whsec_" not in bytes(row[0])
    again = client.post(WEBHOOKS, json=body, headers=headers)
    assert (again.json()["data"], again.headers["Idempotent-Replayed"]) == (first, "true")
    assert again.headers["Location"] == f"{WEBHOOKS}/{first['webhook_id']}"
    assert len(client.get(WEBHOOKS).json()["data"]) == 1
    assert client.post(WEBHOOKS, json={"url": "https://example.org"}, headers=headers).status_code == 422
    client.delete(again.headers["Location"])
    assert client.post(WEBHOOKS, json=body, headers=headers).json()["data"]["secret"] is None


def test_webhooks_are_paged_newest_first_and_limited(client: httpx.Client) -> None:
    made = [make(client, f"https://example.com/{number}")["webhook_id"] for number in range(MOST_WEBHOOKS)]
    first = client.get(WEBHOOKS, params={"limit": 15}).json()
    cursor = first["pagination"]["next_cursor"]
    second = client.get(WEBHOOKS, params={"limit": 15, "cursor": cursor}).json()
    assert [one["webhook_id"] for one in (*first["data"], *second["data"])] == made[::-1]
    assert second["pagination"]["has_more"] is False
    over = client.post(WEBHOOKS, json={"url": "https://example.com"})
    assert (over.status_code, over.json()["error"]["code"]) == (409, "WEBHOOK_LIMIT_REACHED")


def test_another_tenants_webhook_is_as_one_that_does_not_exist(
    client: httpx.Client, api: Api, receiver: Receiver
) -> None:
    webhook = make(client, receiver.url())["webhook_id"]
    stranger = api.client(api.tenant_key("stranger-to-webhooks"))
    path = f"{WEBHOOKS}/{webhook}"
    assert stranger.get(WEBHOOKS).json()["data"] == []
    for method, at, body in (
        ("GET", path, None),
        ("PATCH", path, {"status": "disabled"}),
        ("DELETE", path, None),
        ("POST", f"{path}/test", {}),
        ("POST", f"{path}/rotate-secret", {}),
        ("GET", f"{path}/deliveries", None),
        ("POST", f"{path}/deliveries/dlv-1/resend", {}),
    ):
        answer = stranger.request(method, at, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "WEBHOOK_NOT_FOUND"), (method, at)
    assert receiver.received == []


def test_a_key_that_may_only_read_sees_no_webhooks(api: Api, tenant: str) -> None:
    reader = api.client(api.tenant_key(tenant, scopes=("scans:read", "scans:write", "audit:read")))
    for answer in (reader.get(WEBHOOKS), reader.post(WEBHOOKS, json={"url": "https://example.com"})):
        assert (answer.status_code, answer.json()["error"]["details"]) == (403, {"required_scope": "connectors:write"})
    writer = api.client(api.tenant_key(tenant, scopes=("connectors:write",)))
    assert writer.get(WEBHOOKS).status_code == 200


def test_a_ping_tells_what_came_back(client: httpx.Client, receiver: Receiver) -> None:
    made = make(client, receiver.url())
    path = f"{WEBHOOKS}/{made['webhook_id']}/test"
    tried = client.post(path).json()["data"]
    documents.WebhookTried.model_validate(tried)
    assert (tried["ok"], tried["status_code"], tried["detail"]) == (True, 204, "The receiver answered 204.")
    [received] = receiver.received
    ping = received.verified_by(made["secret"])
    assert (ping["type"], ping["id"], ping["data"]) == (
        "scanledger.webhook.ping",
        tried["message_id"],
        {"webhook_id": made["webhook_id"]},
    )
    receiver.answer(418)
    tried = client.post(path, json={}).json()["data"]
    assert (tried["ok"], tried["status_code"]) == (False, 418)
    receiver.script.append(Reply(302, {"Location": "http://169.254.169.254/"}))
    tried = client.post(path).json()["data"]
    assert (tried["ok"], tried["status_code"], "not followed" in tried["detail"]) == (False, 302, True)
    assert len(receiver.received) == 3
    assert client.get(path.replace("/test", "/deliveries")).json()["data"] == []


def test_deliveries_are_seen_and_what_is_dead_is_sent_again(client: httpx.Client, api: Api, receiver: Receiver) -> None:
    made = make(client, receiver.url(), kinds=["scan.queued", "connector.created"])
    path = f"{WEBHOOKS}/{made['webhook_id']}"
    scan = api.scan(client)
    receiver.answer(204, 410)
    deliver(api)
    seen = client.get(f"{path}/deliveries").json()["data"]
    assert [(one["kind"], one["status"], one["attempts"]) for one in seen] == [
        ("scan.queued", "dead", 1),
        ("connector.created", "delivered", 1),
    ]
    for one in seen:
        documents.DeliveryDocument.model_validate(one)
        assert one.keys() == documents.DeliveryDocument.model_fields.keys()
    dead = client.get(f"{path}/deliveries?status=dead").json()["data"]
    assert (dead, dead[0]["event_id"], dead[0]["last_status_code"]) == (seen[:1], f"{scan}:1", 410)
    assert client.get(f"{path}/deliveries?status=pending").json()["data"] == []
    page = client.get(f"{path}/deliveries?limit=1").json()
    after = client.get(f"{path}/deliveries", params={"limit": 1, "cursor": page["pagination"]["next_cursor"]}).json()
    assert [*page["data"], *after["data"]] == seen
    again = f"{path}/deliveries/{dead[0]['delivery_id']}/resend"
    refused = client.post(again)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "WEBHOOK_DISABLED")
    assert client.get(path).json()["data"]["disabled_reason"] == "gone"
    assert client.patch(path, json={"status": "enabled"}).status_code == 200
    assert client.post(again).json()["data"]["status"] == "pending"
    deliver(api)
    assert [one["status"] for one in client.get(f"{path}/deliveries").json()["data"]] == ["delivered"] * 2
    assert receiver.ids[1:] == [f"{scan}:1", f"{scan}:1"]


def test_a_rotated_secret_signs_beside_the_former_one(client: httpx.Client, receiver: Receiver) -> None:
    made = make(client, receiver.url())
    path = f"{WEBHOOKS}/{made['webhook_id']}"
    rotated = client.post(f"{path}/rotate-secret").json()["data"]
    documents.RotatedSecret.model_validate(rotated)
    until = datetime.fromisoformat(rotated["former_valid_until"])
    assert timedelta(hours=23) < until - datetime.now(UTC) < timedelta(hours=25)
    assert client.post(f"{path}/test").json()["data"]["ok"]
    for secret in (made["secret"], rotated["secret"]):
        receiver.received[-1].verified_by(secret)
    last = client.post(f"{path}/rotate-secret", json={"overlap_hours": 0}).json()["data"]
    assert client.post(f"{path}/test").json()["data"]["ok"]
    assert len(receiver.received[-1].headers["webhook-signature"].split()) == 1
    receiver.received[-1].verified_by(last["secret"])
