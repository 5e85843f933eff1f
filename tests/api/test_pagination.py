"""Cursors cannot be made up, altered, or carried over."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.pagination import cursors
from domain.errors import Invalid

KEY = b"k" * 32
PLACE = ["2026-01-31T12:00:00+00:00", "scan-1"]
HERE = cursors(KEY, "tenant", "/scans", {"status": ["running"]})


def refused(cursor: str) -> str:
    with pytest.raises(Invalid) as caught:
        HERE.read(cursor)
    return caught.value.faults[0].field


def test_a_cursor_stands_for_its_place():
    assert HERE.read(HERE.make(PLACE)) == PLACE
    assert HERE.read(None) is None


@pytest.mark.parametrize(
    "other",
    [
        cursors(KEY, "another", "/scans", {"status": ["running"]}),
        cursors(KEY, "tenant", "/scans/scan-1/findings", {"status": ["running"]}),
        cursors(KEY, "tenant", "/scans", {"status": ["failed"]}),
        cursors(KEY, "tenant", "/scans", {}),
        cursors(b"j" * 32, "tenant", "/scans", {"status": ["running"]}),
    ],
)
def test_a_cursor_of_another_tenant_list_filter_or_installation_is_refused(other):
    assert refused(other.make(PLACE)) == "cursor"


def test_a_cursor_with_any_byte_altered_is_refused():
    made = HERE.make(PLACE)
    raw = base64.urlsafe_b64decode(made + "=" * (-len(made) % 4))
    for at in range(len(raw)):
        altered = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        assert refused(base64.urlsafe_b64encode(altered).rstrip(b"=").decode()) == "cursor"


@given(st.text(max_size=100))
def test_no_text_is_taken_for_a_cursor(text: str):
    assert refused(text) == "cursor"
