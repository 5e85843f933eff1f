"""The README's tables hold what the code has."""

import re
from pathlib import Path

from domain.connector import CONNECTOR_EVENTS
from domain.coverage import FailReason, SkipReason
from domain.scan_events import SCAN_EVENTS
from infrastructure.settings import Settings

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def test_the_event_table_names_every_kind_and_no_other():
    kinds = re.findall(r"^\| `((?:scan|connector)\.[a-z-]+)` \|", README, re.MULTILINE)
    assert kinds == [event.kind for event in (*SCAN_EVENTS, *CONNECTOR_EVENTS)]


def test_the_configuration_table_names_every_setting_with_its_meaning():
    rows = dict(re.findall(r"^\| `([a-z_]+)` \|[^|]*\| ([^|]+) \|$", README, re.MULTILINE))
    assert rows == {name: field.description for name, field in Settings.model_fields.items()}


def test_the_reasons_of_the_coverage_chapter_are_the_codes_reasons():
    chapter = README.split("## What coverage means")[1].split("\n## ")[0]
    later = {SkipReason.PREFIX, SkipReason.NOT_SAMPLED, SkipReason.UNCHANGED}
    for reason in [*SkipReason, *FailReason]:
        assert (f"`{reason}`" in chapter) is (reason not in later)
