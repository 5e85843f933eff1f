"""A worker's listing of a unit, on a bucket in memory: which batches come of it, and that none is lost or twice."""

import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.listing import FAN_OUT_AFTER, REPORT_BYTES, list_unit
from application.messages import (
    AnyReport,
    ListingCompleted,
    ListingFailed,
    ListingSplit,
    ListUnit,
    ObjectsListed,
    Report,
)
from application.object_columns import from_text, to_text
from application.ports import Append, Stopped
from application.recording import Recorder
from application.scanning import UnopenedSource
from domain.errors import ScanledgerError, SourceDenied, SourceUnavailable
from domain.manifest import ObjectInfo
from domain.scan import LostReason, Scan, UnitStatus
from tests.application.bucket import SOURCE, Bucket, keys
from tests.application.memory_log import MemoryInventory, MemoryManifest, MemoryScanLog
from tests.domain.given import LATER, queued

ABC = {"a": b"1", "b": b"2", "c": b"3"}
OF_UNIT: dict[str, Any] = {"scan": "s", "worker": "w", "unit": 1, "attempt": 2}


def listing(
    bucket: Bucket | UnopenedSource, stopped: Callable[[], bool] = lambda: False, **changes: Any
) -> list[Report]:
    command = ListUnit(**{"scan": "s", "pool": "p", "unit": 1, "attempt": 2, "source": SOURCE, "prefix": "", **changes})
    reports: list[Report] = []
    list_unit(command, bucket, worker="w", emit=reports.append, stopped=stopped)
    return reports


def folders(count: int, files: int = 4) -> Bucket:
    return Bucket({f"f{folder:03}/{file}": b"" for folder in range(count) for file in range(files)})


# One unit -------------------------------------------------------------------------------------------------------------


def test_a_listing_reports_its_batches_in_order_and_then_its_end() -> None:
    reports = listing(Bucket(ABC))
    assert keys(reports) == [["a", "b"], ["c"]]
    assert [(r.batch, r.after) for r in reports if isinstance(r, ObjectsListed)] == [(1, ""), (2, "b")]
    assert reports[-1] == ListingCompleted(**OF_UNIT, batches=2, after="c")


def test_a_listing_goes_on_after_what_was_recorded_and_counts_those_batches_too() -> None:
    reports = listing(Bucket(ABC), resume_after="b", next_batch=5)
    assert keys(reports) == [["c"]]
    assert reports[-1] == ListingCompleted(**OF_UNIT, batches=5, after="c")


def test_a_key_range_ends_with_its_last_key_and_says_so() -> None:
    reports = listing(Bucket({**ABC, "d": b"4"}), resume_after="a", until="c")
    assert keys(reports) == [["b", "c"]]
    assert reports[-1] == ListingCompleted(**OF_UNIT, batches=1, until="c", after="c")


def test_an_empty_bucket_is_listed_to_its_end_in_no_batch() -> None:
    assert listing(Bucket({})) == [ListingCompleted(**OF_UNIT, batches=0, after="")]


@pytest.mark.parametrize(
    ("error", "reason", "permanent"),
    [(SourceDenied("No."), "source_denied", True), (SourceUnavailable("No."), "source_unavailable", False)],
)
def test_a_listing_that_breaks_off_keeps_what_it_had_and_says_why(
    error: ScanledgerError, reason: str, permanent: bool
) -> None:
    *batches, failed = listing(Bucket(ABC, end=error))
    assert keys(batches) == [["a", "b"], ["c"]]
    assert failed == ListingFailed(**OF_UNIT, reason=reason, detail="No.", permanent=permanent)
    assert [type(report) for report in listing(UnopenedSource(error))] == [ListingFailed]


def test_a_page_of_very_long_keys_is_parted_so_that_each_report_fits_a_message() -> None:
    noise = random.Random(1)
    long = {"".join(chr(noise.randint(0x4E00, 0x9FFF)) for _ in range(340)): b"" for _ in range(1000)}
    bucket = Bucket(long, page=1000)
    reports = listing(bucket)
    sizes = [len(report.model_dump_json()) for report in reports]
    assert len(reports) > 2
    assert max(sizes) < REPORT_BYTES + 1000
    assert [key for batch in keys(reports) for key in batch] == [entry.key for entry in bucket.entries()]


def test_a_listing_that_is_called_off_reports_nothing_more() -> None:
    with pytest.raises(Stopped):
        listing(Bucket(ABC), stopped=lambda: True)


# Fan-out --------------------------------------------------------------------------------------------------------------


def test_a_long_listing_leaves_all_behind_the_first_prefix_to_come_to_others_and_ends_there() -> None:
    reports = listing(folders(4), fan_out=True)
    split = reports[FAN_OUT_AFTER]
    # Three pages of two: it stands at f001/1.
    assert split == ListingSplit(**OF_UNIT, bounds=["f002/", "f003/"])
    assert [key for batch in keys(reports) for key in batch] == [f"f00{f}/{n}" for f in range(2) for n in range(4)]
    assert reports[-1] == ListingCompleted(**OF_UNIT, batches=4, until="f002/", after="f001/3")


@pytest.mark.parametrize(
    ("bucket", "fan_out"),
    [
        (folders(4), False),
        (Bucket({f"f/{n}": b"" for n in range(2 * FAN_OUT_AFTER - 1)}), True),
        (Bucket({f"k{n:02}": b"" for n in range(20)}), True),
    ],
    ids=["not allowed", "too short", "nothing to part it at"],
)
def test_a_listing_is_not_parted(bucket: Bucket, fan_out: bool) -> None:
    reports = listing(bucket, fan_out=fan_out)
    assert not any(isinstance(report, ListingSplit) for report in reports)
    assert [key for batch in keys(reports) for key in batch] == [entry.key for entry in bucket.entries()]


def test_of_very_many_prefixes_a_few_are_chosen_evenly() -> None:
    (split,) = (report for report in listing(folders(302), fan_out=True) if isinstance(report, ListingSplit))
    places = [int(bound[1:4]) for bound in split.bounds]
    assert len(places) == 15
    assert {b - a for a, b in pairwise(places)} == {20}


class Coordinator:
    """The recorder, and the commands that follow from what it recorded."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.log = MemoryScanLog()
        self.log.append([Append("s", 0, [queued()])])
        self._now = LATER
        self._recorder = Recorder(self.log, MemoryManifest(self.log), MemoryInventory(), self._clock)

    def _clock(self) -> Any:
        self._now += timedelta(microseconds=1)
        return self._now

    @property
    def scan(self) -> Scan:
        return self.log.scan("s")

    def open_units(self) -> list[int]:
        return [number for number, unit in self.scan.units.items() if unit.status is UnitStatus.OPEN]

    def list_next(self, unit: int, most: int) -> None:
        """An attempt at a unit whose worker dies after `most` reports."""
        state = self.scan.units[unit]
        command = ListUnit(
            scan="s",
            pool="p",
            unit=unit,
            attempt=state.attempt,
            source=SOURCE,
            prefix=state.unit.prefix,
            resume_after=state.reached,
            until=state.unit.until,
            next_batch=state.batches + 1,
            fan_out=state.unit.fan_out,
        )
        reports: list[AnyReport] = []
        try:
            list_unit(
                command,
                self.bucket,
                worker="w",
                emit=reports.append,  # type: ignore[arg-type]  # what it emits are reports
                stopped=lambda: len(reports) >= most,
            )
        except Stopped:
            lost = {"reason": LostReason.WORKER_LOST, "detail": "", "permanent": False}
            reports.append(ListingFailed(scan="s", worker="w", unit=unit, attempt=state.attempt, **lost))
        assert list(self._recorder.record(reports).early) == []


segments = st.sampled_from(["a", "b", "c", "é", "\U0001f600", "a0", "zz"])
some_keys = st.builds("/".join, st.lists(segments, min_size=1, max_size=4))


@given(names=st.sets(some_keys, max_size=60), page=st.integers(1, 4), chances=st.randoms(use_true_random=False))
def test_however_a_listing_is_parted_and_interrupted_all_of_it_is_listed_once(
    names: set[str], page: int, chances: random.Random
) -> None:
    coordinator = Coordinator(Bucket(dict.fromkeys(names, b"x"), page=page))
    while open_units := coordinator.open_units():
        coordinator.list_next(chances.choice(open_units), chances.choice([1, 2, 5, 100]))
    pages = coordinator.log.rows.pages
    assert sorted(entry.key for one in pages for entry in one.objects) == sorted(names)
    assert {unit.status for unit in coordinator.scan.units.values()} == {UnitStatus.COMPLETE}
    for one in pages:
        assert [entry.key for entry in one.objects] == sorted(entry.key for entry in one.objects)


# A redrive's look-up --------------------------------------------------------------------------------------------------


def was(key: str) -> ObjectInfo:
    """An object as an earlier scan had listed it."""
    return ObjectInfo(key, 1_000, "of old")


def looked_up(bucket: Bucket, wanted: Sequence[str], **changes: Any) -> tuple[list[ObjectInfo], list[Report]]:
    reports = listing(bucket, only=to_text([was(key) for key in wanted]), **changes)
    return [e for r in reports if isinstance(r, ObjectsListed) for e in from_text(r.objects)], reports


def test_objects_are_looked_up_as_they_are_now_and_those_that_are_gone_as_they_were() -> None:
    found, reports = looked_up(Bucket(ABC), ["a", "aa", "c", "d"])
    assert found == [ObjectInfo("a", 1), was("aa"), ObjectInfo("c", 1), was("d")]
    assert reports[-1] == ListingCompleted(**OF_UNIT, batches=1, after="d")


def test_a_look_up_of_which_more_follows_continues_and_does_not_end() -> None:
    _, reports = looked_up(Bucket(ABC), ["a", "b"], more=True, resume_after="", next_batch=3)
    (only,) = reports
    assert isinstance(only, ObjectsListed)
    assert (only.batch, only.continues) == (3, True)


def test_a_look_up_of_many_objects_continues_with_its_last_batch_alone() -> None:
    names = [f"k{n:05}" for n in range(2_500)]
    found, reports = looked_up(Bucket(dict.fromkeys(names, b"x"), page=1_000), names, more=True)
    assert [entry.key for entry in found] == names
    assert [r.continues for r in reports if isinstance(r, ObjectsListed)] == [False, False, True]


def test_nothing_to_look_up_is_listed_to_its_end() -> None:
    assert looked_up(Bucket(ABC), []) == ([], [ListingCompleted(**OF_UNIT, batches=0, after="")])


def test_a_look_up_that_breaks_off_says_why() -> None:
    *_, failed = listing(Bucket(ABC, end=SourceUnavailable("No.")), only=to_text([was("a"), was("zz")]))
    assert isinstance(failed, ListingFailed)


def test_objects_far_apart_are_skipped_to_however_many_lie_between() -> None:
    names = [f"{a}/{n:04}" for a in "abcd" for n in range(500)]
    bucket = Bucket(dict.fromkeys(names, b"x"), page=10)
    found, _ = looked_up(bucket, ["a/0007", "b", "c/0250", "d/0499"])
    assert [entry.size for entry in found] == [1, 1_000, 1, 1]
    assert bucket.pages <= 4


@given(
    names=st.sets(some_keys, max_size=60),
    wanted=st.sets(some_keys, min_size=1, max_size=30),
    page=st.integers(1, 5),
)
def test_a_look_up_tells_just_what_is_wanted_and_asks_for_few_pages(
    names: set[str], wanted: set[str], page: int
) -> None:
    bucket = Bucket(dict.fromkeys(names, b"now"), page=page)
    ordered = sorted(wanted)
    found, _ = looked_up(bucket, ordered)
    assert found == [ObjectInfo(key, 3) if key in names else was(key) for key in ordered]
    there = bisect_right(sorted(names), ordered[-1])
    assert bucket.pages <= min(len(wanted), -(-there // page) + 1)
