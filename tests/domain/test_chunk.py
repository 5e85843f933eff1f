"""Chunks: how a listing is cut, and the set that remembers which are done."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.chunk import (
    BYTES_PER_SECOND,
    HUGE_BYTES,
    MAX_CHUNK_FILES,
    MAX_CHUNK_KEY_BYTES,
    MAX_PARTS,
    MAX_PARTS_A_BATCH,
    PART_BYTES,
    TARGET_SECONDS,
    Chunk,
    ChunkSet,
    Plan,
    Unfinished,
    cost,
    isolated,
    plan,
)
from domain.coverage import SkipReason
from domain.manifest import Filters, ObjectInfo

MOST_SECONDS = 2 * 1.5 * TARGET_SECONDS
"""A share of a batch is at most half as much again as the target; objects whose middles lie in one share are less than
two shares together."""

sizes = st.one_of(
    st.integers(0, 200),
    st.integers(0, 100_000_000),
    st.sampled_from([0, 1, BYTES_PER_SECOND * 4, BYTES_PER_SECOND * 6, 10**12]),
)


@st.composite
def batches(draw: st.DrawFn) -> list[ObjectInfo]:
    entries = draw(st.lists(st.tuples(sizes, st.sampled_from([".csv", ".bin"]), st.integers(1, 900)), max_size=60))
    repeats = draw(st.sampled_from([1, 1, 15]))
    return [
        ObjectInfo(f"{number:05}".ljust(length, "x") + extension, size)
        for number, (size, extension, length) in enumerate(entries * repeats)
    ]


def planned(entries: list[ObjectInfo], **changes: int | None) -> Plan:
    room = changes.get("room")
    return plan(entries, first_index=changes.get("first_index") or 0, filters=Filters(frozenset({"csv"})), room=room)


@settings(max_examples=60)
@given(entries=batches(), first_index=st.integers(0, 10**9), room=st.none() | st.integers(0, 80))
def test_chunks_are_disjoint_in_order_and_cover_exactly_the_eligible_objects(
    entries: list[ObjectInfo], first_index: int, room: int | None
) -> None:
    made = planned(entries, first_index=first_index, room=room)
    eligible = [first_index + at for at, reason in enumerate(made.skips) if reason is None]
    assert all(chunk.start <= chunk.end for chunk in made.chunks)
    whole = [chunk for chunk in made.chunks if chunk.part == 0]
    assert all(before.end < behind.start for before, behind in pairwise(whole))
    inside = [[at for at in eligible if chunk.start <= at <= chunk.end] for chunk in whole]
    assert [at for group in inside for at in group] == eligible
    for chunk, group in zip(whole, inside, strict=True):
        assert (chunk.start, chunk.end, chunk.files) == (group[0], group[-1], len(group))
        shared = [other.bytes for other in made.chunks if other.start == chunk.start]
        assert sum(shared) == sum(entries[at - first_index].size for at in group)
        assert len(shared) == chunk.parts
    assert made.bytes == sum(entries[at - first_index].size for at in eligible)


@settings(max_examples=60)
@given(entries=batches())
def test_no_chunk_exceeds_the_limits_of_files_keys_and_cost(entries: list[ObjectInfo]) -> None:
    for chunk in planned(entries).chunks:
        inside = [e for e in entries[chunk.start : chunk.end + 1] if Filters(frozenset({"csv"})).skip(e) is None]
        assert chunk.files <= MAX_CHUNK_FILES
        assert chunk.files == 1 or sum(len(e.key.encode()) for e in inside) <= MAX_CHUNK_KEY_BYTES
        assert chunk.files == 1 or cost(chunk.files, chunk.bytes) <= MOST_SECONDS


@given(entries=batches())
def test_an_object_too_costly_to_share_a_chunk_stands_alone(entries: list[ObjectInfo]) -> None:
    for chunk in planned(entries).chunks:
        inside = [e for e in entries[chunk.start : chunk.end + 1] if e.key.endswith(".csv")]
        assert chunk.files == 1 or all(cost(1, e.size) <= MOST_SECONDS for e in inside)


def test_keys_of_four_bytes_a_character_still_fit_a_message() -> None:
    entries = [ObjectInfo("😀" * 256, 1)] * 1000
    made = plan(entries, first_index=0, filters=Filters(), room=None)
    assert sum(chunk.files for chunk in made.chunks) == 1000
    assert max(chunk.files for chunk in made.chunks) * 1024 <= MAX_CHUNK_KEY_BYTES


def test_many_tiny_objects_are_cut_by_number_where_their_cost_alone_would_not() -> None:
    made = plan([ObjectInfo(f"k{n:04}", 1) for n in range(590)], first_index=0, filters=Filters(), room=None)
    assert [chunk.files for chunk in made.chunks] == [MAX_CHUNK_FILES, 590 - MAX_CHUNK_FILES]


def test_equal_objects_are_cut_into_nearly_equal_chunks_without_a_small_tail() -> None:
    made = plan([ObjectInfo(f"k{n:04}.csv", 100_000) for n in range(1000)], first_index=0, filters=Filters(), room=None)
    files = [chunk.files for chunk in made.chunks]
    assert len(files) > 1
    assert max(files) - min(files) <= 1


def test_a_batch_of_skipped_objects_makes_no_chunk() -> None:
    made = planned([ObjectInfo("a.bin", 5), ObjectInfo("b.csv", 0)])
    assert made.chunks == ()
    assert made.skips == (SkipReason.FILE_TYPE, SkipReason.EMPTY)
    assert made.skipped == {"file_type": 1, "empty": 1}
    assert planned([]).chunks == ()


@pytest.mark.parametrize(("room", "eligible", "reached"), [(0, 0, True), (2, 2, True), (3, 3, False), (None, 3, False)])
def test_beyond_the_room_eligible_objects_are_skipped_and_only_then_is_the_limit_reached(
    room: int | None, eligible: int, reached: bool
) -> None:
    entries = [ObjectInfo("a.csv", 1), ObjectInfo("b.bin", 1), ObjectInfo("c.csv", 1), ObjectInfo("d.csv", 1)]
    made = planned(entries, room=room)
    assert sum(chunk.files for chunk in made.chunks) == eligible
    assert made.limit_reached is reached
    assert made.skips[1] is SkipReason.FILE_TYPE
    assert made.skipped.get("max_files", 0) == 3 - eligible


def test_a_chunk_may_reach_over_skipped_objects() -> None:
    entries = [ObjectInfo("a.csv", 1), ObjectInfo("b.bin", 1), ObjectInfo("c.csv", 1)]
    assert planned(entries, first_index=7).chunks == (Chunk(start=7, end=9, files=2, bytes=2),)


@given(numbers=st.lists(st.integers(0, 40)))
def test_a_chunk_set_is_a_set_in_the_fewest_ranges(numbers: list[int]) -> None:
    chunks, plain = ChunkSet(), set[int]()
    for number in numbers:
        chunks, plain = chunks.with_(number), plain | {number}
        assert list(chunks) == sorted(plain)
        assert len(chunks) == len(plain)
        assert [n in chunks for n in range(-1, 42)] == [n in plain for n in range(-1, 42)]
        assert all(before[1] + 1 < behind[0] for before, behind in pairwise(chunks.ranges))


def test_a_chunk_set_filled_in_order_stays_one_range() -> None:
    chunks = ChunkSet()
    for number in range(1000):
        chunks = chunks.with_(number)
    assert chunks.ranges == ((0, 999),)


@settings(max_examples=60)
@given(entries=batches())
def test_the_parts_of_a_huge_object_follow_each_other_and_are_bounded_in_number(entries: list[ObjectInfo]) -> None:
    chunks = planned(entries).chunks
    for number, chunk in enumerate(chunks):
        if chunk.parts > 1:
            assert chunk.start == chunk.end
            assert chunk.parts <= MAX_PARTS
            first = number - chunk.part
            assert [one.part for one in chunks[first : first + chunk.parts]] == list(range(chunk.parts))
    assert sum(chunk.parts > 1 for chunk in chunks) <= MAX_PARTS_A_BATCH + len(entries)


@pytest.mark.parametrize(
    ("key", "size", "parts"),
    [
        ("a.csv", HUGE_BYTES - 1, 1),
        ("a.csv", HUGE_BYTES, 2),
        ("a.bin", 10 * HUGE_BYTES, 1),
        ("a.csv.gz", 10 * HUGE_BYTES, 1),
        ("a.ndjson", 10 * PART_BYTES + 1, 11),
        ("a.parquet", 50 * 1024**3, MAX_PARTS),
    ],
)
def test_only_a_huge_object_of_a_splittable_name_is_read_in_parts(key: str, size: int, parts: int) -> None:
    chunks = plan([ObjectInfo(key, size)], first_index=7, filters=Filters(), room=None).chunks
    assert [(chunk.part, chunk.parts) for chunk in chunks] == [(part, parts) for part in range(parts)]
    assert sum(chunk.bytes for chunk in chunks) == size


@given(sizes=st.lists(st.integers(1, 9), min_size=2, max_size=30), suspect=st.none() | st.integers(0, 40))
def test_an_isolated_chunk_keeps_all_its_objects_and_the_suspect_stands_alone(
    sizes: list[int], suspect: int | None
) -> None:
    places = [(3 * at, size) for at, size in enumerate(sizes)]
    made = isolated(places, suspect)
    assert sum(chunk.files for chunk in made) == len(places)
    assert sum(chunk.bytes for chunk in made) == sum(sizes)
    assert all(before.end < behind.start for before, behind in pairwise(made))
    assert len(made) >= 2
    if suspect in dict(places):
        assert Chunk(suspect, suspect, 1, dict(places)[suspect]) in made  # type: ignore[arg-type,index]  # it is one
    else:
        assert max(chunk.files for chunk in made) - min(chunk.files for chunk in made) <= 1


@given(chunks=st.lists(st.integers(1, 4), max_size=20), page=st.tuples(st.integers(0, 60), st.integers(0, 60)))
def test_unfinished_positions_are_those_of_the_chunks(chunks: list[int], page: tuple[int, int]) -> None:
    ranges, at = [], 0
    for files in chunks:
        ranges.append(Chunk(at, at + files - 1, files, 1))
        at += files + 1
    first = next((chunk.start for chunk in ranges if chunk.start >= page[0]), at)
    last = max((chunk.end for chunk in ranges if chunk.end <= page[1]), default=-1)
    expected = {index for chunk in ranges for index in range(chunk.start, chunk.end + 1) if first <= index <= last}
    assert Unfinished(ranges).between(first, last) == expected
