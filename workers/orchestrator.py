"""The orchestrator: follows the log, hands out listings and chunks, keeps time, and sends again what was lost."""

import asyncio
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from application.messages import Control, ControlState, ListingFailed, TimeIsUp
from application.orchestration import (
    Directive,
    Grant,
    ListingDue,
    OpenScan,
    Orchestrator,
    Tell,
    control_state,
    listings_due,
)
from application.ports import Inventory, LogRewound, Recorded, ScanLog
from application.process_figures import ProcessFigures
from application.scans import INCREMENTAL
from domain.errors import NotFound, ServiceUnavailable
from domain.scan import ChunkState, LostReason, Scan, Status
from domain.scan_events import ChunkCompleted, Resumed
from infrastructure.wiring import (
    Broker,
    LeadLost,
    Settings,
    control_id,
    control_subject,
    lead_log,
    report_subject,
    utc_now,
)
from workers import streams
from workers.commands import CommandBuilder
from workers.credentials_desk import CredentialsDesk
from workers.fleet import Fleet
from workers.outbox import Outbox
from workers.reconciler import Reconciler, Waiting, chunk_key, listing_key
from workers.scan_spans import ScanSpans

TICK_SECONDS: Final = 0.5
_TELLING_AT_ONCE: Final = 256
_TIME_UP_SECONDS: Final = 10
_HELD_BACK_SECONDS: Final = 0.05

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

    def __init__(
        self,
        settings: Settings,
        broker: Broker,
        scan_log: ScanLog,
        inventory: Inventory,
        commands: CommandBuilder,
        *,
        spans: ScanSpans,
        figures: ProcessFigures,
    ) -> None:
        self._settings = settings
        self._broker = broker
        self._log = scan_log
        self._inventory = inventory
        self._commands = commands
        self._spans = spans
        self._figures = figures
        self._fleet = Fleet(broker)
        self._credentials = CredentialsDesk(broker, settings, scan_log, lambda: self._orchestrator)
        self._wake = asyncio.Event()
        self._tell_all = False
        self._begin_term()

    def _begin_term(self) -> None:
        self._orchestrator = Orchestrator()
        self._outbox = Outbox(self._wake.set)
        self._reconciler = Reconciler(
            self._broker,
            self._fleet,
            self._settings.ack_wait_seconds,
            term=secrets.token_hex(4),
            under_way=self._outbox.under_way,
        )
        self._arrived: list[Recorded] = []
        self._rate = _Rate()
        self._said_time_is_up: dict[str, float] = {}
        self._held_back: list[ListingDue] = []
        self._commands.forget()

    async def run(self, stop: asyncio.Event) -> None:
        """Orchestrate until `stop` is set, taking over whenever no other does."""
        await self._fleet.start(self._wake.set)
        await self._credentials.start()
        self._broker.on_reconnect(self._on_reconnect)
        while not stop.is_set():
            try:
                await self._term(stop)
            except (LeadLost, LogRewound, ServiceUnavailable) as error:
                log.warning("orchestrator.lead_lost", error=str(error))
                await asyncio.sleep(0.5)
        log.info("orchestrator.stopped")

    async def _on_reconnect(self) -> None:
        """The server may have lost what it was told."""
        self._tell_all = True
        self._wake.set()

    async def _term(self, stop: asyncio.Event) -> None:
        self._begin_term()
        outbox = self._outbox
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
        tail.add_done_callback(lambda _: outbox.end())
        try:
            while not (stop.is_set() or tail.done()):
                if led.is_set():
                    await self._round()
                    self._tell_figures(leads=True)
                await self._sleep(tail)
        finally:
            self._tell_figures(leads=False)
            halt.set()
            # Also when a round failed: two terms must not overlap.
            await asyncio.wait([tail])
            await outbox.close()
        tail.result()

    def _tell_figures(self, *, leads: bool) -> None:
        self._figures.set("orchestrator_leads", float(leads))
        self._figures.set("orchestrator_open_scans", len(self._orchestrator.open) if leads else 0)
        self._figures.set("orchestrator_outstanding_commands", self._orchestrator.outstanding() if leads else 0)
        self._figures.set("orchestrator_arrived_events", len(self._arrived) if leads else 0)

    def _deliver(self, batch: Sequence[Recorded]) -> None:
        self._arrived.extend(batch)
        self._wake.set()

    async def _sleep(self, tail: "asyncio.Task[None]") -> None:
        waking = asyncio.create_task(self._wake.wait())
        timeout = _HELD_BACK_SECONDS if self._held_back or self._reconciler.hurried else TICK_SECONDS
        await asyncio.wait([waking, tail], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        waking.cancel()
        self._wake.clear()

    async def _take_over(self) -> None:
        """Take up every open scan from the log and from what the command stream still holds, and say how each stands.

        What the workers heard before may be of a log that went on further than this one, before it was restored.
        """
        await streams.prepare(self._settings, self._broker)
        waiting = await self._reconciler.commands_in_stream()
        for scan_id in await asyncio.to_thread(self._log.open_scans):
            history = await asyncio.to_thread(self._history, scan_id)
            in_stream = [(chunk, attempt) for scan, chunk, attempt in waiting.chunks if scan == scan_id]
            self._orchestrator.restore(scan_id, history, in_stream)
        await self._tell_states()
        await self._call_off_strangers()
        for scan_id in self._orchestrator.open:
            await self._follow(self._unsent(scan_id, waiting))
        log.info("orchestrator.leads", open_scans=len(self._orchestrator.open))

    def _unsent(self, scan_id: str, waiting: Waiting) -> list[ListingDue]:
        """The listings of a scan whose commands the stream does not hold."""
        units = self._orchestrator.open[scan_id].scan.units
        due = listings_due(scan_id, self._orchestrator.open[scan_id].scan)
        return [one for one in due if (scan_id, one.unit, units[one.unit].attempt) not in waiting.listings]

    def _history(self, scan_id: str) -> list[Recorded]:
        history: list[Recorded] = []
        while more := self._log.history(scan_id, len(history), 2_000):
            history.extend(more)
        return history

    async def _round(self) -> None:
        self._outbox.raise_failure()
        arrived, self._arrived = self._arrived, []
        directives: list[Directive] = []
        for record in arrived:
            self._commands.note(record)
            await self._spans.note(record)
            directives.extend(self._orchestrator.note(record))
            if isinstance(record.event, Resumed) and record.stream in self._orchestrator.open:
                self._reconciler.hurry(self._orchestrator.open[record.stream])
        self._rate.add(sum(isinstance(record.event, ChunkCompleted) for record in arrived))
        held_back, self._held_back = self._held_back, []
        await self._follow([*held_back, *directives])
        if self._tell_all:
            await self._tell_states()
        for grant in self._orchestrator.grants(self._fleet.slots(), self._rate.value):
            self._send_chunk(grant)
        self._keep_time()
        if self._reconciler.due():
            await self._send_lost_again()
            await self._call_off_strangers()

    async def _send_lost_again(self) -> None:
        lost = await self._reconciler.lost(self._orchestrator)
        self._figures.add("orchestrator_sent_again", by=self._reconciler.found_lost())
        for scan_id in self._reconciler.held_up():
            if (kept := self._orchestrator.open.get(scan_id)) is not None:
                await self._tell(Tell(scan_id, control_state(kept.scan)))
        for due in lost:
            self._end_attempt(due)

    async def _follow(self, directives: Sequence[Directive]) -> None:
        for directive in directives:
            match directive:
                case ListingDue():
                    await self._send_listing(directive)
                case Tell():
                    await self._tell(directive)

    # Commands and reports: into streams that may be full, so that nothing here waits for them ------------------------

    async def _send_listing(self, due: ListingDue) -> None:
        kept = self._orchestrator.open.get(due.scan)
        if kept is None or kept.scan.status is Status.PAUSED:
            return
        if not await self._inventories_ready(kept):
            self._held_back.append(due)
            return
        key = listing_key(due.scan, due.unit, kept.scan.units[due.unit].attempt)
        message_id = self._reconciler.sending(key)
        self._outbox.put(key, partial(self._listing_sent, due, kept.scan, message_id))

    async def _listing_sent(self, due: ListingDue, scan: Scan, message_id: str) -> None:
        try:
            subject, command = await asyncio.to_thread(self._commands.listing, due.scan, due.unit, scan)
        except NotFound:
            log.warning("orchestrator.connector_missing", scan=due.scan, unit=due.unit)
            return
        async with self._spans.command("dispatch listing", due.scan, unit=due.unit, attempt=command.attempt):
            await self._stored(subject, command.model_dump_json().encode(), message_id, due.scan)

    async def _inventories_ready(self, kept: OpenScan) -> bool:
        """Whether all scans that ended before an incremental one was queued have been taken into the inventories."""
        if kept.scan.type != INCREMENTAL:
            return True
        if not kept.inventories_ready:
            kept.inventories_ready = await asyncio.to_thread(self._inventory.accepted_up_to) >= kept.position
        return kept.inventories_ready

    def _end_attempt(self, lost: ListingDue) -> None:
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
        key = listing_key(lost.scan, lost.unit, attempt)
        subject, body = report_subject(self._settings.pool, lost.scan), report.model_dump_json().encode()
        self._outbox.put(key, partial(self._stored, subject, body, self._reconciler.sending(key), lost.scan))

    def _send_chunk(self, grant: Grant) -> None:
        scan = self._orchestrator.open[grant.scan].scan
        state = scan.pending[grant.chunk]
        key = chunk_key(grant.scan, grant.chunk, grant.attempt)
        send = partial(self._chunk_sent, grant, state, scan, self._reconciler.sending(key))
        self._outbox.put(key, partial(self._outbox.bulk, send))

    async def _chunk_sent(self, grant: Grant, state: ChunkState, scan: Scan, message_id: str) -> None:
        if grant.scan in self._orchestrator.open:
            async with self._spans.command("dispatch chunk", grant.scan, chunk=grant.chunk, attempt=grant.attempt):
                subject, command = await self._commands.chunk(grant.scan, grant.chunk, state, scan)
                await self._stored(subject, command.model_dump_json().encode(), message_id, grant.scan)

    async def _stored(self, subject: str, body: bytes, message_id: str, scan_id: str) -> None:
        """Returns when it is stored, or of no use any more."""
        outbox, orchestrator = self._outbox, self._orchestrator

        def wanted() -> bool:
            return not outbox.over and scan_id in orchestrator.open

        try:
            await self._broker.publish_stored(subject, body, message_id=message_id, wanted=wanted)
        except ServiceUnavailable:
            log.info("orchestrator.not_sent", message=message_id)

    def _keep_time(self) -> None:
        """Tell the recorder, which decides, of every scan whose time is up; again until it has ended."""
        for scan_id in self._orchestrator.overdue(utc_now()):
            if time.monotonic() - self._said_time_is_up.get(scan_id, float("-inf")) < _TIME_UP_SECONDS:
                continue
            self._said_time_is_up[scan_id] = time.monotonic()
            body = TimeIsUp(scan=scan_id, worker="timer").model_dump_json().encode()
            subject, message_id = (
                report_subject(self._settings.pool, scan_id),
                f"{scan_id}/time-is-up/{time.time():.0f}",
            )
            self._outbox.put(f"{scan_id}/time-is-up", partial(self._stored, subject, body, message_id, scan_id))

    # What workers must heed -------------------------------------------------------------------------------------------

    async def _tell_states(self) -> None:
        """Say how every open scan stands."""
        self._tell_all = False
        self._reconciler.tell_again()
        tellings = [Tell(scan_id, control_state(kept.scan)) for scan_id, kept in self._orchestrator.open.items()]
        for at in range(0, len(tellings), _TELLING_AT_ONCE):
            await asyncio.gather(*map(self._tell, tellings[at : at + _TELLING_AT_ONCE]))

    async def _call_off_strangers(self) -> None:
        """Have the workers drop what they do for scans that the log does not know, or that have ended."""
        for scan_id in await self._reconciler.strangers(self._orchestrator.open.keys()):
            if await asyncio.to_thread(self._is_over, scan_id):
                log.warning("orchestrator.called_off", scan=scan_id)
                await self._tell(Tell(scan_id, ControlState.STOP))

    def _is_over(self, scan_id: str) -> bool:
        """By the log itself: it may hold what was not read yet."""
        try:
            return self._log.course(scan_id).status.ended
        except NotFound:
            return True

    async def _tell(self, tell: Tell) -> None:
        control = Control(scan=tell.scan, state=tell.state)
        outbox = self._outbox
        await self._broker.publish_stored(
            control_subject(tell.scan),
            control.model_dump_json().encode(),
            message_id=control_id(control),
            wanted=lambda: not outbox.over,
        )
        if tell.state is ControlState.STOP:
            self._reconciler.forget(tell.scan)
            self._said_time_is_up.pop(tell.scan, None)
