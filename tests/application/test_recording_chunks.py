"""The recorder where a chunk is not the end of it: unchanged objects, parts of huge ones, parted and stale chunks."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application import messages as wire
from application.messages import AnyReport, ReportedFinding, ReportedOccurrence, ReportedRemark
from application.object_columns import to_text
from domain.chunk import HUGE_BYTES, PART_BYTES
from domain.coverage import FailReason, SkipReason
from domain.inventory import Known, Ruleset
from domain.manifest import ObjectInfo
from domain.policy import MAX_CHUNK_LOSSES
from domain.scan import LostReason, Scan, Status
from domain.scan_events import ChunkFailed, Paused, Queued, Resumed
from tests.application.ring import BY, RULES, Ring, exception
from tests.domain.given import KEY, LATER, NOON


def adds_up(scan: Scan) -> bool:
    """A huge object remains as long as one of its parts does."""
    chunks = [state.chunk for state in scan.pending.values()]
    huge = {chunk.start for chunk in chunks if chunk.parts > 1}
    return scan.coverage.remaining == len(huge) + sum(chunk.files for chunk in chunks if chunk.parts == 1)


# Incremental scans ----------------------------------------------------------------------------------------------------

KNOWN = [
    Known("a.csv", 10, "e1", "scan-0", RULES),
    Known("b.csv", 10, "e1", "scan-9", RULES, SkipReason.BINARY),
    Known("c.csv", 10, "e1", "scan-0", RULES),
    Known("d.csv", 10, "e1", "scan-0", Ruleset("older")),
]
NOW = [
    ObjectInfo("a.csv", 10, "e1"),
    ObjectInfo("b.csv", 10, "e1"),
    ObjectInfo("c.csv", 10, "e2"),
    ObjectInfo("d.csv", 10, "e1"),
    ObjectInfo("e.csv", 10, "e1"),
]


def test_an_incremental_scan_reads_only_what_no_earlier_scan_has_settled_and_names_the_one_that_did() -> None:
    ring = Ring(*KNOWN, type="incremental")
    ring.list_all(*NOW)
    (page,) = ring.log.rows.pages
    assert list(page.skips) == [SkipReason.UNCHANGED, SkipReason.BINARY, None, None, None]
    assert list(page.scanned_by) == ["scan-0", "", "", "", ""]
    assert ring.scan.coverage.skipped == {"unchanged": 1, "binary": 1}
    assert [state.chunk.files for state in ring.scan.pending.values()] == [3]


def test_a_full_scan_reads_everything_whatever_is_known() -> None:
    ring = Ring(*KNOWN)
    ring.list_all(*NOW)
    assert list(ring.log.rows.pages[0].skips) == [None] * 5
    assert list(ring.log.rows.pages[0].scanned_by) == []


# Parts of huge objects ------------------------------------------------------------------------------------------------

HUGE = ObjectInfo("big.csv", HUGE_BYTES + PART_BYTES)
PARTS = 3


def huge_ring() -> Ring:
    """A scan of one object in three parts, which stands at position 1 between two small ones."""
    ring = Ring()
    ring.list_all(ObjectInfo("a.csv", 10), HUGE, ObjectInfo("c.csv", 10))
    assert [state.chunk.part for state in ring.scan.pending.values() if state.chunk.parts == PARTS] == [0, 1, 2]
    return ring


def parts_of(ring: Ring) -> list[int]:
    return [number for number, state in sorted(ring.scan.pending.items()) if state.chunk.parts > 1]


def part_finding(part: int) -> ReportedFinding:
    """Each part finds one address, in its own second line."""
    return ReportedFinding(
        index=1,
        object=HUGE.key,
        detector="pii.email",
        category="pii",
        confidence=0.9,
        count=1,
        occurrences=[ReportedOccurrence(masked=f"*{part}", line=2, byte_offset=part)],
    )


def part_done(ring: Ring, number: int, fate: FailReason | SkipReason | None = None) -> wire.ChunkCompleted:
    part = ring.scan.pending[number].chunk.part
    if fate is not None:
        return ring.done(number, exceptions=[exception(1, fate)])
    return ring.done(number, findings=[part_finding(part)], lines=10, records=9)


@given(order=st.permutations(range(PARTS)), random=st.randoms(use_true_random=False))
def test_parts_in_any_order_and_batches_and_repeated_are_one_object_with_its_findings_merged_once(
    order: list[int], random: Random
) -> None:
    ring = huge_ring()
    numbers = parts_of(ring)
    reports = [part_done(ring, numbers[place]) for place in order for _ in range(random.randint(1, 2))]
    while reports:
        size = random.randint(1, len(reports))
        ring.record(*reports[:size])
        reports = reports[size:]
        assert adds_up(ring.scan)
    scan = ring.scan
    assert (scan.coverage.scanned, scan.coverage.remaining, dict(scan.parts_in)) == (1, 2, {})
    (row,) = ring.log.rows.findings
    assert (row.index, row.object, row.finding.count) == (1, HUGE.key, PARTS)
    assert [(o.masked, o.line) for o in row.finding.occurrences] == [("*0", 2), ("*1", 12), ("*2", 22)]
    assert ring.log.rows.object_parts == []
    assert ring.exceptions() == []


FATES: list[FailReason | SkipReason | LostReason | None] = [
    None,
    FailReason.NETWORK,
    SkipReason.BINARY,
    LostReason.WORKER_LOST,
    LostReason.STALLED,
    LostReason.INVALID_REPORT,
]


@given(
    fates=st.lists(st.sampled_from(FATES), min_size=PARTS, max_size=PARTS),
    order=st.permutations(range(PARTS)),
    together=st.booleans(),
)
def test_whatever_becomes_of_its_parts_a_huge_object_has_one_disposition_and_leaves_no_part_behind(
    fates: list[FailReason | SkipReason | LostReason | None], order: list[int], together: bool
) -> None:
    ring = huge_ring()
    numbers = parts_of(ring)
    reports: list[list[AnyReport]] = []
    for place in order:
        fate = fates[place]
        if isinstance(fate, LostReason):
            reports.append(_losses(ring, numbers[place], fate))
        else:
            reports.append([part_done(ring, numbers[place], fate)])
    if together:
        ring.record(*(report for one in reports for report in one))
    else:
        for one in reports:
            ring.record(*one)
    scan = ring.scan
    assert adds_up(scan)
    assert (scan.coverage.processed, scan.coverage.remaining, dict(scan.parts_in)) == (1, 2, {})
    assert ring.log.rows.object_parts == []
    read = [place for place in range(PARTS) if fates[place] is None]
    assert sum(row.finding.count for row in ring.log.rows.findings) == len(read)
    disposition = "failed" if any(isinstance(f, FailReason | LostReason) for f in fates) else "skipped"
    assert [(index, what) for index, what, _ in ring.exceptions()] == ([(1, disposition)] if any(fates) else [])


def _losses(ring: Ring, number: int, reason: LostReason) -> list[AnyReport]:
    """As many as it takes to give a part up."""
    state = ring.scan.pending[number]
    of_chunk = {**BY, "chunk": number, "plan": state.plan, "started_at": NOON}
    if reason is LostReason.INVALID_REPORT:
        nothing = {"scanned": 0, "bytes_read": 0, "exceptions": [], "findings": []}
        return [wire.ChunkCompleted(**of_chunk, attempt=n, **nothing) for n in range(1, MAX_CHUNK_LOSSES + 1)]
    return [wire.ChunkFailed(**of_chunk, attempt=n, reason=reason) for n in range(1, MAX_CHUNK_LOSSES + 1)]


def test_what_a_part_found_before_it_failed_counts_and_behind_it_no_line_is_known() -> None:
    ring = huge_ring()
    first, second, third = parts_of(ring)
    ring.record(part_done(ring, first))
    failed = ring.done(second, exceptions=[exception(1, FailReason.NETWORK)], findings=[part_finding(1)])
    ring.record(failed)
    assert [row.lines for row in ring.log.rows.object_parts] == [10, None]
    ring.record(part_done(ring, third))
    (row,) = ring.log.rows.findings
    assert (row.finding.count, [occurrence.line for occurrence in row.finding.occurrences]) == (3, [2, 12, None])
    assert ring.exceptions() == [(1, "failed", "network")]


@pytest.mark.parametrize("fails", [False, True])
def test_a_remark_on_a_part_is_one_on_its_object_if_that_was_scanned(fails: bool) -> None:
    ring = huge_ring()
    for place, number in enumerate(parts_of(ring)):
        remarks = [remark(1)] if place == 0 else []
        fate = [exception(1, FailReason.NETWORK)] if fails and place == 1 else []
        ring.record(ring.done(number, exceptions=fate, remarks=remarks, allowed=place))
    assert ring.exceptions() == [(1, "failed", "network") if fails else (1, "scanned", "")]
    assert ring.allowed() == 3


# Remarks, and findings in what failed ---------------------------------------------------------------------------------


def remark(index: int, detail: str = "1 of 2 entries skipped: 1 binary") -> ReportedRemark:
    return ReportedRemark(index=index, detail=detail)


def small_finding(index: int) -> ReportedFinding:
    return part_finding(0).model_copy(update={"index": index, "object": f"k{index}.csv"})


def test_a_remark_is_kept_beside_the_exceptions_and_counts_for_none() -> None:
    ring = Ring()
    ring.list_all(*FIVE)
    ring.record(ring.done(0, exceptions=[exception(1, SkipReason.BINARY)], remarks=[remark(3)], allowed=7))
    assert ring.exceptions() == [(1, "skipped", "binary"), (3, "scanned", "")]
    assert (ring.scan.coverage.scanned, ring.scan.coverage.skipped) == (4, {"binary": 1})
    assert ring.allowed() == 7


def test_an_object_may_fail_and_have_findings() -> None:
    ring = Ring()
    ring.list_all(*FIVE)
    findings = [small_finding(1), small_finding(2)]
    ring.record(ring.done(0, exceptions=[exception(2, FailReason.PARSE_ERROR)], findings=findings))
    assert ring.exceptions() == [(2, "failed", "parse_error")]
    assert [row.index for row in ring.log.rows.findings] == [1, 2]
    assert ring.scan.coverage.failed == {"parse_error": 1}


@pytest.mark.parametrize(
    "remarks", [[remark(5)], [remark(-1)], [remark(2), remark(2)], [remark(0)], [remark(n) for n in range(1, 5)] * 2]
)
def test_a_remark_on_another_chunks_object_twice_or_on_one_that_failed_is_no_report(
    remarks: list[ReportedRemark],
) -> None:
    ring = Ring()
    ring.list_all(*FIVE)
    ring.record(ring.done(0, exceptions=[exception(0, FailReason.NETWORK)], remarks=remarks))
    assert ring.exceptions() == []
    assert ring.scan.coverage.processed == 0


# Objects that lose their worker ---------------------------------------------------------------------------------------

FIVE = [ObjectInfo(f"k{n}.csv", 10) for n in range(5)]


def pieces(ring: Ring) -> list[tuple[int, int, int]]:
    return [(s.chunk.start, s.chunk.end, s.chunk.files) for _, s in sorted(ring.scan.pending.items())]


def test_the_suspect_of_a_lost_attempt_stands_alone_from_then_on() -> None:
    ring = Ring()
    ring.list_all(*FIVE)
    ring.record(ring.lost(0, suspect=3))
    assert pieces(ring) == [(0, 2, 3), (3, 3, 1), (4, 4, 1)]
    assert [ring.scan.pending[n].losses for n in (1, 2, 3)] == [0, 1, 1]


@pytest.mark.parametrize("suspect", [None, 17])
def test_without_a_suspect_a_lost_chunk_is_halved(suspect: int | None) -> None:
    ring = Ring()
    ring.list_all(*FIVE)
    ring.record(ring.lost(0, suspect=suspect))
    assert pieces(ring) == [(0, 1, 2), (2, 4, 3)]


@pytest.mark.parametrize("begun", [True, False])
def test_a_worker_that_was_stopped_or_never_began_leaves_the_chunk_whole(begun: bool) -> None:
    ring = Ring()
    ring.list_all(*FIVE)
    if begun:
        ring.record(ring.lost(0, LostReason.WORKER_STOPPED, suspect=3))
    else:
        ring.record(ring.lost(0).model_copy(update={"started_at": None}))
    assert pieces(ring) == [(0, 4, 5)]
    assert ring.scan.pending[0].attempt == 2


@pytest.mark.parametrize(("reason", "told"), [(LostReason.WORKER_LOST, "worker_lost"), (LostReason.STALLED, "timeout")])
def test_an_object_alone_is_given_up_with_what_it_did_to_its_workers_and_the_others_are_scanned(
    reason: LostReason, told: str
) -> None:
    ring = Ring()
    ring.list_all(*FIVE)
    ring.record(ring.lost(0, reason, suspect=2))
    for _ in range(MAX_CHUNK_LOSSES - 1):
        assert ring.exceptions() == []
        ring.record(ring.lost(2, reason, suspect=2))
    ring.record(ring.done(1), ring.done(3))
    assert ring.exceptions() == [(2, "failed", told)]
    assert (ring.scan.coverage.scanned, ring.scan.coverage.failed) == (4, {told: 1})
    assert ring.scan.status.ended


def test_objects_skipped_at_planning_are_in_none_of_the_pieces() -> None:
    ring = Ring()
    ring.list_all(*(ObjectInfo(f"k{n}.csv", 0 if n in {1, 2} else 10) for n in range(6)))
    ring.record(ring.lost(0))
    assert pieces(ring) == [(0, 3, 2), (4, 5, 2)]


@given(
    poison=st.sets(st.integers(0, 11), max_size=3),
    empty=st.sets(st.integers(0, 11), max_size=4),
    knows=st.booleans(),
)
def test_however_many_objects_kill_their_workers_just_those_are_given_up(
    poison: set[int], empty: set[int], knows: bool
) -> None:
    poison -= empty
    ring = Ring()
    ring.list_all(*(ObjectInfo(f"k{n:02}.csv", 0 if n in empty else 10) for n in range(12)))
    while ring.scan.pending:
        number, state = min(ring.scan.pending.items())
        inside = [n for n in range(state.chunk.start, state.chunk.end + 1) if n in poison]
        ring.record(ring.lost(number, suspect=inside[0] if knows else None) if inside else ring.done(number))
        assert adds_up(ring.scan)
    assert sorted(index for index, *_ in ring.exceptions()) == sorted(poison)
    assert ring.scan.coverage.scanned == 12 - len(poison) - len(empty)
    assert ring.scan.status.ended


# What does not count any more -----------------------------------------------------------------------------------------


def _changes_nothing(ring: Ring, stale: Sequence[AnyReport]) -> None:
    before = ring.log.position(), ring.scan
    rows = len(ring.log.rows.findings), len(ring.log.rows.exceptions), len(ring.log.rows.parts)
    assert ring.record(*stale) == 0
    assert (ring.log.position(), ring.scan) == before
    assert (len(ring.log.rows.findings), len(ring.log.rows.exceptions), len(ring.log.rows.parts)) == rows


def test_a_chunk_that_was_parted_cannot_be_completed_any_more() -> None:
    ring = Ring()
    ring.list_all(*FIVE)
    late = ring.done(0)
    ring.record(ring.lost(0, suspect=1))
    _changes_nothing(ring, [late])


def test_what_is_said_of_a_chunk_under_another_plan_changes_nothing() -> None:
    ring = Ring()
    ring.list_all(*FIVE)
    strange = {"plan": NOON.isoformat(timespec="microseconds")}
    part = wire.ChunkFindings(**BY, chunk=0, attempt=1, part=1, findings=[], **strange)
    begun = wire.ChunkStarted(**BY, chunk=0, attempt=1, started_at=NOON, **strange)
    others = [report.model_copy(update=strange) for report in (ring.done(0), ring.lost(0))]
    _changes_nothing(ring, [part, begun, *others])


def resumed(ring: Ring) -> None:
    alternating = [Paused.kind, Resumed.kind]
    for event in (Paused(at=LATER, actor=KEY), Resumed(at=LATER, actor=KEY)):
        ring.log.append_next("scan-1", [event], unless=[], alternating=alternating)


def test_what_was_in_work_or_on_its_way_during_a_pause_counts_after_it() -> None:
    ring = Ring()
    ring.list_all(*(ObjectInfo(f"k{n}.csv", 100_000_000) for n in range(2)))
    state = ring.scan.pending[1]
    ring.record(wire.ChunkStarted(**BY, chunk=1, attempt=1, plan=state.plan, started_at=NOON))
    on_its_way, at_work = ring.done(0), ring.done(1)
    resumed(ring)
    assert ring.record(at_work, on_its_way) == 2
    assert ring.scan.status is Status.COMPLETED


def test_after_a_pause_the_listing_goes_on_with_another_attempt_from_where_it_was_recorded() -> None:
    ring = Ring()
    unit = {**BY, "unit": 0, "attempt": 1}
    ring.record(wire.ObjectsListed(**unit, batch=1, after="", objects=to_text(FIVE[:2])))
    resumed(ring)
    stale: list[AnyReport] = [
        wire.ListingStarted(**unit),
        wire.ObjectsListed(**unit, batch=2, after="k1.csv", objects=to_text(FIVE[2:])),
        wire.ListingSplit(**unit, bounds=["z"]),
        wire.ListingFailed(**unit, reason="x", detail="", permanent=True),
        wire.ListingCompleted(**unit, batches=1, after="k1.csv"),
    ]
    _changes_nothing(ring, stale)
    again = {**unit, "attempt": 2}
    ring.record(
        wire.ObjectsListed(**again, batch=2, after="k1.csv", objects=to_text(FIVE[2:])),
        wire.ListingCompleted(**again, batches=2, after="k4.csv"),
    )
    assert ring.scan.coverage.enumerated == 5


def test_what_finishes_while_a_scan_is_paused_counts() -> None:
    ring = Ring()
    ring.list_all(*FIVE)
    ring.log.append_next("scan-1", [Paused(at=LATER, actor=KEY)], unless=[])
    assert ring.record(ring.done(0)) == 1
    assert ring.scan.status is Status.COMPLETED


# Listings that are parted or go on ------------------------------------------------------------------------------------


def test_a_parted_listing_is_complete_where_it_was_cut_and_not_before_the_cut_is_recorded() -> None:
    ring = Ring()
    unit = {**BY, "unit": 0, "attempt": 1}
    batch = wire.ObjectsListed(**unit, batch=1, after="", objects=to_text(FIVE[:2]))
    end = wire.ListingCompleted(**unit, batches=1, until="k2", after="k1.csv")
    assert list(ring.recorder.record([batch, end]).early) == [1]
    assert ring.record(wire.ListingSplit(**unit, bounds=["k2", "k4"]), end) == 2
    rest = [(u.unit.after, u.unit.until) for number, u in ring.scan.units.items() if number]
    assert rest == [("k2", "k4"), ("k4", "")]
    assert ring.scan.units[0].unit.until == "k2"


@pytest.mark.parametrize("bounds", [["k1.csv"], ["k4", "k2"], ["a"], ["k2", "k2"]])
def test_a_listing_is_not_parted_at_what_it_has_listed_or_out_of_order(bounds: list[str]) -> None:
    ring = Ring()
    unit = {**BY, "unit": 0, "attempt": 1}
    ring.record(wire.ObjectsListed(**unit, batch=1, after="", objects=to_text(FIVE[:2])))
    _changes_nothing(ring, [wire.ListingSplit(**unit, bounds=bounds)])


def test_a_batch_that_continues_is_the_last_of_its_attempt() -> None:
    ring = Ring()
    unit = {**BY, "unit": 0, "attempt": 1}
    ring.record(wire.ObjectsListed(**unit, batch=1, after="", objects=to_text(FIVE[:2]), continues=True))
    assert (ring.scan.units[0].attempt, ring.scan.units[0].last_key) == (2, "k1.csv")
    _changes_nothing(ring, [wire.ListingCompleted(**unit, batches=1, after="k1.csv")])


def test_events_tell_which_chunks_took_the_place_of_a_parted_one() -> None:
    ring = Ring()
    ring.list_all(*FIVE)
    ring.record(ring.lost(0, suspect=0))
    event = ring.log.records[-1].event
    assert isinstance(event, ChunkFailed)
    assert (event.final, event.first_chunk, len(event.replaced_by)) == (False, 1, 2)
    assert isinstance(ring.log.records[0].event, Queued)
