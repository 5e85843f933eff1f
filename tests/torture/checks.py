"""What must hold of every scan of a storm: history, document, ledger and findings, object by object."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from application.ports import Recorded
from application.progress import ScanProgress, count
from application.scan_documents import document
from domain.coverage import Disposition, FailReason
from domain.policy import MAX_CHUNK_ATTEMPTS, MAX_CHUNK_LOSSES
from domain.scan import EndReason, LostReason, UnitStatus
from domain.scan_events import ENDINGS, ChunkFailed, ListingFailed, Queued, TimedOut
from tests.end_to_end.ring import Ring
from tests.end_to_end.truths import assert_history_adds_up
from tests.torture.clients import Started
from tests.torture.sources import Source, Truth

_PAGE: Final = 100
Object = tuple[str, str]
"""Connector and key."""


@dataclass(frozen=True)
class Told:
    """All that the service says of a scan."""

    ring: Ring
    started: Started

    @property
    def scan_id(self) -> str:
        return self.started.scan_id

    @cached_property
    def history(self) -> Sequence[Recorded]:
        return self.ring.history(self.scan_id)

    @cached_property
    def progress(self) -> ScanProgress:
        return assert_history_adds_up(self.ring, self.scan_id)

    @cached_property
    def ledger(self) -> list[dict[str, Any]]:
        return list(self.pages("objects"))

    def pages(self, what: str, **filters: str) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            asked = {**filters, "limit": str(_PAGE), **({"cursor": cursor} if cursor else {})}
            answer = self.ring.client.get(f"/scans/{self.scan_id}/{what}", params=asked)
            assert answer.status_code == 200, answer.text
            yield from answer.json()["data"]
            cursor = answer.json()["pagination"]["next_cursor"]
            if cursor is None:
                return

    @property
    def window(self) -> tuple[float, float]:
        """From the moment it was queued until it ended."""
        return self.history[0].event.at.timestamp(), self.history[-1].event.at.timestamp()

    def source(self, connector: str) -> Source:
        return next(source for source in self.started.sources if source.connector == connector)

    @cached_property
    def truth(self) -> dict[Object, Truth]:
        return {(one.connector, key): truth for one in self.started.sources for key, truth in one.objects.items()}

    @property
    def disturbed(self) -> list[dict[str, Any]]:
        """The lines of objects that came to something else than they would have undisturbed."""
        truth = self.truth
        return [
            line
            for line in self.ledger
            for true in [truth[line["connector"], line["object"]]]
            if (line["disposition"], line["reason"]) != (true.disposition, true.reason)
        ]


def assert_true(told: Told) -> None:
    """Everything there is to be said of one scan that has ended."""
    _assert_ended_once(told)
    _assert_document_is_the_fold(told)
    _assert_ledger_agrees_with_coverage(told)
    _assert_everything_listed_is_there(told)
    _assert_dispositions_are_true(told)
    _assert_findings_are_true(told)
    _assert_end_is_due(told)


def _assert_ended_once(told: Told) -> None:
    kinds = [record.event.kind for record in told.history]
    endings = [kind for kind in kinds if kind in {ending.kind for ending in ENDINGS}]
    assert endings == kinds[-1:], kinds[-5:]
    assert kinds.count(Queued.kind) == 1
    if told.started.answered.get("cancel") == 200:
        assert endings == ["scan.cancelled"], "a cancellation that was acknowledged was lost"


def _assert_document_is_the_fold(told: Told) -> None:
    folded = document(told.progress.view, count(told.progress.workers), datetime.now(UTC))
    assert told.ring.shown(told.scan_id) == folded


def _assert_ledger_agrees_with_coverage(told: Told) -> None:
    coverage = told.progress.view.coverage
    assert [line["index"] for line in told.ledger] == list(range(coverage.enumerated))
    objects = Counter((line["connector"], line["object"]) for line in told.ledger)
    assert [one for one, times in objects.items() if times > 1] == []
    counted = Counter((line["disposition"], line["reason"]) for line in told.ledger)
    summed: Counter[tuple[str, str | None]] = Counter()
    summed.update({(Disposition.SCANNED, None): coverage.scanned, (Disposition.REMAINING, None): coverage.remaining})
    summed.update({(Disposition.SKIPPED, reason): files for reason, files in coverage.skipped.items()})
    summed.update({(Disposition.FAILED, reason): files for reason, files in coverage.failed.items()})
    assert counted == +summed
    for disposition in Disposition:
        alone = list(told.pages("objects", disposition=disposition.value))
        assert alone == [line for line in told.ledger if line["disposition"] == disposition.value]


def _assert_everything_listed_is_there(told: Told) -> None:
    """Nothing but what is there, and of every unit that was listed to its end, all that is there."""
    there = {(line["connector"], line["object"]) for line in told.ledger}
    assert there <= told.truth.keys()
    whole = [unit for unit in told.progress.view.units if unit.status is UnitStatus.COMPLETE]
    listed = {
        (connector, key)
        for connector, key in told.truth
        if any(unit.connector == connector and key.startswith(unit.prefix) for unit in whole)
    }
    assert listed <= there
    for record in told.history:
        if isinstance(record.event, ListingFailed) and record.event.final:
            _assert_listing_failed_for_a_reason(told, record.event)


def _assert_listing_failed_for_a_reason(told: Told, failed: ListingFailed) -> None:
    source = told.source(failed.connector)
    prefix = told.progress.view.units[failed.unit].prefix
    assert source.storm is not None, f"nothing was done to {source.name}, and yet: {failed}"
    assert source.storm.explains_listing(source.bucket, prefix, *told.window), failed


def _assert_dispositions_are_true(told: Told) -> None:
    given_up = _chunks_given_up(told)
    for line in told.disturbed:
        if line["disposition"] == Disposition.REMAINING:
            assert told.started.may_leave_work, line
        elif line["reason"] == FailReason.WORKER_LOST:
            assert line["chunk_id"] in given_up, line
        else:
            _assert_failed_for_a_reason(told, line)


def _assert_failed_for_a_reason(told: Told, line: dict[str, Any]) -> None:
    source = told.source(line["connector"])
    assert line["disposition"] == Disposition.FAILED, line
    assert source.storm is not None, f"nothing was done to {source.name}, and yet: {line}"
    assert source.storm.explains(line["reason"], source.bucket, line["object"], *told.window), line


def _chunks_given_up(told: Told) -> set[int]:
    """Chunks that lost as many workers as one may lose; to lose one is not reason enough."""
    lost = [record.event for record in told.history if isinstance(record.event, ChunkFailed)]
    final = {event.chunk for event in lost if event.final}
    losses = Counter(event.chunk for event in lost if event.reason != LostReason.WORKER_STOPPED)
    attempts = Counter(event.chunk for event in lost)
    assert all(losses[chunk] >= MAX_CHUNK_LOSSES or attempts[chunk] >= MAX_CHUNK_ATTEMPTS for chunk in final)
    return final


def _assert_findings_are_true(told: Told) -> None:
    scanned = [
        (line["connector"], line["object"]) for line in told.ledger if line["disposition"] == Disposition.SCANNED
    ]
    expected = Counter((*one, detector, hits) for one in scanned for detector, hits in told.truth[one].findings.items())
    items = list(told.pages("findings"))
    assert Counter((one["connector"], one["object"], one["detector"], one["count"]) for one in items) == expected
    assert len({one["finding_id"] for one in items}) == len(items)
    assert told.ring.shown(told.scan_id)["progress"]["findings_count"] == len(items)


def _assert_end_is_due(told: Told) -> None:
    """Completed, unless something that was done to it says otherwise."""
    view = told.progress.view
    timed_out = any(isinstance(record.event, TimedOut) for record in told.history)
    if view.status.value == "cancelled" or timed_out:
        assert told.started.may_leave_work
        return
    assert view.coverage.remaining == 0
    untouched = all(source.storm is None for source in told.started.sources)
    given_up = FailReason.WORKER_LOST in view.coverage.failed
    if untouched:
        reason = EndReason.OBJECTS_GIVEN_UP if given_up else None
        assert (view.status.value, view.reason) == ("partial" if given_up else "completed", reason)
