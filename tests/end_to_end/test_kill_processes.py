"""`kill -9` of any one process in the middle of a scan changes nothing about what the scan comes to."""

import pytest

from tests.end_to_end.corpus import Corpus
from tests.end_to_end.ring import ROLES, SERVERS, Ring, wait_until
from tests.end_to_end.truths import assert_undisturbed


def in_the_middle(ring: Ring, corpus: Corpus) -> str:
    """A scan with some chunks done, some in work and many to come."""
    scan_id = ring.start_scan(ring.connect_folder(corpus.root))
    wait_until("chunks are done", lambda: ring.count(scan_id, "chunk-completed") >= 2)
    assert not ring.ended(scan_id)
    return scan_id


def test_an_undisturbed_scan_finds_what_was_put_there(ring: Ring, corpus: Corpus) -> None:
    scan_id = ring.start_scan(ring.connect_folder(corpus.root))
    ring.wait_for_end(scan_id)
    assert_undisturbed(ring, scan_id, corpus)


@pytest.mark.parametrize("part", [*SERVERS, *ROLES])
def test_a_scan_survives_the_death_of(part: str, ring: Ring, corpus: Corpus) -> None:
    scan_id = in_the_middle(ring, corpus)
    ring.kill(part)
    ring.start(part)
    ring.wait_for_end(scan_id)
    ring.wait_until_ready()
    assert_undisturbed(ring, scan_id, corpus)


@pytest.mark.torture
def test_a_scan_survives_the_death_of_everything_at_once(ring: Ring, corpus: Corpus) -> None:
    scan_id = in_the_middle(ring, corpus)
    for part in (*ROLES, *SERVERS):
        ring.kill(part)
    ring.make_whole()
    ring.wait_for_end(scan_id)
    assert_undisturbed(ring, scan_id, corpus)


@pytest.mark.torture
def test_a_scan_survives_the_loss_of_all_that_nats_stored(ring: Ring, corpus: Corpus) -> None:
    scan_id = in_the_middle(ring, corpus)
    ring.wipe_nats()
    ring.wait_for_end(scan_id)
    assert_undisturbed(ring, scan_id, corpus)
