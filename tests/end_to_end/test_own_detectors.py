"""Own detectors and the allow list, through the whole ring: made over HTTP, found by real workers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.end_to_end.ring import Ring
from tests.end_to_end.truths import findings

RULE: Final = {
    "name": "Badge",
    "confidence": 0.8,
    "patterns": [r"(?<![\w-])EMP-\d{6}(?![\w-])"],
    "severity": "critical",
}
BADGE: Final = {"id": "acme.badge", **RULE}
BODY: Final = "EMP-000001 and EMP-123456 and ann@example.org\n"


@pytest.fixture
def own(ring: Ring) -> Iterator[Ring]:
    """The ring, whose tenant has a detector and an allow list until the test is over."""
    assert ring.client.post("/detectors", json=BADGE).status_code == 201
    entry = {"detector": "acme", "value": "EMP-000001", "reason": "Nobody's."}
    made = ring.client.post("/allow-list", json=entry)
    assert made.status_code == 201
    yield ring
    ring.client.delete("/detectors/acme.badge")
    ring.client.delete(f"/allow-list/{made.json()['data']['allowance_id']}")


def ended(ring: Ring, scan_id: str) -> tuple[dict[tuple[str, str], int], dict[str, Any]]:
    """What a scan found, by object and detector, and how it is shown, once it has ended."""
    ring.wait_for_end(scan_id)
    found = {(name, detector): count for (name, detector, count) in findings(ring, scan_id)}
    return found, dict(ring.shown(scan_id))


def test_what_a_scan_looks_for_is_settled_when_it_is_queued(own: Ring, readable: Path) -> None:
    root = readable / "own"
    root.mkdir()
    for name in ("a.txt", "b.txt"):
        (root / name).write_text(BODY)
    connector = own.connect_folder(root)
    both = {(name, detector): 1 for name in ("a.txt", "b.txt") for detector in ("acme.badge", "pii.email")}

    found, shown = ended(own, own.start_scan(connector))
    assert found == both
    assert shown["progress"]["hits_allowed"] == 2

    own.kill("scanner")
    waiting = own.start_scan(connector, detectors=["acme"])
    changed = own.client.put("/detectors/acme.badge", json={**RULE, "patterns": ["EMP-9{6}"]})
    assert changed.status_code == 200
    own.start("scanner")
    found, shown = ended(own, waiting)
    assert found == {place: count for place, count in both.items() if place[1] == "acme.badge"}
    item = own.client.get(f"/scans/{waiting}/findings?severity=critical").json()["data"][0]
    assert (item["detector"], item["count"], item["occurrences"][0]["masked"]) == ("acme.badge", 1, "***-****56")

    found, shown = ended(own, own.start_scan(connector, incremental=True))
    assert found == {place: count for place, count in both.items() if place[1] == "pii.email"}
    assert (shown["coverage"]["skipped_by_reason"], shown["progress"]["hits_allowed"]) == ({}, 0)
    _, shown = ended(own, own.start_scan(connector, incremental=True))
    assert shown["coverage"]["skipped_by_reason"] == {"unchanged": 2}
