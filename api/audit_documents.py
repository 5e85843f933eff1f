"""What auditors may ask for, and the documents they get."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.documents import Document
from api.schemas import Moment, WholeNumber
from domain.errors import Fault

Hash = Annotated[str, Field(description="32 bytes, in base64.")]
Note = Annotated[str, Field(description="The signed note (C2SP tlog-checkpoint), to the byte.")]


class ExportQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    scan: Annotated[str | None, Field(description="The whole history of this scan.")] = None
    since: Annotated[Moment | None, Field(description="All that occurred from this moment on (RFC 3339).")] = None
    until: Annotated[Moment | None, Field(description="With `since`: before this moment.")] = None

    @property
    def faults(self) -> Sequence[Fault]:
        """What one parameter has against another."""
        if (self.scan is None) == (self.since is None):
            return [Fault("scan", "give either scan or since")]
        if self.until is not None and (self.since is None or self.until <= self.since):
            return [Fault("until", "must be later than since, and goes with it")]
        return []


class ProofQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    event: Annotated[str | None, Field(description="Prove that this event is in the log: its event_id.")] = None
    from_: Annotated[
        WholeNumber | None, Field(alias="from", description="Prove that the log of this many events was only added to…")
    ] = None
    to: Annotated[WholeNumber | None, Field(description="…until it had so many.")] = None

    @property
    def faults(self) -> Sequence[Fault]:
        """What one parameter has against another."""
        if (self.event is None) == (self.from_ is None):
            return [Fault("event", "give either event, or from and to")]
        if (self.from_ is None) != (self.to is None):
            return [Fault("to", "goes with from")]
        return []


class CheckpointDocument(Document):
    origin: Annotated[str, Field(description="The name of the log; a new one after an accepted restore.")]
    tree_size: Annotated[int, Field(ge=1, description="Events in the log.")]
    root_hash: Hash
    signed_at: datetime
    published: Annotated[bool, Field(description="Whether it is kept outside the database as well.")]
    note: Note


class Proof(Document):
    """Of an event: RFC 9162, 2.1.3. Of growth: 2.1.4."""

    event_id: str | None = None
    leaf_index: Annotated[int | None, Field(ge=0)] = None
    leaf_hash: Hash | None = None
    line: Annotated[
        str | None, Field(description="The exact line that was sealed: the leaf is SHA-256 over a zero byte and it.")
    ] = None
    tree_size: Annotated[int | None, Field(ge=1)] = None
    from_: Annotated[int | None, Field(alias="from", ge=1)] = None
    from_root: Hash | None = None
    to: Annotated[int | None, Field(ge=1)] = None
    to_root: Hash | None = None
    hashes: list[Hash]
    checkpoints: Annotated[
        list[Note], Field(description="The one that the proof leads to; of growth, those of the two sizes.")
    ]


class SealKeyDocument(Document):
    public_key: Annotated[str, Field(description="Ed25519, 32 bytes in base64.")]
    verifier_key: Annotated[str, Field(description="The same, as tools for signed notes take it.")]
    used_since: datetime


class AuditKeys(Document):
    origin: Annotated[str, Field(description="The name of your log in its checkpoints.")]
    keys: Annotated[list[SealKeyDocument], Field(description="The newest first.")]
