"""Detectors: those that are built in, and a tenant's own, which are tried out before they are kept."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from litestar import delete, get, post, put
from litestar.params import FromPath

from api import answers
from api.answers import Answer, AnyRequest
from api.auth import Requires
from api.bodies import query, read_json, validated
from api.connectors import WRITE
from api.detector_schemas import CreateDetector, DetectorRule
from api.idempotency import made_once
from api.scans import READ
from api.schemas import NoQuery
from api.service_parts import caller_of, ports_of
from application.own_rules import OwnRulesBook, StoredDetector, Tried
from application.scan_documents import moment
from domain.detectors import Detector
from domain.detectors import detectors as built_in
from domain.detectors.own import combined
from domain.detectors.rulebook import fields_of
from domain.errors import Conflict


def own_rules_book(request: AnyRequest) -> OwnRulesBook:
    """The caller's own rules."""
    ports, caller = ports_of(request), caller_of(request)
    return OwnRulesBook(ports.shelf, ports.try_out, ports.unfit, caller.tenant, caller.actor, ports.clock)


@get("/detectors", before_request=Requires())
async def index(request: AnyRequest) -> Answer:
    """What is looked for."""
    query(NoQuery, request)
    ports = ports_of(request)
    own = await ports.in_time(ports.shelf.rules, caller_of(request).tenant)
    ruleset = combined(ports.ruleset, own.digest)
    items = [_document(detector) for detector in (*built_in(), *own.detectors)]
    return answers.success(request, items, etag=answers.digest([ruleset, items]), extra={"ruleset": ruleset})


def _document(detector: Detector) -> dict[str, Any]:
    """A detector in a list. The patterns of those that are built in are not shown: they stand in the rule files."""
    return {
        "detector": detector.id,
        "id": detector.id,
        "category": detector.category,
        "name": detector.name,
        "confidence": detector.confidence,
        "severity": detector.severity,
        "validator": detector.validator,
        "keywords": list(dict.fromkeys(word for pattern in detector.patterns for word in pattern.keywords)),
        "custom": detector.custom,
        "patterns": fields_of(detector)["patterns"] if detector.custom else None,
    }


def _whole(stored: StoredDetector | Detector) -> dict[str, Any]:
    """A detector by itself."""
    detector = stored.detector if isinstance(stored, StoredDetector) else stored
    kept = stored if isinstance(stored, StoredDetector) else None
    return {
        **_document(detector),
        "context": list(detector.context),
        "denial": list(detector.denial),
        "yields": detector.yields,
        "matches": list(detector.matches) if kept else None,
        "near_misses": list(detector.near_misses) if kept else None,
        "created_at": moment(kept.created_at) if kept else None,
        "changed_at": moment(kept.changed_at) if kept else None,
        "changed_by": kept.changed_by if kept else None,
    }


def _tried(tried: Tried, *, dry_run: bool) -> dict[str, Any]:
    trial = tried.trial
    hits = [
        {
            "byte_offset": hit.byte_offset,
            "length": hit.length,
            "line": hit.line,
            "column": hit.column,
            "masked": hit.masked,
            "confidence": hit.confidence,
        }
        for hit in trial.hits
    ]
    test = {
        "matches": [{"ok": count == 1, "hits": count} for count in trial.matches],
        "near_misses": [{"ok": count == 0, "hits": count} for count in trial.near_misses],
        "sample": {"count": trial.count, "hits": hits},
    }
    return {**_whole(tried.stored), "dry_run": dry_run, "test": test}


def _location(data: Mapping[str, Any]) -> str:
    return f"/api/v1/detectors/{data['id']}"


@post("/detectors", before_request=WRITE, status_code=201)
async def create(request: AnyRequest) -> Answer:
    """Try out a detector, and keep it unless `dry_run` says not to. The sample is kept nowhere."""
    query(NoQuery, request)
    raw = await read_json(request)
    body = validated(CreateDetector, raw)
    book = own_rules_book(request)

    async def make(_: bytes) -> Answer:
        making = partial(book.create, _rule(body), body.sample, dry_run=body.dry_run)
        try:
            tried = await ports_of(request).in_time(making)
        except Conflict as conflict:
            tried = await _made_before(request, book, body, conflict)
        data = _tried(tried, dry_run=body.dry_run)
        if body.dry_run:
            return answers.success(request, data)
        return answers.success(request, data, status=201, headers={"Location": _location(data)})

    return await made_once(request, "POST /detectors", raw, make, _location)


async def _made_before(request: AnyRequest, book: OwnRulesBook, body: CreateDetector, conflict: Conflict) -> Tried:
    """What the same request has made before its answer was lost. Raises `conflict` if it was another one."""
    if conflict.code != "DETECTOR_EXISTS" or "idempotency-key" not in request.headers:
        raise conflict
    trying = partial(book.change, body.id, _rule(body), body.sample, dry_run=True)
    tried = await ports_of(request).in_time(trying)
    kept = await ports_of(request).in_time(book.detector, body.id)
    if not isinstance(kept, StoredDetector) or kept.detector != tried.stored.detector or kept.changed_by != book.actor:
        raise conflict
    return Tried(kept, tried.trial)


def _rule(body: DetectorRule) -> dict[str, Any]:
    """The fields of a rule file."""
    return body.model_dump(exclude={"sample", "dry_run"}, exclude_unset=True)


@get("/detectors/{detector:str}", before_request=READ)
async def show(request: AnyRequest, detector: FromPath[str]) -> Answer:
    """One detector."""
    query(NoQuery, request)
    return answers.success(request, _whole(await ports_of(request).in_time(own_rules_book(request).detector, detector)))


@put("/detectors/{detector:str}", before_request=WRITE)
async def change(request: AnyRequest, detector: FromPath[str]) -> Answer:
    """Put another detector in the place of one of the tenant's own, tried out like a new one."""
    query(NoQuery, request)
    body = validated(DetectorRule, await read_json(request))
    changing = partial(own_rules_book(request).change, detector, _rule(body), body.sample, dry_run=body.dry_run)
    tried = await ports_of(request).in_time(changing)
    return answers.success(request, _tried(tried, dry_run=body.dry_run))


@delete("/detectors/{detector:str}", before_request=WRITE, status_code=200)
async def remove(request: AnyRequest, detector: FromPath[str]) -> Answer:
    """Delete one of the tenant's own. Scans that were started with it keep it."""
    query(NoQuery, request)
    await ports_of(request).in_time(own_rules_book(request).delete, detector)
    return answers.success(request, {"detector": detector, "deleted": True})
