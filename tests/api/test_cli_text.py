"""Values as a person reads them, and rates over a sliding window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cli.text import byte_size, duration, number, percent, printable
from api.cli.watching import Watched


@given(st.text())
def test_whatever_a_key_holds_it_is_shown_in_visible_characters(key: str) -> None:
    assert printable(key).isprintable()


@given(st.text().filter(str.isprintable))
def test_what_is_visible_is_shown_as_it_is(key: str) -> None:
    assert printable(key) == key


@pytest.mark.parametrize(
    ("shown", "value"),
    [("999 B", 999), ("1 KB", 1000), ("1.2 MB", 1_234_567), ("12 MB", 12_345_678), ("3 PB", 3e15), ("5,000 PB", 5e18)],
)
def test_sizes_are_in_decimal_units(shown: str, value: float) -> None:
    assert byte_size(value) == shown


@pytest.mark.parametrize(("shown", "value"), [("100 %", 1.0), ("99.9 %", 0.9999), ("0 %", 0.0), ("33.3 %", 1 / 3)])
def test_what_is_not_whole_never_reads_as_100_percent(shown: str, value: float) -> None:
    assert percent(value) == shown


def test_durations_and_numbers_are_short() -> None:
    assert [duration(seconds) for seconds in (None, 0.4, 59.6, 95.2, 4000)] == ["–", "0:00", "1:00", "1:35", "1:06:40"]
    assert [number(value) for value in (0, 1.25, 9.96, 12.7, 1234567)] == ["0", "1.2", "10.0", "12", "1,234,567"]


def _document(status: str, files: int, seconds: float) -> dict[str, object]:
    progress = {"files_processed": files, "bytes_processed": files * 1000, "elapsed_seconds": seconds}
    return {"status": status, "progress": progress}


def test_a_running_scans_rates_are_those_of_the_last_seconds() -> None:
    scan = Watched("scan-1", "label")
    for second in range(20):
        scan.take(_document("running", files=0 if second < 10 else (second - 10) * 100, seconds=second), None)
        scan.sample(float(second))
    assert scan.rates == (100.0, 100_000.0)


def test_an_ended_scans_rates_are_those_of_the_whole() -> None:
    scan = Watched("scan-1", "label")
    scan.take(_document("completed", files=1000, seconds=20.0), None)
    assert scan.rates == (50.0, 50_000.0)


def test_rates_are_zero_while_nothing_is_known() -> None:
    assert Watched("scan-1", "label").rates == (0.0, 0.0)
