"""Parts of one object: every byte belongs to one of them, and their findings add up."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.finding import MAX_OCCURRENCES, Finding, Occurrence
from domain.parts import MAX_FINDINGS, PartFindings, merged, part_at, part_range, splittable


def finding(*occurrences: Occurrence, detector: str = "pii.email", column: str | None = None, **changes) -> Finding:
    made = Finding(detector, detector.partition(".")[0], 0.5, len(occurrences) or 1, occurrences, column)
    return replace(made, **changes)


@given(size=st.integers(0, 1 << 40), parts=st.integers(1, 5000), data=st.data())
def test_every_byte_is_in_one_part(size, parts, data):
    assert part_range(size, 0, parts).start == 0
    assert part_range(size, parts - 1, parts).stop == size
    part = data.draw(st.integers(0, parts - 1))
    assert part == 0 or part_range(size, part - 1, parts).stop == part_range(size, part, parts).start
    if size:
        offset = data.draw(st.integers(0, size - 1))
        assert offset in part_range(size, part_at(size, offset, parts), parts)


@pytest.mark.parametrize(("offset", "part"), [(-5, 0), (1 << 60, 3)])
def test_an_offset_outside_the_object_counts_for_the_nearest_part(offset, part):
    assert part_at(100, offset, 4) == part


@pytest.mark.parametrize("key", ["a.csv", "b/C.NDJSON", "x.y.jsonl", "a.parquet", "a.pq", "app.log", "a.tsv", "ü.txt"])
def test_tables_lines_and_parquet_may_be_read_in_parts(key):
    assert splittable(key)


@pytest.mark.parametrize("key", ["a.csv.gz", "a.log.zst", "a.json", "a.csv/b", "csv", "a", "", "a.log.1"])
def test_what_is_compressed_or_of_another_name_is_read_whole(key):
    assert not splittable(key)


def test_findings_add_up_and_keep_the_highest_confidence():
    parts = [
        PartFindings([finding(confidence=0.4, count=3), finding(detector="a.b")], lines=1, records=1),
        PartFindings([finding(confidence=0.7, count=20, column="mail"), finding(confidence=0.6, count=4)], 1, 1),
    ]
    assert [(one.detector, one.column, one.count, one.confidence) for one in merged(parts)] == [
        ("a.b", None, 1, 0.5),
        ("pii.email", None, 7, 0.6),
        ("pii.email", "mail", 20, 0.7),
    ]


def test_lines_and_records_are_counted_on_from_the_parts_before():
    place = Occurrence("*", byte_offset=70, line=2, column=5, record_index=0)
    parts = [PartFindings([], 10, 9), PartFindings([], 0, 0), PartFindings([finding(place)], 3, 3)]
    assert merged(parts)[0].occurrences == (replace(place, line=12, record_index=9),)


def test_what_has_no_line_and_no_record_gets_none():
    place = Occurrence("*", field="mail")
    assert merged([PartFindings([], 5, 5), PartFindings([finding(place)], 5, 5)])[0].occurrences == (place,)


def test_the_first_occurrences_of_the_object_stay():
    places = [Occurrence("*", byte_offset=offset) for offset in range(40)]
    parts = [PartFindings([finding(*places[at : at + 10])], 0, 0) for at in range(0, 40, 10)]
    (only,) = merged(parts)
    assert only.count == 40
    assert only.occurrences == tuple(places[:MAX_OCCURRENCES])


def test_beyond_the_most_findings_hits_count_for_the_object_as_a_whole():
    columns = [f"c{number}" for number in range(MAX_FINDINGS - 1)]
    parts = [
        PartFindings([finding(column=column) for column in columns], 0, 0),
        PartFindings([finding(column=column) for column in ("c1", "d1", "d2", "d3")], 0, 0),
    ]
    counts = {one.column: one.count for one in merged(parts)}
    assert (counts["c1"], counts["d1"], counts[None]) == (2, 1, 2)
    assert sum(counts.values()) == MAX_FINDINGS - 1 + 4


def test_an_object_of_one_part_comes_out_as_it_was_found():
    found = (finding(Occurrence("*", byte_offset=3, line=1, column=4), column="mail"), finding(detector="z.z"))
    assert merged([PartFindings(found, 3, 2)]) == found


def test_behind_a_part_that_was_not_read_no_line_or_record_is_told() -> None:
    place = Occurrence("*", byte_offset=5, line=3, column=1, record_index=2)
    first, last = (
        PartFindings([Finding("pii.email", "pii", 0.9, 1, (replace(place, byte_offset=offset),))], 10, 9)
        for offset in (5, 500)
    )
    (found,) = merged([first, None, last])
    assert found.count == 2
    told = [(one.line, one.record_index, one.byte_offset) for one in found.occurrences]
    assert told == [(3, 2, 5), (None, None, 500)]
