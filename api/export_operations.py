"""The operations that give a file, as OpenAPI tells them."""

from collections.abc import Sequence
from typing import Final

from api.findings_export import KINDS
from api.operation import Operation
from api.scan_headers import STATUS_HEADER, VERSION_HEADER
from api.schemas import ExportQuery

EXPORT_OPERATIONS: Final[Sequence[Operation]] = (
    Operation(
        "get",
        "/api/v1/scans/{scan}/findings/export",
        "exportFindings",
        "scans",
        "All findings of a scan, masked, as a file",
        str,
        description="CSV (no cell is a formula), NDJSON, Parquet, OCSF 1.6.0 Data Security Finding (NDJSON) or SARIF"
        " 2.1.0, with the filters of GET /scans/{scan}/findings. A scan may still be running: the headers tell at which"
        " version the export began. Of a file that breaks off, the body has no end (HTTP/1.1: no last chunk).",
        scope="scans:read",
        query=ExportQuery,
        errors=(400, 404, 410),
        media_types=tuple(dict.fromkeys(kind.media_type for kind in KINDS.values())),
        headers={
            "Content-Disposition": "attachment, with the name of the file",
            VERSION_HEADER: "the scan's version when the export began",
            STATUS_HEADER: "its status then",
        },
    ),
)
