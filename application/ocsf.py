"""Findings as events of OCSF 1.6.0, class Data Security Finding (https://schema.ocsf.io/1.6.0/classes/data_security_finding).

What the class has no attribute for (offsets, masked values, the scan's version) is in `unmapped`. No profile is used.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from application.exporting import PRODUCT, ExportedScan, Finding, Source, lines
from application.scan_documents import moment
from domain.connector import ConnectorType
from domain.detectors import Detector

VERSION: Final = "1.6.0"
CLASS: Final = 2006
_CLASS_NAME: Final = "Data Security Finding"
_CREATE: Final = 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

SEVERITY: Final = {"low": (2, "Low"), "medium": (3, "Medium"), "high": (4, "High"), "critical": (5, "Critical")}

# `data_classification.category_id`; a category that is none of these is a tenant's own.
CLASSIFICATION: Final = {
    "pii": (1, "Personal"),
    "phi": (1, "Personal"),
    "payment": (3, "Financial"),
    "secret": (6, "Security"),
    "network": (6, "Security"),
}
_OTHER: Final = 99
_CONFIDENCE: Final = ((0.8, 3, "High"), (0.5, 2, "Medium"), (0.0, 1, "Low"))

# Our name of a place, and that of `occurrence_details`. Its column is one of a table or of text, as ours is.
_PLACES: Final = {
    "cell": "cell_name",
    "column": "column_number",
    "field": "column_name",
    "json_path": "json_path",
    "line": "start_line",
    "page": "page_number",
    "record_index": "record_index_in_array",
}


class OcsfExport:
    """An event a line: that the finding was made."""

    def __init__(self, scan: ExportedScan) -> None:
        self._scan = scan
        self._detectors = {detector.id: detector for detector in scan.detectors}
        self._product = {"name": PRODUCT, "vendor_name": PRODUCT, "version": scan.product_version}

    def begin(self) -> bytes:
        return b""

    def page(self, findings: Sequence[Finding]) -> bytes:
        return lines([self._event(finding) for finding in findings])

    def end(self) -> bytes:
        return b""

    def _event(self, finding: Finding) -> Mapping[str, Any]:
        seen = _milliseconds(finding["first_seen_at"])
        severity_id, severity = SEVERITY[finding["severity"]]
        confidence_id, confidence = _confidence(finding["confidence"])
        return {
            "activity_id": _CREATE,
            "activity_name": "Create",
            "category_uid": 2,
            "category_name": "Findings",
            "class_uid": CLASS,
            "class_name": _CLASS_NAME,
            "type_uid": CLASS * 100 + _CREATE,
            "type_name": f"{_CLASS_NAME}: Create",
            "severity_id": severity_id,
            "severity": severity,
            "confidence_id": confidence_id,
            "confidence": confidence,
            "confidence_score": round(finding["confidence"] * 100),
            **_status(finding["gone_at"]),
            "time": seen,
            "metadata": self._metadata(finding),
            "finding_info": self._info(finding, seen),
            "data_security": self._data_security(finding),
            **_resources(finding, self._scan.sources.get(finding["connector"])),
            "unmapped": self._unmapped(finding),
        }

    def _metadata(self, finding: Finding) -> Mapping[str, Any]:
        return {
            "version": VERSION,
            "uid": finding["finding_id"],
            "correlation_uid": self._scan.scan_id,
            "tenant_uid": self._scan.tenant,
            "product": self._product,
        }

    def _info(self, finding: Finding, seen: int) -> Mapping[str, Any]:
        detector = self._detectors.get(finding["detector"])
        name = finding["detector"] if detector is None else detector.name
        return {
            "uid": finding["finding_id"],
            "title": f"{name} in {finding['object']}",
            "types": [finding["detector"]],
            "created_time": seen,
            "first_seen_time": seen,
            "data_sources": [finding["connector"]],
            "analytic": _analytic(finding, detector),
        }

    def _data_security(self, finding: Finding) -> Mapping[str, Any]:
        category_id, category = CLASSIFICATION.get(finding["category"], (_OTHER, finding["category"]))
        details: dict[str, Any] = {"type": finding["detector"], "count": finding["count"]}
        if places := [place for place in map(_place, finding["occurrences"]) if place]:
            details["occurrences"] = places
        return {
            "category_id": category_id,
            "category": category,
            "data_lifecycle_state_id": 1,
            "data_lifecycle_state": "Data at-Rest",
            "detection_pattern": finding["detector"],
            "detection_system_id": 4,
            "detection_system": "Data Discovery & Classification",
            "discovery_details": [details],
            "total": finding["count"],
            "uid": self._scan.scan_id,
        }

    def _unmapped(self, finding: Finding) -> Mapping[str, Any]:
        return {
            "scan_version": self._scan.version,
            "scan_status": self._scan.status,
            "category": finding["category"],
            "column": finding["column"],
            "gone_at": moment(finding["gone_at"]),
            "occurrences": finding["occurrences"],
        }


def _confidence(share: float) -> tuple[int, str]:
    return next((number, caption) for least, number, caption in _CONFIDENCE if share >= least)


def _status(gone_at: datetime | None) -> Mapping[str, Any]:
    # An object that is gone is not one whose finding somebody resolved.
    return {"status_id": 1, "status": "New"} if gone_at is None else {"status_id": _OTHER, "status": "Gone"}


def _analytic(finding: Finding, detector: Detector | None) -> Mapping[str, Any]:
    named = {} if detector is None else {"name": detector.name}
    return {"uid": finding["detector"], **named, "type_id": 1, "type": "Rule", "category": finding["category"]}


def _resources(finding: Finding, source: Source | None) -> Mapping[str, Any]:
    key = finding["object"]
    file = {"name": key.rstrip("/").rpartition("/")[2] or key, "path": key, "type_id": 1, "type": "Regular File"}
    resource = {"uid": finding["connector"], "role_id": 3, "role": "Affected"}
    if source is None or not source.place:
        return {"file": file, "resources": [resource]}
    named = {**resource, "name": source.place, "type": source.kind.value}
    bucket = {"name": source.place, "type_id": 1, "type": "S3"}
    stored = {"databucket": bucket} if source.kind is ConnectorType.S3 else {}
    return {"file": file, **stored, "resources": [named]}


def _place(occurrence: Mapping[str, Any]) -> Mapping[str, Any]:
    return {_PLACES[name]: value for name, value in occurrence.items() if name in _PLACES and value is not None}


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MILLISECOND
