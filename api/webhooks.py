"""Webhooks: where a tenant's events are sent to. All of it needs a scope to write: what is sent leaves the service, and
a URL may itself be a secret."""

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final

from litestar import delete, get, patch, post
from litestar.params import FromPath

from api import answers
from api.answers import Answer, AnyRequest
from api.bodies import query, read_json, validated
from api.connectors import WRITE
from api.idempotency import made_once
from api.identifiers import possible, webhook_id
from api.pagination import cursors
from api.schemas import NoQuery, Nothing, PageQuery
from api.service_parts import caller_of, ports_of
from api.webhook_schemas import ChangeWebhook, CreateWebhook, DeliveriesQuery, RotateSecret, url_context
from application.scan_documents import moment
from application.webhooks import Delivery, Webhook, WebhookBook, WebhookChange
from domain.errors import Fault, Invalid, NotFound

_DELIVERY: Final = re.compile(r"dlv-(\d{1,18})", re.ASCII)


def _book(request: AnyRequest) -> WebhookBook:
    ports, caller = ports_of(request), caller_of(request)
    return WebhookBook(ports.webhooks, caller.tenant, caller.actor, ports.clock)


def _document(webhook: Webhook) -> dict[str, Any]:
    return {
        "webhook_id": webhook.webhook_id,
        "url": webhook.url,
        "description": webhook.description,
        "kinds": list(webhook.kinds),
        "status": "enabled" if webhook.enabled else "disabled",
        "disabled_reason": webhook.disabled_reason,
        "created_at": moment(webhook.created_at),
        "created_by": webhook.created_by,
        "changed_at": moment(webhook.changed_at),
        "changed_by": webhook.changed_by,
    }


def _delivery(webhook: str, delivery: Delivery) -> dict[str, Any]:
    return {
        "delivery_id": f"dlv-{delivery.position}",
        "webhook_id": webhook,
        "event_id": f"{delivery.stream}:{delivery.version}",
        "kind": delivery.kind,
        "position": delivery.position,
        "status": delivery.status.value,
        "attempts": delivery.attempts,
        "next_attempt_at": moment(delivery.next_at),
        "last_attempt_at": moment(delivery.last_at),
        "last_status_code": delivery.last_status,
        "last_detail": delivery.last_detail,
        "created_at": moment(delivery.created_at),
    }


def _location(data: Mapping[str, Any]) -> str:
    return f"/api/v1/webhooks/{data['webhook_id']}"


@post("/webhooks", before_request=WRITE, status_code=201)
async def create(request: AnyRequest) -> Answer:
    """Make a webhook. Events that are logged from then on are sent to it. Its secret is shown this once."""
    query(NoQuery, request)
    raw = await read_json(request)
    body = validated(CreateWebhook, raw, url_context(ports_of(request).url_fault))
    book = _book(request)

    async def make(seed: bytes) -> Answer:
        making = partial(book.create, webhook_id(seed), body.url, body.description, body.kinds)
        webhook, secret = await ports_of(request).in_time(making)
        data = {**_document(webhook), "secret": secret}
        return answers.success(request, data, status=201, headers={"Location": _location(data)})

    async def unsealed(data: Mapping[str, Any]) -> str | None:
        return await ports_of(request).in_time(book.first_secret, data["webhook_id"])

    return await made_once(request, "POST /webhooks", raw, make, _location, secret=("secret", unsealed))


@get("/webhooks", before_request=WRITE)
async def index(request: AnyRequest) -> Answer:
    """The tenant's webhooks, newest first."""
    asked = query(PageQuery, request)
    ports, tenant = ports_of(request), caller_of(request).tenant
    places = cursors(ports.cursor_key, tenant, "/webhooks", {})
    place = places.read(asked.cursor)
    found = await ports.in_time(ports.webhooks.webhooks, tenant)
    if place is not None:
        found = [one for one in found if (one.created_at.isoformat(), one.webhook_id) < (place[0], place[1])]
    shown = found[: asked.limit]
    cursor = None
    if len(found) > asked.limit:
        cursor = places.make([shown[-1].created_at.isoformat(), shown[-1].webhook_id])
    return answers.page(request, [_document(one) for one in shown], limit=asked.limit, next_cursor=cursor)


@get("/webhooks/{webhook:str}", before_request=WRITE)
async def show(request: AnyRequest, webhook: FromPath[str]) -> Answer:
    """One webhook, without its secret."""
    query(NoQuery, request)
    ports = ports_of(request)
    found = await ports.in_time(ports.webhooks.webhook, caller_of(request).tenant, possible("webhook", webhook))
    data = _document(found)
    return answers.success(request, data, etag=answers.digest(data))


@patch("/webhooks/{webhook:str}", before_request=WRITE)
async def change(request: AnyRequest, webhook: FromPath[str]) -> Answer:
    """Change a webhook's URL, description, kinds or status; what is left out stays."""
    query(NoQuery, request)
    body = validated(ChangeWebhook, await read_json(request), url_context(ports_of(request).url_fault))
    if not body.model_fields_set:
        raise Invalid([Fault("body", "has nothing to change; give url, description, kinds or status")])
    kinds = None if body.kinds is None else tuple(body.kinds)
    enabled = None if body.status is None else body.status == "enabled"
    wanted = WebhookChange(body.url, body.description, kinds, enabled)
    changed = await ports_of(request).in_time(_book(request).change, possible("webhook", webhook), wanted)
    return answers.success(request, _document(changed))


@delete("/webhooks/{webhook:str}", before_request=WRITE, status_code=200)
async def remove(request: AnyRequest, webhook: FromPath[str]) -> Answer:
    """Delete a webhook, its secrets, and all that was to be sent to it."""
    query(NoQuery, request)
    ports = ports_of(request)
    await ports.in_time(ports.webhooks.drop, caller_of(request).tenant, possible("webhook", webhook))
    return answers.success(request, {"webhook_id": webhook, "deleted": True})


@post("/webhooks/{webhook:str}/test", before_request=WRITE, status_code=200)
async def test(request: AnyRequest, webhook: FromPath[str]) -> Answer:
    """Send a ping now, once, and tell what came back. A disabled webhook can be tested, too."""
    query(NoQuery, request)
    validated(Nothing, await read_json(request, required=False))
    ports = ports_of(request)
    message = f"ping-{ports.new_id().hex()}"
    found, ping, secrets = await ports.in_time(_book(request).trial, possible("webhook", webhook), message)
    answered = await ports.ping(found.url, ping, message, secrets)
    data = {
        "webhook_id": webhook,
        "message_id": message,
        "ok": answered.accepted,
        "status_code": answered.status,
        "detail": answered.detail,
        "milliseconds": round(1000 * answered.took),
    }
    return answers.success(request, data)


@post("/webhooks/{webhook:str}/rotate-secret", before_request=WRITE, status_code=200)
async def rotate(request: AnyRequest, webhook: FromPath[str]) -> Answer:
    """Give a webhook a new secret, shown this once. The former ones sign beside it for a while."""
    query(NoQuery, request)
    body = validated(RotateSecret, await read_json(request, required=False))
    overlap = timedelta(hours=body.overlap_hours)
    secret, until = await ports_of(request).in_time(_book(request).rotate, possible("webhook", webhook), overlap)
    return answers.success(request, {"webhook_id": webhook, "secret": secret, "former_valid_until": moment(until)})


@get("/webhooks/{webhook:str}/deliveries", before_request=WRITE)
async def deliveries(request: AnyRequest, webhook: FromPath[str]) -> Answer:
    """What was sent to a webhook, or is to be: the events that were logged last come first."""
    asked = query(DeliveriesQuery, request)
    ports, tenant = ports_of(request), caller_of(request).tenant
    places = cursors(ports.cursor_key, tenant, f"/webhooks/{webhook}/deliveries", asked.filters)
    place = places.read(asked.cursor)
    before = None if place is None else int(place[0])
    finding = partial(
        ports.webhooks.deliveries, tenant, possible("webhook", webhook), asked.status, before, asked.limit + 1
    )
    found = await ports.in_time(finding)
    shown = found[: asked.limit]
    cursor = places.make([shown[-1].position]) if len(found) > asked.limit else None
    items = [_delivery(webhook, one) for one in shown]
    return answers.page(request, items, limit=asked.limit, next_cursor=cursor)


@post("/webhooks/{webhook:str}/deliveries/{delivery:str}/resend", before_request=WRITE, status_code=200)
async def resend(request: AnyRequest, webhook: FromPath[str], delivery: FromPath[str]) -> Answer:
    """Send something again, with all its attempts: what is dead, what was delivered, or what is yet to be."""
    query(NoQuery, request)
    validated(Nothing, await read_json(request, required=False))
    named = _DELIVERY.fullmatch(delivery)
    if named is None:
        raise NotFound("delivery", delivery[:100])
    sent = await ports_of(request).in_time(_book(request).resend, possible("webhook", webhook), int(named[1]))
    return answers.success(request, _delivery(webhook, sent))


ROUTES: Final[list[Any]] = [create, index, show, change, remove, test, rotate, deliveries, resend]
