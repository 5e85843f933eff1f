"""The operations on detectors and allow lists."""

from collections.abc import Sequence
from typing import Final

from api import detector_documents as r
from api import detector_schemas as w
from api import documents as d
from api import schemas as s
from api.operation import Operation

DETECTORS: Final = "/api/v1/detectors"
ALLOW_LIST: Final = "/api/v1/allow-list"

DETECTOR_OPERATIONS: Final[Sequence[Operation]] = (
    Operation(
        "get",
        DETECTORS,
        "listDetectors",
        "detectors",
        "What is looked for: what is built in, and your own detectors",
        r.Detectors,
        errors=(400,),
        conditional=True,
    ),
    Operation(
        "post",
        DETECTORS,
        "createDetector",
        "detectors",
        "Try out a detector of your own, and keep it",
        d.Success[r.TriedDetector],
        description="With `dry_run` it is only tried out: 200. Its sample is kept nowhere. 400 names each fault: a"
        " pattern that the engine cannot take, an example that is not found once, a near miss that is. 409"
        " DETECTOR_EXISTS, DETECTOR_BUILT_IN, DETECTOR_LIMIT_REACHED.",
        scope="connectors:write",
        body=w.CreateDetector,
        success=201,
        also=200,
        errors=(400, 409, 413, 415, 422),
        idempotent=True,
    ),
    Operation(
        "get",
        f"{DETECTORS}/{{detector}}",
        "getDetector",
        "detectors",
        "One detector",
        d.Success[r.DetectorDetail],
        scope="scans:read",
        errors=(400, 404),
    ),
    Operation(
        "put",
        f"{DETECTORS}/{{detector}}",
        "replaceDetector",
        "detectors",
        "Put another detector in the place of one of your own",
        d.Success[r.TriedDetector],
        description="Scans that were started before keep the one they had. 409 DETECTOR_BUILT_IN,"
        " DETECTOR_LIMIT_REACHED.",
        scope="connectors:write",
        body=w.DetectorRule,
        errors=(400, 404, 409, 413, 415),
    ),
    Operation(
        "delete",
        f"{DETECTORS}/{{detector}}",
        "deleteDetector",
        "detectors",
        "Delete one of your own detectors",
        d.Success[r.DeletedDetector],
        description="409 DETECTOR_BUILT_IN.",
        scope="connectors:write",
        errors=(400, 404, 409),
    ),
    Operation(
        "get",
        ALLOW_LIST,
        "listAllowances",
        "detectors",
        "Your allow list, newest first",
        d.Listing[r.AllowanceDocument],
        scope="scans:read",
        query=s.PageQuery,
        errors=(400,),
        conditional=True,
    ),
    Operation(
        "post",
        ALLOW_LIST,
        "createAllowance",
        "detectors",
        "Put something on the allow list, that it is not reported",
        d.Success[r.AllowanceDocument],
        description="Scans count what it keeps out of their findings, in progress.hits_allowed. Of a value only the"
        " SHA-256 is kept. 409 ALLOW_LIST_LIMIT_REACHED.",
        scope="connectors:write",
        body=w.Allow,
        success=201,
        errors=(400, 409, 413, 415, 422),
        idempotent=True,
    ),
    Operation(
        "get",
        f"{ALLOW_LIST}/{{allowance}}",
        "getAllowance",
        "detectors",
        "One entry of the allow list",
        d.Success[r.AllowanceDocument],
        scope="scans:read",
        errors=(400, 404),
    ),
    Operation(
        "delete",
        f"{ALLOW_LIST}/{{allowance}}",
        "deleteAllowance",
        "detectors",
        "Take an entry off the allow list",
        d.Success[r.DeletedAllowance],
        scope="connectors:write",
        errors=(400, 404),
    ),
)
