"""What is known of connectors' objects after the scans that ended, on the real store: the recorder writes, the follower
takes in, planning reads."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from application import messages as wire
from application.object_columns import to_text
from application.ports import Append, Claimed, Rows
from application.recording import Recorder
from domain.connector import ConnectorDeleted
from domain.coverage import Disposition, FailReason, SkipReason
from domain.inventory import Known, Ruleset
from domain.manifest import ObjectInfo
from domain.scan import Status
from domain.scan_events import Cancelled, ListingUnit, Queued
from infrastructure.postgres import inventory as inventories_read
from infrastructure.postgres.acceptance import inventories
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.follower import Follower
from infrastructure.postgres.inventory import PostgresInventory
from infrastructure.postgres.manifest import PostgresManifestStore
from tests.domain.given import ALONE, KEY, LATER, NOON, options

RULES = Ruleset("r1")
HOME = "home"
LAST = "\U0010ffff"
CUT = "d"
"""Each connector is listed in two ranges, which meet here."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Step:
    """One scan of a connector: what is there by then, as etags by key, and what becomes of it.

    `fates` are scanned, unless said otherwise: binary, failed or remaining. `breaks_after`: so many objects of the
    second range were listed before it failed.
    """

    present: Mapping[str, str]
    fates: Mapping[str, str] = field(default_factory=dict)
    type: str = "full"
    file_types: tuple[str, ...] = ()
    breaks_after: int | None = None
    location: str = HOME
    size: int = ALONE

    def entries(self) -> list[ObjectInfo]:
        return [ObjectInfo(key, self.size, etag) for key, etag in sorted(self.present.items())]

    def listed(self) -> tuple[list[ObjectInfo], list[ObjectInfo]]:
        """What each of the two ranges lists."""
        first = [entry for entry in self.entries() if entry.key <= CUT]
        second = [entry for entry in self.entries() if entry.key > CUT]
        return first, second if self.breaks_after is None else second[: self.breaks_after]


class Bench:
    def __init__(self, url: str) -> None:
        self.url = url
        self.log = PostgresScanLog(url)
        self.manifest = PostgresManifestStore(url)
        self.inventory = PostgresInventory(url)
        self._now = LATER
        self.recorder = Recorder(self.log, self.manifest, self.inventory, self._clock)
        self.follower: Follower = inventories(url)
        self.connection = psycopg.connect(url, autocommit=True)

    def _clock(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now

    def close(self) -> None:
        self.connection.close()
        for part in (self.log, self.manifest, self.inventory):
            part.close()

    def follow(self) -> None:
        while self.follower.catch_up(self.connection):
            pass

    def known(self, connector: str, location: str = HOME) -> dict[str, Known]:
        return dict(self.inventory.known(connector, location, "", LAST))

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(query.encode(), values).fetchall()

    def with_findings(self, connector: str) -> set[str]:
        """Objects with findings that are not gone."""
        query = "SELECT DISTINCT object FROM findings WHERE connector = %s AND gone_at IS NULL"
        return {row[0] for row in self.rows(query, connector)}

    def scan(self, connector: str, step: Step, **changes: Any) -> str:
        """Have a scan of a connector from its beginning to its end, and taken in."""
        scan_id = f"scan-{next(_numbers)}"
        event = Queued(
            at=NOON,
            actor=KEY,
            tenant="acme",
            type=step.type,
            connectors=(connector,),
            units=(ListingUnit(connector, "", "", CUT), ListingUnit(connector, "", CUT)),
            options=options(file_types=step.file_types, coverage_target=0.0),
            ruleset=RULES.digest,
            locations={connector: step.location},
        )
        self.log.append([Append(scan_id, 0, [replace(event, **changes)])])
        self._list(scan_id, step)
        self._read(scan_id, step)
        if self.log.course(scan_id).open:
            self.log.append_next(scan_id, [Cancelled(at=LATER, actor=KEY)], unless=[])
        self.follow()
        return scan_id

    def _list(self, scan_id: str, step: Step) -> None:
        for unit, entries in enumerate(step.listed()):
            of: dict[str, Any] = {"scan": scan_id, "worker": "w", "unit": unit, "attempt": 1}
            start = CUT if unit else ""
            if entries:
                self.recorder.record([wire.ObjectsListed(**of, batch=1, after=start, objects=to_text(entries))])
            if unit and step.breaks_after is not None:
                broken = wire.ListingFailed(**of, reason="source_denied", detail="No.", permanent=True)
                self.recorder.record([broken])
                continue
            after, until = (entries[-1].key if entries else start), ("" if unit else CUT)
            end = wire.ListingCompleted(**of, batches=bool(entries), until=until, after=after)
            self.recorder.record([end])

    def _read(self, scan_id: str, step: Step) -> None:
        pages = self.manifest.pages(scan_id, 0, 10**9)
        keys = {page.first_index + at: entry.key for page in pages for at, entry in enumerate(page.objects)}
        pending = self.log.scan(scan_id).pending
        reports: list[wire.AnyReport] = []
        for number, state in sorted(pending.items()):
            index = state.chunk.start
            fate = step.fates.get(keys[index], "scanned")
            if fate == "remaining":
                continue
            told = _told(index, keys[index], fate) | ({"scanned": state.chunk.files} if state.chunk.files > 1 else {})
            of = {"scan": scan_id, "worker": "w", "chunk": number, "attempt": 1, "plan": state.plan}
            reports.append(wire.ChunkCompleted(**of, started_at=NOON, bytes_read=1, **told))
        self.recorder.record(reports)


def _told(index: int, key: str, fate: str) -> dict[str, Any]:
    found = wire.ReportedFinding(
        index=index, object=key, detector="pii.email", category="pii", confidence=1, count=1, occurrences=[]
    )
    if fate == "scanned":
        return {"scanned": 1, "exceptions": [], "findings": [found]}
    if fate == "remarked":
        remark = wire.ReportedRemark(index=index, detail="1 of 2 entries skipped: 1 binary")
        return {"scanned": 1, "exceptions": [], "findings": [found], "remarks": [remark]}
    disposition, reason = {
        "binary": (Disposition.SKIPPED, SkipReason.BINARY),
        "failed": (Disposition.FAILED, FailReason.NETWORK),
    }[fate]
    exception = wire.ReportedException(index=index, disposition=disposition, reason=reason)  # type: ignore[arg-type]  # one of two
    return {"scanned": 0, "exceptions": [exception], "findings": [found] if fate == "failed" else []}


@pytest.fixture(scope="module")
def bench(database_url: str) -> Iterator[Bench]:
    bench = Bench(database_url)
    yield bench
    bench.close()


@pytest.fixture
def connector() -> str:
    return f"conn-{next(_numbers)}"


# The law --------------------------------------------------------------------------------------------------------------


def expected(old: Mapping[str, Known], step: Step, scan_id: str) -> tuple[dict[str, Known], set[str]]:
    """What is known after a scan, told object by object; and which objects are gone."""
    first, second = step.listed()
    seen = {entry.key: entry for entry in (*first, *second)}
    reached = LAST if step.breaks_after is None else second[-1].key if second else CUT
    new = {key: known for key, known in old.items() if key not in seen and key > reached}
    gone = {key for key in old if key not in seen and key <= reached}
    for key, entry in seen.items():
        before = old.get(key)
        same = before is not None and before.etag == entry.etag
        left_out = bool(step.file_types) and not key.endswith(step.file_types)
        fate = step.fates.get(key, "scanned")
        if before is not None and same and (left_out or step.type == "incremental"):
            new[key] = before
        elif not left_out and fate in {"scanned", "binary"}:
            found = SkipReason.BINARY if fate == "binary" else None
            new[key] = Known(key, ALONE, entry.etag, scan_id, RULES, found)
        elif not left_out and fate == "failed":
            new[key] = Known(key, ALONE, "", scan_id, RULES)
        elif before is not None:
            new[key] = before.forgotten
    return new, gone


KEYS = [f"{letter}.{extension}" for letter in "abcefg" for extension in ("csv", "log")]
steps = st.builds(
    Step,
    present=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(["e1", "e2"]), max_size=8),
    fates=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(["binary", "failed", "remaining"]), max_size=6),
    type=st.sampled_from(["full", "incremental"]),
    file_types=st.sampled_from([(), (), ("csv",)]),
    breaks_after=st.sampled_from([None, None, 0, 2]),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(steps, min_size=1, max_size=4))
def test_what_is_known_is_an_entry_per_object_that_was_really_read_and_is_still_the_same(
    bench: Bench, history: list[Step]
) -> None:
    connector = f"conn-{next(_numbers)}"
    known: dict[str, Known] = {}
    findings: set[str] = set()
    for step in history:
        scan_id = bench.scan(connector, step)
        read = {row[0] for row in bench.rows("SELECT object FROM findings WHERE scan_id = %s", scan_id)}
        known, gone = expected(known, step, scan_id)
        findings = (findings - gone) | read
        assert bench.known(connector) == known
        assert bench.with_findings(connector) == findings


# One by one -----------------------------------------------------------------------------------------------------------

ALL = {"a.csv": "e1", "b.csv": "e1", "e.csv": "e1"}


def test_after_a_whole_scan_an_incremental_one_reads_nothing_and_names_it(bench: Bench, connector: str) -> None:
    first = bench.scan(connector, Step(ALL))
    again = bench.log.scan(bench.scan(connector, Step(ALL, type="incremental")))
    assert (again.status, again.coverage.skipped) == (Status.COMPLETED, {"unchanged": 3})
    assert {known.scan for known in bench.known(connector).values()} == {first}


def test_findings_of_an_object_that_failed_before_it_was_deleted_are_gone(bench: Bench, connector: str) -> None:
    bench.scan(connector, Step(ALL))
    bench.scan(connector, Step(ALL, fates={"b.csv": "failed"}))
    bench.scan(connector, Step({"a.csv": "e1", "e.csv": "e1"}))
    assert bench.with_findings(connector) == {"a.csv", "e.csv"}


def test_what_was_found_in_an_object_before_it_failed_is_gone_with_it(bench: Bench, connector: str) -> None:
    bench.scan(connector, Step(ALL, fates={"b.csv": "failed"}))
    assert bench.with_findings(connector) == set(ALL)
    bench.scan(connector, Step({"a.csv": "e1", "e.csv": "e1"}))
    assert bench.with_findings(connector) == {"a.csv", "e.csv"}


def test_an_object_with_a_remark_was_read_and_is_not_read_again(bench: Bench, connector: str) -> None:
    scan_id = bench.scan(connector, Step(ALL, fates={"b.csv": "remarked"}))
    query = "SELECT object_index, disposition, reason, detail FROM object_exceptions WHERE scan_id = %s"
    assert bench.rows(query, scan_id) == [(1, "scanned", "", "1 of 2 entries skipped: 1 binary")]
    again = bench.log.scan(bench.scan(connector, Step(ALL, type="incremental")))
    assert again.coverage.skipped == {"unchanged": 3}


def test_another_location_knows_nothing_and_takes_the_place_of_the_one_before(bench: Bench, connector: str) -> None:
    bench.scan(connector, Step(ALL))
    assert bench.known(connector, "elsewhere") == {}
    bench.scan(connector, Step({"z.csv": "e1"}, location="elsewhere"))
    assert bench.known(connector) == {}
    assert set(bench.known(connector, "elsewhere")) == {"z.csv"}
    # Nothing of it is gone: nobody has looked there again.
    assert bench.with_findings(connector) == {*ALL, "z.csv"}


def test_of_a_deleted_connector_nothing_is_left(bench: Bench, connector: str) -> None:
    bench.scan(connector, Step(ALL))
    bench.log.append([Append(connector, 0, [ConnectorDeleted(at=LATER, actor=KEY)])])
    bench.follow()
    assert bench.known(connector) == {}
    for table in ("inventories", "inventory_pages"):
        assert bench.rows(f"SELECT count(*) FROM {table} WHERE connector_id = %s", connector) == [(0,)]


def test_a_redrive_adds_what_it_read_and_takes_nothing_away(bench: Bench, connector: str) -> None:
    first = bench.scan(connector, Step(ALL, fates={"b.csv": "failed"}))
    assert {key for key, known in bench.known(connector).items() if known.etag} == {"a.csv", "e.csv"}
    second = bench.scan(connector, Step({"b.csv": "e1"}), redrive_of=first)
    assert {key: known.scan for key, known in bench.known(connector).items()} == {
        "a.csv": first,
        "b.csv": second,
        "e.csv": first,
    }
    assert bench.with_findings(connector) == set(ALL)


def test_a_scan_with_fewer_detectors_does_not_settle_what_one_with_all_looks_for(bench: Bench, connector: str) -> None:
    bench.scan(connector, Step(ALL), detectors=("pii.email",))
    same = bench.log.scan(bench.scan(connector, Step(ALL, type="incremental"), detectors=("pii.email",)))
    assert same.coverage.skipped == {"unchanged": 3}
    more = bench.log.scan(bench.scan(connector, Step(ALL, type="incremental")))
    assert more.coverage.scanned == 3


def test_only_the_pages_of_the_last_generation_are_kept(bench: Bench, connector: str) -> None:
    for _ in range(3):
        bench.scan(connector, Step(ALL))
    query = "SELECT generation, files FROM {} WHERE connector_id = %s"
    assert bench.rows(query.format("inventories"), connector) == [(3, 3)]
    assert bench.rows(query.format("inventory_pages"), connector) == [(3, 3)]


def test_odd_keys_are_known_as_they_are(bench: Bench, connector: str) -> None:
    odd = {"a\0b": "e", "b\n": "e", "\U0001f600/é": "e", "~ ": "e"}
    bench.scan(connector, Step(odd))
    assert set(bench.known(connector)) == set(odd)
    bench.scan(connector, Step({"b\n": "e"}))
    assert set(bench.known(connector)) == {"b\n"}
    assert bench.with_findings(connector) == {"b\n"}


def test_many_objects_are_known_in_pages_of_which_only_those_that_are_asked_for_are_read(
    bench: Bench, connector: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"{'ae'[n // 1_500]}{n:05}" for n in range(3_000)]
    bench.scan(connector, Step(dict.fromkeys(keys, "e"), size=10))
    assert set(bench.known(connector)) == set(keys)
    assert bench.rows("SELECT count(*) FROM inventory_pages WHERE connector_id = %s", connector) == [(3,)]
    middle = bench.inventory.known(connector, HOME, keys[1_200], keys[1_300])
    assert set(keys[1_200:1_301]) <= set(middle) <= set(keys[1_000:2_000])
    monkeypatch.setattr(inventories_read, "FILES_A_UNIT", 1_000)
    bounds = bench.inventory.boundaries(connector, HOME, "")
    assert list(bounds) == [keys[1_000], keys[2_000]]
    assert list(bench.inventory.boundaries(connector, HOME, "none/")) == []
    assert list(bench.inventory.boundaries(connector, "elsewhere", "")) == []


def test_planning_waits_until_the_inventories_have_reached_a_position(bench: Bench, connector: str) -> None:
    bench.scan(connector, Step(ALL))
    assert bench.inventory.accepted_up_to() == bench.log.position()


# Claims ---------------------------------------------------------------------------------------------------------------


def claim(bench: Bench, connector: str, scan_id: str) -> int:
    event = replace(_queued(connector), type="incremental")
    return bench.log.append([Append(scan_id, 0, [event])], Rows(claims=[(connector, scan_id)]))


def _queued(connector: str) -> Queued:
    return Queued(
        at=NOON,
        actor=KEY,
        tenant="acme",
        type="full",
        connectors=(connector,),
        units=(ListingUnit(connector),),
        options=options(),
        ruleset="r1",
    )


def test_a_connector_is_claimed_by_one_scan_until_that_has_ended(bench: Bench, connector: str) -> None:
    holder, other = f"scan-{next(_numbers)}", f"scan-{next(_numbers)}"
    claim(bench, connector, holder)
    position = bench.log.position()
    with pytest.raises(Claimed) as caught:
        claim(bench, connector, other)
    assert (caught.value.connector, caught.value.scan) == (connector, holder)
    assert bench.log.position() == position
    bench.log.append_next(holder, [Cancelled(at=LATER, actor=KEY)], unless=[])
    claim(bench, connector, other)
    assert bench.log.scan(other).open
