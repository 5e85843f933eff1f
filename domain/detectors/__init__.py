"""The rules: what counts as sensitive. A new detector is one entry in its family's module."""

from collections.abc import Iterable
from typing import Final

from domain.detectors.network import NETWORK
from domain.detectors.payment import PAYMENT
from domain.detectors.pii import PII
from domain.detectors.rule import Detector, Pattern
from domain.detectors.secrets import SECRETS

__all__ = ["Detector", "Pattern", "detectors", "select"]

_ALL: Final[tuple[Detector, ...]] = tuple(
    sorted((*PII, *PAYMENT, *NETWORK, *SECRETS), key=lambda detector: detector.id)
)


def detectors() -> tuple[Detector, ...]:
    """Every detector, in order of its id."""
    return _ALL


def select(names: Iterable[str]) -> tuple[Detector, ...]:
    """The detectors with these ids or in these categories, in order of id; all of them if no name is given.

    Raises `KeyError` with the first name that is neither.
    """
    wanted = set(names)
    known = {detector.id for detector in _ALL} | {detector.category for detector in _ALL}
    for name in sorted(wanted - known):
        raise KeyError(name)
    return tuple(d for d in _ALL if not wanted or d.id in wanted or d.category in wanted)
