"""The operations for auditors."""

from collections.abc import Sequence
from typing import Final

from api import audit_documents as a
from api import documents as d
from api.operation import Operation
from api.schemas import PageQuery

AUDIT: Final = "/api/v1/audit"

_YET: Final = " 409 NOT_SEALED_YET until a checkpoint covers it: some seconds."

AUDIT_OPERATIONS: Final[Sequence[Operation]] = (
    Operation(
        "get",
        f"{AUDIT}/checkpoints",
        "listCheckpoints",
        "audit",
        "Signed checkpoints of your log, newest first",
        d.Listing[a.CheckpointDocument],
        scope="audit:read",
        query=PageQuery,
        errors=(400,),
        conditional=True,
    ),
    Operation(
        "get",
        f"{AUDIT}/proof",
        "getProof",
        "audit",
        "Proof that an event is in the log, or that the log was only added to",
        d.Success[a.Proof],
        description="409 SEAL_BROKEN when what is stored does not lead to the signed checkpoint." + _YET,
        scope="audit:read",
        query=a.ProofQuery,
        errors=(400, 404, 409),
    ),
    Operation(
        "get",
        f"{AUDIT}/key",
        "getAuditKeys",
        "audit",
        "The public keys that checkpoints are signed with",
        d.Success[a.AuditKeys],
        description="Compare them with `scanledger audit key --local` on the machine that signs." + _YET,
        scope="audit:read",
        errors=(400, 409),
    ),
    Operation(
        "get",
        f"{AUDIT}/export",
        "exportHistory",
        "audit",
        "History with its proofs, as one file for `scanledger audit verify`",
        str,
        description="JSON lines, of which each event is a CloudEvent 1.0." + _YET,
        scope="audit:read",
        query=a.ExportQuery,
        errors=(400, 404, 409),
        media_types=("application/x-ndjson",),
    ),
)
