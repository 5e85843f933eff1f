"""The scanner: pulls commands for as many slots as it has, has them carried out, reports until stored, then acks.

It holds no state and no database credentials. Whatever it was doing when it died is delivered again to another, which
does not repeat it blindly: a command that comes a second time is reported as lost, and the log decides what follows.
"""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog
from pydantic import ValidationError

from application.messages import (
    ChunkStarted,
    Command,
    ListingStarted,
    ListUnit,
    Report,
    ScanChunk,
    Telemetry,
    WorkInHand,
    commands,
)
from domain.scan import LostReason
from infrastructure.wiring import (
    Broker,
    Message,
    MessageTooLarge,
    Pull,
    Settings,
    listers_pull,
    report_subject,
    telemetry_subject,
    workers_pull,
)
from workers.control import StoppedScans
from workers.credentials import Credentials
from workers.executor import Executor, Work, WorkLost
from workers.losses import Loss, loss_report
from workers.observation import Observation, Seen
from workers.report_ids import report_id
from workers.reporting import Reporting

START_REPORT_SECONDS: Final = 0.2
"""Work that ends sooner is reported once, as a whole."""

_LISTING_SLOTS: Final = 2

_HANDING_IN: Final = 32
"""Chunks that were read and whose last report is on its way: their slots go on with the next, up to this many."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Slot:
    """A place for one piece of work. `busy` is set while a message is in hand."""

    worker: str
    executor: Executor
    message: Message | None = None
    command: Command | None = None
    files: int = 0
    findings: int = 0

    def clear(self) -> None:
        self.message = self.command = None
        self.files = self.findings = 0


@dataclass(slots=True)
class _Lane:
    """Slots that share a consumer: chunks in one lane, listings in another."""

    pull: Pull
    slots: list[_Slot]
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Scanner:
    """One process of the fleet. `new_executor` makes what carries out the work of one slot."""

    def __init__(
        self, settings: Settings, broker: Broker, new_executor: Callable[[], Executor], observation: Observation
    ) -> None:
        self._settings = settings
        self._broker = broker
        self._observation = observation
        self._name = f"{socket.gethostname().split('.')[0]}-{os.getpid()}-{secrets.token_hex(2)}"
        self._stopping = asyncio.Event()
        self._stopped_scans = StoppedScans(broker, self._stop_work)
        self._credentials = Credentials(broker)
        chunk_slots = [_Slot(f"{self._name}-{n}", new_executor()) for n in range(1, settings.workers + 1)]
        listing_slots = [_Slot(f"{self._name}-l{n}", new_executor()) for n in range(1, _LISTING_SLOTS + 1)]
        self._lanes = [
            _Lane(workers_pull(broker, settings.pool), chunk_slots),
            _Lane(listers_pull(broker, settings.pool), listing_slots),
        ]
        self._handing_in: dict[_Identity, Message] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish or give back what is in hand, within the grace.

        Raises what a part of it died of: better no scanner than one that looks alive and takes no work.
        """
        await self._stopped_scans.start()
        stopped = asyncio.create_task(stop.wait())
        background = [asyncio.create_task(self._tell()), asyncio.create_task(self._keep_alive())]
        lanes = [asyncio.create_task(self._serve(lane)) for lane in self._lanes]
        log.info("scanner.started", scanner=self._name, slots=self._settings.workers, pool=self._settings.pool)
        try:
            await asyncio.wait([stopped, *background, *lanes], return_when=asyncio.FIRST_COMPLETED)
            died = [task for task in (*background, *lanes) if task.done()]
            self._stopping.set()
            await self._wind_down(lanes)
            for task in died:
                task.result()
        finally:
            stopped.cancel()
            for task in background:
                task.cancel()
            await asyncio.gather(*(slot.executor.close() for lane in self._lanes for slot in lane.slots))
        log.info("scanner.stopped", scanner=self._name)

    async def _serve(self, lane: _Lane) -> None:
        await lane.pull.start()
        await lane.pull.release(len(lane.slots))
        free = list(lane.slots)
        while True:
            message = await lane.pull.next()
            slot = free.pop()
            slot.message = message
            self._observation.taken(message)
            task = asyncio.create_task(self._handle(lane, slot, message, free))
            lane.tasks.add(task)
            task.add_done_callback(lane.tasks.discard)

    async def _handle(self, lane: _Lane, slot: _Slot, message: Message, free: list[_Slot]) -> None:
        held = True

        async def let_go() -> None:
            nonlocal held
            if held:
                held = False
                slot.clear()
                free.append(slot)
                if not self._stopping.is_set():
                    await lane.pull.release()

        try:
            await self._obey(slot, message, let_go)
        except Exception:
            log.exception("scanner.failed", worker=slot.worker)
            with contextlib.suppress(Exception):
                await message.nak(delay=1)
        finally:
            await let_go()

    async def _obey(self, slot: _Slot, message: Message, let_go: Callable[[], Awaitable[None]]) -> None:
        try:
            command = commands.validate_json(message.data)
        except ValidationError:
            log.warning("scanner.unknown_command", subject=message.subject)
            await message.term()
            return
        if message.metadata.num_delivered > 1 and self._in_hand(command):
            # Delivered again because the server missed our signs of life. They count for the message, not the delivery.
            return
        slot.command = command
        with self._observation.work(command, message, slot.worker) as seen:
            await self._attend(slot, command, message, let_go, seen)

    async def _attend(
        self, slot: _Slot, command: Command, message: Message, let_go: Callable[[], Awaitable[None]], seen: Seen
    ) -> None:
        called_off = await self._stopped_scans.stopped(command.scan, listing=isinstance(command, ListUnit))
        if message.metadata.num_delivered > 1 and not self._stopped_scans.ended(command.scan):
            # Also of a paused scan: its next attempt waits until it goes on.
            loss = Loss(LostReason.WORKER_LOST)
            seen.lost(loss)
            await self._report(command, message, loss_report(command, slot.worker, loss, None))
        elif not called_off:
            await self._carry_out(slot, command, message, let_go, seen)
        await message.ack()

    def _in_hand(self, command: Command) -> bool:
        """Whether we are at this very piece of work."""
        wanted = _identity(command)
        if wanted in self._handing_in:
            return True
        held = (slot.command for lane in self._lanes for slot in lane.slots if slot.command is not None)
        return any(_identity(other) == wanted for other in held)

    async def _carry_out(
        self, slot: _Slot, command: Command, message: Message, let_go: Callable[[], Awaitable[None]], seen: Seen
    ) -> None:
        started_at, worker = datetime.now(UTC), slot.worker
        reporting = Reporting(
            partial(self._publish, command, message), partial(self._announce, worker, command, message, started_at)
        )
        if isinstance(command, ListUnit):
            await reporting.announce()
        else:
            reporting.announce_after(START_REPORT_SECONDS)
        try:
            lost = await self._worked(slot, command, reporting, seen)
            if lost is None and len(self._handing_in) < _HANDING_IN:
                self._handing_in[_identity(command)] = message
                await let_go()
        finally:
            too_large = await self._handed_in(command, reporting)
        lost = Loss(LostReason.INVALID_REPORT) if too_large else lost
        if lost is not None:
            seen.lost(lost)
            await self._report(command, message, loss_report(command, worker, lost, started_at))

    async def _handed_in(self, command: Command, reporting: Reporting) -> bool:
        """Wait until everything reported is stored; true if the last report is too large ever to be."""
        try:
            await reporting.done()
        except MessageTooLarge:
            log.warning("scanner.report_too_large", scan=command.scan)
            return True
        finally:
            self._handing_in.pop(_identity(command), None)
        return False

    async def _worked(self, slot: _Slot, command: Command, reporting: Reporting, seen: Seen) -> Loss | None:
        """Have the work done; gives why it came to nothing, if it did and the scan still wants it."""
        wanted = self._still_wanted(slot, command)
        try:
            credentials = await self._credentials.of(command.source, wanted)
            # Nothing is awaited between this question and the child being told.
            done = wanted() and await slot.executor.run(
                Work(command, slot.worker, credentials, reporting.report, self._progress(slot), seen.ended)
            )
        except MessageTooLarge:
            log.warning("scanner.report_too_large", scan=command.scan, worker=slot.worker)
            return Loss(LostReason.INVALID_REPORT)
        except WorkLost as lost:
            if self._stopping.is_set():
                return Loss(LostReason.WORKER_STOPPED)
            return Loss(LostReason.STALLED if lost.stalled else LostReason.WORKER_LOST, lost.suspect)
        # A listing that a pause ended needs no word: the scan goes on with attempts of its own.
        given_back = self._stopping.is_set() or (
            isinstance(command, ScanChunk) and self._stopped_scans.paused(command.scan)
        )
        return Loss(LostReason.WORKER_STOPPED) if not done and given_back else None

    def _still_wanted(self, slot: _Slot, command: Command) -> Callable[[], bool]:
        listing = isinstance(command, ListUnit)
        return lambda: (
            slot.command is command
            and not (self._stopping.is_set() or self._stopped_scans.known(command.scan, listing=listing))
        )

    async def _announce(self, worker: str, command: Command, message: Message, started_at: datetime) -> None:
        """Say that the work has begun."""
        attempt = command.attempt
        if isinstance(command, ListUnit):
            begun: Report = ListingStarted(scan=command.scan, worker=worker, unit=command.unit, attempt=attempt)
        else:
            begun = ChunkStarted(
                scan=command.scan,
                worker=worker,
                chunk=command.chunk,
                attempt=attempt,
                plan=command.plan,
                started_at=started_at,
            )
        await self._report(command, message, begun)

    @staticmethod
    def _progress(slot: _Slot) -> Callable[[int, int], None]:
        def progress(files: int, findings: int) -> None:
            slot.files, slot.findings = files, findings

        return progress

    async def _report(self, command: Command, message: Message, report: Report) -> None:
        await self._publish(command, message, report.model_dump_json().encode())

    async def _publish(self, command: Command, message: Message, body: bytes) -> None:
        subject = report_subject(command.pool, command.scan)
        name = report_id(body, message.metadata.sequence.stream)
        await self._broker.publish_stored(subject, body, message_id=name)
        self._observation.reported()

    def _stop_work(self, scan: str, listing_only: bool) -> None:
        """A scan was called off: whatever slot works for it stops at once."""
        for lane in self._lanes:
            for slot in lane.slots:
                command = slot.command
                if command is not None and command.scan == scan and (isinstance(command, ListUnit) or not listing_only):
                    slot.executor.stop()

    async def _keep_alive(self) -> None:
        """Tell the server that the work in hand goes on, well within the ack wait."""
        while True:
            await asyncio.sleep(self._settings.ack_wait_seconds / 4)
            for lane in self._lanes:
                for slot in lane.slots:
                    if slot.message is not None:
                        with contextlib.suppress(Exception):
                            await slot.message.in_progress()
            for message in list(self._handing_in.values()):
                with contextlib.suppress(Exception):
                    await message.in_progress()

    async def _tell(self) -> None:
        """Presence and progress, once a second, on core NATS: lost messages are not missed."""
        while True:
            work = [_telling(slot) for lane in self._lanes for slot in lane.slots if slot.command is not None]
            telemetry = Telemetry(
                scanner=self._name,
                pool=self._settings.pool,
                slots=self._settings.workers,
                stopping=self._stopping.is_set(),
                work=work,
            )
            with contextlib.suppress(Exception):
                if self._broker.connected:
                    subject = telemetry_subject(self._name)
                    await self._broker.client.publish(subject, telemetry.model_dump_json().encode())
            await asyncio.sleep(1.0)

    async def _wind_down(self, serving: "list[asyncio.Task[None]]") -> None:
        for lane in self._lanes:
            for message in await lane.pull.stop():
                await message.nak()
        for task in serving:
            task.cancel()
        working = [task for lane in self._lanes for task in lane.tasks]
        if working:
            _, late = await asyncio.wait(working, timeout=self._settings.grace_seconds)
            for lane in self._lanes:
                for slot in lane.slots:
                    if slot.command is not None:
                        slot.executor.stop()
            if late:
                await asyncio.wait(late, timeout=2)


_Identity = tuple[str, str, int, int, str]


def _identity(command: Command) -> _Identity:
    if isinstance(command, ListUnit):
        return command.kind, command.scan, command.unit, command.attempt, command.resume_after
    return command.kind, command.scan, command.chunk, command.attempt, command.plan


def _telling(slot: _Slot) -> WorkInHand:
    command = slot.command
    assert command is not None
    return WorkInHand(
        worker=slot.worker,
        scan=command.scan,
        unit=command.unit if isinstance(command, ListUnit) else None,
        chunk=None if isinstance(command, ListUnit) else command.chunk,
        attempt=command.attempt,
        files_processed=slot.files,
        findings_count=slot.findings,
    )
