"""Operations on the history, as OpenAPI tells them."""

from collections.abc import Sequence
from typing import Final

from api import documents as d
from api.history_schemas import EventsQuery, LiveQuery
from api.operation import Operation
from api.schemas import PageQuery

_SCAN: Final = "/api/v1/scans/{scan}"
_EVENTS: Final = "/api/v1/events"

_EITHER: Final = "Needs audit:read or scans:read."
_LIVE: Final = (
    " One event a frame, its `data` what the history has for it. Reconnect with the header Last-Event-ID, or `after`,"
    f" to go on where you stopped. A comment comes every 15 s when nothing else does. {_EITHER}"
)

HISTORY_OPERATIONS: Final[Sequence[Operation]] = (
    Operation(
        "get",
        f"{_SCAN}/events",
        "listScanEvents",
        "history",
        "A scan's history, in order",
        d.Listing[d.Event],
        description=f"With `Accept: application/x-ndjson`: the whole history, one event a line. {_EITHER}",
        scope="audit:read",
        query=PageQuery,
        errors=(400, 404),
        conditional=True,
        media_types=("application/json", "application/x-ndjson"),
    ),
    Operation(
        "get",
        _EVENTS,
        "listEvents",
        "history",
        "Everything that happened to your scans and connectors, in the order of the log",
        d.Listing[d.Event],
        description="With `Accept: application/x-ndjson`: all of it, one event a line. With filters a page may be"
        f" short, or empty, and yet be followed by others: go by has_more. {_EITHER}",
        scope="audit:read",
        query=EventsQuery,
        errors=(400,),
        conditional=True,
        media_types=("application/json", "application/x-ndjson"),
    ),
    Operation(
        "get",
        f"{_SCAN}/events/live",
        "followScan",
        "history",
        "A scan's events as they come, as Server-Sent Events",
        d.Event,
        description="`id` is the version. Begins with the first event and ends with the one that ends the scan; after"
        f" that, 204.{_LIVE}",
        scope="audit:read",
        query=LiveQuery,
        also=204,
        errors=(400, 404),
        media_types=("text/event-stream",),
    ),
    Operation(
        "get",
        f"{_EVENTS}/live",
        "followEvents",
        "history",
        "All your events as they come, as Server-Sent Events",
        d.Event,
        description=f"`id` is the position in the log. Begins with what comes next.{_LIVE}",
        scope="audit:read",
        query=LiveQuery,
        errors=(400,),
        media_types=("text/event-stream",),
    ),
)
