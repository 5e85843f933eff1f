"""The allow list: what is known and not to be reported. What it keeps out of the findings, scans count."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from litestar import delete, get, post
from litestar.params import FromPath

from api import answers
from api.answers import Answer, AnyRequest
from api.bodies import query, read_json, validated
from api.connectors import WRITE
from api.detector_schemas import Allow
from api.detectors import own_rules_book
from api.idempotency import made_once
from api.identifiers import allowance_id, possible
from api.pagination import cursors
from api.scans import READ
from api.schemas import NoQuery, PageQuery
from api.service_parts import caller_of, ports_of
from application.own_rules import StoredAllowance
from application.scan_documents import moment
from domain.detectors.own import Allowance
from domain.errors import NotFound


def _document(stored: StoredAllowance) -> dict[str, Any]:
    allowance = stored.allowance
    return {
        "allowance_id": stored.allowance_id,
        "detector": allowance.detector,
        "value_sha256": allowance.sha256,
        "pattern": allowance.pattern,
        "object_prefix": allowance.object_prefix,
        "reason": stored.reason,
        "created_at": moment(stored.created_at),
        "created_by": stored.created_by,
    }


def _allowance(body: Allow) -> Allowance:
    """What is kept of the request: of a value its hash alone."""
    digest = None if body.value is None else sha256(body.value.encode()).hexdigest()
    return Allowance(body.detector, digest, body.pattern, body.object_prefix)


def _location(data: Mapping[str, Any]) -> str:
    return f"/api/v1/allow-list/{data['allowance_id']}"


@get("/allow-list", before_request=READ)
async def index(request: AnyRequest) -> Answer:
    """The tenant's allow list, newest first."""
    asked = query(PageQuery, request)
    ports, tenant = ports_of(request), caller_of(request).tenant
    places = cursors(ports.cursor_key, tenant, "/allow-list", {})
    place = places.read(asked.cursor)
    entries = await ports.in_time(ports.shelf.allowances, tenant)
    if place is not None:
        entries = [one for one in entries if (moment(one.created_at), one.allowance_id) < (place[0], place[1])]
    shown = entries[: asked.limit]
    cursor = None
    if len(entries) > asked.limit:
        cursor = places.make([moment(shown[-1].created_at), shown[-1].allowance_id])
    return answers.page(request, [_document(one) for one in shown], limit=asked.limit, next_cursor=cursor)


@post("/allow-list", before_request=WRITE, status_code=201)
async def create(request: AnyRequest) -> Answer:
    """Put a value, a pattern of values, or the objects below a prefix on the allow list."""
    query(NoQuery, request)
    raw = await read_json(request)
    body = validated(Allow, raw)

    async def make(seed: bytes) -> Answer:
        book = own_rules_book(request)
        stored = await ports_of(request).in_time(book.allow, allowance_id(seed), _allowance(body), body.reason)
        data = _document(stored)
        return answers.success(request, data, status=201, headers={"Location": _location(data)})

    return await made_once(request, "POST /allow-list", raw, make, _location)


@get("/allow-list/{allowance:str}", before_request=READ)
async def show(request: AnyRequest, allowance: FromPath[str]) -> Answer:
    """One entry of the allow list."""
    query(NoQuery, request)
    ports = ports_of(request)
    for stored in await ports.in_time(ports.shelf.allowances, caller_of(request).tenant):
        if stored.allowance_id == allowance:
            return answers.success(request, _document(stored))
    raise NotFound("allowance", allowance[:100])


@delete("/allow-list/{allowance:str}", before_request=WRITE, status_code=200)
async def remove(request: AnyRequest, allowance: FromPath[str]) -> Answer:
    """Take an entry off the allow list. Scans that were started with it keep it."""
    query(NoQuery, request)
    await ports_of(request).in_time(own_rules_book(request).disallow, possible("allowance", allowance))
    return answers.success(request, {"allowance_id": allowance, "deleted": True})
