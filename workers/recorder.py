"""The recorder: takes reports in batches, has them decided and recorded, and acknowledges after the commit."""

import asyncio
from typing import Final

import structlog
from pydantic import ValidationError

from application.messages import AnyReport, reports
from application.recording import Recorder, Verdict, end_of_attempt
from domain.errors import ServiceUnavailable
from infrastructure.wiring import Broker, Message, Pull, recorder_pull
from workers.recording_spans import BatchObservation

BATCH: Final = 200
_IN_HAND: Final = 3 * BATCH
_EARLY_SECONDS: Final = 0.2
_GATHER_SECONDS: Final = 0.01
"""Commits come at most this often while reports keep coming: one costs as much for a report as for many."""

log = structlog.get_logger(__name__)


async def run_recorder(
    recorder: Recorder, broker: Broker, stop: asyncio.Event, observation: BatchObservation, *, patience: float
) -> None:
    """Record until `stop` is set; a batch that has begun is finished.

    A report that has been too early for `patience` seconds ends its attempt: what it builds on will not come.
    """
    pull = recorder_pull(broker)
    await pull.start()
    await pull.release(_IN_HAND)
    log.info("recorder.started")
    stopped = asyncio.create_task(stop.wait())
    not_before = 0.0
    while not stop.is_set():
        batch = await _batch(pull, stopped, not_before)
        not_before = asyncio.get_running_loop().time() + _GATHER_SECONDS
        if batch:
            await _record(recorder, batch, stop, patience, observation)
            await pull.release(len(batch))
    for message in await pull.stop():
        await message.nak()
    log.info("recorder.stopped")


async def _batch(pull: Pull, stopped: "asyncio.Task[bool]", not_before: float) -> list[Message]:
    """What has arrived, up to BATCH; waits for the first, and until `not_before` unless a batch is there."""
    first = asyncio.create_task(pull.next())
    await asyncio.wait([first, stopped], return_when=asyncio.FIRST_COMPLETED)
    if not first.done():
        first.cancel()
        return []
    early = not_before - asyncio.get_running_loop().time()
    if early > 0 and pull.waiting() < BATCH - 1:
        await asyncio.sleep(early)
    batch = [first.result()]
    while pull.waiting() and len(batch) < BATCH:
        batch.append(await pull.next())
    return batch


async def _record(
    recorder: Recorder, batch: list[Message], stop: asyncio.Event, patience: float, observation: BatchObservation
) -> None:
    figures = observation.figures
    parsed: list[tuple[Message, AnyReport]] = []
    for message in batch:
        report = _parsed(message)
        if report is None:
            figures.add("recorder_reports", "unknown")
            await message.term()
        else:
            parsed.append((message, report))
    with observation.batch(parsed):
        verdict = await _recorded(recorder, [report for _, report in parsed], stop)
    if verdict is None:
        return
    for name in ("changed", "unchanged", "refused"):
        figures.add("recorder_reports", name, by=getattr(verdict, name))
    if verdict.unchanged or verdict.refused:
        log.info("recorder.changed_nothing", unchanged=verdict.unchanged, refused=verdict.refused)
    early = set(verdict.early)
    given_up = [place for place in early if _waited(parsed[place][0]) > patience]
    if given_up:
        log.warning("recorder.waited_in_vain", reports=len(given_up))
        if await _recorded(recorder, [end_of_attempt(parsed[place][1]) for place in given_up], stop) is None:
            return
    early.difference_update(given_up)
    figures.add("recorder_reports", "given_up", by=len(given_up))
    figures.add("recorder_reports", "early", by=len(early))
    for place, (message, _) in enumerate(parsed):
        await (message.nak(delay=_EARLY_SECONDS) if place in early else message.ack())


def _waited(message: Message) -> float:
    """For how many seconds at least the report has been delivered, and been too early each time.

    By its deliveries and not by its age: it may have waited for a recorder as long.
    """
    return (message.metadata.num_delivered - 1) * _EARLY_SECONDS


def _parsed(message: Message) -> AnyReport | None:
    try:
        return reports.validate_json(message.data)
    except ValidationError as error:
        log.warning("recorder.unknown_report", subject=message.subject, faults=error.error_count())
        return None


async def _recorded(recorder: Recorder, batch: list[AnyReport], stop: asyncio.Event) -> Verdict | None:
    """The verdict, as soon as the database is there to write it; None if told to stop first: nothing is acked then."""
    while True:
        try:
            return await asyncio.to_thread(recorder.record, batch)
        except ServiceUnavailable:
            log.warning("recorder.waiting_for_database")
            if stop.is_set():
                return None
            await asyncio.sleep(0.5)
