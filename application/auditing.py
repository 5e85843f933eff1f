"""What auditors take away: checkpoints, proofs, and exports that can be verified without the service."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from application.history import LoggedEvent, cloud_event
from domain.checkpoint import Checkpoint, read
from domain.errors import Conflict, Fault, Invalid, NotFound
from domain.merkle import Span, consistency_spans, consistent, included, inclusion_spans, leaf_hash


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A signed note, and whether it is kept outside the database as well."""

    generation: int
    note: str
    signed_at: datetime
    published: bool

    @property
    def checkpoint(self) -> Checkpoint:
        return read(self.note)


@dataclass(frozen=True, slots=True)
class Leaf:
    """An event at its place in its tenant's tree."""

    index: int
    event: LoggedEvent


@dataclass(frozen=True, slots=True)
class SealKeys:
    """The tenant's log by name, and the public keys its checkpoints were signed with, the newest first."""

    origin: str
    keys: Sequence[tuple[bytes, datetime]]


@dataclass(frozen=True, slots=True)
class SealState:
    """Of all logs: events that no checkpoint covers yet, or none that is kept outside, and the logs that cannot be
    signed or written outside until something is done about it."""

    unsigned: int
    unpublished: int
    troubled: int


class SealedLog(Protocol):
    """A tenant's log as it was sealed. Checkpoints are of the log as it goes on, but in `checkpoints`, which has all.

    Every method raises ServiceUnavailable; `hashes` raises Conflict SEAL_BROKEN where some that were kept are gone.
    """

    async def state(self) -> SealState: ...

    async def keys(self, tenant: str) -> SealKeys | None:
        """None while nothing was signed."""

    async def checkpoints(self, tenant: str, before: tuple[int, int] | None, limit: int) -> Sequence[StoredCheckpoint]:
        """The newest first; with `before`, those before that generation and size."""

    async def newest(self, tenant: str) -> StoredCheckpoint | None: ...

    async def covering(self, tenant: str, size: int) -> StoredCheckpoint | None:
        """The first one of at least `size` events."""

    async def within(self, tenant: str, size: int) -> StoredCheckpoint | None:
        """The last one of at most `size` events."""

    async def hashes(self, tenant: str, spans: Sequence[Span]) -> Sequence[bytes]: ...

    async def leaf_hashes(self, tenant: str, spans: Sequence[Span]) -> Sequence[Sequence[bytes]]:
        """The hashes of the single leaves of each span."""

    async def find(self, tenant: str, stream: str, version: int) -> tuple[LoggedEvent, int | None] | None:
        """An event and its leaf, None while it is not sealed."""

    async def last_event(self, stream: str) -> LoggedEvent:
        """The last event of a stream of the log, sealed or not."""

    async def last_of_scan(self, tenant: str, scan_id: str, size: int) -> Leaf | None:
        """The scan's last event among the first `size` leaves."""

    async def scan_leaves(self, tenant: str, scan_id: str, after_version: int, limit: int) -> Sequence[Leaf]:
        """The scan's events after a version, as far as they are sealed."""

    async def leaves(self, tenant: str, span: Span) -> Sequence[Leaf]: ...

    async def window(self, tenant: str, since: datetime, until: datetime | None, size: int) -> Span:
        """Of the first `size` leaves: from the first that occurred at `since` or later, to the last before `until`."""


class NotSealedYet(Conflict):
    """No checkpoint covers it yet; one will in a moment, when the seal is at work."""

    def __init__(self, message: str) -> None:
        super().__init__("NOT_SEALED_YET", f"{message} Try again in a moment.")


def broken(message: str) -> Conflict:
    return Conflict("SEAL_BROKEN", f"{message} What is stored was altered: go by the checkpoints outside the database.")


# Proofs ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That `line` is leaf `index` of the log that `checkpoint` tells of."""

    index: int
    line: bytes
    hashes: Sequence[bytes]
    checkpoint: StoredCheckpoint


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """That the log of `newer` events begins with that of `older`. Checkpoints of these sizes, where there are some."""

    older: int
    older_root: bytes
    newer: int
    newer_root: bytes
    hashes: Sequence[bytes]
    checkpoints: Sequence[StoredCheckpoint]


async def prove_event(log: SealedLog, tenant: str, event_id: str) -> InclusionProof:
    """Raises NotFound for an event that the tenant does not have, NotSealedYet, and Conflict SEAL_BROKEN."""
    stream, _, version = event_id.rpartition(":")
    found = await log.find(tenant, stream, int(version)) if version.isdecimal() and len(version) < 19 else None
    if found is None:
        raise NotFound("event", event_id[:100])
    event, index = found
    stored = None if index is None else await log.covering(tenant, index + 1)
    if index is None or stored is None:
        raise NotSealedYet(f"No checkpoint covers {event_id} yet.")
    told, line = stored.checkpoint, cloud_event(event, tenant)
    hashes = await log.hashes(tenant, inclusion_spans(index, told.size))
    if not included(index, told.size, leaf_hash(line), hashes, told.root):
        raise broken(f"{event_id} as it is stored is not what was sealed.")
    return InclusionProof(index, line, hashes, stored)


async def prove_growth(log: SealedLog, tenant: str, older: int, newer: int) -> ConsistencyProof:
    """Raises Invalid for sizes that cannot be, NotSealedYet, and Conflict SEAL_BROKEN."""
    if not 1 <= older <= newer:
        raise Invalid([Fault("from", "must be at least 1 and at most `to`")])
    newest = await log.newest(tenant)
    if newest is None or newest.checkpoint.size < newer:
        raise NotSealedYet(f"No checkpoint tells of {newer} events yet.")
    older_root, newer_root = await log.hashes(tenant, [(0, older), (0, newer)])
    hashes = await log.hashes(tenant, consistency_spans(older, newer))
    roots = {older: older_root, newer: newer_root}
    signed = [await log.covering(tenant, size) for size in roots]
    there = [stored for stored in signed if stored and stored.checkpoint.size in roots]
    agree = all(stored.checkpoint.root == roots[stored.checkpoint.size] for stored in there)
    if not agree or not consistent(older, older_root, newer, newer_root, hashes):
        raise broken("The stored hashes do not lead to the signed checkpoints.")
    return ConsistencyProof(older, older_root, newer, newer_root, hashes, there)
