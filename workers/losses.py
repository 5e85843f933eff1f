"""Work that came to nothing, and how that is reported."""

from dataclasses import dataclass
from datetime import datetime

from application.messages import ChunkFailed, Command, ListingFailed, ListUnit, Report
from domain.scan import LostReason


@dataclass(frozen=True, slots=True)
class Loss:
    """Why work came to nothing, and which object was being read, if that is known."""

    reason: LostReason
    suspect: int | None = None


def loss_report(command: Command, worker: str, loss: Loss, started_at: datetime | None) -> Report:
    """`started_at` is None where the work had not begun, as far as is known."""
    if isinstance(command, ListUnit):
        return ListingFailed(
            scan=command.scan,
            worker=worker,
            unit=command.unit,
            attempt=command.attempt,
            reason=loss.reason,
            detail="the worker was lost or stopped before the listing came to its end",
            permanent=False,
        )
    return ChunkFailed(
        scan=command.scan,
        worker=worker,
        chunk=command.chunk,
        attempt=command.attempt,
        plan=command.plan,
        reason=loss.reason,
        started_at=started_at,
        suspect=loss.suspect,
    )
