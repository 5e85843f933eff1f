"""The figures of the whole service as metrics. No label is a scan's, a tenant's or a person's: all are few."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from application import totals
from application.auditing import SealState
from application.messages import Telemetry
from application.operating import DatabaseFigures, FindingTotal, StreamFigures
from application.severity import Severities
from domain.coverage import Disposition, FailReason, SkipReason
from domain.detectors import detectors
from domain.scan import LostReason, Status

OTHER: Final = "other"
"""The category of findings whose detectors are none of those that are built in, for a tenant may name any."""

_COMMANDS: Final = "COMMANDS"

Labelled = Mapping[Any, float]
"""Values by those of their labels, each a tuple of strings."""


def _gauge(name: str, told: str, names: Sequence[str], values: Labelled) -> Metric:
    return _filled(GaugeMetricFamily(f"scanledger_{name}", told, labels=names), values)


def _counter(name: str, told: str, names: Sequence[str], values: Labelled) -> Metric:
    return _filled(CounterMetricFamily(f"scanledger_{name}", told, labels=names), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Labelled) -> Metric:
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def of_database(figures: DatabaseFigures) -> Iterator[Metric]:
    """What the database tells."""
    yield from _scans(figures)
    yield from _objects(figures)
    yield from _findings(figures.findings)
    yield from _followers(figures)
    yield _gauge(
        "wanted_workers",
        "Workers that the open scans have work for: the sum of min(max_workers, chunks left)",
        (),
        {(): figures.work.wanted_workers},
    )
    yield _gauge(
        "scan_quiet_seconds",
        "Seconds since the last event of the open, not paused scan that has been quiet for longest",
        (),
        {(): figures.work.quiet_seconds},
    )
    if figures.webhooks:
        deliveries = {(status,): count for status, count in figures.webhooks.items()}
        yield _gauge(
            "webhook_deliveries", "Webhook deliveries that are not done with, by status", ("status",), deliveries
        )


def _scans(figures: DatabaseFigures) -> Iterator[Metric]:
    sums = figures.totals
    statuses = {(status.value,): sums.get((totals.SCANS, status), 0) for status in Status if status is not Status.NEW}
    yield _gauge("scans", "Scans by status", ("status",), statuses)
    planned = sums.get((totals.CHUNKS, totals.PLANNED), 0)
    yield _counter("chunks_planned", "Chunks planned", (), {(): planned})
    outcomes = (totals.DONE, totals.FAILED, totals.REPLACED)
    ended = {(outcome,): sums.get((totals.CHUNKS, outcome), 0) for outcome in outcomes}
    yield _counter("chunks_ended", "Chunks accounted for: done, failed for good, or replaced", ("outcome",), ended)
    yield _gauge("chunks_open", "Chunks of open scans that are not accounted for", (), {(): figures.work.chunks})
    lost = {(reason.value,): sums.get((totals.ATTEMPTS_LOST, reason), 0) for reason in LostReason}
    yield _counter("chunk_attempts_lost", "Attempts at chunks that came to nothing", ("reason",), lost)


def _objects(figures: DatabaseFigures) -> Iterator[Metric]:
    sums = figures.totals
    discovered = sums.get((totals.OBJECTS, totals.DISCOVERED), 0)
    yield _counter("objects_discovered", "Objects discovered", (), {(): discovered})
    accounted: dict[tuple[str, ...], float] = {}
    for disposition, reasons in (
        (Disposition.SCANNED, [""]),
        (Disposition.SKIPPED, list(SkipReason)),
        (Disposition.FAILED, list(FailReason)),
    ):
        for reason in reasons:
            label = f"{disposition}/{reason}"
            accounted[disposition.value, str(reason)] = sums.get((totals.OBJECTS, label), 0)
    yield _counter("objects_accounted", "Objects by what became of them", ("disposition", "reason"), accounted)
    yield _gauge("objects_remaining", "Objects of open scans not accounted for", (), {(): figures.work.objects})
    for name, told, kind in (
        ("planned_bytes", "Bytes of the objects planned", totals.PLANNED),
        ("read_bytes", "Bytes of objects read", totals.READ),
    ):
        yield _counter(name, told, (), {(): sums.get((totals.BYTES, kind), 0)})


def _findings(found: Sequence[FindingTotal]) -> Iterator[Metric]:
    severities, known = Severities(), {detector.category for detector in detectors()}
    findings: Counter[tuple[str, ...]] = Counter()
    hits: Counter[tuple[str, ...]] = Counter()
    for total in found:
        category = total.category if total.category in known else OTHER
        labels = category, severities.of(total.detector, total.category)
        findings[labels] += total.findings
        hits[labels] += total.hits
    names = ("category", "severity")
    yield _counter("findings", "Findings recorded: one a detector, object and column", names, findings)
    yield _counter("finding_hits", "Places that the findings recorded stand for", names, hits)


def _followers(figures: DatabaseFigures) -> Iterator[Metric]:
    yield _gauge("log_position", "Position of the last event in the log", (), {(): figures.events})
    lags = figures.lags.items()
    behind = {(name,): lag.events for name, lag in lags}
    yield _gauge("follower_lag_events", "Events of the log a follower has not applied", ("follower",), behind)
    told = "Age of the oldest event a follower has not applied"
    yield _gauge("follower_lag_seconds", told, ("follower",), {(name,): lag.seconds for name, lag in lags})


def of_seal(state: SealState) -> Iterator[Metric]:
    """What the seal of the log tells."""
    for name, told, value in (
        ("unsigned_events", "Events that no signed checkpoint covers yet", state.unsigned),
        ("unpublished_events", "Events that no checkpoint outside the database covers yet", state.unpublished),
        ("troubled_logs", "Logs that cannot be signed, or not be written outside: see the seal's log", state.troubled),
    ):
        yield _gauge(f"seal_{name}", told, (), {(): value})


def of_broker(streams: Mapping[str, StreamFigures]) -> Iterator[Metric]:
    """What the broker tells."""
    by_stream = ("stream",)
    yield _gauge(
        "stream_messages", "Messages in a stream", by_stream, {(name,): s.messages for name, s in streams.items()}
    )
    yield _gauge("stream_bytes", "Bytes in a stream", by_stream, {(name,): s.bytes for name, s in streams.items()})
    if _COMMANDS in streams:
        told = "Commands sent and not answered"
        yield _gauge("commands_outstanding", told, (), {(): streams[_COMMANDS].messages})
    consumers = {(name, key): of for name, s in streams.items() for key, of in s.consumers.items()}
    for name, told in (
        ("pending", "Messages not delivered to a consumer yet"),
        ("unacknowledged", "Messages delivered and not acknowledged"),
        ("redelivered", "Messages not acknowledged that were delivered more than once"),
    ):
        values = {labels: getattr(of, name) for labels, of in consumers.items()}
        yield _gauge(f"consumer_{name}_messages", told, ("stream", "consumer"), values)


def of_fleet(scanners: Sequence[Telemetry]) -> Iterator[Metric]:
    """What the scanners say of themselves."""
    present: Counter[tuple[str, ...]] = Counter()
    slots: Counter[tuple[str, ...]] = Counter()
    busy: Counter[tuple[str, ...]] = Counter()
    for telemetry in scanners:
        pool = (telemetry.pool,)
        present[pool] += 1
        slots[pool] += 0 if telemetry.stopping else telemetry.slots
        busy[pool] += sum(work.chunk is not None for work in telemetry.work)
    yield _gauge("scanners", "Scanner processes that are there", ("pool",), present)
    yield _gauge("worker_slots", "Chunks that the scanners which are there can have in work", ("pool",), slots)
    yield _gauge("worker_slots_busy", "Chunks that they have in work", ("pool",), busy)
