"""The operations of erasure and of the record of accesses."""

from collections.abc import Sequence
from typing import Final

from api import documents as d
from api import retention_schemas as r
from api.operation import Operation

RETENTION_OPERATIONS: Final[Sequence[Operation]] = (
    Operation(
        "delete",
        "/api/v1/scans/{scan}/data",
        "eraseScanData",
        "scans",
        "Erase what a scan found and looked at",
        d.Success[r.ErasedScan],
        description="Its history and sums stay; reads of its findings and objects answer 410 DATA_ERASED from here on."
        " What is `erasing` goes on by itself; repeating the request tells how it stands. 409 SCAN_NOT_FINISHED, and"
        " SCAN_IN_USE while an open redrive needs what it listed.",
        scope="scans:write",
        errors=(400, 404, 409),
    ),
    Operation(
        "delete",
        "/api/v1/connectors/{connector}/data",
        "eraseConnectorData",
        "connectors",
        "Erase the data of all scans of a connector",
        d.Success[r.ErasedConnector],
        description="A scan of several connectors is erased whole. The connector itself stays; one that was deleted"
        " can still be erased. 409 CONNECTOR_IN_USE while an open scan reads it.",
        scope="connectors:write",
        errors=(400, 404, 409),
    ),
    Operation(
        "get",
        "/api/v1/audit/access",
        "listAccess",
        "audit",
        "Who read findings and history, newest first",
        d.Listing[r.AccessDocument],
        description="Each read of findings, ledgers and history is recorded before it is answered, this one too.",
        scope="audit:read",
        query=r.AccessQuery,
        errors=(400,),
        conditional=True,
    ),
)
