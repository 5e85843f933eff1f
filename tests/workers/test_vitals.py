"""What a child shows its parent without a word."""

import multiprocessing

from workers.vitals import Vitals


def vitals() -> Vitals:
    return Vitals(multiprocessing.get_context("spawn"))


def test_who_reads_nothing_is_at_no_object_and_does_not_stall() -> None:
    idle = vitals()
    assert (idle.reading, idle.stalled_for) == (None, 0.0)


def test_an_object_is_being_read_from_its_beginning_until_the_end_of_the_chunk() -> None:
    shown = vitals()
    for index in (0, 7):
        shown.begin(index)
        assert shown.reading == index
    shown.end()
    assert (shown.reading, shown.stalled_for) == (None, 0.0)


def test_each_sign_that_the_reading_gets_on_begins_the_stall_anew() -> None:
    shown = vitals()
    shown.begin(3)
    while (before := shown.stalled_for) < 0.01:
        pass
    shown.beat()
    assert 0.0 <= shown.stalled_for < before
