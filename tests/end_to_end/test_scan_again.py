"""Scanning a folder again: only what is new, changed, or was scanned with other detectors is read."""

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.ring import Ring, wait_until
from tests.end_to_end.truths import assert_history_adds_up, findings

FILES = 30
_folders = count()


@pytest.fixture
def folder(readable: Path) -> Path:
    """A folder of files with an address each, an empty and a binary one."""
    folder = readable / f"again-{next(_folders)}"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number:02}.txt").write_text(f"write to somebody.{number}@example.com\n")
    (folder / "empty.txt").touch()
    (folder / "program.bin").write_bytes(b"\x7fELF" + bytes(range(256)) * 40)
    return folder


def scanned(ring: Ring, connector: str, **options: object) -> tuple[str, dict[str, Any]]:
    """An incremental scan, when it has ended: its id and its document."""
    body = {"connectors": [connector], "type": "incremental", "options": options}
    scan_id = str(ring.client.post("/scans/parallel", json=body).json()["data"]["scan_id"])
    ring.wait_for_end(scan_id)
    assert_history_adds_up(ring, scan_id)
    return scan_id, dict(ring.shown(scan_id))


def ledger(ring: Ring, scan_id: str, **filters: str) -> dict[str, dict[str, Any]]:
    """The lines by object."""
    answer = ring.client.get(f"/scans/{scan_id}/objects", params={"limit": 100, **filters})
    return {line["object"]: line for line in answer.json()["data"]}


def test_nothing_changed_is_nothing_read_and_all_of_it_covered(ring: Ring, folder: Path) -> None:
    connector = ring.connect_folder(folder)
    first, before = scanned(ring, connector)
    second, after = scanned(ring, connector, coverage_target=0.93, coverage_strategy="strict")
    assert before["coverage"]["total_scanned"] == FILES
    assert after["status"] == "completed"
    assert after["coverage"]["total_scanned"] == after["progress"]["bytes_processed"] == 0
    assert after["coverage"]["skipped_by_reason"] == {"unchanged": FILES, "empty": 1, "binary": 1}
    assert after["coverage"]["coverage_pct"] == before["coverage"]["coverage_pct"]
    lines = ledger(ring, second, reason="unchanged")
    assert len(lines) == FILES
    assert {line["scanned_by"] for line in lines.values()} == {first}


def test_where_everything_was_scanned_coverage_stays_whole(ring: Ring, folder: Path) -> None:
    connector = ring.connect_folder(folder)
    for name in ("empty.txt", "program.bin"):
        (folder / name).unlink()
    scanned(ring, connector)
    _, again = scanned(ring, connector, coverage_target=1)
    assert (again["status"], again["coverage"]["coverage_pct"]) == ("completed", 1.0)
    assert again["coverage"]["skipped_by_reason"] == {"unchanged": FILES}


def test_exactly_what_is_new_or_changed_is_read_and_findings_of_what_is_gone_say_so(ring: Ring, folder: Path) -> None:
    connector = ring.connect_folder(folder)
    first, _ = scanned(ring, connector)
    (folder / "03.txt").write_text("the card 4111 1111 1111 1111 was charged\n")
    (folder / "99.txt").write_text("write to somebody.new@example.com\n")
    (folder / "07.txt").unlink()
    second, after = scanned(ring, connector)
    assert set(ledger(ring, second, disposition="scanned")) == {"03.txt", "99.txt"}
    assert after["coverage"]["skipped_by_reason"]["unchanged"] == FILES - 2
    assert set(findings(ring, second)) == {("03.txt", "payment.card", 1), ("99.txt", "pii.email", 1)}

    def gone() -> list[str]:
        items = ring.client.get(f"/scans/{first}/findings", params={"limit": 100}).json()["data"]
        return [item["object"] for item in items if item["gone_at"]]

    assert wait_until("the findings are gone", gone) == ["07.txt"]


def test_other_detectors_read_all_of_it_again(ring: Ring, folder: Path) -> None:
    connector = ring.connect_folder(folder)
    first, cards = scanned(ring, connector, detectors=["payment"])
    second, emails = scanned(ring, connector, detectors=["payment.card", "pii"])
    third, fewer = scanned(ring, connector, detectors=["pii.email"])
    assert [one["coverage"]["total_scanned"] for one in (cards, emails, fewer)] == [FILES, FILES, 0]
    assert findings(ring, first).total() == 0
    assert {detector for _, detector, _ in findings(ring, second)} == {"pii.email"}
    assert {line["scanned_by"] for line in ledger(ring, third, reason="unchanged").values()} == {second}


def test_a_larger_sample_reads_what_the_smaller_one_left(ring: Ring, folder: Path) -> None:
    connector = ring.connect_folder(folder)
    first, some = scanned(ring, connector, sample_percent=50)
    second, all_of_it = scanned(ring, connector)
    left = set(ledger(ring, first, reason="not_sampled"))
    assert 0 < len(left) < FILES
    assert set(ledger(ring, second, disposition="scanned")) == left - {"program.bin"}
    assert some["coverage"]["total_scanned"] + all_of_it["coverage"]["total_scanned"] == FILES
