"""Every operation of the API, as OpenAPI tells it. A test holds this table against the routes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from api import documents as d
from api import schemas as s
from api.audit_operations import AUDIT_OPERATIONS
from api.detector_operations import DETECTOR_OPERATIONS
from api.export_operations import EXPORT_OPERATIONS
from api.history_operations import HISTORY_OPERATIONS
from api.history_schemas import ScanQuery
from api.operation import Operation
from api.retention_operations import RETENTION_OPERATIONS
from api.webhook_operations import WEBHOOK_OPERATIONS

SCANS: Final = "/api/v1/scans"
CONNECTORS: Final = "/api/v1/connectors"


_TENANT: Final[Sequence[Operation]] = (
    Operation(
        "post",
        f"{SCANS}/parallel",
        "startScan",
        "scans",
        "Start a scan of one or more connectors",
        d.Success[d.StartedScan],
        description="The scan is queued; watch it with GET /scans/{scan}. 404 CONNECTOR_NOT_FOUND; 403"
        " TIER_LIMIT_EXCEEDED; 409 CONNECTOR_DISABLED, LLM_NOT_CONFIGURED, and INCREMENTAL_SCAN_RUNNING while another"
        " open incremental scan reads one of the connectors.",
        scope="scans:write",
        body=s.StartScan,
        success=201,
        errors=(400, 404, 409, 413, 415, 422),
        idempotent=True,
    ),
    Operation(
        "get",
        SCANS,
        "listScans",
        "scans",
        "Your scans, newest first",
        d.Listing[d.ListedScan],
        scope="scans:read",
        query=s.ScansQuery,
        errors=(400,),
        conditional=True,
    ),
    Operation(
        "get",
        f"{SCANS}/{{scan}}",
        "getScan",
        "scans",
        "A scan: progress, coverage, workers",
        d.Success[d.Scan],
        description="The ETag is the scan's version. `version` or `at` shows the scan as it was shown then (404"
        " VERSION_NOT_FOUND); with `wait`, the answer comes as soon as the scan is beyond `version`.",
        scope="scans:read",
        query=ScanQuery,
        errors=(400, 404),
        conditional=True,
    ),
    Operation(
        "get",
        f"{SCANS}/{{scan}}/workers",
        "listWorkers",
        "scans",
        "The workers of a scan and what they do now",
        d.Listing[d.Worker],
        scope="scans:read",
        query=s.PageQuery,
        errors=(400, 404),
        conditional=True,
    ),
    Operation(
        "post",
        f"{SCANS}/{{scan}}/cancel",
        "cancelScan",
        "scans",
        "Cancel a scan",
        d.Success[d.CancelledScan],
        description="What was found stays. Repeating it gives the same answer. 409 SCAN_ALREADY_FINISHED for one that"
        " ended otherwise.",
        scope="scans:write",
        body=s.Nothing,
        body_required=False,
        errors=(400, 404, 409, 413, 415),
    ),
    Operation(
        "post",
        f"{SCANS}/{{scan}}/pause",
        "pauseScan",
        "scans",
        "Hand out no more of a scan's work",
        d.Success[d.PausedScan],
        description="What is in work finishes. Repeating it gives the same answer. 409 SCAN_ALREADY_FINISHED.",
        scope="scans:write",
        body=s.Nothing,
        body_required=False,
        errors=(400, 404, 409, 413, 415),
    ),
    Operation(
        "post",
        f"{SCANS}/{{scan}}/resume",
        "resumeScan",
        "scans",
        "Go on with a paused scan",
        d.Success[d.ResumedScan],
        description="Repeating it gives the same answer. 409 SCAN_NOT_PAUSED for one that never was paused,"
        " SCAN_ALREADY_FINISHED for one that has ended.",
        scope="scans:write",
        body=s.Nothing,
        body_required=False,
        errors=(400, 404, 409, 413, 415),
    ),
    Operation(
        "post",
        f"{SCANS}/{{scan}}/redrive",
        "redriveScan",
        "scans",
        "Scan again what failed or remained in a scan that has ended",
        d.Success[d.RedrivenScan],
        description="A new scan, with the options of the other. 404 CONNECTOR_NOT_FOUND when one of the connectors is"
        " gone; 409 SCAN_NOT_FINISHED, NOTHING_TO_REDRIVE, CONNECTOR_CHANGED when a connector points elsewhere by now,"
        " CONNECTOR_DISABLED, INCREMENTAL_SCAN_RUNNING.",
        scope="scans:write",
        body=s.Nothing,
        body_required=False,
        success=201,
        errors=(400, 404, 409, 413, 415, 422),
        idempotent=True,
    ),
    Operation(
        "get",
        f"{SCANS}/{{scan}}/findings",
        "listFindings",
        "scans",
        "What was found, masked, by category, detector and object",
        d.Listing[d.Finding],
        scope="scans:read",
        query=s.FindingsQuery,
        errors=(400, 404, 410),
        conditional=True,
    ),
    Operation(
        "get",
        f"{SCANS}/{{scan}}/objects",
        "listObjects",
        "scans",
        "The ledger: every discovered object and what became of it",
        d.Listing[d.LedgerLine],
        description="With filters a page may be short, or empty, and yet be followed by others: go by has_more.",
        scope="scans:read",
        query=s.ObjectsQuery,
        errors=(400, 404, 410),
        conditional=True,
    ),
    Operation(
        "post",
        CONNECTORS,
        "createConnector",
        "connectors",
        "Make a connector",
        d.Success[d.ConnectorDocument],
        description="Secrets in `config` are sealed and never come back.",
        scope="connectors:write",
        body=s.CreateConnector,
        success=201,
        errors=(400, 409, 413, 415, 422),
        idempotent=True,
    ),
    Operation(
        "get",
        CONNECTORS,
        "listConnectors",
        "connectors",
        "Your connectors, newest first",
        d.Listing[d.ConnectorDocument],
        scope="scans:read",
        query=s.PageQuery,
        errors=(400,),
        conditional=True,
    ),
    Operation(
        "get",
        f"{CONNECTORS}/{{connector}}",
        "getConnector",
        "connectors",
        "One connector",
        d.Success[d.ConnectorDocument],
        scope="scans:read",
        errors=(400, 404),
        conditional=True,
    ),
    Operation(
        "patch",
        f"{CONNECTORS}/{{connector}}",
        "changeConnector",
        "connectors",
        "Change a connector's name, config or status",
        d.Success[d.ConnectorDocument],
        description="409 CONNECTOR_IN_USE for a config that points elsewhere while an open scan reads the connector,"
        " CONNECTOR_CHANGED when another request changed it meanwhile.",
        scope="connectors:write",
        body=s.ChangeConnector,
        errors=(400, 404, 409, 413, 415),
    ),
    Operation(
        "delete",
        f"{CONNECTORS}/{{connector}}",
        "deleteConnector",
        "connectors",
        "Delete a connector and its secrets",
        d.Success[d.DeletedConnector],
        description="409 CONNECTOR_IN_USE while an open scan reads it.",
        scope="connectors:write",
        errors=(400, 404, 409),
    ),
    Operation(
        "post",
        f"{CONNECTORS}/{{connector}}/test",
        "testConnector",
        "connectors",
        "Try to list a connector",
        d.Success[d.TestedConnector],
        description="Takes 15 s at most.",
        scope="connectors:write",
        body=s.Nothing,
        body_required=False,
        errors=(400, 404, 409, 413, 415),
    ),
    *HISTORY_OPERATIONS,
    *AUDIT_OPERATIONS,
    *DETECTOR_OPERATIONS,
    *RETENTION_OPERATIONS,
    *EXPORT_OPERATIONS,
    *WEBHOOK_OPERATIONS,
)

_SERVICE: Final[Sequence[Operation]] = (
    Operation("get", "/healthz", "health", "service", "Whether the process answers", d.Success[d.Health], scope=None),
    Operation(
        "get",
        "/readyz",
        "readiness",
        "service",
        "Whether database, migrations and broker are there",
        d.Success[d.Ready],
        scope=None,
        errors=(503,),
    ),
    Operation(
        "get",
        "/metrics",
        "metrics",
        "service",
        "Figures for Prometheus",
        str,
        scope=None,
        media_types=("text/plain",),
    ),
    Operation("get", "/schema", "schema", "service", "This document", dict[str, Any], scope=None),
    Operation("get", "/asyncapi", "asyncapi", "service", "Events on NATS, as AsyncAPI 3", dict[str, Any], scope=None),
)

OPERATIONS: Final[Sequence[Operation]] = (
    *_TENANT,
    *_SERVICE,
    *(replace(o, path=f"/api/v1{o.path}", operation_id=f"{o.operation_id}UnderBase") for o in _SERVICE),
)
