"""What is said instead of data that was erased."""

from api.errors import Refused
from application.progress import ScanView
from application.scan_documents import moment


def refuse_erased(view: ScanView) -> None:
    """Raises `Refused` 410 for a scan whose data is erased: an empty answer would look as if nothing had been found."""
    at = moment(view.erased_at)
    if at is None:
        return
    scan, by = view.scan_id, view.erased_by
    message = f"What scan {scan} found and looked at was erased at {at} by {by}; its history and sums are still told."
    raise Refused(410, "DATA_ERASED", message, {"scan_id": scan, "erased_at": at, "erased_by": by})
