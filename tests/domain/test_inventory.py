"""What earlier scans teach of a connector's objects, and what the next scan makes of it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.chunk import Earlier, plan
from domain.coverage import SkipReason
from domain.inventory import Deleted, KeyRange, Known, Ruleset, Seen, accepted, boundaries
from domain.manifest import Filters, ObjectInfo

ALL = Ruleset("d1")
EMAIL = Ruleset("d1", ("pii.email",))
TWO = Ruleset("d1", ("payment.card", "pii.email"))
NEWER = Ruleset("d2")


def known(
    key: str = "k", etag: str = "e", size: int = 9, rules: Ruleset = ALL, skipped: SkipReason | None = None
) -> Known:
    return Known(key, size, etag, "scan-1", rules, skipped)


@pytest.mark.parametrize(
    ("had", "wanted", "covered"),
    [
        (ALL, ALL, True),
        (ALL, EMAIL, True),
        (TWO, EMAIL, True),
        (EMAIL, EMAIL, True),
        (EMAIL, TWO, False),
        (EMAIL, ALL, False),
        (ALL, NEWER, False),
        (NEWER, ALL, False),
    ],
)
def test_an_object_is_read_again_for_detectors_that_have_not_seen_it(
    had: Ruleset, wanted: Ruleset, covered: bool
) -> None:
    assert had.covers(wanted) is covered
    expected = SkipReason.UNCHANGED if covered else None
    assert known(rules=had).verdict(ObjectInfo("k", 9, "e"), wanted) is expected


@pytest.mark.parametrize("entry", [ObjectInfo("k", 9, "other"), ObjectInfo("k", 8, "e"), ObjectInfo("k", 9, "")])
def test_an_object_that_may_have_changed_is_read_again(entry: ObjectInfo) -> None:
    assert known().verdict(entry, ALL) is None


def test_without_an_etag_on_either_side_nothing_is_known_to_be_the_same() -> None:
    assert known(etag="").verdict(ObjectInfo("k", 9, ""), ALL) is None


def test_an_object_found_to_be_binary_is_binary_again_and_never_unchanged() -> None:
    """Unchanged counts as scanned, and nobody scanned it."""
    assert known(skipped=SkipReason.BINARY).verdict(ObjectInfo("k", 9, "e"), ALL) is SkipReason.BINARY


def test_what_is_unchanged_names_its_scan_and_is_neither_sampled_nor_counted_against_max_files() -> None:
    entries = [ObjectInfo(f"k{n}", 9, "e") for n in range(40)]
    earlier = Earlier({e.key: known(e.key) for e in entries[:30]}, ALL)
    made = plan(entries, first_index=0, filters=Filters(sample_percent=50), room=1, earlier=earlier)
    assert made.skips[:30] == (SkipReason.UNCHANGED,) * 30
    assert made.scanned_by == ("scan-1",) * 30 + ("",) * 10
    assert {SkipReason.NOT_SAMPLED, SkipReason.MAX_FILES, None} == set(made.skips[30:])


def test_a_filter_comes_before_what_is_known() -> None:
    earlier = Earlier({"a.csv": known("a.csv")}, ALL)
    made = plan(
        [ObjectInfo("a.csv", 9, "e")], first_index=0, filters=Filters(frozenset({"txt"})), room=None, earlier=earlier
    )
    assert made.skips == (SkipReason.FILE_TYPE,)
    assert made.scanned_by == ()


keys = st.sampled_from([f"{a}{b}" for a in "abc" for b in "0123"])
fates = st.sampled_from(["scanned", "binary", "failed", "filtered"])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[str, Known], dict[str, tuple[str, str]], list[KeyRange]]:
    """An inventory, what a scan listed (etag and fate by key), and the ranges that it listed whole."""
    old = {key: known(key, etag) for key, etag in draw(st.dictionaries(keys, st.sampled_from("xy"))).items()}
    ranges = draw(
        st.sampled_from([[KeyRange()], [KeyRange("a")], [KeyRange("a"), KeyRange("b")], [KeyRange("", "a2", "b1")], []])
    )
    listed = draw(st.dictionaries(keys, st.tuples(st.sampled_from("xy"), fates)))
    return old, {key: what for key, what in listed.items() if not ranges or any(key in r for r in ranges)}, ranges


@given(world=worlds())
def test_the_new_inventory_holds_what_is_true_of_each_key(
    world: tuple[dict[str, Known], dict[str, tuple[str, str]], list[KeyRange]],
) -> None:
    old, listed, ranges = world
    made = list(accepted([old[key] for key in sorted(old)], [seen(k, *listed[k]) for k in sorted(listed)], ranges))
    entries = {one.key: one for one in made if isinstance(one, Known)}
    gone = {one.key for one in made if isinstance(one, Deleted)}
    assert all(a.key < b.key for a, b in pairwise(made))
    assert gone == {key for key in old if key not in listed and any(key in r for r in ranges)}
    for key in old.keys() | listed.keys():
        assert entries.get(key) == expected(key, old.get(key), listed.get(key), gone)


def seen(key: str, etag: str, fate: str) -> Seen:
    entry = ObjectInfo(key, 9, etag)
    if fate == "filtered":
        return Seen(entry, keeps=True)
    skipped = SkipReason.BINARY if fate == "binary" else None
    return Seen(entry, None if fate == "failed" else Known(key, 9, etag, "scan-2", ALL, skipped))


def expected(key: str, before: Known | None, now: tuple[str, str] | None, gone: set[str]) -> Known | None:
    if now is None:
        return None if key in gone else before
    etag, fate = now
    if fate in {"scanned", "binary"}:
        return seen(key, etag, fate).known
    same = before is not None and before.etag == etag and fate == "filtered"
    return before if same or before is None else before.forgotten


def test_a_forgotten_object_is_read_again_and_still_known_to_have_been_there() -> None:
    entry = ObjectInfo("k", 9, "e")
    (forgotten,) = accepted([known()], [Seen(entry)], [KeyRange()])
    assert isinstance(forgotten, Known)
    assert forgotten.verdict(entry, ALL) is None
    assert list(accepted([forgotten], [], [KeyRange()])) == [Deleted("k")]


@given(keys=st.lists(st.text(max_size=3), unique=True, max_size=50).map(sorted), pieces=st.integers(0, 20))
def test_boundaries_part_the_keys_into_runs_of_about_the_same_length(keys: list[str], pieces: int) -> None:
    cuts = boundaries(keys, pieces)
    assert len(cuts) <= max(0, pieces - 1)
    assert list(cuts) == sorted(set(cuts))
    assert set(cuts) <= set(keys)
    runs = [0, *(keys.index(cut) for cut in cuts), len(keys)]
    lengths = [b - a for a, b in pairwise(runs)]
    if cuts:
        assert max(lengths) - min(lengths) <= 1


@given(keys=st.sets(st.text(max_size=6), max_size=200), percent=st.integers(1, 99), more=st.integers(1, 100))
def test_a_sample_depends_on_the_key_alone_and_a_larger_one_takes_all_of_a_smaller(
    keys: set[str], percent: int, more: int
) -> None:
    small, large = Filters(sample_percent=percent), Filters(sample_percent=max(percent, more))
    taken = {key for key in keys if small.samples(key)}
    assert taken == {key for key in keys if Filters(sample_percent=percent).samples(key)}
    assert taken <= {key for key in keys if large.samples(key)}


def test_a_sample_has_about_the_share_it_was_asked_for() -> None:
    taken = sum(Filters(sample_percent=20).samples(f"logs/2026/{n}.json") for n in range(20_000))
    assert 3_800 < taken < 4_200


@pytest.mark.parametrize(
    ("had", "got", "kept"),
    [(ALL, EMAIL, ALL), (TWO, EMAIL, TWO), (EMAIL, TWO, TWO), (ALL, NEWER, NEWER), (ALL, ALL, ALL)],
)
def test_a_scan_for_few_things_does_not_undo_what_a_wider_one_knew(had: Ruleset, got: Ruleset, kept: Ruleset) -> None:
    entry = ObjectInfo("k", 9, "e")
    (made,) = accepted([known(rules=had)], [Seen(entry, Known("k", 9, "e", "scan-2", got))], [KeyRange()])
    assert isinstance(made, Known)
    assert made.ruleset == kept
    (changed,) = accepted(
        [known(etag="old", rules=had)], [Seen(entry, Known("k", 9, "e", "scan-2", got))], [KeyRange()]
    )
    assert isinstance(changed, Known)
    assert (changed.etag, changed.ruleset) == ("e", got)
