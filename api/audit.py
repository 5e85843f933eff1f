"""For auditors: checkpoints, proofs, the public key, and exports that verify without us."""

from typing import Any, Final

from litestar import get
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import ASGIApp

from api import answers
from api.access import recorded_access
from api.answers import Answer, AnyRequest
from api.audit_documents import ExportQuery, ProofQuery
from api.auth import Requires
from api.bodies import query
from api.history import NDJSON
from api.pagination import cursors
from api.scans import owned_scan
from api.schemas import NoQuery, PageQuery
from api.service_parts import caller_of, ports_of
from application.access import Operation
from application.audit_export import export_of_scan, export_of_window, exported
from application.auditing import (
    ConsistencyProof,
    InclusionProof,
    NotSealedYet,
    StoredCheckpoint,
    prove_event,
    prove_growth,
)
from application.scan_documents import moment
from domain.checkpoint import base64_of, verifier_key
from domain.errors import Invalid
from domain.merkle import leaf_hash

AUDIT: Final = Requires("audit:read")


@get("/audit/checkpoints", before_request=AUDIT)
async def checkpoints(request: AnyRequest) -> Answer:
    """The tenant's signed checkpoints, those of logs that were given up too, newest first."""
    asked = query(PageQuery, request)
    ports, tenant = ports_of(request), caller_of(request).tenant
    places = cursors(ports.cursor_key, tenant, "/audit/checkpoints", {})
    place = places.read(asked.cursor)
    before = None if place is None else (int(place[0]), int(place[1]))
    found = await ports.sealed.checkpoints(tenant, before, asked.limit + 1)
    shown = found[: asked.limit]
    more = len(found) > asked.limit
    cursor = places.make([shown[-1].generation, shown[-1].checkpoint.size]) if more else None
    return answers.page(request, [_checkpoint(stored) for stored in shown], limit=asked.limit, next_cursor=cursor)


def _checkpoint(stored: StoredCheckpoint) -> dict[str, Any]:
    told = stored.checkpoint
    return {
        "origin": told.origin,
        "tree_size": told.size,
        "root_hash": base64_of(told.root),
        "signed_at": moment(stored.signed_at),
        "published": stored.published,
        "note": stored.note,
    }


@get("/audit/proof", before_request=AUDIT)
async def proof(request: AnyRequest) -> Answer:
    """That an event is in the log, or that the log was only added to."""
    asked = query(ProofQuery, request)
    if asked.faults:
        raise Invalid(asked.faults)
    sealed, tenant = ports_of(request).sealed, caller_of(request).tenant
    if asked.event is not None:
        proven = await prove_event(sealed, tenant, asked.event)
        await recorded_access(request, Operation.AUDIT_PROOF, filters={"event": asked.event}, rows=1)
        return answers.success(request, _inclusion(asked.event, proven))
    assert asked.from_ is not None
    assert asked.to is not None
    return answers.success(request, _consistency(await prove_growth(sealed, tenant, asked.from_, asked.to)))


def _inclusion(event_id: str, proof: InclusionProof) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "leaf_index": proof.index,
        "leaf_hash": base64_of(leaf_hash(proof.line)),
        "line": proof.line.decode(),
        "tree_size": proof.checkpoint.checkpoint.size,
        "hashes": [base64_of(hash_) for hash_ in proof.hashes],
        "checkpoints": [proof.checkpoint.note],
    }


def _consistency(proof: ConsistencyProof) -> dict[str, Any]:
    return {
        "from": proof.older,
        "from_root": base64_of(proof.older_root),
        "to": proof.newer,
        "to_root": base64_of(proof.newer_root),
        "hashes": [base64_of(hash_) for hash_ in proof.hashes],
        "checkpoints": [stored.note for stored in proof.checkpoints],
    }


@get("/audit/key", before_request=AUDIT)
async def key(request: AnyRequest) -> Answer:
    """The public keys of the tenant's checkpoints."""
    query(NoQuery, request)
    keys = await ports_of(request).sealed.keys(caller_of(request).tenant)
    if keys is None:
        raise NotSealedYet("Nothing was signed yet.")
    told = [
        {
            "public_key": base64_of(public),
            "verifier_key": verifier_key(keys.origin, public),
            "used_since": moment(used_since),
        }
        for public, used_since in keys.keys
    ]
    return answers.success(request, {"origin": keys.origin, "keys": told})


@get("/audit/export", before_request=AUDIT)
async def export(request: AnyRequest) -> ASGIApp:
    """A scan's history, or all that occurred in a window of time, with its proofs; streamed."""
    asked = query(ExportQuery, request)
    if asked.faults:
        raise Invalid(asked.faults)
    sealed, tenant = ports_of(request).sealed, caller_of(request).tenant
    if asked.scan is not None:
        await owned_scan(request, asked.scan)
        wanted = await export_of_scan(sealed, tenant, asked.scan)
    else:
        assert asked.since is not None
        wanted = await export_of_window(sealed, tenant, asked.since, asked.until)
    filters = asked.model_dump(mode="json", exclude={"scan"}, exclude_none=True)
    await recorded_access(request, Operation.AUDIT_EXPORT, scan=asked.scan, filters=filters)
    lines = exported(sealed, tenant, wanted)
    return ASGIStreamingResponse(iterator=lines, media_type=NDJSON, headers={"Cache-Control": "no-store"})
