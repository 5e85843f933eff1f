"""The figures of a storm: what was done, what it led to, and how long recovery took."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from nats.js.errors import NotFoundError

from domain.errors import ServiceUnavailable
from domain.scan_events import Cancelled, ChunkFailed, ListingFailed, Queued
from infrastructure.messaging.streams import COMMANDS, RECORDER, REPORTS, listers_consumer, workers_consumer
from tests.end_to_end.ring import Ring
from tests.torture.checks import Told

_CONSUMERS = (
    (REPORTS, [RECORDER]),
    (COMMANDS, [workers_consumer("default"), listers_consumer("default")]),
)


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault as it happened: seconds by time.time()."""

    at: float
    kind: str
    target: str


@dataclass
class Journal:
    """What the storm did and saw while it went on."""

    struck: list[Struck] = field(default_factory=list)
    died: Counter[str] = field(default_factory=Counter)
    """Processes that ended although nothing was done to them just then."""
    redelivered: Counter[str] = field(default_factory=Counter)
    """By stream, up to the last time that NATS lost its store."""


def redeliveries(ring: Ring) -> Counter[str]:
    """By stream: deliveries beyond the first of each message. Exact once the streams are empty, and a little less
    than there were when NATS was killed before it had written its counts down."""
    # Only just wiped, NATS may not have its streams back.
    with contextlib.suppress(NotFoundError, ServiceUnavailable):
        return asyncio.run(_redeliveries(ring))
    return Counter()


async def _redeliveries(ring: Ring) -> Counter[str]:
    found: Counter[str] = Counter()
    async with ring.broker() as broker:
        for stream, consumers in _CONSUMERS:
            stored = (await broker.jetstream.stream_info(stream)).state.last_seq
            infos = [await broker.jetstream.consumer_info(stream, consumer) for consumer in consumers]
            found[stream] = max(0, sum(info.delivered.consumer_seq for info in infos if info.delivered) - stored)
    return found


def refused(ring: Ring) -> Counter[str]:
    """Reports that changed nothing, and reports the store refused, as the recorder says in its log."""
    found: Counter[str] = Counter()
    for line in _logged(ring.log_of("recorder"), "recorder.changed_nothing"):
        found["unchanged"] += int(str(line["unchanged"]))
        found["refused"] += int(str(line["refused"]))
    return found


def _logged(text: str, event: str) -> Iterator[dict[str, object]]:
    for line in text.splitlines():
        if event in line:
            yield json.loads(line)


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long after a fault the next event came that workers' reports led to, while there was open work."""

    seconds: float
    after: Struck

    def __str__(self) -> str:
        at = datetime.fromtimestamp(self.after.at, UTC)
        return f"{self.seconds:.1f} s after {self.after.kind} of {self.after.target} at {at:%H:%M:%S}"


def longest_recovery(struck: Iterable[Struck], scans: Sequence[Told]) -> Recovery | None:
    windows = [told.window for told in scans]
    moments = sorted(
        record.event.at.timestamp()
        for told in scans
        for record in told.history
        if not isinstance(record.event, Queued | Cancelled)
    )
    found: list[Recovery] = []
    for fault in struck:
        if any(since < fault.at < until for since, until in windows):
            following = next((moment for moment in moments if moment > fault.at), None)
            if following is not None:
                found.append(Recovery(following - fault.at, fault))
    return max(found, key=lambda one: one.seconds, default=None)


def report(seed: int, journal: Journal, scans: Sequence[Told], ring: Ring, s3_failed: Sequence[str]) -> str:
    """The figures, a line each."""
    events = [record.event for told in scans for record in told.history]
    ends = Counter(str(told.progress.view.status.value) for told in scans)
    lost_chunks = Counter(event.reason for event in events if isinstance(event, ChunkFailed) and not event.final)
    lost_listings = Counter(event.reason for event in events if isinstance(event, ListingFailed) and not event.final)
    disturbed = Counter(line["reason"] or line["disposition"] for told in scans for line in told.disturbed)
    recovery = longest_recovery(journal.struck, scans)
    objects = sum(told.progress.view.coverage.enumerated for told in scans)
    findings = sum(told.progress.view.findings for told in scans)
    lines = {
        "seed": str(seed),
        "faults": str(len(journal.struck)),
        **{f"  {kind}": _by_target(journal.struck, kind) for kind in sorted({one.kind for one in journal.struck})},
        "S3 requests that failed": _counts(Counter(s3_failed)),
        "scans": f"{len(scans)}: {_counts(ends)}",
        "events": str(len(events)),
        "objects": str(objects),
        "findings": str(findings),
        "objects not as undisturbed": _counts(disturbed),
        "redeliveries": _counts(journal.redelivered + redeliveries(ring)),
        "reports": _counts(refused(ring)),
        "attempts at chunks lost": _counts(lost_chunks),
        "attempts at listings lost": _counts(lost_listings),
        "processes that ended of themselves": _counts(journal.died),
        "longest recovery": str(recovery or "none"),
    }
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())


def _by_target(struck: Iterable[Struck], kind: str) -> str:
    targets = Counter(one.target for one in struck if one.kind == kind)
    return f"{targets.total()}: {_counts(targets)}"


def _counts(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counted.items())) or "none"
