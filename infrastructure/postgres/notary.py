"""Signing checkpoints of the tenants' logs and bringing them outside, never over a fork.

A checkpoint is stored first and then written outside, so what is outside can never be ahead of the database, unless
that was restored from an older copy or tampered with. Then nothing is signed until an operator accepts it.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final

import psycopg
import structlog

from domain.checkpoint import Checkpoint, read
from infrastructure.audit.outside import Outside, OutsideAway, OutsideDiffers
from infrastructure.audit.signing import SealKey
from infrastructure.postgres.follower import listening
from infrastructure.postgres.log_state import Forked, LogState, NotSigned, expect_continued, locked_state
from infrastructure.postgres.sealing import Sealed

RETRY_SECONDS: Final = 5.0
_PACE_SECONDS: Final = 0.25
_SAID_AGAIN_SECONDS: Final = 60.0
_WRITTEN_AT_ONCE: Final = 100

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """When a log that grew is signed: after so many events or seconds, and at once when a scan has ended."""

    every_events: int = 1_000
    every_seconds: float = 60.0


@dataclass(slots=True)
class _Tenant:
    """What is due. `since` is when the first event came that is not signed."""

    since: float | None = None
    unsigned: int = 0
    at_once: bool = False
    retry_at: float = 0.0
    trouble: str | None = None
    said_at: float = float("-inf")
    witness: tuple[int, Checkpoint] | None = None
    asked: bool = False

    def due(self, now: float, policy: Policy) -> bool:
        if now < self.retry_at:
            return False
        if self.at_once or self.unsigned >= policy.every_events:
            return True
        return self.since is not None and now - self.since >= policy.every_seconds

    def settle(self) -> None:
        """All is signed and written."""
        self.since, self.unsigned, self.at_once = None, 0, False


class Notary:
    """`heed` may be called from any thread; all else is for the one that runs it. Two processes at once are safe."""

    def __init__(
        self,
        key: SealKey | None,
        outside: Outside | None,
        policy: Policy | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key = key
        self._outside = outside
        self._policy = policy or Policy()
        self._monotonic = monotonic
        self._tenants: dict[str, _Tenant] = {}
        self._heard: SimpleQueue[tuple[Sealed, bool]] = SimpleQueue()
        self._caught_up = False
        self._looked_at = float("-inf")

    def heed(self, sealed: Sealed, *, caught_up: bool) -> None:
        """Take note of what was sealed, and whether that was all there is."""
        self._heard.put((sealed, caught_up))

    def run(self, database_url: str, stop: threading.Event) -> None:
        """Sign until `stop` is set, through any number of lost connections."""
        while not stop.is_set():
            try:
                with listening(database_url) as connection:
                    self.begin(connection)
                    while not stop.is_set():
                        self.listen(_PACE_SECONDS)
                        self.attend(connection)
            except psycopg.Error as error:
                log.warning("seal.notary-interrupted", error=type(error).__name__)
                stop.wait(0.5)

    def begin(self, connection: psycopg.Connection[Any]) -> None:
        """Start, or start again: the database may be another. Every log is compared with what is outside."""
        self._tenants.clear()
        self._caught_up = False
        if self._key is not None:
            connection.execute("INSERT INTO seal_keys VALUES (%s) ON CONFLICT DO NOTHING", (self._key.public,))
        rows = connection.execute("SELECT tenant_id, trouble FROM sealed_logs").fetchall()
        self._tenants.update({tenant: _Tenant(at_once=True, trouble=trouble) for tenant, trouble in rows})

    def listen(self, seconds: float) -> None:
        """Hear what was sealed, waiting so long for the first word of it."""
        with suppress(Empty):
            heard = self._heard.get(timeout=seconds)
            while True:
                self._hear(*heard)
                heard = self._heard.get_nowait()

    def _hear(self, sealed: Sealed, caught_up: bool) -> None:
        self._caught_up = caught_up
        for tenant, events in sealed.events.items():
            at = self._tenants.setdefault(tenant, _Tenant())
            at.unsigned += events
            at.at_once |= tenant in sealed.ended
            at.since = self._monotonic() if at.since is None else at.since

    def attend(self, connection: psycopg.Connection[Any]) -> None:
        """Sign and write what is due. Raises psycopg.Error."""
        now = self._monotonic()
        if now - self._looked_at >= self._policy.every_seconds:
            self._look(connection)
            self._looked_at = now
        for tenant, at in self._tenants.items():
            if not at.due(now, self._policy):
                continue
            try:
                self._serve(connection, tenant, at)
            except OutsideAway as error:
                self._say(connection, tenant, at, f"the place outside does not answer: {error}")
                self._put_off(now)
            except (NotSigned, OutsideDiffers) as error:
                self._say(connection, tenant, at, str(error))
                at.retry_at = now + RETRY_SECONDS
            else:
                self._say(connection, tenant, at, None)

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        """What another process sealed or signed, and left so, is due as well."""
        rows = connection.execute(
            "SELECT tenant_id, trouble FROM sealed_logs WHERE size > signed_size OR signed_size > published_size"
        )
        for tenant, trouble in rows:
            at = self._tenants.setdefault(tenant, _Tenant(trouble=trouble))
            at.since = self._monotonic() if at.since is None else at.since

    def _put_off(self, now: float) -> None:
        """Nobody's checkpoints can be written now: no need to find that out for each."""
        for at in self._tenants.values():
            at.retry_at = now + RETRY_SECONDS

    def _serve(self, connection: psycopg.Connection[Any], tenant: str, at: _Tenant) -> None:
        self._ask_outside(connection, tenant, at)
        with connection.transaction(), connection.cursor() as cursor:
            state = locked_state(cursor, tenant)
            if state is None:
                at.settle()  # heard of before the database was restored
                return
            if not self._caught_up and at.witness and at.witness[1].size > state.frontier.size:
                return  # what is outside may be sealed yet
            expect_continued(cursor, state, at.witness)
            signed = self._sign(cursor, state)
        if self._outside is None:
            at.settle()
            at.witness = (state.generation, signed) if signed else at.witness
            raise NotSigned("checkpoints are kept in the database alone: set SCANLEDGER_SEAL_FOLDER")
        self._publish(connection, tenant, at, self._outside)
        at.settle()

    def _ask_outside(self, connection: psycopg.Connection[Any], tenant: str, at: _Tenant) -> None:
        """Learn once what is outside. If that is less than we believed, as with a new place, it gets the rest again.

        In no transaction: it may take its time, and the log grows meanwhile.
        """
        if at.asked or self._outside is None:
            return
        row = connection.execute(
            "SELECT generation, published_size FROM sealed_logs WHERE tenant_id = %s", (tenant,)
        ).fetchone()
        generation, published = row or (1, 0)
        newest = self._outside.newest(tenant, (generation, published))
        there = newest[1].size if newest and newest[0] == generation else 0
        connection.execute(
            "UPDATE sealed_logs SET published_size = least(published_size, %s)"
            " WHERE tenant_id = %s AND generation = %s",
            (there, tenant, generation),
        )
        at.witness, at.asked = newest, True

    def _sign(self, cursor: psycopg.Cursor[Any], state: LogState) -> Checkpoint | None:
        if self._key is None:
            raise NotSigned("there is no key to sign with: set SCANLEDGER_SEAL_KEY")
        size = state.frontier.size
        if size == state.signed:
            return None
        restores = cursor.execute(
            "SELECT given_up FROM accepted_restores WHERE tenant_id = %s AND generation = %s",
            (state.tenant, state.generation),
        )
        checkpoint = Checkpoint(state.origin, size, state.frontier.root(), tuple(row[0] for row in restores))
        inserted = cursor.execute(
            "INSERT INTO checkpoints (tenant_id, generation, size, note) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (state.tenant, state.generation, size, self._key.signed(checkpoint)),
        )
        if not inserted.rowcount and self._stored(cursor, state) != checkpoint:
            raise Forked(f"the database holds another checkpoint of {size} events")
        cursor.execute("UPDATE sealed_logs SET signed_size = %s WHERE tenant_id = %s", (size, state.tenant))
        log.info("seal.signed", tenant=state.tenant, size=size)
        return checkpoint

    @staticmethod
    def _stored(cursor: psycopg.Cursor[Any], state: LogState) -> Checkpoint | None:
        row = cursor.execute(
            "SELECT note FROM checkpoints WHERE tenant_id = %s AND generation = %s AND size = %s",
            (state.tenant, state.generation, state.frontier.size),
        ).fetchone()
        return None if row is None else read(row[0])

    def _publish(self, connection: psycopg.Connection[Any], tenant: str, at: _Tenant, outside: Outside) -> None:
        while rows := connection.execute(_UNPUBLISHED, (tenant, _WRITTEN_AT_ONCE)).fetchall():
            for generation, size, note in rows:
                outside.write(tenant, (generation, size), note)
                at.witness = generation, read(note)
            connection.execute(
                "UPDATE sealed_logs SET published_size = greatest(published_size, %s)"
                " WHERE tenant_id = %s AND generation = %s",
                (rows[-1][1], tenant, rows[-1][0]),
            )

    def _say(self, connection: psycopg.Connection[Any], tenant: str, at: _Tenant, trouble: str | None) -> None:
        """Tell of a trouble, and of its end: in the log, and in the database for the API's metrics."""
        now = self._monotonic()
        if trouble != at.trouble:
            connection.execute(
                "UPDATE sealed_logs SET trouble = %s, trouble_since = CASE WHEN %s::text IS NULL THEN NULL ELSE now()"
                " END WHERE tenant_id = %s",
                (trouble, trouble, tenant),
            )
            if trouble is None:
                log.info("seal.recovered", tenant=tenant)
        if trouble is not None and (trouble != at.trouble or now - at.said_at >= _SAID_AGAIN_SECONDS):
            log.error("seal.trouble", tenant=tenant, trouble=trouble)
            at.said_at = now
        at.trouble = trouble


_UNPUBLISHED: Final = (
    "SELECT generation, c.size, note FROM checkpoints c JOIN sealed_logs USING (tenant_id, generation)"
    " WHERE tenant_id = %s AND c.size > published_size ORDER BY c.size LIMIT %s"
)
