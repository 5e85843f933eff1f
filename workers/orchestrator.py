"""The orchestrator: follows the log, hands out listings and chunks, keeps time, and sends again what was lost."""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from application.messages import Control, ControlState, ListingFailed, TimeIsUp
from application.orchestration import Directive, Grant, ListingDue, Orchestrator, Tell
from application.ports import Recorded, ScanLog
from domain.errors import NotFound, ServiceUnavailable
from domain.scan import LostReason
from domain.scan_events import ChunkCompleted
from infrastructure.wiring import (
    Broker,
    LeadLost,
    Settings,
    control_subject,
    lead_log,
    report_subject,
    utc_now,
)
from workers import streams
from workers.commands import CommandBuilder
from workers.credentials_desk import CredentialsDesk
from workers.fleet import Fleet
from workers.reconciler import Reconciler, Waiting, chunk_key, listing_key

TICK_SECONDS: Final = 0.5
_SENDING_AT_ONCE: Final = 256
_TIME_UP_SECONDS: Final = 10

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Rate:
    """Chunks completed a second, over about the last second."""

    value: float = 0.0
    _count: int = 0
    _since: float = field(default_factory=time.monotonic)

    def add(self, count: int) -> None:
        self._count += count
        elapsed = time.monotonic() - self._since
        if elapsed >= 0.25:
            # Quicker up than down: a scan of quick chunks must not wait for its window to open.
            weight = min(1.0, elapsed if self._count < self.value * elapsed else 2 * elapsed)
            self.value += weight * (self._count / elapsed - self.value)
            self._count, self._since = 0, time.monotonic()


class OrchestratorProcess:
    """One term of leadership after another: what a term builds in memory ends with it."""

    def __init__(self, settings: Settings, broker: Broker, scan_log: ScanLog, commands: CommandBuilder) -> None:
        self._settings = settings
        self._broker = broker
        self._log = scan_log
        self._commands = commands
        self._fleet = Fleet(broker)
        self._reconciler = Reconciler(broker, self._fleet, settings.ack_wait_seconds)
        self._credentials = CredentialsDesk(broker, settings, scan_log, lambda: self._orchestrator)
        self._wake = asyncio.Event()
        self._orchestrator = Orchestrator()
        self._arrived: list[Recorded] = []
        self._rate = _Rate()
        self._said_time_is_up: dict[str, float] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Orchestrate until `stop` is set, taking over whenever no other does."""
        await self._fleet.start(self._wake.set)
        await self._credentials.start()
        while not stop.is_set():
            try:
                await self._term(stop)
            except (LeadLost, ServiceUnavailable) as error:
                log.warning("orchestrator.lead_lost", error=str(error))
                await asyncio.sleep(0.5)
        log.info("orchestrator.stopped")

    async def _term(self, stop: asyncio.Event) -> None:
        self._orchestrator, self._arrived, self._rate = Orchestrator(), [], _Rate()
        halt, led = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def begin() -> int:
            position = self._log.position()
            asyncio.run_coroutine_threadsafe(self._take_over(), loop).result()
            loop.call_soon_threadsafe(led.set)
            return position

        def deliver(batch: Sequence[Recorded]) -> None:
            loop.call_soon_threadsafe(self._deliver, batch)

        tail = asyncio.create_task(asyncio.to_thread(lead_log, self._settings, begin, deliver, halt))
        try:
            while not (stop.is_set() or tail.done()):
                if led.is_set():
                    await self._round()
                await self._sleep(tail)
        finally:
            halt.set()
            # Also when a round failed: two terms must not overlap.
            await asyncio.wait([tail])
        tail.result()

    def _deliver(self, batch: Sequence[Recorded]) -> None:
        self._arrived.extend(batch)
        self._wake.set()

    async def _sleep(self, tail: "asyncio.Task[None]") -> None:
        waking = asyncio.create_task(self._wake.wait())
        await asyncio.wait([waking, tail], timeout=TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        waking.cancel()
        self._wake.clear()

    async def _take_over(self) -> None:
        """Take up every open scan from the log and from what the command stream still holds."""
        await streams.prepare(self._settings, self._broker)
        waiting = await self._reconciler.commands_in_stream()
        for scan_id in await asyncio.to_thread(self._log.open_scans):
            history = await asyncio.to_thread(self._history, scan_id)
            in_stream = [(chunk, attempt) for scan, chunk, attempt in waiting.chunks if scan == scan_id]
            self._orchestrator.restore(scan_id, history, in_stream)
            if scan_id in self._orchestrator.open:
                await self._follow(self._unsent(scan_id, waiting))
        log.info("orchestrator.leads", open_scans=len(self._orchestrator.open))

    def _unsent(self, scan_id: str, waiting: Waiting) -> list[ListingDue]:
        """The listings of a scan whose commands the stream does not hold."""
        units = self._orchestrator.open[scan_id].scan.units
        due = self._orchestrator.listings_due(scan_id)
        return [one for one in due if (scan_id, one.unit, units[one.unit].attempt) not in waiting.listings]

    def _history(self, scan_id: str) -> list[Recorded]:
        history: list[Recorded] = []
        while more := self._log.history(scan_id, len(history), 2_000):
            history.extend(more)
        return history

    async def _round(self) -> None:
        arrived, self._arrived = self._arrived, []
        directives: list[Directive] = []
        for record in arrived:
            self._commands.note(record)
            directives.extend(self._orchestrator.note(record))
        self._rate.add(sum(isinstance(record.event, ChunkCompleted) for record in arrived))
        await self._follow(directives)
        await self._send(self._orchestrator.grants(self._fleet.slots(), self._rate.value))
        await self._keep_time()
        if self._reconciler.due():
            for lost in await self._reconciler.lost(self._orchestrator):
                await self._end_attempt(lost)

    async def _follow(self, directives: Sequence[Directive]) -> None:
        for directive in directives:
            match directive:
                case ListingDue():
                    await self._send_listing(directive)
                case Tell():
                    await self._tell(directive)

    async def _send_listing(self, due: ListingDue) -> None:
        kept = self._orchestrator.open.get(due.scan)
        if kept is None:
            return
        try:
            subject, command = await asyncio.to_thread(self._commands.listing, due.scan, due.unit, kept.scan)
        except NotFound:
            log.warning("orchestrator.connector_missing", scan=due.scan, unit=due.unit)
            return
        key = listing_key(due.scan, due.unit, command.attempt)
        await self._publish(subject, command.model_dump_json().encode(), key)

    async def _end_attempt(self, lost: ListingDue) -> None:
        """Have the log give a lost listing its next attempt: two runs of one attempt might cut their batches apart."""
        kept = self._orchestrator.open.get(lost.scan)
        if kept is None:
            return
        attempt = kept.scan.units[lost.unit].attempt
        report = ListingFailed(
            scan=lost.scan,
            worker="reconciler",
            unit=lost.unit,
            attempt=attempt,
            reason=LostReason.WORKER_LOST,
            detail="nobody has had the listing's command for twice the ack wait",
            permanent=False,
        )
        subject = report_subject(self._settings.pool, lost.scan)
        await self._publish(subject, report.model_dump_json().encode(), listing_key(lost.scan, lost.unit, attempt))

    async def _send(self, grants: Sequence[Grant]) -> None:
        for at in range(0, len(grants), _SENDING_AT_ONCE):
            await asyncio.gather(*(self._send_chunk(grant) for grant in grants[at : at + _SENDING_AT_ONCE]))

    async def _send_chunk(self, grant: Grant) -> None:
        kept = self._orchestrator.open[grant.scan]
        state = kept.scan.pending[grant.chunk]
        subject, command = await self._commands.chunk(grant.scan, grant.chunk, state)
        key = chunk_key(grant.scan, grant.chunk, grant.attempt)
        await self._publish(subject, command.model_dump_json().encode(), key)

    async def _publish(self, subject: str, body: bytes, key: str) -> None:
        await self._broker.publish_stored(subject, body, message_id=self._reconciler.sending(key))

    async def _tell(self, tell: Tell) -> None:
        control = Control(scan=tell.scan, state=tell.state)
        await self._broker.publish_stored(
            control_subject(tell.scan),
            control.model_dump_json().encode(),
            message_id=f"{tell.scan}/control/{tell.state}",
        )
        if tell.state is ControlState.STOP:
            self._reconciler.forget(tell.scan)
            self._said_time_is_up.pop(tell.scan, None)

    async def _keep_time(self) -> None:
        """Tell the recorder, which decides, of every scan whose time is up; again until it has ended."""
        for scan_id in self._orchestrator.overdue(utc_now()):
            if time.monotonic() - self._said_time_is_up.get(scan_id, float("-inf")) < _TIME_UP_SECONDS:
                continue
            self._said_time_is_up[scan_id] = time.monotonic()
            report = TimeIsUp(scan=scan_id, worker="timer")
            await self._broker.publish_stored(
                report_subject(self._settings.pool, scan_id),
                report.model_dump_json().encode(),
                message_id=f"{scan_id}/time-is-up/{time.time():.0f}",
            )
