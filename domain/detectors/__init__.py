"""The rules: what counts as sensitive. They are data, in `rules/*.toml`; a new detector is one entry there."""

from collections.abc import Iterable, Sequence
from functools import cache

from domain.detectors.rule import Detector, Pattern
from domain.detectors.rulebook import built_in

__all__ = ["Detector", "Pattern", "detectors", "names", "select"]


@cache
def detectors() -> tuple[Detector, ...]:
    """Every built-in detector, in order of its id."""
    return built_in()


def names(own: Sequence[Detector] = ()) -> frozenset[str]:
    """The ids and categories of all detectors: the built-in ones, and a tenant's `own`."""
    return frozenset(name for detector in (*detectors(), *own) for name in (detector.id, detector.category))


def select(wanted: Iterable[str], own: Sequence[Detector] = ()) -> tuple[Detector, ...]:
    """The detectors with these ids or in these categories, in order of id; all of them if no name is given. A tenant's
    `own` come after the built-in ones.

    Raises `KeyError` with the first name that is neither.
    """
    chosen = set(wanted)
    for name in sorted(chosen - names(own)):
        raise KeyError(name)
    return tuple(d for d in (*detectors(), *own) if not chosen or d.id in chosen or d.category in chosen)
