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
from typing import Final

import structlog
from pydantic import ValidationError

from application.messages import (
    ChunkFailed,
    ChunkStarted,
    Command,
    ListingFailed,
    ListingStarted,
    ListUnit,
    Report,
    Telemetry,
    WorkInHand,
    commands,
)
from domain.scan import LostReason
from infrastructure.wiring import (
    Broker,
    Message,
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
from workers.report_ids import report_id

START_REPORT_SECONDS: Final = 0.2
"""Work that ends sooner is reported once, as a whole."""

_LISTING_SLOTS: Final = 2

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

    def __init__(self, settings: Settings, broker: Broker, new_executor: Callable[[], Executor]) -> None:
        self._settings = settings
        self._broker = broker
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

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish or give back what is in hand, within the grace."""
        await self._stopped_scans.start()
        background = [asyncio.create_task(self._tell()), asyncio.create_task(self._keep_alive())]
        lanes = [asyncio.create_task(self._serve(lane)) for lane in self._lanes]
        log.info("scanner.started", scanner=self._name, slots=self._settings.workers, pool=self._settings.pool)
        await stop.wait()
        self._stopping.set()
        await self._wind_down(lanes)
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
            task = asyncio.create_task(self._handle(lane, slot, message, free))
            lane.tasks.add(task)
            task.add_done_callback(lane.tasks.discard)

    async def _handle(self, lane: _Lane, slot: _Slot, message: Message, free: list[_Slot]) -> None:
        try:
            await self._obey(slot, message)
        except Exception:
            log.exception("scanner.failed", worker=slot.worker)
            with contextlib.suppress(Exception):
                await message.nak(delay=1)
        finally:
            slot.clear()
            free.append(slot)
            if not self._stopping.is_set():
                await lane.pull.release()

    async def _obey(self, slot: _Slot, message: Message) -> None:
        try:
            command = commands.validate_json(message.data)
        except ValidationError:
            log.warning("scanner.unknown_command", subject=message.subject)
            await message.term()
            return
        slot.command = command
        if await self._stopped_scans.stopped(command.scan, listing=isinstance(command, ListUnit)):
            await message.ack()
            return
        if message.metadata.num_delivered > 1:
            await self._report(command, _lost(command, slot.worker, LostReason.WORKER_LOST, None))
        else:
            await self._carry_out(slot, command)
        await message.ack()

    async def _carry_out(self, slot: _Slot, command: Command) -> None:
        started_at = datetime.now(UTC)
        over = asyncio.Event()
        announcement = asyncio.create_task(self._announce(slot, command, started_at, over))
        lost: LostReason | None = None
        try:
            credentials = await self._credentials.of(command.source, self._still_wanted(slot, command))
            work = Work(command, slot.worker, credentials, self._relay(command, announcement), self._progress(slot))
            if not await slot.executor.run(work) and self._stopping.is_set():
                lost = LostReason.WORKER_STOPPED
        except WorkLost:
            lost = LostReason.WORKER_STOPPED if self._stopping.is_set() else LostReason.WORKER_LOST
        over.set()
        await announcement
        if lost is not None:
            await self._report(command, _lost(command, slot.worker, lost, started_at))

    def _still_wanted(self, slot: _Slot, command: Command) -> Callable[[], bool]:
        listing = isinstance(command, ListUnit)
        return lambda: (
            slot.command is command
            and not (self._stopping.is_set() or self._stopped_scans.known(command.scan, listing=listing))
        )

    async def _announce(self, slot: _Slot, command: Command, started_at: datetime, over: asyncio.Event) -> None:
        """Say that the work has begun; of a chunk only once it is clear that it is not over at once."""
        worker, attempt = slot.worker, command.attempt
        if isinstance(command, ListUnit):
            begun: Report = ListingStarted(scan=command.scan, worker=worker, unit=command.unit, attempt=attempt)
        else:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), START_REPORT_SECONDS)
                return
            begun = ChunkStarted(
                scan=command.scan, worker=worker, chunk=command.chunk, attempt=attempt, started_at=started_at
            )
        await self._report(command, begun)

    def _relay(self, command: Command, announcement: "asyncio.Task[None]") -> Callable[[bytes], Awaitable[None]]:
        async def relay(body: bytes) -> None:
            if isinstance(command, ListUnit):
                await announcement
            await self._publish(command, body)

        return relay

    @staticmethod
    def _progress(slot: _Slot) -> Callable[[int, int], None]:
        def progress(files: int, findings: int) -> None:
            slot.files, slot.findings = files, findings

        return progress

    async def _report(self, command: Command, report: Report) -> None:
        await self._publish(command, report.model_dump_json().encode())

    async def _publish(self, command: Command, body: bytes) -> None:
        subject = report_subject(command.pool, command.scan)
        await self._broker.publish_stored(subject, body, message_id=report_id(body))

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

    async def _tell(self) -> None:
        """Presence and progress, once a second, on core NATS: lost messages are not missed."""
        while True:
            work = [_in_hand(slot) for lane in self._lanes for slot in lane.slots if slot.command is not None]
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


def _in_hand(slot: _Slot) -> WorkInHand:
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


def _lost(command: Command, worker: str, reason: LostReason, started_at: datetime | None) -> Report:
    if isinstance(command, ListUnit):
        return ListingFailed(
            scan=command.scan,
            worker=worker,
            unit=command.unit,
            attempt=command.attempt,
            reason=reason,
            detail="the worker was lost or stopped before the listing came to its end",
            permanent=False,
        )
    return ChunkFailed(
        scan=command.scan,
        worker=worker,
        chunk=command.chunk,
        attempt=command.attempt,
        reason=reason,
        started_at=started_at,
    )
