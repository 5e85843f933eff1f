"""Objects as compressed columns."""

import base64
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from application.object_columns import decode, encode, from_text, to_text
from domain.coverage import SkipReason
from domain.manifest import ObjectInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["\0", "a\nb", "..", "x//y", "é"]
)
moments = st.builds(lambda n: EPOCH + timedelta(microseconds=n), st.integers(0, 7 * 10**15))
entries = st.builds(ObjectInfo, texts, st.integers(0, 2**62), texts, st.none() | moments, texts)


@given(objects=st.lists(entries, max_size=20))
def test_objects_with_any_keys_and_dates_come_back_as_they_were(objects: list[ObjectInfo]) -> None:
    assert decode(encode(objects)) == (objects, [], [])
    assert from_text(to_text(objects)) == objects
    assert to_text(objects).isascii()


planned = st.tuples(entries, st.none() | st.sampled_from(SkipReason), st.sampled_from(["", "scan-1", "scan-2"]))


@given(rows=st.lists(planned, min_size=1, max_size=20))
def test_what_planning_decided_comes_back_beside_its_object(
    rows: list[tuple[ObjectInfo, SkipReason | None, str]],
) -> None:
    objects, skips, scanned_by = ([row[place] for row in rows] for place in range(3))
    assert decode(encode(objects, skips, scanned_by)) == (objects, skips, scanned_by)
    assert decode(encode(objects, skips)) == (objects, skips, [])


def test_a_block_written_before_there_were_earlier_scans_is_read() -> None:
    assert decode(packed(["a"], [1], ["e"], [None], [""], ["empty"])) == (
        [ObjectInfo("a", 1, "e")],
        [SkipReason.EMPTY],
        [],
    )


def test_ordinary_listings_take_about_fifty_bytes_an_object() -> None:
    at = datetime(2025, 6, 1, tzinfo=UTC)
    objects = [
        ObjectInfo(
            f"logs/2025/06/01/host-{n % 7}/part-{n:05}.json.gz", 1000 + n * 37, f'"{n * 7919:032x}"', at, "STANDARD"
        )
        for n in range(1000)
    ]
    assert len(encode(objects)) < 60 * 1000


def test_dispositions_must_be_as_many_as_objects() -> None:
    two = [ObjectInfo("a", 1), ObjectInfo("b", 1)]
    with pytest.raises(ValueError, match="1 dispositions and 0 earlier scans for 2 objects"):
        encode(two, [None])
    with pytest.raises(ValueError, match="2 dispositions and 1 earlier scans for 2 objects"):
        encode(two, [None, None], ["scan-1"])


def packed(*columns: object) -> bytes:
    return zstandard.compress(msgspec.msgpack.encode(columns))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no block",
        zstandard.compress(b"no columns"),
        encode([ObjectInfo("a", 1)])[:-3],
        packed(["a"], [1], [""], [None]),
        packed(["a", "b"], [1], [""], [None], [""]),
        packed([1], [1], [""], [None], [""]),
        packed(["a"], ["1"], [""], [None], [""]),
        packed(["a"], [1], [""], [1e300], [""]),
        packed(["a"], [1], [""], [1e13], [""]),
        packed(["a"], [1], [""], [float("nan")], [""]),
        packed(["a"], [1], [""], [None], [""], ["no_reason"]),
        packed(["a"], [1], [""], [None], [""], [None, None]),
        packed(["a"], [1], [""], [None], [""], ["unchanged"], ["scan-1"], [1]),
        packed(["a"], [1], [""], [None], [""], ["unchanged"], ["scan-1"], [0, 0]),
        packed(["a" * 65 * 1024 * 1024], [1], [""], [None], [""]),
        zstandard.ZstdCompressor(write_content_size=False).compress(bytes(65 * 1024 * 1024)),
    ],
)
def test_what_is_no_block_of_objects_is_refused_within_bounds(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 — each fault has its own words
        decode(data)
    with pytest.raises(ValueError):  # noqa: PT011 — each fault has its own words
        from_text(base64.b64encode(data).decode())


@pytest.mark.parametrize("text", ["*", "abc", "äöü", "AAAA\n"])
def test_text_that_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 — each fault has its own words
        from_text(text)
