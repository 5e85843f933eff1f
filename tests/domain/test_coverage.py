"""The arithmetic of coverage, exact on the integers."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.coverage import Coverage, EnumerationStatus, FailReason, Outcome, SkipReason, merged

COMPLETE, IN_PROGRESS = EnumerationStatus.COMPLETE, EnumerationStatus.IN_PROGRESS

counts = st.integers(0, 10**18)
skips = st.dictionaries(st.sampled_from([reason.value for reason in SkipReason]), counts, max_size=4)
failures = st.dictionaries(st.sampled_from([reason.value for reason in FailReason]), counts, max_size=4)
outcomes = st.builds(Outcome, scanned=counts, skipped=skips, failed=failures)


def covering(scanned: int, enumerated: int) -> Coverage:
    return Coverage(enumerated=enumerated, scanned=scanned)


@pytest.mark.parametrize(
    ("target", "scanned", "enumerated", "met"),
    [
        (0.8, 4, 5, True),
        (0.8, 3_999_999_999_999_999_999, 5_000_000_000_000_000_000, False),
        (0.8, 4_000_000_000_000_000_000, 5_000_000_000_000_000_000, True),
        (0.3, 3, 10, True),
        (0.1, 1, 10, True),
        (0.7, 7, 10, True),
        (0.1 + 0.2, 3, 10, False),
        (0.29, 29, 100, True),
        (0.57, 57, 100, True),
        (1.0, 5, 5, True),
        (1.0, 10**17 - 1, 10**17, False),
        (0.0, 0, 5, True),
        (1e-05, 1, 100_000, True),
        (1e-05, 0, 100_000, False),
        (1, 5, 5, True),
    ],
)
def test_the_target_is_compared_exactly_as_the_decimal_that_was_written(
    target: float, scanned: int, enumerated: int, met: bool
) -> None:
    assert covering(scanned, enumerated).meets(target, COMPLETE) is met


@given(thousandths=st.integers(0, 1000), enumerated=st.integers(1, 10**24), offset=st.integers(-1, 1))
def test_one_object_decides_at_the_boundary_of_any_target(thousandths: int, enumerated: int, offset: int) -> None:
    least = -(-thousandths * enumerated // 1000)
    scanned = min(max(least + offset, 0), enumerated)
    assert covering(scanned, enumerated).meets(thousandths / 1000, COMPLETE) is (scanned >= least)


@pytest.mark.parametrize(
    ("enumeration", "share"),
    [(COMPLETE, 1), (IN_PROGRESS, 0), (EnumerationStatus.PARTIAL, 0), (EnumerationStatus.FAILED, 0)],
)
def test_nothing_is_covered_wholly_only_when_it_is_known_to_be_nothing(
    enumeration: EnumerationStatus, share: int
) -> None:
    assert Coverage().share(enumeration) == share
    assert Coverage().share_of_eligible(enumeration) == share
    assert Coverage().completeness(enumeration, Fraction(1)) == share


def test_what_was_skipped_lowers_coverage_but_not_that_of_the_eligible() -> None:
    coverage = Coverage(enumerated=10, scanned=6, skipped={SkipReason.EMPTY: 4})
    assert coverage.share(COMPLETE) == Fraction(6, 10)
    assert coverage.share_of_eligible(COMPLETE) == 1


def test_when_everything_is_skipped_all_that_was_eligible_is_covered() -> None:
    assert Coverage(enumerated=3, skipped={SkipReason.EMPTY: 3}).share_of_eligible(IN_PROGRESS) == 1


def test_an_unchanged_object_counts_as_covered_though_it_was_skipped() -> None:
    coverage = Coverage(enumerated=10, scanned=6, skipped={"unchanged": 3, "empty": 1})
    assert coverage.covered == 9
    assert coverage.total_skipped == 4
    assert coverage.share(COMPLETE) == Fraction(9, 10)


def test_completeness_multiplies_coverage_by_what_was_listed_and_what_did_not_fail() -> None:
    coverage = Coverage(enumerated=10, scanned=8, failed={FailReason.NETWORK: 2})
    assert coverage.completeness(EnumerationStatus.PARTIAL, Fraction(1, 2)) == Fraction(8, 10) / 2 * Fraction(8, 10)


@given(found=st.lists(st.tuples(counts, skips), max_size=5), outcomes=st.lists(outcomes, max_size=5))
def test_what_is_added_up_stays_added_up(found: list[tuple[int, dict[str, int]]], outcomes: list[Outcome]) -> None:
    coverage = Coverage()
    for files, skipped in found:
        coverage = coverage.discovered(files + sum(skipped.values()), skipped)
    for outcome in outcomes:
        coverage = coverage.accounted(outcome)
    assert coverage.processed == coverage.scanned + coverage.total_skipped + coverage.total_failed
    assert coverage.remaining == sum(files for files, _ in found) - sum(outcome.files for outcome in outcomes)


@given(left=skips, right=skips)
def test_counts_by_reason_add_up_whether_named_by_text_or_by_reason(
    left: dict[str, int], right: dict[str, int]
) -> None:
    total = merged(left, {SkipReason(reason): count for reason, count in right.items()})
    assert total == {reason: left.get(reason, 0) + right.get(reason, 0) for reason in left.keys() | right.keys()}
