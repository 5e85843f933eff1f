"""Exports of a tenant's history that anybody can verify who has the public key: `scanledger audit verify`.

One file of JSON lines, in this order:
- what it is: format, log, key, scope, the leaves it is about;
- the checkpoint that all of it is proven by, and the last one before its first event, which is proven to agree;
- for each block of 64 leaves that has events in it: the hash of each of its leaves, the proof that leads from the block
  to the checkpoint, and which of the leaves follow; then their events, each the exact line that was sealed;
- that this was all.

The root of a block is a node of the tree, and a proof of it that of a leaf in a tree of blocks.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final

import msgspec

from application.auditing import Leaf, NotSealedYet, SealedLog, StoredCheckpoint, broken
from application.history import cloud_event
from application.scan_documents import moment
from domain.checkpoint import base64_of, key_id, signer, verifier_key
from domain.merkle import Span, consistency_spans, inclusion_spans
from domain.scan_events import ENDINGS, DataErased

FORMAT: Final = 1
BLOCK: Final = 64

_READ_AT_ONCE: Final = 1_024
_ENDINGS: Final = frozenset(ending.kind for ending in (*ENDINGS, DataErased))
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Export:
    """What to export: the events of `span`, or those of `scan` among them. `told` has a leaf more at either end where
    that shows that a window of time begins and ends where it says."""

    scope: dict[str, Any]
    span: Span
    told: Span
    checkpoint: StoredCheckpoint
    scan: str | None = None


async def export_of_scan(log: SealedLog, tenant: str, scan_id: str) -> Export:
    """The history so far of a scan of the tenant.

    Raises NotSealedYet: when none of it is sealed, or when the scan has ended and that is not.
    """
    newest, last = await log.newest(tenant), await log.last_event(scan_id)
    sealed = None if newest is None else await log.last_of_scan(tenant, scan_id, newest.checkpoint.size)
    ended = last.kind in _ENDINGS
    if sealed is None or (ended and sealed.event.version < last.version):
        raise NotSealedYet(f"No checkpoint covers the history of {scan_id} yet.")
    found = await log.find(tenant, scan_id, 1)
    checkpoint = await log.covering(tenant, sealed.index + 1)
    assert found is not None
    assert found[1] is not None
    assert checkpoint is not None
    span = found[1], sealed.index + 1
    return Export({"scan": scan_id, "versions": sealed.event.version, "ended": ended}, span, span, checkpoint, scan_id)


async def export_of_window(log: SealedLog, tenant: str, since: datetime, until: datetime | None) -> Export:
    """All that happened from `since` on and before `until`, up to the newest checkpoint. Raises NotSealedYet."""
    newest = await log.newest(tenant)
    if newest is None:
        raise NotSealedYet("There is no checkpoint yet.")
    size = newest.checkpoint.size
    first, past = await log.window(tenant, since, until, size)
    told = max(0, first - 1), min(past + 1, size)
    checkpoint = newest if until is None or past == size else await log.covering(tenant, told[1])
    assert checkpoint is not None
    scope = {"since": moment(since), "until": moment(until)}
    return Export(scope, (first, past), told, checkpoint)


async def exported(log: SealedLog, tenant: str, export: Export) -> AsyncIterator[bytes]:
    """The lines of the file, some at a time. Raises Conflict SEAL_BROKEN where what is stored was altered."""
    told = export.checkpoint.checkpoint
    first, past = export.span
    about = {"scanledger": "audit-export", "format": FORMAT, "tenant": tenant, "origin": told.origin}
    key = await _key_of(log, tenant, export.checkpoint)
    yield _line({**about, "key": key, "scope": export.scope, "first": first, "past": past})
    yield await _checkpoints(log, tenant, export)
    blocks = events = 0
    async for leaves in _whole_blocks(log, tenant, export):
        yield await _blocks(log, tenant, leaves, told.size)
        blocks += len({leaf.index // BLOCK for leaf in leaves})
        events += len(leaves)
    yield _line({"end": {"blocks": blocks, "events": events}})


async def _key_of(log: SealedLog, tenant: str, stored: StoredCheckpoint) -> str:
    """The key that a checkpoint was signed with; those before it may have had others."""
    keys, name = await log.keys(tenant), stored.checkpoint.origin
    found = [public for public, _ in keys.keys if key_id(name, public) == signer(stored.note)] if keys else []
    if not found:
        raise broken("The key that the checkpoint was signed with is gone.")
    return verifier_key(name, found[0])


async def _whole_blocks(log: SealedLog, tenant: str, export: Export) -> AsyncIterator[Sequence[Leaf]]:
    """The leaves to tell, some at a time, those of a block always together."""
    held: list[Leaf] = []
    async for leaves in _leaves(log, tenant, export):
        held.extend(leaves)
        boundary = held[-1].index // BLOCK if held else 0
        yield [leaf for leaf in held if leaf.index // BLOCK < boundary]
        held = [leaf for leaf in held if leaf.index // BLOCK >= boundary]
    yield held


async def _leaves(log: SealedLog, tenant: str, export: Export) -> AsyncIterator[Sequence[Leaf]]:
    first, past = export.told
    if export.scan is None:
        for at in range(first, past, _READ_AT_ONCE):
            yield await log.leaves(tenant, (at, min(at + _READ_AT_ONCE, past)))
        return
    version = 0
    while leaves := await log.scan_leaves(tenant, export.scan, version, _READ_AT_ONCE):
        yield [leaf for leaf in leaves if leaf.index < past]
        version = leaves[-1].event.version


async def _checkpoints(log: SealedLog, tenant: str, export: Export) -> bytes:
    size = export.checkpoint.checkpoint.size
    earlier = await log.within(tenant, export.told[0])
    proven = None
    if earlier is not None and signer(earlier.note) == signer(export.checkpoint.note):
        hashes = await log.hashes(tenant, consistency_spans(earlier.checkpoint.size, size))
        proven = {"checkpoint": earlier.note, "consistency": _base64(hashes)}
    return _line({"checkpoint": export.checkpoint.note, "earlier": proven})


async def _blocks(log: SealedLog, tenant: str, leaves: Sequence[Leaf], size: int) -> bytes:
    """The lines of the blocks that these leaves are in."""
    by_block = {number: list(some) for number, some in groupby(leaves, lambda leaf: leaf.index // BLOCK)}
    if not by_block:
        return b""
    paths = {number: _block_proof(number, size) for number in by_block}
    hashes = iter(await log.hashes(tenant, [span for spans in paths.values() for span in spans]))
    spans = [_block_span(number, size) for number in by_block]
    lines: list[bytes] = []
    for (number, some), all_leaves in zip(by_block.items(), await log.leaf_hashes(tenant, spans), strict=True):
        proof = [next(hashes) for _ in paths[number]]
        told = [leaf.index for leaf in some]
        lines.append(_line({"block": number, "leaves": _base64(all_leaves), "proof": _base64(proof), "told": told}))
        lines.extend(cloud_event(leaf.event, tenant) + b"\n" for leaf in some)
    return b"".join(lines)


def _block_span(number: int, size: int) -> Span:
    return number * BLOCK, min((number + 1) * BLOCK, size)


def _block_proof(number: int, size: int) -> Sequence[Span]:
    blocks = -(-size // BLOCK)
    return [(first * BLOCK, min(past * BLOCK, size)) for first, past in inclusion_spans(number, blocks)]


def _base64(hashes: Sequence[bytes]) -> list[str]:
    return [base64_of(hash_) for hash_ in hashes]


def _line(document: dict[str, Any]) -> bytes:
    return _encode(document) + b"\n"
