"""Findings on their way out of the service: what every format of an export is made from, and how it is written.

A format turns pages of findings into the bytes of one file, in order, and keeps no more than a page. A finding comes as
the read model has it (`StoredFinding.document`, with its times as moments), and with the severity of its detector.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Protocol, Self

import msgspec

from application.scan_documents import moment
from domain.connector import Connector, ConnectorType, place_of
from domain.detectors import Detector, detectors

Format = Literal["csv", "ndjson", "parquet", "ocsf", "sarif"]
Finding = Mapping[str, Any]

PRODUCT: Final = "Scanledger"

_json: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Source:
    """Where a connector pointed to when the scan was queued. `place` is its bucket or the path of its root; empty if
    that is not known any more."""

    connector: str
    kind: ConnectorType
    place: str

    @classmethod
    def at(cls, connector: Connector, location: str) -> Self:
        """Of a connector that had this `location`."""
        return cls(connector.connector_id, connector.type, place_of(connector.type, location))


@dataclass(frozen=True, slots=True)
class ExportedScan:
    """The scan that findings are of, as it stood at `version` when the export began. `detectors` are those it ran."""

    scan_id: str
    tenant: str
    version: int
    status: str
    started_at: datetime | None
    finished_at: datetime | None
    product_version: str
    sources: Mapping[str, Source]
    detectors: Sequence[Detector]


class Export(Protocol):
    """One file in the making. Each call gives the bytes that come next, maybe none: `begin`, a `page` for each page,
    `end`; joined they are the file."""

    def begin(self) -> bytes: ...
    def page(self, findings: Sequence[Finding]) -> bytes: ...
    def end(self) -> bytes: ...


MakeExport = Callable[[ExportedScan], Export]


class NdjsonExport:
    """A line of JSON for each finding: the item of GET /scans/{id}/findings, with its `scan_id`."""

    def __init__(self, scan: ExportedScan) -> None:
        self._scan_id = scan.scan_id

    def begin(self) -> bytes:
        return b""

    def page(self, findings: Sequence[Finding]) -> bytes:
        return lines([{"scan_id": self._scan_id, **shown(finding)} for finding in findings])

    def end(self) -> bytes:
        return b""


def shown(finding: Finding) -> dict[str, Any]:
    """A finding as the API shows it."""
    times = {"first_seen_at": moment(finding["first_seen_at"]), "gone_at": moment(finding["gone_at"])}
    return {**finding, **times}


def lines(documents: Sequence[object]) -> bytes:
    """Each of `documents` as a line of JSON."""
    return b"".join(to_json(document) + b"\n" for document in documents)


def to_json(document: object) -> bytes:
    """Compact JSON in UTF-8. Half a surrogate pair, of which UTF-8 has no form, becomes U+FFFD."""
    try:
        return _json(document)
    except UnicodeEncodeError:
        return _json(well_formed_document(document))


def well_formed(text: str) -> str:
    """`text` with U+FFFD for each half of a surrogate pair that stands alone."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def well_formed_document(value: Any) -> Any:
    """`value` with each of its texts `well_formed`."""
    match value:
        case str():
            return well_formed(value)
        case Mapping():
            return {well_formed_document(name): well_formed_document(member) for name, member in value.items()}
        case list() | tuple():
            return [well_formed_document(member) for member in value]
        case _:
            return value


def detectors_run(wanted: Sequence[str], own: Sequence[Detector]) -> Sequence[Detector]:
    """The detectors of a scan that asked for those ids and categories (none: all), as far as they still exist."""
    chosen = set(wanted)
    every = (*detectors(), *own)
    return [d for d in every if not chosen or d.id in chosen or d.category in chosen]
