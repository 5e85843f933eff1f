"""What is left of a frame when some of it was counted keeps its place in the text."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.detection.condensed import LEFT, Condensed, condensed
from infrastructure.formats.window import Frame

BASE = 1000


def without(lengths: list[int], widths: list[int]) -> Condensed:
    """A row `a<cell>,<cell>…b` for each run of cells; all cells are counted, none is empty."""
    data, starts, ends = b"", [], []
    for length in lengths:
        data += b"a"
        for width in widths[:length]:
            starts.append(len(data))
            data += b"x" * width
            ends.append(len(data))
            data += b","
        data = data[:-1] + b"b"
    frame = Frame(data, BASE, BASE, BASE + len(data), BASE + len(data), last=True)
    cells = [(np.array([True]), np.array([start]), np.array([end])) for start, end in zip(starts, ends, strict=True)]
    return condensed(frame, BASE, cells, lambda text, end, begin: (begin == end + 1) & (text[end] == ord(",")))


RUNS = st.lists(st.integers(1, 4), min_size=1, max_size=6)
WIDTHS = st.lists(st.integers(1, 40), min_size=4, max_size=4)


@given(lengths=RUNS, widths=WIDTHS)
def test_of_neighbours_that_were_counted_a_few_blanks_are_left_and_all_else_stays(lengths, widths):
    expected = b"".join(b"a" + b" " * min(sum(widths[:length]) + length - 1, LEFT) + b"b" for length in lengths)
    assert without(lengths, widths).data == expected


@given(lengths=RUNS, widths=WIDTHS)
def test_what_is_left_is_told_where_it_stood(lengths, widths):
    left = without(lengths, widths)
    origins = left.origins(range(len(left.data)))
    assert [left.before(origin) for origin in origins] == list(range(len(left.data)))
    stood = bytes(left.frame.data[origin - BASE] for origin in origins)
    assert stood.replace(b"x", b" ").replace(b",", b" ") == left.data
    assert left.before(BASE + len(left.frame.data)) == len(left.data)
