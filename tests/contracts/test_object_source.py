"""What every source of objects guarantees, on real servers and real folders."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from application.ports import ObjectSource
from domain.coverage import FailReason
from domain.errors import ObjectUnreadable, SourceMissing
from domain.manifest import ObjectInfo
from infrastructure.connectors.registry import SourcePolicy, open_source
from tests.fixtures_s3 import ANY_ENDPOINT, Bucket


class Place(Protocol):
    """Somewhere objects can be put for a source to find them."""

    def put(self, key: str, body: bytes) -> None: ...
    def delete(self, key: str) -> None: ...
    def source(self) -> ObjectSource: ...
    def absent_source(self) -> ObjectSource: ...


class BucketPlace:
    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.put, self.delete, self.source = bucket.put, bucket.delete, bucket.source

    def absent_source(self) -> ObjectSource:
        settings = {**self._bucket.settings, "bucket": "there-is-none"}
        return open_source("s3", settings, self._bucket.credentials, ANY_ENDPOINT)


class FolderPlace:
    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, body: bytes) -> None:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(path.name + ".new")
        new.write_bytes(body)
        new.replace(path)

    def delete(self, key: str) -> None:
        (self._root / key).unlink()

    def source(self) -> ObjectSource:
        return open_source("filesystem", {"root": str(self._root)}, policy=SourcePolicy((self._root,)))

    def absent_source(self) -> ObjectSource:
        root = self._root / "there-is-none"
        return open_source("filesystem", {"root": str(root)}, policy=SourcePolicy((self._root,)))


@pytest.fixture(params=["s3", "filesystem"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "s3":
        return BucketPlace(request.getfixturevalue("bucket"))
    return FolderPlace(tmp_path)


@pytest.fixture
def source(place: Place) -> Iterator[ObjectSource]:
    with closing(place.source()) as opened:
        yield opened


def listed(source: ObjectSource, prefix: str = "", after: str = "", until: str = "") -> list[ObjectInfo]:
    return [entry for page in source.list_pages(prefix, after, until) for entry in page]


def keys(source: ObjectSource, prefix: str = "", after: str = "", until: str = "") -> list[str]:
    return [entry.key for entry in listed(source, prefix, after, until)]


def content(source: ObjectSource, entry: ObjectInfo, start: int = 0, stop: int | None = None) -> bytes:
    with source.open_object(entry, start=start, stop=stop) as stream:
        blocks = []
        while block := stream.read(100_000):
            blocks.append(block)
        return b"".join(blocks)


def reason_of(source: ObjectSource, entry: ObjectInfo) -> FailReason:
    with pytest.raises(ObjectUnreadable) as caught:
        content(source, entry)
    return caught.value.reason


AWKWARD = [
    "a b.txt",
    "a%20b.txt",
    "a+b.txt",
    "a-b.txt",
    "a.txt",
    "a/b.txt",
    "a/b/c.txt",
    "a0.txt",
    "amp&=?#.txt",
    "ctrl\x01\x7f.txt",
    "line\nbreak.txt",
    "quote'\"<x>.txt",
    "tab\t.txt",
    "~tilde*(1)!.txt",
    "trailing ",
    "back\\slash",
    "é/ü.txt",
    "日本/語.txt",
    "😀.txt",
]


def test_every_object_is_listed_once_in_byte_order_of_its_key(place, source):
    for key in AWKWARD:
        place.put(key, key.encode())
    assert keys(source) == sorted(AWKWARD, key=str.encode)


def test_every_listed_object_is_read_back_exactly(place, source):
    for key in AWKWARD:
        place.put(key, key.encode())
    assert {e.key: content(source, e) for e in listed(source)} == {key: key.encode() for key in AWKWARD}


def test_a_listing_goes_on_after_any_key_present_or_not(place, source):
    for key in AWKWARD:
        place.put(key, b"x")
    ordered = sorted(AWKWARD)
    for after in [*ordered, "a/b", "a/b/", "a/b/c.txt0", "a/", "~~", "\U0010ffff"]:
        assert keys(source, after=after) == [key for key in ordered if key > after], after


def test_a_prefix_may_end_anywhere_in_a_key(place, source):
    for key in AWKWARD:
        place.put(key, b"x")
    ordered = sorted(AWKWARD)
    for prefix in ["a", "a/", "a/b", "a/b/", "a/b/c.txt", "é", "line\n", "b", "a%", "/", "../", "a//"]:
        assert keys(source, prefix) == [key for key in ordered if key.startswith(prefix)], prefix
    assert keys(source, "a/", after="a/b.txt") == ["a/b/c.txt"]


def test_pages_hold_at_most_a_thousand_and_lose_nothing(place, source):
    expected = [f"many/{number:05}" for number in range(1101)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: place.put(key, b"x"), expected))
    pages = list(source.list_pages("many/"))
    assert max(map(len, pages)) <= 1000
    assert [entry.key for page in pages for entry in page] == expected


CUTS = [*AWKWARD, "A", "a", "a/", "a/b", "a/b/", "a/b/c.txt\0", "a0", "\uffff", "\U00010000", "~~", "\U0010ffff"]


def filled(place: Place) -> list[str]:
    for key in AWKWARD:
        place.put(key, b"x")
    return sorted(AWKWARD)


def test_the_ranges_between_any_sorted_cuts_give_the_whole_listing_once(place, source):
    ordered = filled(place)

    @settings(max_examples=60)
    @given(cuts=st.lists(st.sampled_from(CUTS), max_size=6).map(sorted))
    @example(cuts=sorted(CUTS))
    def law(cuts: list[str]) -> None:
        ranges = [keys(source, "", after, until) for after, until in pairwise(["", *cuts, ""])]
        assert [key for part in ranges for key in part] == ordered

    law()


def test_a_range_ends_with_its_last_key_present_or_not_and_within_the_prefix(place, source):
    ordered = filled(place)
    for until in CUTS:
        assert keys(source, until=until) == [key for key in ordered if key <= until], until
        below = [key for key in ordered if key.startswith("a/") and "a/b" < key <= until]
        assert keys(source, "a/", "a/b", until) == below, until


def test_a_range_that_ends_where_it_begins_is_empty(place, source):
    filled(place)
    assert keys(source, after="a.txt", until="a.txt") == []
    assert keys(source, after="a0.txt", until="a.txt") == []
    assert source.prefixes("", "é/", "é/") == []


def test_a_range_may_end_within_a_page_at_its_end_or_behind_it(place, source):
    expected = [f"many/{number:05}" for number in range(1101)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: place.put(key, b"x"), expected))
    for count in (1, 999, 1000, 1001, 1100, 1101):
        assert keys(source, until=expected[count - 1]) == expected[:count]
    assert keys(source, after=expected[49], until=expected[1074]) == expected[50:1075]


def test_prefixes_are_those_one_level_below_in_order(place, source):
    filled(place)
    assert source.prefixes("") == ["a/", "é/", "日本/"]
    assert source.prefixes("a") == ["a/"]
    assert source.prefixes("a/") == ["a/b/"]
    assert source.prefixes("é/") == source.prefixes("no/such/") == source.prefixes("no") == []


def test_prefixes_sort_within_the_range(place, source):
    filled(place)
    for after in ["", *CUTS]:
        for until in ["", *CUTS]:
            found = source.prefixes("", after, until)
            expected = [p for p in ["a/", "a/b/", "é/", "日本/"] if p > after and (not until or p <= until)]
            assert set(found) <= set(expected), (after, until)
    assert source.prefixes("", after="a/") == source.prefixes("", after="a/b/c.txt") == ["é/", "日本/"]
    assert source.prefixes("", until="日本") == ["a/", "é/"]


def test_a_listing_divided_at_its_prefixes_is_whole(place, source):
    ordered = filled(place)
    for cut in source.prefixes(""):
        before, behind = keys(source, until=cut), keys(source, after=cut)
        assert before + behind == ordered
        assert not [key for key in before if key.startswith(cut)]
        assert [key for key in behind if key.startswith(cut)]


def test_a_single_prefix_is_entered_until_the_keys_divide(place, source):
    for key in ["data/2024/logs/a/1", "data/2024/logs/b/2", "data/2024/logs/c/d/3"]:
        place.put(key, b"x")
    divided = ["data/2024/logs/a/", "data/2024/logs/b/", "data/2024/logs/c/"]
    assert source.prefixes("") == source.prefixes("da") == source.prefixes("data/2024/") == divided
    assert source.prefixes("", after="data/2024/logs/a/0") == divided[1:]
    assert source.prefixes("", until="data/2024/logs/b/2") == divided[:2]
    place.put("data/2025/x", b"x")
    assert source.prefixes("") == ["data/2024/", "data/2025/"]
    place.put("other", b"x")
    assert source.prefixes("") == ["data/"]


def test_no_more_than_five_levels_are_entered(place, source):
    place.put("1/2/3/4/5/6/7", b"x")
    place.put("1/2/3/4/5/8/9", b"x")
    assert source.prefixes("") == ["1/2/3/4/5/"]
    assert source.prefixes("1/") == ["1/2/3/4/5/6/", "1/2/3/4/5/8/"]


def test_the_first_thousand_prefixes_are_given(place, source):
    names = [f"{number:04}" for number in range(1002)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: place.put(f"{name}/x", b"x"), names))
    assert source.prefixes("") == [f"{name}/" for name in names[:1000]]


def test_an_entry_tells_size_and_time_and_a_new_content_gets_a_new_etag(place, source):
    place.put("file", b"first")
    before = listed(source)[0]
    place.put("file", b"other")
    after = listed(source)[0]
    assert (before.size, after.size) == (5, 5)
    assert before.etag != after.etag
    assert after.last_modified is not None
    assert after.last_modified.tzinfo is not None


def test_nothing_is_an_empty_listing(source):
    source.check()
    assert keys(source) == []


def test_what_does_not_exist_is_missing(place):
    with closing(place.absent_source()) as source:
        with pytest.raises(SourceMissing):
            source.check()
        with pytest.raises(SourceMissing):
            listed(source)
        with pytest.raises(SourceMissing):
            source.prefixes("")


def test_an_empty_object_reads_as_nothing(place, source):
    place.put("empty", b"")
    assert content(source, listed(source)[0]) == b""


def test_a_large_object_comes_whole_and_in_order(place, source):
    body = os.urandom(3 * 1024 * 1024 + 7)
    place.put("large", body)
    assert content(source, listed(source)[0]) == body


@pytest.mark.parametrize("size", [1000, 2 * 1024 * 1024])
def test_a_range_is_exact_and_ends_with_the_object(place, source, size):
    body = os.urandom(size)
    place.put("file", body)
    entry = listed(source)[0]
    for start, stop in [(0, 1), (1, size), (size - 1, None), (0, size + 99), (7, 7), (size, None), (10, 900)]:
        assert content(source, entry, start, stop) == body[start:stop], (start, stop)


def test_a_vanished_object_is_not_found(place, source):
    place.put("small", b"x")
    place.put("large", bytes(2 * 1024 * 1024))
    entries = listed(source)
    for entry in entries:
        place.delete(entry.key)
    assert [reason_of(source, entry) for entry in entries] == [FailReason.NOT_FOUND] * 2


@pytest.mark.parametrize("size", [10, 2 * 1024 * 1024])
def test_an_object_replaced_since_its_listing_has_changed(place, source, size):
    place.put("file", bytes(size))
    entry = listed(source)[0]
    place.put("file", b"\1" * size)
    assert reason_of(source, entry) is FailReason.CHANGED_DURING_READ


def test_an_object_of_another_size_has_changed_even_without_an_etag(place, source):
    place.put("file", b"12345")
    entry = replace(listed(source)[0], etag="", size=4)
    assert reason_of(source, entry) is FailReason.CHANGED_DURING_READ


def test_eight_threads_read_their_own_objects(place, source):
    for number in range(40):
        place.put(f"{number:02}", f"content {number}".encode() * 100)
    entries = listed(source)
    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(lambda entry: content(source, entry), entries))
    assert bodies == [f"content {number}".encode() * 100 for number in range(40)]
