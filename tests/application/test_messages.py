"""The wire between coordinator and workers."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from application import messages
from application.messages import (
    ChunkCompleted,
    ChunkFailed,
    ChunkFindings,
    ChunkStarted,
    Control,
    ControlState,
    CredentialsAnswer,
    ListingCompleted,
    ListingFailed,
    ListingSplit,
    ListingStarted,
    ListUnit,
    Message,
    ObjectsListed,
    ReportedException,
    ReportedFinding,
    ReportedOccurrence,
    ReportedRemark,
    ScanChunk,
    Source,
    Telemetry,
    TimeIsUp,
    WorkInHand,
    commands,
    reports,
)
from domain.connector import ConnectorType
from domain.coverage import Disposition, FailReason, SkipReason
from domain.finding import Finding, Occurrence
from domain.scan import LostReason

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
SOURCE = Source(connector="conn-1", type=ConnectorType.S3, config={"bucket": "b"}, needs_credentials=True)
FINDING = ReportedFinding(
    index=3,
    object="a\0\n😀.csv",
    detector="pii.email",
    category="pii",
    confidence=0.75,
    count=40,
    column="E-Mail",
    occurrences=[ReportedOccurrence(masked="****e.com", byte_offset=1, length=9, line=2, column=1)],
)
EXCEPTION = ReportedException(index=4, disposition=Disposition.FAILED, reason=FailReason.NETWORK, detail="Gone.")
OF_REPORT: dict[str, Any] = {"scan": "scan-1", "worker": "w1"}
OF_CHUNK: dict[str, Any] = {**OF_REPORT, "chunk": 7, "attempt": 2, "plan": "p1"}
OF_UNIT: dict[str, Any] = {**OF_REPORT, "unit": 1, "attempt": 2}

COMMANDS = [
    ListUnit(
        scan="s",
        pool="p",
        unit=0,
        attempt=1,
        source=SOURCE,
        prefix="a/",
        resume_after="a/m",
        until="a/z",
        next_batch=3,
        fan_out=True,
        only="AA==",
        more=True,
    ),
    ScanChunk(
        scan="s",
        pool="p",
        chunk=1,
        attempt=1,
        plan="p1",
        source=SOURCE,
        start_index=0,
        end_index=5,
        indexes=[0, 5],
        objects="AA==",
        part=2,
        parts=3,
        detectors=["pii.email"],
    ),
]
REPORTS = [
    ListingStarted(**OF_UNIT),
    ObjectsListed(**OF_UNIT, batch=1, after="a", objects="AA==", continues=True),
    ListingSplit(**OF_UNIT, bounds=["b/", "c/"]),
    ListingCompleted(**OF_UNIT, batches=3, until="zz", after="z"),
    ListingFailed(**OF_UNIT, reason="source_denied", detail="No.", permanent=True),
    ChunkStarted(**OF_CHUNK, started_at=NOON),
    ChunkFindings(**OF_CHUNK, part=1, findings=[FINDING]),
    ChunkCompleted(
        **OF_CHUNK,
        started_at=NOON,
        scanned=1,
        bytes_read=9,
        exceptions=[EXCEPTION],
        findings=[FINDING],
        parts=1,
        lines=3,
        records=2,
        remarks=[ReportedRemark(index=2, detail="1 of 2 entries skipped: 1 binary; logo.png: PNG image")],
    ),
    ChunkFailed(**OF_CHUNK, reason=LostReason.STALLED, started_at=NOON, suspect=4),
    TimeIsUp(**OF_REPORT),
]
OTHERS: list[Message] = [
    Control(scan="s", state=ControlState.STOP_LISTING),
    Telemetry(scanner="h", pool="p", slots=2, work=[WorkInHand(worker="h/0", scan="s", chunk=1, attempt=1)]),
    CredentialsAnswer(credentials={"access_key_id": "a"}),
]


def adapter(message: Message) -> Any:
    return commands if message in COMMANDS else reports if message in REPORTS else TypeAdapter(type(message))


def read(kind: Any, text: str | bytes) -> Message:
    parsed = kind.validate_json(text)
    assert isinstance(parsed, Message)
    return parsed


every_message = pytest.mark.parametrize("message", [*COMMANDS, *REPORTS, *OTHERS], ids=lambda m: type(m).__name__)


def test_there_is_an_example_of_every_message() -> None:
    parts = {
        "Message",
        "Report",
        "Source",
        "ReportedOccurrence",
        "ReportedFinding",
        "ReportedException",
        "ReportedRemark",
        "WorkInHand",
    }
    named = {
        name
        for name, value in vars(messages).items()
        if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == messages.__name__
    }
    assert named - parts == {type(message).__name__ for message in (*COMMANDS, *REPORTS, *OTHERS)}


@every_message
def test_every_message_is_read_as_it_was_sent(message: Message) -> None:
    assert read(adapter(message), message.model_dump_json()) == message


@every_message
@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_is_refused(message: Message, version: object) -> None:
    data = {**json.loads(message.model_dump_json()), "v": version}
    with pytest.raises(ValidationError):
        read(adapter(message), json.dumps(data))


@every_message
def test_fields_of_a_later_version_are_ignored(message: Message) -> None:
    data = {**json.loads(message.model_dump_json()), "of_tomorrow": {"x": 1}}
    assert read(adapter(message), json.dumps(data)) == message


@every_message
def test_a_message_cannot_be_changed(message: Message) -> None:
    with pytest.raises(ValidationError):
        message.v = 1


@pytest.mark.parametrize("kind", ["unknown", None, 7])
def test_an_unknown_kind_is_refused(kind: object) -> None:
    for known in (commands, reports):
        with pytest.raises(ValidationError):
            known.validate_json(json.dumps({"v": 1, "kind": kind, **OF_CHUNK}))


def test_a_command_is_no_report_and_a_report_no_command() -> None:
    with pytest.raises(ValidationError):
        reports.validate_json(COMMANDS[0].model_dump_json())
    with pytest.raises(ValidationError):
        commands.validate_json(REPORTS[0].model_dump_json())


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        (REPORTS[1], {"batch": 0}),
        (REPORTS[2], {"bounds": []}),
        (REPORTS[3], {"batches": -1}),
        (REPORTS[6], {"part": 0}),
        (REPORTS[7], {"scanned": -1}),
        (REPORTS[7], {"bytes_read": -1}),
        (REPORTS[7], {"parts": -1}),
        (REPORTS[7], {"lines": -1}),
        (REPORTS[7], {"records": -1}),
        (REPORTS[8], {"reason": "bored"}),
        (FINDING, {"confidence": 1.01}),
        (FINDING, {"confidence": -0.01}),
        (FINDING, {"count": 0}),
        (FINDING, {"occurrences": [{"masked": "*"}] * 16}),
        (EXCEPTION, {"disposition": "scanned"}),
        (EXCEPTION, {"disposition": "remaining"}),
        (EXCEPTION, {"reason": "bored"}),
    ],
)
def test_figures_out_of_bounds_are_refused(message: Message, changes: dict[str, Any]) -> None:
    data = {**json.loads(message.model_dump_json()), **changes}
    with pytest.raises(ValidationError):
        type(message).model_validate_json(json.dumps(data))


@pytest.mark.parametrize("confidence", ["NaN", "Infinity", "-Infinity"])
def test_a_confidence_that_is_no_number_is_refused(confidence: str) -> None:
    text = FINDING.model_dump_json().replace("0.75", confidence)
    with pytest.raises(ValidationError):
        ReportedFinding.model_validate_json(text)


@pytest.mark.parametrize("reason", [*SkipReason, *FailReason])
def test_a_reason_is_read_as_what_it_is(reason: SkipReason | FailReason) -> None:
    disposition = Disposition.SKIPPED if isinstance(reason, SkipReason) else Disposition.FAILED
    sent = ReportedException(index=0, disposition=disposition, reason=reason)  # type: ignore[arg-type]  # one of the two
    assert type(ReportedException.model_validate_json(sent.model_dump_json()).reason) is type(reason)


def test_a_finding_comes_off_the_wire_as_it_went_on() -> None:
    place = Occurrence("*", byte_offset=1, length=2, line=3, column=4, record_index=5, field="f", json_path="$")
    found = Finding("pii.email", "pii", 0.5, 7, (place, Occurrence("**")), "E-Mail")
    assert ReportedFinding.of(3, "a.csv", found).as_finding() == found


def test_an_occurrence_of_the_domain_fits_the_wire() -> None:
    occurrence = Occurrence(
        masked="*", byte_offset=1, length=2, line=3, column=4, record_index=5, field="f", json_path="$"
    )
    sent = ReportedOccurrence.model_validate(occurrence)
    assert sent.model_dump(exclude={"v"}) == {
        name: getattr(occurrence, name) for name in ReportedOccurrence.model_fields if name != "v"
    }
