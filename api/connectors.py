"""Connectors: where to scan. Secrets go in and never come out."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from litestar import delete, get, patch, post
from litestar.params import FromPath

from api import answers
from api.answers import Answer, AnyRequest
from api.auth import Requires
from api.bodies import Body, query, read_json, validated, with_others
from api.idempotency import made_once
from api.identifiers import connector_id, possible
from api.pagination import cursors
from api.scans import READ
from api.schemas import ChangeConnector, CreateConnector, NoQuery, Nothing, PageQuery
from api.service_parts import caller_of, ports_of, until_projected
from application.connectors import Change, Connectors, NewConnector
from application.reading import ApiPorts
from application.scan_documents import moment
from domain.connector import Connector, ConnectorStatus, ConnectorType
from domain.errors import Conflict, Fault, Invalid, NotFound

WRITE: Final = Requires("connectors:write")

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ITEM: Final = re.compile(r"\.(\d+)(?=\.|\[|$)")
_FIXED: Final = frozenset({"type", "execution", "connector_id", "created_at"})


def _book(request: AnyRequest) -> Connectors:
    ports, caller = ports_of(request), caller_of(request)
    return Connectors(ports.log, ports.vault, caller.tenant, caller.actor, ports.clock)


def _document(connector: Connector) -> dict[str, Any]:
    return {
        "connector_id": connector.connector_id,
        "name": connector.name,
        "type": connector.type.value,
        "execution": connector.execution.value,
        "status": connector.status.value,
        "config": dict(connector.config),
        "has_credentials": connector.has_credentials,
        "detail": None if connector.status is ConnectorStatus.PENDING_TEST else connector.test_detail or None,
        "created_at": moment(connector.created_at),
        "version": connector.version,
    }


@post("/connectors", before_request=WRITE, status_code=201)
async def create(request: AnyRequest) -> Answer:
    """Make a connector. It awaits a test, and may be scanned at once."""
    query(NoQuery, request)
    raw = await read_json(request)
    new = await asyncio.to_thread(_judged, ports_of(request), raw)

    async def make(seed: bytes) -> Answer:
        written = await ports_of(request).in_time(_book(request).create, connector_id(seed), new)
        await until_projected(ports_of(request), written.position)
        data = _document(written.connector)
        return answers.success(request, data, status=201, headers={"Location": _location(data)})

    return await made_once(request, "POST /connectors", raw, make, _location)


def _location(data: Mapping[str, Any]) -> str:
    return f"/api/v1/connectors/{data['connector_id']}"


def _judged(ports: ApiPorts, read: Body) -> NewConnector:
    """The body as a connector. Raises `Invalid` with the faults of the body and of its config together."""
    body, faults = _body(read)
    raw = read.value
    settings: dict[str, Any] = {}
    credentials: dict[str, str] | None = None
    if isinstance(raw, dict) and raw.get("type") in set(ConnectorType) and isinstance(raw.get("config"), dict):
        try:
            settings, credentials = _config(ports, raw["type"], raw["config"])
        except Invalid as error:
            faults = with_others(faults, error.faults)
    if faults or body is None:
        raise Invalid(faults)
    return NewConnector(body.name, ConnectorType(body.type), settings, credentials)


def _body(read: Body) -> tuple[CreateConnector | None, list[Fault]]:
    try:
        return validated(CreateConnector, read), []
    except Invalid as error:
        return None, list(error.faults)


def _config(ports: ApiPorts, kind: str, config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str] | None]:
    """Settings and credentials. Raises `Invalid`, with list items' paths as everywhere: `config.prefixes[0]`."""
    faults = [
        Fault(f"config.{name}", "must not have a line break or another control character")
        for name in sorted(ports.sources.secret_fields(kind))
        if isinstance(config.get(name), str) and _CONTROL.search(config[name])
    ]
    try:
        checked = ports.sources.check(kind, config)
    except Invalid as error:
        others = [Fault(_ITEM.sub(r"[\1]", fault.field), fault.message) for fault in error.faults]
        raise Invalid(with_others(faults, others)) from None
    if faults:
        raise Invalid(faults)
    return checked


@get("/connectors", before_request=READ)
async def index(request: AnyRequest) -> Answer:
    """The tenant's connectors, newest first."""
    asked = query(PageQuery, request)
    ports, tenant = ports_of(request), caller_of(request).tenant
    places = cursors(ports.cursor_key, tenant, "/connectors", {})
    place = places.read(asked.cursor)
    after = None if place is None else (datetime.fromisoformat(place[0]), str(place[1]))
    rows = await ports.reads.connectors(tenant, after, asked.limit + 1)
    shown: Sequence[Connector] = rows[: asked.limit]
    cursor = None
    if len(rows) > asked.limit and shown[-1].created_at is not None:
        cursor = places.make([shown[-1].created_at.isoformat(), shown[-1].connector_id])
    return answers.page(request, [_document(row) for row in shown], limit=asked.limit, next_cursor=cursor)


@get("/connectors/{connector:str}", before_request=READ)
async def show(request: AnyRequest, connector: FromPath[str]) -> Answer:
    """One connector."""
    query(NoQuery, request)
    found = await ports_of(request).reads.connector(caller_of(request).tenant, possible("connector", connector))
    if found is None:
        raise NotFound("connector", connector)
    return answers.success(request, _document(found), etag=answers.version_tag(found.version))


@patch("/connectors/{connector:str}", before_request=WRITE)
async def change(request: AnyRequest, connector: FromPath[str]) -> Answer:
    """Change a connector's name, config or status; what is left out stays."""
    query(NoQuery, request)
    read = await read_json(request)
    body = _change(read)
    ports, book = ports_of(request), _book(request)
    before = await ports.in_time(book.get, possible("connector", connector))
    wanted = await asyncio.to_thread(_changes, ports, before, body)
    if wanted.moves(before):
        await _require_unread(request, connector, "moved")
    written = await ports.in_time(book.change, connector, wanted)
    await until_projected(ports, written.position)
    return answers.success(request, _document(written.connector))


def _change(read: Body) -> ChangeConnector:
    try:
        body = validated(ChangeConnector, read)
    except Invalid as error:
        raise Invalid([_fixed(fault) for fault in error.faults]) from None
    if not body.model_fields_set:
        raise Invalid([Fault("body", "has nothing to change; give name, config or status")])
    return body


def _fixed(fault: Fault) -> Fault:
    if fault.field in _FIXED:
        return Fault(fault.field, "cannot be changed; make another connector")
    return fault


def _changes(ports: ApiPorts, before: Connector, body: ChangeConnector) -> Change:
    disabled = None if body.status is None else body.status == "disabled"
    if body.config is None:
        return Change(body.name, disabled=disabled)
    secret = {name: value for name, value in body.config.items() if name in ports.sources.secret_fields(before.type)}
    merged = _merged(before.config, {name: value for name, value in body.config.items() if name not in secret})
    given = {name: value for name, value in secret.items() if value is not None}
    removed = bool(secret) and not given
    settings, credentials = _config(ports, before.type, {**merged, **given})
    moved = settings.get("endpoint_url") != before.config.get("endpoint_url")
    if moved and before.has_credentials and not secret:
        message = "takes the credentials elsewhere; give access_key_id and secret_access_key anew with it"
        raise Invalid([Fault("config.endpoint_url", message)])
    return Change(body.name, settings, {} if removed else credentials, disabled)


def _merged(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7396 on one level: null removes."""
    return {name: value for name, value in {**before, **patch}.items() if value is not None}


async def _require_unread(request: AnyRequest, connector: str, what: str) -> None:
    """Raises Conflict while an open scan reads the connector."""
    scan = await ports_of(request).reads.open_scan_of(caller_of(request).tenant, connector)
    if scan is not None:
        message = (
            f"Scan {scan} is reading connector {connector}, which cannot be {what} now; cancel it or wait for its end."
        )
        raise Conflict("CONNECTOR_IN_USE", message, connector_id=connector, scan_id=scan)


@delete("/connectors/{connector:str}", before_request=WRITE, status_code=200)
async def remove(request: AnyRequest, connector: FromPath[str]) -> Answer:
    """Delete a connector and its secrets. Its scans stay."""
    query(NoQuery, request)
    ports, book = ports_of(request), _book(request)
    await ports.in_time(book.get, possible("connector", connector))
    await _require_unread(request, connector, "deleted")
    position = await ports.in_time(book.delete, connector)
    await until_projected(ports, position)
    return answers.success(request, {"connector_id": connector, "deleted": True})


@post("/connectors/{connector:str}/test", before_request=WRITE, status_code=200)
async def test(request: AnyRequest, connector: FromPath[str]) -> Answer:
    """Try to list the connector, for 15 s at most, and note how it went."""
    query(NoQuery, request)
    validated(Nothing, await read_json(request, required=False))
    ports, book = ports_of(request), _book(request)
    before = await ports.in_time(book.get, possible("connector", connector))
    passed, detail = await ports.sources.try_out(before)
    written = await ports.in_time(partial(book.record_test, before, passed=passed, detail=detail))
    await until_projected(ports, written.position)
    data = {
        "connector_id": connector,
        "status": written.connector.status.value,
        "ok": passed,
        "detail": detail,
        "tested_at": moment(written.at),
    }
    return answers.success(request, data)
