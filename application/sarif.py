"""Findings as a log of SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html): one run, one
result for each finding, its rules the detectors that the scan ran.

Names of objects stand in no message, where a viewer would take a part of them for a link, but in percent-encoded
addresses alone.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from application.exporting import PRODUCT, ExportedScan, Finding, Source, shown, to_json, well_formed
from application.scan_documents import moment
from domain.connector import ConnectorType
from domain.detectors import Detector

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

LEVEL: Final = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}

# A number by which consumers of SARIF rank results: above 9 critical, from 7 high, from 4 medium, below low.
_SECURITY_SEVERITY: Final = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0"}

_DOTS: Final = re.compile(r"(?<![^/])\.{1,2}(?![^/])")
_TOLD: Final = ("finding_id", "category", "severity", "confidence", "column", "first_seen_at", "gone_at")


class SarifExport:
    """One JSON document, a result a line."""

    def __init__(self, scan: ExportedScan) -> None:
        self._scan = scan
        self._detectors = {detector.id: (at, detector) for at, detector in enumerate(scan.detectors)}
        self._separator = b"\n"

    def begin(self) -> bytes:
        run = {
            "tool": {"driver": self._driver()},
            "automationDetails": {"id": f"findings/{self._scan.scan_id}"},
            "invocations": [self._invocation()],
            "originalUriBaseIds": {name: _base(source) for name, source in self._scan.sources.items()},
            "properties": {
                "scan_id": self._scan.scan_id,
                "scan_version": self._scan.version,
                "scan_status": self._scan.status,
            },
        }
        # The run is left open: its results are still to come.
        head = to_json({"$schema": SCHEMA, "version": "2.1.0"})[:-1]
        return head + b',"runs":[' + to_json(run)[:-1] + b',"results":['

    def page(self, findings: Sequence[Finding]) -> bytes:
        blocks = []
        for finding in findings:
            blocks += [self._separator, to_json(self._result(finding))]
            self._separator = b",\n"
        return b"".join(blocks)

    def end(self) -> bytes:
        return b"\n]}]}\n"

    def _driver(self) -> Mapping[str, Any]:
        rules = [_rule(detector) for detector in self._scan.detectors]
        return {"name": PRODUCT, "version": self._scan.product_version, "rules": rules}

    def _invocation(self) -> Mapping[str, Any]:
        times = {"startTimeUtc": moment(self._scan.started_at), "endTimeUtc": moment(self._scan.finished_at)}
        given = {name: at for name, at in times.items() if at is not None}
        return {"executionSuccessful": self._scan.status == "completed", **given}

    def _result(self, finding: Finding) -> Mapping[str, Any]:
        told = shown(finding)
        rule: dict[str, Any] = {"ruleId": finding["detector"]}
        name = finding["detector"]
        if finding["detector"] in self._detectors:
            rule["ruleIndex"], detector = self._detectors[finding["detector"]]
            name = detector.name
        hits = "1 hit" if finding["count"] == 1 else f"{finding['count']} hits"
        return {
            **rule,
            "kind": "fail",
            "level": LEVEL[finding["severity"]],
            "message": {"text": plain(f"{hits} of {name}, confidence {finding['confidence']:.2f}")},
            "locations": list(_locations(finding)),
            "occurrenceCount": finding["count"],
            "partialFingerprints": {"finding/v1": _fingerprint(finding)},
            "properties": {name: told[name] for name in _TOLD if told[name] is not None},
        }


def _rule(detector: Detector) -> Mapping[str, Any]:
    return {
        "id": detector.id,
        "shortDescription": {"text": plain(detector.name)},
        "defaultConfiguration": {"level": LEVEL[detector.severity]},
        "properties": {
            "security-severity": _SECURITY_SEVERITY[detector.severity],
            "tags": ["security", detector.category],
        },
    }


def _base(source: Source) -> Mapping[str, Any]:
    if not source.place:
        return {}
    if source.kind is ConnectorType.S3:
        return {"uri": f"s3://{_encoded(source.place)}/"}
    folder = _encoded(source.place.strip("/"))
    return {"uri": f"file:///{folder}/" if folder else "file:///"}


def _locations(finding: Finding) -> Iterator[Mapping[str, Any]]:
    artifact = {"uri": relative_uri(finding["object"]), "uriBaseId": finding["connector"]}
    if not finding["occurrences"]:
        yield {"physicalLocation": {"artifactLocation": artifact}}
    for occurrence in finding["occurrences"]:
        physical = {"artifactLocation": artifact}
        if region := _region(occurrence):
            physical["region"] = region
        yield {"physicalLocation": physical, "properties": occurrence}


def _region(occurrence: Mapping[str, Any]) -> dict[str, Any]:
    """Bytes and line of a hit. In a file within the object they are that file's, and so none of the object's. The
    column is left out: SARIF counts characters, we count bytes."""
    if occurrence.get("inner_path") is not None:
        return {}
    region: dict[str, Any] = {}
    if occurrence.get("line") is not None:
        region["startLine"] = occurrence["line"]
    if occurrence.get("byte_offset") is not None:
        region["byteOffset"] = occurrence["byte_offset"]
        if occurrence.get("length") is not None:
            region["byteLength"] = occurrence["length"]
    return region


def relative_uri(key: str) -> str:
    """`key` as a reference that leads nowhere else than below its base: no scheme, no root, no step up.

    Segments of dots are encoded, although a reader that decodes before it resolves must still mind them.
    """
    encoded = _encoded(key)
    if encoded.startswith("/"):
        encoded = f"%2F{encoded[1:]}"
    return _DOTS.sub(lambda dots: "%2E" * len(dots[0]), encoded)


def _encoded(text: str) -> str:
    return quote(well_formed(text), safe="/")


def plain(text: str) -> str:
    """`text` as a message that shows just that (SARIF 3.11.5, 3.11.6): no placeholders, no links."""
    escaped = re.sub(r"[\\\[\]]", r"\\\g<0>", text)
    return escaped.replace("{", "{{").replace("}", "}}")


def _fingerprint(finding: Finding) -> str:
    """The same in every scan that finds the same: by connector, object, detector and column."""
    identity = [finding["connector"], finding["object"], finding["detector"], finding["column"]]
    return hashlib.sha256(to_json(identity)).hexdigest()
