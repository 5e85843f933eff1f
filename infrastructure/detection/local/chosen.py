"""The detectors that a command line asks for: built-in ones by name, and those of rule files."""

from collections.abc import Iterator

import hyperscan

from application.detecting import Wanted
from domain.detectors import Detector, select
from domain.detectors.rulebook import detectors_of
from domain.errors import Fault, Invalid
from infrastructure.detection.checks import CHECKS
from infrastructure.detection.matcher import Matcher


def chosen_detectors(wanted: Wanted) -> tuple[Detector, ...]:
    """The detectors of `wanted`, in order of id. Raises `Invalid` with every fault, named by file and field."""
    try:
        chosen = select(wanted.detectors)
    except KeyError as error:
        raise Invalid([Fault("detectors", f"{error.args[0]} is neither a detector nor a category")]) from None
    own = [detector for source, text in wanted.rules for detector in rules_of(text, source)]
    ids = [detector.id for detector in own]
    taken = {detector.id for detector in select(())}
    faults = [
        Fault(f"{one}.id", "is that of another detector; take one of its own")
        for place, one in enumerate(ids)
        if one in taken or one in ids[:place]
    ]
    if faults:
        raise Invalid(faults)
    return tuple(sorted((*chosen, *own), key=lambda detector: detector.id))


def rules_of(text: str, source: str) -> list[Detector]:
    """The detectors of a rule file, each of which can be run. Raises `Invalid` with every fault."""
    found = detectors_of(text, source)
    faults = [
        Fault(f"{source}.detector[{place}].{fault.field}", fault.message)
        for place, detector in enumerate(found)
        for fault in _faults(detector)
    ]
    if faults:
        raise Invalid(faults)
    return found


def _faults(detector: Detector) -> Iterator[Fault]:
    """Why the engine cannot run this detector."""
    try:
        Matcher([detector])
    except KeyError:
        known = ", ".join(sorted(CHECKS))
        yield Fault("validator", f"there is no check {detector.validator!r}: take {known}, or stdnum.<module>")
    except (ValueError, hyperscan.error) as error:
        yield Fault("patterns", f"cannot be searched for: {error}")
