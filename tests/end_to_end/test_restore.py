"""PostgreSQL restored from an older base backup, while NATS and the fleet are ahead of it."""

import asyncio
from collections.abc import Callable

import pytest

from application.messages import Telemetry
from infrastructure.messaging.streams import COMMANDS, telemetry_subject
from tests.end_to_end.corpus import Corpus
from tests.end_to_end.ring import ROLES, Ring, wait_until
from tests.end_to_end.simulated import simulated_fleet
from tests.end_to_end.slow_bucket import PREFIXES, SlowBucket
from tests.end_to_end.truths import assert_history_adds_up, assert_undisturbed


def restored_with_all_alive(ring: Ring, restore: Callable[[], None]) -> None:
    restore()


def restored_with_all_started_anew(ring: Ring, restore: Callable[[], None]) -> None:
    for role in ROLES:
        ring.kill(role)
    restore()
    ring.make_whole()


@pytest.mark.parametrize(
    "way", [restored_with_all_alive, pytest.param(restored_with_all_started_anew, marks=pytest.mark.torture)]
)
def test_a_scan_comes_to_the_same_from_a_backup_taken_in_its_middle_and_later_scans_are_gone(
    way: Callable[[Ring, Callable[[], None]], None],
    ring: Ring,
    corpus: Corpus,
    small_corpus: Corpus,
    slow_bucket: SlowBucket,
) -> None:
    bucket, folder = ring.connect_bucket(slow_bucket.config), ring.connect_folder(small_corpus.root)
    scan_id = ring.start_scan(ring.connect_folder(corpus.root))
    wait_until("chunks are done", lambda: ring.count(scan_id, "chunk-completed") >= 2)
    backup = ring.back_up()
    lost = [ring.start_scan(folder), ring.start_scan(bucket, prefixes=PREFIXES)]
    ring.wait_for_end(lost[0])
    wait_until("the bucket is read", lambda: ring.count(lost[1], "chunk-completed"))
    way(ring, lambda: ring.restore(backup))
    ring.wait_for_end(scan_id)
    assert_undisturbed(ring, scan_id, corpus)
    assert [ring.client.get(f"/scans/{scan}").status_code for scan in lost] == [404, 404]
    assert_idle_and_well(ring, folder, small_corpus)


@pytest.mark.torture
@pytest.mark.parametrize(
    "way", [restored_with_all_alive, pytest.param(restored_with_all_started_anew, marks=pytest.mark.torture)]
)
def test_scans_that_had_ended_since_the_backup_end_again_with_the_same(
    way: Callable[[Ring, Callable[[], None]], None],
    ring: Ring,
    corpus: Corpus,
    small_corpus: Corpus,
    slow_bucket: SlowBucket,
) -> None:
    folder = ring.connect_folder(small_corpus.root)
    scan_id = ring.start_scan(ring.connect_folder(corpus.root))
    cancelled = ring.start_scan(ring.connect_bucket(slow_bucket.config), prefixes=PREFIXES)
    wait_until("both are read", lambda: all(ring.count(scan, "chunk-completed") for scan in (scan_id, cancelled)))
    backup = ring.back_up()
    assert ring.cancel(cancelled).status_code == 200
    ring.wait_for_end(scan_id)
    way(ring, lambda: ring.restore(backup))
    for scan in (scan_id, cancelled):
        ring.wait_for_end(scan)
    assert_undisturbed(ring, scan_id, corpus)
    # It was cancelled in a log that is no more.
    assert ring.shown(cancelled)["status"] == "completed"
    assert_idle_and_well(ring, folder, small_corpus)


@pytest.mark.torture
def test_a_listing_goes_on_from_a_backup_taken_in_its_middle(ring: Ring, small_corpus: Corpus) -> None:
    """What its worker reports next follows batches that the log has lost."""
    ring.kill("scanner")
    with simulated_fleet(ring, files=40_000, list_seconds=8.0) as fleet:
        scan_id = ring.start_scan(ring.connect_folder(small_corpus.root))
        wait_until("some of it is listed", lambda: ring.count(scan_id, "objects-listed") >= 5)
        backup = ring.back_up()
        kept = ring.count(scan_id, "objects-listed")
        wait_until("more is listed", lambda: ring.count(scan_id, "objects-listed") >= kept + 3)
        ring.restore(backup)
        ring.wait_for_end(scan_id)
    assert_history_adds_up(ring, scan_id)
    shown = ring.shown(scan_id)
    assert (shown["status"], shown["coverage"]["total_scanned"]) == ("completed", 40_000)
    assert fleet.listings == 2


@pytest.mark.torture
def test_commands_for_a_scan_that_is_gone_hold_up_no_slot(
    ring: Ring, slow_bucket: SlowBucket, small_corpus: Corpus
) -> None:
    """Nobody gives out credentials for such a scan any more, and its workers would wait for them."""
    bucket, folder = ring.connect_bucket(slow_bucket.config), ring.connect_folder(small_corpus.root)
    backup = ring.back_up()
    ring.kill("scanner")
    ring.start_scan(bucket, prefixes=PREFIXES)
    wait_until("its listings wait for a worker", lambda: asyncio.run(_commands(ring)) == len(PREFIXES))
    ring.restore(backup)
    ring.start("scanner")
    assert_idle_and_well(ring, folder, small_corpus)


def assert_idle_and_well(ring: Ring, folder: str, corpus: Corpus) -> None:
    """No worker is held up by what was lost, and another scan goes as it should."""
    ring.wait_until_quiet()
    wait_until("no slot has work", lambda: asyncio.run(_idle(ring)))
    scan_id = ring.start_scan(folder)
    ring.wait_for_end(scan_id)
    assert_undisturbed(ring, scan_id, corpus)


async def _commands(ring: Ring) -> int:
    async with ring.broker() as broker:
        return int((await broker.jetstream.stream_info(COMMANDS)).state.messages)


async def _idle(ring: Ring) -> bool:
    """Whether the next that a scanner says of itself is that it does nothing."""
    async with ring.broker() as broker:
        told = await broker.client.subscribe(telemetry_subject("*"))
        return not Telemetry.model_validate_json((await told.next_msg(timeout=10)).data).work
