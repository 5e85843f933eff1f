"""Which objects are read, and which prefixes are listed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.coverage import SkipReason
from domain.manifest import Filters, ObjectInfo, distinct_prefixes

prefixes = st.lists(st.text("ab/", max_size=3), max_size=4)


@pytest.mark.parametrize(
    ("key", "types", "reason"),
    [
        ("a/b.csv", {"csv"}, None),
        ("a/b.CSV", {"csv"}, None),
        ("a/b.tar.gz", {"gz"}, None),
        ("a/b.tar.gz", {"tar.gz"}, None),
        ("a/b.tar.gz", {"tar"}, SkipReason.FILE_TYPE),
        ("a/csv", {"csv"}, SkipReason.FILE_TYPE),
        ("a.csv/b", {"csv"}, SkipReason.FILE_TYPE),
        ("a.csv/", {"csv"}, SkipReason.FILE_TYPE),
        ("a/b.xcsv", {"csv"}, SkipReason.FILE_TYPE),
        ("a/b", set(), None),
    ],
)
def test_the_file_type_is_the_ending_of_the_name_in_any_case(
    key: str, types: set[str], reason: SkipReason | None
) -> None:
    assert Filters(frozenset(types)).skip(ObjectInfo(key, 1)) is reason


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (ObjectInfo("k", 0), SkipReason.EMPTY),
        (ObjectInfo("k", 100), None),
        (ObjectInfo("k", 101), SkipReason.TOO_LARGE),
        (ObjectInfo("k", 1, storage_class="GLACIER"), SkipReason.ARCHIVED_STORAGE_CLASS),
        (ObjectInfo("k", 1, storage_class="DEEP_ARCHIVE"), SkipReason.ARCHIVED_STORAGE_CLASS),
        (ObjectInfo("k", 1, storage_class="GLACIER_IR"), None),
        (ObjectInfo("k", 1, storage_class="STANDARD"), None),
        (ObjectInfo("k", 101, storage_class="GLACIER"), SkipReason.ARCHIVED_STORAGE_CLASS),
    ],
)
def test_empty_archived_and_too_large_objects_are_skipped_by_their_listing(
    entry: ObjectInfo, reason: SkipReason | None
) -> None:
    assert Filters(max_object_bytes=100).skip(entry) is reason


def test_without_a_limit_no_object_is_too_large() -> None:
    assert Filters().skip(ObjectInfo("k", 10**15)) is None


@given(configured=prefixes, requested=prefixes, key=st.text("ab/", max_size=5))
def test_a_key_is_listed_once_if_both_sides_want_it_and_never_otherwise(
    configured: list[str], requested: list[str], key: str
) -> None:
    wanted = all(not side or any(key.startswith(prefix) for prefix in side) for side in (configured, requested))
    listed = [prefix for prefix in distinct_prefixes(configured, requested) if key.startswith(prefix)]
    assert len(listed) == wanted


@given(configured=prefixes, requested=prefixes)
def test_the_prefixes_to_list_are_sorted_and_none_lies_below_another(
    configured: list[str], requested: list[str]
) -> None:
    found = distinct_prefixes(configured, requested)
    assert list(found) == sorted(found)
    assert not any(a != b and a.startswith(b) for a in found for b in found)
    assert found == distinct_prefixes(requested, configured)


def test_prefixes_that_never_meet_leave_nothing_to_list() -> None:
    assert distinct_prefixes(["a/"], ["b/"]) == ()
    assert distinct_prefixes([], []) == ("",)
