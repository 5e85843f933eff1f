"""The ring in memory: the real orchestrator, recorder, listing and scanning, and between them a network that whoever
drives it may disturb at will. Nothing happens by itself: each method is one thing that can happen.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

from application.messages import (
    Command,
    ControlState,
    ListingFailed,
    ListUnit,
    Report,
    TimeIsUp,
)
from application.orchestration import Directive, ListingDue, Orchestrator, Tell, control_state, listings_due
from application.ports import Append, LogRewound
from application.recording import Recorder, Verdict, end_of_attempt
from domain.connector import ConnectorCreated, ConnectorType, Execution
from domain.errors import NotFound
from domain.scan import LostReason, Scan, Status, UnitStatus
from tests.application.memory_log import MemoryManifest, MemoryRulesets
from tests.application.planted import BUCKETS, Facts
from tests.application.rewindable_log import RewindableLog, WatchfulLog
from tests.application.work_in_hand import Key, Sent, Told, Work, begun, key_of, lost
from tests.domain.given import KEY, NOON
from workers.commands import CommandBuilder

RECORDERS: Final = 2


class Ring:
    """Log, coordinator, workers, and what is between them."""

    def __init__(self) -> None:
        self.now = NOON
        self.log = RewindableLog()
        self.manifest = MemoryManifest(self.log)
        self.facts = Facts()
        self.log.append([Append(name, 0, [_created(name)]) for name in BUCKETS])
        self.recorders = [self._recorder() for _ in range(RECORDERS)]
        self.orders: list[Sent] = []
        self.told: list[Told] = []
        self.hands: list[Work] = []
        self.control: dict[str, ControlState] = {}
        self.heard: dict[str, ControlState] = {}
        self.slots = 4
        self._workers = 0
        self._runner = asyncio.Runner()
        self._builder = CommandBuilder(self.log, self.manifest, MemoryRulesets(self.log))
        self.begin_term()

    def close(self) -> None:
        self._runner.close()

    def clock(self) -> Any:
        self.now += timedelta(milliseconds=1)
        return self.now

    # The recorder -----------------------------------------------------------------------------------------------------

    def _recorder(self) -> Recorder:
        return Recorder(WatchfulLog(self.log), self.manifest, self.facts, self.clock)  # type: ignore[arg-type]  # all it uses

    def forget(self, which: int) -> None:
        """A recorder is started anew."""
        self.recorders[which] = self._recorder()

    def record(self, batch: Sequence[Told], *, which: int = 0, acked: bool = True) -> Verdict:
        """Deliver reports to a recorder, in this order. What is too early stays, and what it acknowledges in vain."""
        verdict = self.recorders[which].record([one.report for one in batch])
        early = {id(batch[place]) for place in verdict.early}
        for one in batch:
            one.early += id(one) in early
        if acked:
            self.told = [one for one in self.told if id(one) in early or one not in batch]
        return verdict

    def give_up(self, early: Told, *, which: int = 0) -> None:
        """It was too early for long: what came before it will not come."""
        self.recorders[which].record([end_of_attempt(early.report)])
        self.told.remove(early)

    # The orchestrator -------------------------------------------------------------------------------------------------

    def begin_term(self) -> None:
        """Take over from the log and from what the command stream holds."""
        self._builder.forget()
        self.orchestrator = Orchestrator()
        self.position = self.log.position()
        self.restores_known = self.log.restores
        self._called_off: set[str] = set()
        waiting = self._waiting()
        for scan_id in self.log.open_scans():
            chunks = [(key[2], attempt) for key, attempt in waiting if key[:2] == (scan_id, "chunk")]
            self.orchestrator.restore(scan_id, self.log.history(scan_id, 0, 1_000_000), chunks)
        self.tell_states()
        self.call_off_strangers()
        for scan_id, kept in list(self.orchestrator.open.items()):
            units = kept.scan.units
            for due in listings_due(scan_id, kept.scan):
                if ((scan_id, "unit", due.unit), units[due.unit].attempt) not in waiting:
                    self._follow([due])

    def _waiting(self) -> set[tuple[Key, int]]:
        return {(key_of(command), command.attempt) for command in (sent.command for sent in self.orders)}

    @property
    def out_of_date(self) -> bool:
        """Whether the log was restored in this term, which ends it."""
        return self.restores_known != self.log.restores

    def hear(self, most: int) -> None:
        """The orchestrator takes in the next events of the log; a new term begins when that is another log."""
        if self.out_of_date:
            self.begin_term()
            return
        for record in self.log.read(self.position, most):
            self.position = record.position
            self._builder.note(record)
            self._follow(self.orchestrator.note(record))

    def grant(self) -> None:
        """It sends the chunks whose turn it is."""
        for grant in self.orchestrator.grants(self.slots, 0.0):
            scan = self.orchestrator.open[grant.scan].scan
            building = self._builder.chunk(grant.scan, grant.chunk, scan.pending[grant.chunk], scan)
            try:
                _, command = self._runner.run(building)
            except LogRewound:
                self.begin_term()
                return
            self._send(command)

    def _follow(self, directives: Sequence[Directive]) -> None:
        for directive in directives:
            match directive:
                case Tell(scan, state):
                    self.control[scan] = state
                    if state is ControlState.STOP:
                        self._called_off.add(scan)
                case ListingDue(scan, unit):
                    kept = self.orchestrator.open.get(scan)
                    if kept is not None and kept.scan.status is not Status.PAUSED:
                        self._send(self._builder.listing(scan, unit, kept.scan)[1])

    def _send(self, command: Command) -> None:
        self.orders.append(Sent(command.model_dump_json().encode()))

    def tell_states(self) -> None:
        self._called_off.clear()
        self._follow([Tell(scan_id, control_state(kept.scan)) for scan_id, kept in self.orchestrator.open.items()])

    def call_off_strangers(self) -> None:
        """Have the workers drop what they do for scans that the log does not know, or that have ended."""
        seen = {sent.command.scan for sent in self.orders} | {work.command.scan for work in self.hands}
        self._called_off &= seen
        for scan_id in sorted(seen.difference(self.orchestrator.open, self._called_off)):
            if self._is_over(scan_id):
                self._follow([Tell(scan_id, ControlState.STOP)])

    def _is_over(self, scan_id: str) -> bool:
        try:
            return self.log.course(scan_id).status.ended
        except NotFound:
            return True

    def unanswered(self) -> list[tuple[Key, int]]:
        """What was sent, and neither waits in a stream nor is in anybody's hands."""
        hands = {key_of(work.command) for work in self.hands}
        waiting = self._waiting()
        return [sent for sent in self._sent() if sent[0] not in hands and sent not in waiting]

    def _sent(self) -> Iterator[tuple[Key, int]]:
        for scan_id, kept in self.orchestrator.open.items():
            if kept.scan.status is Status.PAUSED:
                continue
            for chunk, attempt in kept.outstanding.items():
                yield (scan_id, "chunk", chunk), attempt
            for number, unit in kept.scan.units.items():
                if unit.status is UnitStatus.OPEN:
                    yield (scan_id, "unit", number), unit.attempt

    def presume_lost(self, key: Key, attempt: int) -> None:
        """What the reconciler does about it."""
        scan, what, number = key
        if what == "chunk":
            self.orchestrator.open[scan].put_back(number)
        else:
            self._tell(
                ListingFailed(
                    scan=scan,
                    worker="reconciler",
                    unit=number,
                    attempt=attempt,
                    reason=LostReason.WORKER_LOST,
                    detail="nobody has it",
                    permanent=False,
                )
            )

    def time_is_up(self, scan_ids: Sequence[str]) -> None:
        for scan_id in scan_ids:
            self._tell(TimeIsUp(scan=scan_id, worker="timer"))

    # Workers ----------------------------------------------------------------------------------------------------------

    def deliver(self, sent: Sent, *, page: int, announced: bool) -> None:
        """A worker pulls a command. It lists by pages of `page` objects; quick work is not `announced`."""
        sent.deliveries += 1
        self._workers += 1
        command, worker = sent.command, f"w{self._workers}"
        if self.heard.get(command.scan) in (None, ControlState.PAUSE):
            self.hear_control(command.scan)
        state = self.heard[command.scan]
        off = {ControlState.STOP, ControlState.PAUSE}
        if isinstance(command, ListUnit):
            off.add(ControlState.STOP_LISTING)
        if sent.deliveries > 1 and state is not ControlState.STOP:
            self._tell(lost(command, worker, LostReason.WORKER_LOST))
        elif state not in off:
            sent.held = True
            self.hands.append(begun(sent, worker, page=page, announced=announced, started_at=self.clock()))
            return
        self._ack(sent)

    def go_on(self, work: Work, most: int) -> None:
        """A worker sends its next reports. After the last, its child dies where it must, and the command is done."""
        for report in work.unsaid[:most]:
            self._tell(report)
        del work.unsaid[:most]
        if work.unsaid:
            return
        if work.dies_at is not None:
            self._tell(lost(work.command, work.worker, LostReason.WORKER_LOST, self.clock(), work.dies_at))
        self.hands.remove(work)
        self._ack(work.sent)

    def kill(self, work: Work) -> None:
        """A worker is no more; its command will be delivered again."""
        self.hands.remove(work)
        work.sent.held = False

    def stop_worker(self, work: Work) -> None:
        """A worker is told to end, and gives back what it has in hand."""
        self.hands.remove(work)
        self._tell(lost(work.command, work.worker, LostReason.WORKER_STOPPED))
        self._ack(work.sent)

    def hear_control(self, scan: str) -> None:
        """The workers hear how a scan stands, and drop what it does not want."""
        state = self.heard[scan] = self.control.get(scan, ControlState.RUN)
        for work in list(self.hands):
            if work.command.scan != scan or state is ControlState.RUN:
                continue
            if state is ControlState.STOP or isinstance(work.command, ListUnit):
                self.hands.remove(work)
                self._ack(work.sent)

    # The network ------------------------------------------------------------------------------------------------------

    def _tell(self, report: Report) -> None:
        self.told.append(Told(report.model_dump_json().encode()))

    def _ack(self, sent: Sent) -> None:
        with contextlib.suppress(ValueError):
            self.orders.remove(sent)

    def deliverable(self) -> list[Sent]:
        return [sent for sent in self.orders if not sent.held]

    def lose_everything(self) -> None:
        """The streams are gone, and what was told; what is in work goes on. Everybody notices the new connection."""
        self.orders, self.told = [], []
        self.control, self.heard = {}, {}
        self.tell_states()

    def scan(self, scan_id: str) -> Scan:
        return self.log.scan(scan_id)


def _created(name: str) -> ConnectorCreated:
    return ConnectorCreated(
        at=NOON,
        actor=KEY,
        tenant="acme",
        name=name,
        type=ConnectorType.FILESYSTEM,
        execution=Execution.MANAGED,
        pool="default",
        config={"root": name},
        has_credentials=False,
    )
