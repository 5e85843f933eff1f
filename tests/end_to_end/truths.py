"""What must hold of a scan's history and results, whatever happened while it ran."""

from collections import Counter
from typing import Any

from application.progress import ScanProgress, begin, project
from domain.scan import Scan, evolve
from domain.scan_events import ChunkCompleted, ObjectsListed, Queued, ScanEvent
from tests.end_to_end.corpus import Corpus, Finding
from tests.end_to_end.ring import Ring


def assert_history_adds_up(ring: Ring, scan_id: str) -> ScanProgress:
    """The law of conservation at every version, no chunk accounted for twice, the view as the events fold to it."""
    history = ring.history(scan_id)
    assert [record.version for record in history] == list(range(1, len(history) + 1))
    progress, scan, listed = None, Scan(), 0
    for record in history:
        event = record.event
        progress = begin(scan_id, event) if isinstance(event, Queued) else project(progress, event)  # type: ignore[arg-type]  # Queued comes first
        scan = evolve(scan, event)  # type: ignore[arg-type]  # a scan's stream holds scan events
        listed += event.files if isinstance(event, ObjectsListed) else 0
        _assert_conserved(progress, scan, listed)
    completed = Counter(record.event.chunk for record in history if isinstance(record.event, ChunkCompleted))
    assert [chunk for chunk, times in completed.items() if times > 1] == []
    assert progress is not None
    assert progress.view.version == ring.shown(scan_id)["version"]
    return progress


def _assert_conserved(progress: ScanProgress, scan: Scan, listed: int) -> None:
    coverage = progress.view.coverage
    accounted = coverage.scanned + coverage.total_skipped + coverage.total_failed
    # All parts of a huge object are of one.
    remaining = sum({state.chunk.start: state.chunk.files for state in scan.pending.values()}.values())
    assert coverage.enumerated == listed == accounted + remaining
    assert coverage.remaining == remaining
    assert coverage == scan.coverage


def assert_undisturbed(ring: Ring, scan_id: str, corpus: Corpus) -> None:
    """The scan completed with just what the corpus holds, each finding once, and the sums agree."""
    progress = assert_history_adds_up(ring, scan_id)
    shown = ring.shown(scan_id)
    assert (shown["status"], shown["reason"]) == ("completed", None)
    coverage = shown["coverage"]
    assert coverage["total_enumerated"] == corpus.enumerated
    assert coverage["total_scanned"] == corpus.scanned
    assert coverage["skipped_by_reason"] == corpus.skipped
    assert coverage["failed_by_reason"] == corpus.failed
    assert coverage["total_remaining"] == 0
    assert findings(ring, scan_id) == corpus.findings
    assert shown["progress"]["findings_count"] == progress.view.findings == corpus.findings.total()
    exceptions = ring.rows(
        "SELECT disposition, reason, count(*)::int FROM object_exceptions WHERE scan_id = %s GROUP BY 1, 2", scan_id
    )
    # Empty objects are known from the listing, and have no row of their own.
    assert Counter({reason: count for _, reason, count in exceptions}) == Counter(
        {**corpus.skipped, **corpus.failed, "empty": 0}
    )


def findings(ring: Ring, scan_id: str) -> Counter[Finding]:
    return Counter(map(tuple, ring.rows("SELECT object, detector, count FROM findings WHERE scan_id = %s", scan_id)))


def events(ring: Ring, scan_id: str, *kinds: type[ScanEvent]) -> list[ScanEvent]:
    return [record.event for record in ring.history(scan_id) if isinstance(record.event, kinds)]  # type: ignore[misc]


def assert_ledger_adds_up(ring: Ring, scan_id: str) -> None:
    """Each object stands in the ledger once, and by disposition and reason there are as many as the sums say."""
    entries: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 100}
    more = True
    while more:
        page = ring.client.get(f"/scans/{scan_id}/objects", params=query).json()
        entries += page["data"]
        query["cursor"] = page["pagination"]["next_cursor"]
        more = page["pagination"]["has_more"]
    coverage = ring.shown(scan_id)["coverage"]
    assert len({entry["object"] for entry in entries}) == len(entries) == coverage["total_enumerated"]
    by_disposition = Counter(entry["disposition"] for entry in entries)
    named = ("scanned", "skipped", "failed", "remaining")
    assert by_disposition == Counter({name: coverage[f"total_{name}"] for name in named})
    for name in ("skipped", "failed"):
        reasons = Counter(entry["reason"] for entry in entries if entry["disposition"] == name)
        assert reasons == coverage[f"{name}_by_reason"]
