"""The tables of the README and of docs/ hold what the code has."""

import re
from pathlib import Path
from typing import get_args

from api.schemas import ScanOptions
from application.messages import AnyReport, Command, schemas
from domain.connector import CONNECTOR_EVENTS
from domain.coverage import FailReason, SkipReason
from domain.scan import LostReason
from domain.scan_events import SCAN_EVENTS
from infrastructure.messaging import streams
from infrastructure.settings import Settings

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def test_the_event_table_names_every_kind_and_no_other():
    kinds = re.findall(r"^\| `((?:scan|connector)\.[a-z-]+)` \|", README, re.MULTILINE)
    assert kinds == [event.kind for event in (*SCAN_EVENTS, *CONNECTOR_EVENTS)]


def test_the_configuration_table_names_every_setting_with_its_meaning():
    rows = dict(re.findall(r"^\| `([a-z0-9_]+)` \|[^|]*\| ([^|]+) \|$", README, re.MULTILINE))
    assert rows == {name: field.description for name, field in Settings.model_fields.items()}


def test_the_reasons_of_the_coverage_chapter_are_the_codes_reasons():
    chapter = README.split("## What coverage means")[1].split("\n## ")[0]
    # What lies outside of the prefixes is not listed at all.
    for reason in [*SkipReason, *FailReason]:
        assert (f"`{reason}`" in chapter) is (reason is not SkipReason.PREFIX)


def test_every_reason_for_which_an_attempt_is_lost_is_told_in_the_event_table_and_on_the_wire():
    document = (Path(__file__).parent.parent / "docs" / "wire.md").read_text("utf-8")
    [told] = re.findall(r"^\| `scan.chunk-failed` \|.*$", README, re.MULTILINE)
    [sent] = re.findall(r"^\| `ChunkFailed` \|.*$", document, re.MULTILINE)
    for reason in LostReason:
        assert f"`{reason}`" in told
        assert f"`{reason}`" in sent


def test_the_table_of_options_names_every_option_with_its_default():
    rows = dict(re.findall(r"^\| `options\.(\w+)` \| ([^|]+) \|", README, re.MULTILINE))
    assert list(rows) == list(ScanOptions.model_fields)
    for name, field in ScanOptions.model_fields.items():
        if field.default not in (None, [], ()):
            assert rows[name].strip("`") == str(field.default).lower()


def test_the_wire_document_names_every_command_and_report_by_its_kind():
    document = (Path(__file__).parent.parent / "docs" / "wire.md").read_text("utf-8")
    written = dict(re.findall(r"^\| `(\w+)` \| `([a-z-]+)` \|", document, re.MULTILINE))
    messages = [*get_args(Command), *get_args(AnyReport)]
    assert written == {message.__name__: message.model_fields["kind"].default for message in messages}


def test_every_subject_of_the_wire_document_is_one_the_code_uses():
    document = (Path(__file__).parent.parent / "docs" / "wire.md").read_text("utf-8")
    written = set(re.findall(r"^\| `(scan\.[^`]+)` \|", document, re.MULTILINE))
    assert written == {
        streams.chunk_subject("<pool>", "<scan>"),
        streams.listing_subject("<pool>", "<scan>"),
        streams.report_subject("<pool>", "<scan>"),
        streams.control_subject("<scan>"),
        streams.telemetry_subject("<scanner>"),
        streams.credentials_subject("<connector>"),
        streams.EVENT_ADDRESS.replace("{", "<").replace("}", ">"),
        streams.subscribe_subject("<tenant>"),
    }


def test_the_wire_has_a_json_schema_for_each_family():
    assert set(schemas()) == {"commands", "reports", "control", "telemetry", "credentials"}
    assert "ScanChunk" in schemas()["commands"]["$defs"]
