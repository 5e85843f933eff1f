"""Two runs of one attempt at a listing, of which each parts the unit at a time of its own."""

from application.messages import ListingSplit
from application.ports import Append
from application.recording import Recorder
from domain.scan import UnitStatus
from tests.application.memory_log import MemoryInventory, MemoryManifest, MemoryScanLog
from tests.application.test_restored_log import UNIT, batch
from tests.domain.given import LATER, queued


def test_a_batch_beyond_where_another_run_has_parted_the_unit_is_not_taken() -> None:
    log = MemoryScanLog()
    log.append([Append("scan-1", 0, [queued(coverage_target=0.0)])])
    recorder = Recorder(log, MemoryManifest(log), MemoryInventory(), lambda: LATER)
    recorder.record([batch(1, "a"), ListingSplit(**UNIT, bounds=["c"])])
    recorder.record([batch(2, "b", "d", after="a")])
    scan = log.scan("scan-1")
    assert scan.coverage.enumerated == 1
    assert (scan.units[0].status, scan.units[0].attempt, scan.units[0].reached) == (UnitStatus.OPEN, 2, "a.csv")
