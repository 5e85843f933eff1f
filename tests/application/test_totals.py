"""The sums over all scans: a pure fold, whatever the batches."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from application.progress import begin, project
from application.totals import added, load_of
from domain.scan_events import Queued, ScanEvent
from tests.domain.histories import histories


@given(events=histories(), cuts=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_sums_come_out_the_same_however_a_scans_events_are_batched(events: list[ScanEvent], cuts: list[int]) -> None:
    assert isinstance(events[0], Queued)
    whole = begin("scan-1", events[0])
    for event in events[1:]:
        whole = project(whole, event)
    expected = added(None, whole.view, events)
    gained: Counter[tuple[str, str]] = Counter()
    before, progress, at, turn = None, begin("scan-1", events[0]), 0, 0
    while at < len(events):
        batch = events[at : at + cuts[turn % len(cuts)]]
        for event in batch:
            progress = progress if isinstance(event, Queued) else project(progress, event)
        gained.update(added(before, progress.view, batch))
        before, at, turn = progress.view, at + len(batch), turn + 1
    assert {name: value for name, value in gained.items() if value} == dict(expected)
    assert all(value >= 0 for value in expected.values())


@given(events=histories())
def test_only_an_open_scan_wants_anything_and_that_is_what_its_sums_leave_over(
    events: list[ScanEvent],
) -> None:
    assert isinstance(events[0], Queued)
    progress = begin("scan-1", events[0])
    for event in events[1:]:
        progress = project(progress, event)
    view, load, sums = progress.view, load_of(progress.view, events[-1].at), added(None, progress.view, events)
    assert (load is None) is view.status.ended
    if load is not None:
        ended = sum(sums["chunks", outcome] for outcome in ("done", "failed", "replaced"))
        accounted = sum(value for (name, label), value in sums.items() if name == "objects" and "/" in label)
        assert load.chunks == sums["chunks", "planned"] - ended
        assert load.objects == sums["objects", "discovered"] - accounted
