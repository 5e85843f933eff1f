"""How a scan with nothing left to do has ended (api.md, *Statuses*)."""

from datetime import datetime
from typing import Final

from domain.coverage import CoverageStrategy, EnumerationStatus, FailReason
from domain.scan_events import Completed, Failed, PartiallyCompleted, ScanEvent
from domain.scan_state import EndReason, ScanState

_ACTOR: Final = "system:recorder"


def verdict(scan: ScanState, *, at: datetime, timed_out: bool = False) -> ScanEvent:
    """The event that ends the scan."""
    assert scan.options is not None
    met = scan.coverage.meets(scan.options.coverage_target, scan.enumeration)
    too_little = scan.options.coverage_strategy is CoverageStrategy.STRICT and not met
    if timed_out and (not scan.coverage.covered or too_little):
        return Failed(at=at, actor=_ACTOR, reason=EndReason.TIMED_OUT)
    if scan.enumeration is EnumerationStatus.FAILED:
        return Failed(at=at, actor=_ACTOR, reason=EndReason.LISTING_FAILED)
    if too_little:
        return Failed(at=at, actor=_ACTOR, reason=EndReason.COVERAGE_BELOW_TARGET)
    reason = EndReason.TIMED_OUT if timed_out else _shortfall(scan, met)
    if reason is not None:
        return PartiallyCompleted(at=at, actor=_ACTOR, reason=reason)
    return Completed(at=at, actor=_ACTOR)


def _shortfall(scan: ScanState, met: bool) -> EndReason | None:
    if scan.limit_reached:
        return EndReason.MAX_FILES
    if scan.enumeration is not EnumerationStatus.COMPLETE:
        return EndReason.LISTING_FAILED
    if scan.coverage.failed.get(FailReason.WORKER_LOST):
        return EndReason.OBJECTS_GIVEN_UP
    return None if met else EndReason.COVERAGE_BELOW_TARGET
