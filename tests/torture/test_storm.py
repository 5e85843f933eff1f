"""Faults of every kind, one upon the other, while scans of known truth go on: each of them comes to that truth."""

import os
from collections.abc import Sequence
from pathlib import Path
from random import Random, SystemRandom

import pytest

from domain.scan import Status
from infrastructure.postgres.replay import rebuild
from infrastructure.s3_server import S3Server
from tests.torture.checks import Told, assert_true
from tests.torture.clients import Clients
from tests.torture.faults import QUICK, Planned, plan
from tests.torture.figures import longest_recovery, report
from tests.torture.storm import Storm, open_clients, open_reach

GIVEN_SEED = os.environ.get("STORM_SEED")
"""The seed is printed with the figures; given again it brings the same faults and scans."""

LATEST_END_SECONDS = 90.0
"""After everything is whole again, every scan must have ended within so long."""

LONGEST_RECOVERY_SECONDS = 60.0
"""From any fault to the next thing recorded, however many more faults came in between."""


@pytest.fixture
def readable(tmp_path: Path) -> Path:
    (tmp_path / "readable").mkdir()
    return tmp_path / "readable"


@pytest.mark.torture
@pytest.mark.timeout(720)
def test_two_hundred_faults_change_nothing_about_what_scans_come_to(
    tmp_path: Path, readable: Path, s3_server: S3Server
) -> None:
    seed = int(GIVEN_SEED or SystemRandom().randrange(1_000_000))
    rng = Random(seed)
    with (
        open_reach(tmp_path / "ring", readable, s3_server, rng) as reach,
        open_clients(reach, readable, s3_server, rng, size=4, together=4, slow=True) as clients,
    ):
        told = weathered(Storm(reach, Random(rng.random())), clients, seed, plan(rng, 200, pause=1.4))
    assert len(told) >= 20
    assert any(one.progress.view.status is Status.CANCELLED for one in told)


@pytest.mark.timeout(120)
@pytest.mark.torture
def test_a_few_faults_of_every_sort_change_nothing_about_what_scans_come_to(
    tmp_path: Path, readable: Path, s3_server: S3Server
) -> None:
    seed = int(GIVEN_SEED or 3)
    rng = Random(seed)
    with (
        open_reach(tmp_path / "ring", readable, s3_server, rng) as reach,
        open_clients(reach, readable, s3_server, rng, size=1, together=3, slow=False) as clients,
    ):
        told = weathered(
            Storm(reach, Random(rng.random())), clients, seed, plan(rng, 15, pause=0.5, kinds=QUICK, haste=3)
        )
    assert len(told) >= 3


def weathered(storm: Storm, clients: Clients, seed: int, faults: Sequence[Planned]) -> Sequence[Told]:
    """What is told of the scans that went on through these faults, once it was found to be true."""
    print(f"\nSTORM_SEED={seed}")
    ring = storm.reach.ring
    clients.start()
    storm.run(faults)
    clients.stop()
    clients.join(LATEST_END_SECONDS)
    ring.wait_until_quiet()
    told = [Told(ring, started) for started in clients.scans]
    failed = [one.mood for one in storm.reach.s3.failed]
    print(report(seed, storm.journal, told, ring, failed))
    untrue = list(filter(None, map(_untruth, told)))
    if untrue:
        raise ExceptionGroup(f"{len(untrue)} of {len(told)} scans; STORM_SEED={seed}", untrue)
    recovery = longest_recovery(storm.journal.struck, told)
    assert recovery is None or recovery.seconds < LONGEST_RECOVERY_SECONDS
    assert rebuild(ring.database_url).differing == 0
    assert {row[0] for row in ring.rows("SELECT scan_id FROM scan_views")} == {one.scan_id for one in told}
    return told


def _untruth(told: Told) -> Exception | None:
    """What is not as it should be, so that all of it is told and not the first."""
    try:
        assert_true(told)
    except AssertionError as error:
        error.add_note(f"{told.scan_id} of {[source.name for source in told.started.sources]}")
        return error
    return None
