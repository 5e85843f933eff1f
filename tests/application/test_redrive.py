"""What a redrive looks at again: the objects that a finished scan failed or left, and no other."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application import redrive
from application.redrive import UnfinishedObjects
from domain.chunk import HUGE_BYTES, MAX_CHUNK_KEY_BYTES
from domain.coverage import FailReason, SkipReason
from domain.manifest import ObjectInfo
from domain.scan_events import Cancelled
from tests.application.memory_log import MemoryManifest
from tests.application.ring import Ring, exception
from tests.domain.given import ALONE, KEY, LATER


def unfinished(ring: Ring) -> UnfinishedObjects:
    return UnfinishedObjects(ring.log, MemoryManifest(ring.log))


def everything(ring: Ring) -> list[ObjectInfo]:
    """All that there is to redrive, asked for in turns as the commands of one unit are built."""
    objects, found, key = unfinished(ring), [], ""
    while True:
        some, more = objects.after("scan-1", 0, key)
        found += some
        if not more:
            return found
        key = some[-1].key


def cancel(ring: Ring) -> None:
    ring.log.append_next("scan-1", [Cancelled(at=LATER, actor=KEY)], unless=[])


REASONS = {"failed": FailReason.NETWORK, "binary": SkipReason.BINARY}
FATES = st.sampled_from(["scanned", "failed", "binary", "empty", "remaining"])


@given(fates=st.lists(FATES, min_size=1, max_size=12), alone=st.booleans(), at_once=st.integers(1, 5))
def test_just_the_failed_and_remaining_objects_are_redriven_in_order(
    fates: list[str], alone: bool, at_once: int
) -> None:
    ring = Ring()
    size = ALONE if alone else 10
    entries = [ObjectInfo(f"k{n:02}.csv", 0 if fate == "empty" else size) for n, fate in enumerate(fates)]
    ring.list_all(*entries)
    for number, state in sorted(ring.scan.pending.items()):
        inside = [n for n in range(state.chunk.start, state.chunk.end + 1) if fates[n] != "empty"]
        if any(fates[n] == "remaining" for n in inside):
            continue
        reasons = {"failed": FailReason.NETWORK, "binary": SkipReason.BINARY}
        ring.record(
            ring.done(number, exceptions=[exception(n, reasons[fates[n]]) for n in inside if fates[n] in reasons])
        )
    left = {n for s in ring.scan.pending.values() for n in range(s.chunk.start, s.chunk.end + 1)}
    cancel(ring)
    expected = [
        entry
        for n, (entry, fate) in enumerate(zip(entries, fates, strict=True))
        if fate != "empty" and (n in left or fate == "failed")
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redrive, "OBJECTS_AT_ONCE", at_once)
        assert everything(ring) == expected


def test_a_command_carries_no_more_keys_than_fit_and_says_that_more_follow() -> None:
    ring = Ring()
    entries = [ObjectInfo(f"{n:04}" + "k" * 1_000, 10) for n in range(200)]
    ring.list_all(*entries)
    cancel(ring)
    some, more = unfinished(ring).after("scan-1", 0, "")
    assert more
    assert 0 < sum(4 * len(entry.key) for entry in some) <= MAX_CHUNK_KEY_BYTES
    assert everything(ring) == entries


def _parts(ring: Ring) -> Sequence[int]:
    return [number for number, state in sorted(ring.scan.pending.items()) if state.chunk.parts > 1]


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_huge_object_is_redriven_whole_unless_all_its_parts_are_in(done: int) -> None:
    ring = Ring()
    huge = ObjectInfo("big.csv", HUGE_BYTES)
    ring.list_all(ObjectInfo("a.csv", 10), huge)
    for number in _parts(ring)[:done]:
        ring.record(ring.done(number, lines=1))
    cancel(ring)
    assert (huge in everything(ring)) == (done < 2)


def test_an_object_left_in_a_chunk_that_was_parted_is_redriven_and_a_neighbour_that_was_scanned_is_not() -> None:
    ring = Ring()
    ring.list_all(*(ObjectInfo(f"k{n}.csv", 10) for n in range(4)))
    ring.record(ring.lost(0, suspect=2))
    ring.record(ring.done(1))
    cancel(ring)
    assert [entry.key for entry in everything(ring)] == ["k2.csv", "k3.csv"]


def test_of_another_unit_nothing_is_redriven() -> None:
    ring = Ring()
    ring.list_all(ObjectInfo("a.csv", 10))
    cancel(ring)
    assert unfinished(ring).after("scan-1", 1, "") == ([], False)
