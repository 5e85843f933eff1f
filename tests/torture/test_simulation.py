"""Very large scans and very many workers, on a virtual clock: see `benchmarks/simulation.py`."""

from collections.abc import Iterator

import pytest

from benchmarks.installation import Installation, installed
from benchmarks.simulation import FAIRNESS_AIM, MAKESPAN_AIM, Bucket, Outcome, simulated

MAX_MEMORY = 300 * 10**6


@pytest.fixture(scope="module")
def service() -> Iterator[Installation]:
    with installed() as running:
        yield running


def told(name: str, outcome: Outcome) -> Outcome:
    print(f"{name}: {outcome}")
    return outcome


def run(service: Installation, buckets: list[Bucket], workers: int) -> Outcome:
    """Raises RuntimeError unless every object of every scan is accounted for."""
    with service.database() as connection:
        return simulated(service, connection, buckets, workers=workers)


@pytest.mark.torture
def test_skewed_objects_are_spread_over_the_fleet_almost_as_well_as_they_can_be(service: Installation) -> None:
    outcome = told("makespan", run(service, [Bucket(pages=10, median=200_000, sigma=2.5)], workers=20))
    assert outcome.makespan <= MAKESPAN_AIM * outcome.ideal


@pytest.mark.torture
@pytest.mark.timeout(400)
def test_five_million_objects_are_all_accounted_for_in_little_memory(service: Installation) -> None:
    outcome = told("scale", run(service, [Bucket(pages=5_000, median=500, sigma=2.0)], workers=1_000))
    assert outcome.grown < MAX_MEMORY
    assert outcome.database / outcome.objects < 64


@pytest.mark.torture
@pytest.mark.timeout(400)
def test_fifty_scans_at_once_have_equal_shares(service: Installation) -> None:
    buckets = [Bucket(pages=12, median=50_000, sigma=2.0, seed=seed) for seed in range(50)]
    outcome = told("fairness", run(service, buckets, workers=200))
    assert max(outcome.held.values()) <= FAIRNESS_AIM * min(outcome.held.values())
