"""Exports of findings: whatever the objects are called, every format says the same, and none does harm."""

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from api import documents
from application.exporting import Export, ExportedScan, NdjsonExport, Source, shown, well_formed, well_formed_document
from application.findings_csv import COLUMNS, CsvExport, guarded
from application.ocsf import CLASSIFICATION, SEVERITY, OcsfExport
from application.sarif import LEVEL, SarifExport, plain, relative_uri
from domain.connector import ConnectorType
from domain.detectors import detectors
from domain.detectors.rule import SEVERITIES
from domain.finding import Occurrence
from infrastructure.findings_parquet import ParquetExport, schema

SCHEMAS = Path(__file__).parents[1] / "schemas"
OCSF = Draft202012Validator(json.loads((SCHEMAS / "ocsf-1.6.0-data-security-finding.json").read_text()))
SARIF = Draft202012Validator(json.loads((SCHEMAS / "sarif-2.1.0.json").read_text()))
NOON = datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)
BASE = "s3://bucket/folder/"

Document = dict[str, Any]

HOSTILE = (
    "=cmd|'/C calc'!A0",
    "+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\u200f=1",
    "\ufeff=1",
    "＝1",
    "'=1",
    "''",
    'a","=1',
    'a"\r\n"=1',
    "a\nb",
    "\u202egpj.exe",
    "a\0b",
    "\ud800x",
    "[click](https://evil.example)",
    "{0}",
    "../../etc/passwd",
    "//evil.example/x",
    "javascript:alert(1)",
    "a/./../b",
    "%2e%2e/x",
    "ü/ñ 日本.csv",
)
NAMES = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(), min_size=1, max_size=40))
NUMBERS = st.integers(0, 2**40)
KINDS: Mapping[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("field", "json_path", "inner_path", "sheet", "cell"), NAMES),
    **dict.fromkeys(("byte_offset", "length", "record_index"), NUMBERS),
    **dict.fromkeys(("line", "column", "page"), st.integers(1, 2**40)),
    "confidence": st.floats(0, 1),
}
OCCURRENCES = st.fixed_dictionaries({"masked": NAMES}, optional=dict(KINDS))
DETECTORS = st.sampled_from(["pii.email", "payment.card", "secret.gone", "acme.badge", "network.ipv4"])


@st.composite
def findings(draw: st.DrawFn) -> Document:
    detector = draw(DETECTORS)
    return {
        "finding_id": f"fnd-{draw(st.integers(0, 10**9))}",
        "connector": draw(st.sampled_from(["conn-s3", "conn-folder", "conn-lost"])),
        "object": draw(NAMES),
        "detector": detector,
        "category": detector.partition(".")[0],
        "severity": draw(st.sampled_from(sorted(LEVEL))),
        "confidence": round(draw(st.floats(0, 1)), 2),
        "count": draw(st.integers(1, 2**40)),
        "column": draw(st.none() | NAMES),
        "first_seen_at": NOON,
        "gone_at": draw(st.sampled_from([None, NOON])),
        "occurrences": draw(st.lists(OCCURRENCES, max_size=3)),
    }


def scan() -> ExportedScan:
    return ExportedScan(
        scan_id="scan-1",
        tenant="acme",
        version=7,
        status="running",
        started_at=NOON,
        finished_at=None,
        product_version="1.0",
        sources={
            "conn-s3": Source("conn-s3", ConnectorType.S3, "bucket"),
            "conn-folder": Source("conn-folder", ConnectorType.FILESYSTEM, "/data/ä b"),
            "conn-lost": Source("conn-lost", ConnectorType.FILESYSTEM, ""),
        },
        detectors=[detector for detector in detectors() if detector.id in {"pii.email", "payment.card"}],
    )


def written(make: Callable[[ExportedScan], Export], found: Sequence[Document], size: int = 2) -> bytes:
    file = make(scan())
    pages = [found[at : at + size] for at in range(0, len(found), size)]
    return b"".join([file.begin(), *map(file.page, pages), file.end()])


def as_told(found: Sequence[Document]) -> list[Document]:
    """The findings as the API would show them, if it could hold their texts, in an export's line."""
    return [well_formed_document({"scan_id": "scan-1", **shown(finding)}) for finding in found]


def csv_rows(file: bytes) -> list[Document]:
    return list(csv.DictReader(io.StringIO(file.decode(), newline="")))


def unguarded(cell: str) -> str:
    """The rule that the README gives: a leading apostrophe is not part of the cell."""
    return cell.removeprefix("'")


@given(st.lists(findings(), max_size=5))
def test_ndjson_has_every_finding_as_the_api_shows_it(found: list[Document]):
    file = written(NdjsonExport, found)
    assert [json.loads(line) for line in file.split(b"\n")[:-1]] == as_told(found)


@given(st.lists(findings(), max_size=5))
def test_a_csv_that_is_read_back_has_the_same_findings(found: list[Document]):
    rows = csv_rows(written(CsvExport, found))
    for row, finding in zip(rows, as_told(found), strict=True):
        read = {name: unguarded(cell) for name, cell in row.items()}
        assert json.loads(read.pop("occurrences")) == finding.pop("occurrences")
        assert (float(read.pop("confidence")), int(read.pop("count"))) == (
            finding.pop("confidence"),
            finding.pop("count"),
        )
        assert read == {name: (text or "").replace("\0", "\ufffd") for name, text in finding.items()}


@given(NAMES)
def test_no_cell_begins_as_a_formula_and_none_is_ambiguous(name: str):
    cell = guarded(name)
    visible = re.sub(r"^[\s\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+", "", cell)
    assert not visible.startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
    assert not cell.startswith(("\t", "\r", "\n"))
    assert unguarded(cell) == name.replace("\0", "\ufffd")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_in_its_cell(name: str):
    [row] = csv_rows(written(CsvExport, [{**example(), "object": name}]))
    assert tuple(row) == COLUMNS
    assert unguarded(row["object"]) == well_formed(name).replace("\0", "\ufffd")


def test_every_cell_is_quoted_and_every_line_ends_as_rfc_4180_has_it():
    file = written(CsvExport, [example()])
    assert file.count(b"\r\n") == 2
    assert all(re.fullmatch(rb'("([^"]|"")*",){12}"([^"]|"")*"', line) for line in file.split(b"\r\n")[:2])


@given(st.lists(findings(), max_size=5))
def test_parquet_has_every_finding_with_its_types(found: list[Document]):
    table = pq.read_table(io.BytesIO(written(ParquetExport, found)))
    assert table.schema.equals(schema())
    for row, finding in zip(table.to_pylist(), found, strict=True):
        places = [{k: v for k, v in place.items() if v is not None} for place in row["occurrences"]]
        assert {**row, "occurrences": places} == well_formed_document({**finding, "scan_id": "scan-1"})
    assert table.schema.metadata[b"scanledger.scan_version"] == b"7"


def test_parquet_is_handed_on_in_row_groups(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("infrastructure.findings_parquet.GROUP_BYTES", 1_000)
    file = ParquetExport(scan())
    blocks = [file.begin(), *(file.page([example()] * 20) for _ in range(5)), file.end()]
    assert all(blocks)
    whole = pq.ParquetFile(io.BytesIO(b"".join(blocks)))
    assert (whole.num_row_groups, whole.metadata.num_rows) == (5, 100)


def test_every_place_of_a_hit_is_a_column_of_parquet_and_told_by_the_api():
    places = set(Occurrence.__dataclass_fields__)
    assert {field.name for field in schema().field("occurrences").type.value_type} == places
    assert documents.FoundOccurrence.model_fields.keys() == places
    assert {"scan_id", *documents.Finding.model_fields} == set(schema().names) == set(COLUMNS)


@given(st.lists(findings(), max_size=5))
def test_ocsf_events_are_valid_and_lose_nothing(found: list[Document]):
    events = [json.loads(line) for line in written(OcsfExport, found).split(b"\n")[:-1]]
    for event, finding in zip(events, as_told(found), strict=True):
        OCSF.validate(event)
        assert event["finding_info"]["uid"] == finding["finding_id"]
        assert event["severity_id"] == SEVERITY[finding["severity"]][0]
        assert event["time"] == 1_769_860_800_123
        assert event["data_security"]["total"] == finding["count"]
        assert event["file"]["path"] == finding["object"]
        assert event["unmapped"]["occurrences"] == finding["occurrences"]
        assert ("databucket" in event) is (finding["connector"] == "conn-s3")


def test_every_built_in_category_and_severity_has_its_place_in_ocsf_and_sarif():
    assert {detector.category for detector in detectors()} <= CLASSIFICATION.keys()
    severities = {*SEVERITIES.values(), *(detector.severity for detector in detectors())}
    assert severities <= SEVERITY.keys()
    assert severities <= LEVEL.keys()


def test_the_schemas_refuse_what_their_standards_refuse():
    event = json.loads(written(OcsfExport, [example()]))
    for broken in ({"finding_info": {}}, {"metadata": {"version": "1.6.0"}}, {"data_security": {}}, {"extra": 1}):
        assert not OCSF.is_valid({**event, **broken})
    log = json.loads(written(SarifExport, [example()]))
    [run] = log["runs"]
    region = run["results"][0]["locations"][0]["physicalLocation"]["region"]
    region["startLine"] = 0
    assert not SARIF.is_valid(log)


@given(st.lists(findings(), max_size=5))
def test_sarif_is_valid_and_its_results_are_the_findings(found: list[Document]):
    log = json.loads(written(SarifExport, found))
    SARIF.validate(log)
    [run] = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    for result, finding in zip(run["results"], as_told(found), strict=True):
        assert result["occurrenceCount"] == finding["count"]
        assert result["ruleId"] == finding["detector"]
        assert "ruleIndex" not in result or rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert ("ruleIndex" in result) is (finding["detector"] in {"pii.email", "payment.card"})
        assert result["properties"]["finding_id"] == finding["finding_id"]
        told = [location.get("properties") for location in result["locations"]]
        assert told == (finding["occurrences"] or [None])
        for location in result["locations"]:
            artifact = location["physicalLocation"]["artifactLocation"]
            assert unquote(artifact["uri"]) == finding["object"]
            assert artifact["uriBaseId"] in run["originalUriBaseIds"]


@given(NAMES)
def test_the_address_of_an_object_leads_nowhere_but_below_its_base(key: str):
    uri = relative_uri(key)
    assert unquote(uri) == well_formed(key)
    assert urljoin(BASE.replace("s3:", "http:"), uri).startswith(BASE.replace("s3:", "http:"))


def test_a_region_has_bytes_and_line_of_the_object_itself():
    whole = {"masked": "*", "line": 2, "column": 3, "byte_offset": 10, "length": 4}
    inner = {**whole, "inner_path": "a.csv"}
    finding = {**example(), "occurrences": [whole, inner, {"masked": "*", "length": 4}]}
    [run] = json.loads(written(SarifExport, [finding]))["runs"]
    places = [location["physicalLocation"] for location in run["results"][0]["locations"]]
    assert places[0]["region"] == {"startLine": 2, "byteOffset": 10, "byteLength": 4}
    assert "region" not in places[1]
    assert "region" not in places[2]


def test_a_fingerprint_is_the_same_in_the_next_scan_and_another_for_another_column():
    finding = example()
    others = [{**finding, "finding_id": "fnd-2", "count": 9}, {**finding, "column": "c"}]
    [run] = json.loads(written(SarifExport, [finding, *others]))["runs"]
    first, again, column = (result["partialFingerprints"]["finding/v1"] for result in run["results"])
    assert first == again != column


def test_a_message_shows_brackets_and_braces_as_they_are():
    assert plain("a [b](c) {0} \\") == r"a \[b\](c) {{0}} \\"


def test_the_bases_of_addresses_are_where_the_connectors_pointed_to():
    [run] = json.loads(written(SarifExport, []))["runs"]
    assert run["originalUriBaseIds"] == {
        "conn-s3": {"uri": "s3://bucket/"},
        "conn-folder": {"uri": "file:///data/%C3%A4%20b/"},
        "conn-lost": {},
    }
    assert run["results"] == []
    assert run["properties"] == {"scan_id": "scan-1", "scan_version": 7, "scan_status": "running"}


def example() -> Document:
    return {
        "finding_id": "fnd-1",
        "connector": "conn-s3",
        "object": "a/b.csv",
        "detector": "pii.email",
        "category": "pii",
        "severity": "medium",
        "confidence": 0.9,
        "count": 2,
        "column": None,
        "first_seen_at": NOON,
        "gone_at": None,
        "occurrences": [{"masked": "***1", "byte_offset": 4, "length": 4, "line": 1}],
    }
