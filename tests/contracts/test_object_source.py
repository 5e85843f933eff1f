"""What every source of objects guarantees, on real servers and real folders."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

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


def listed(source: ObjectSource, prefix: str = "", after: str = "") -> list[ObjectInfo]:
    return [entry for page in source.list_pages(prefix, after) for entry in page]


def keys(source: ObjectSource, prefix: str = "", after: str = "") -> list[str]:
    return [entry.key for entry in listed(source, prefix, after)]


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
