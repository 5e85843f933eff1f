"""What scanners tell of themselves is believed for five seconds."""

from application.messages import Telemetry, WorkInHand
from application.reading import Presence


def work(worker: str, scan: str, chunk: int | None = 3) -> WorkInHand:
    return WorkInHand(worker=worker, scan=scan, chunk=chunk, attempt=1, files_processed=7)


def telling(scanner: str, work: list[WorkInHand]) -> Telemetry:
    return Telemetry(scanner=scanner, pool="default", slots=2, work=work)


def test_the_last_word_of_each_scanner_counts_until_it_is_old():
    now = [0.0]
    presence = Presence(lambda: now[0])
    presence.hear(telling("a", [work("a-1", "scan-1"), work("a-2", "scan-2")]))
    presence.hear(telling("b", [work("b-1", "scan-1"), work("b-2", "scan-1", chunk=None)]))
    assert set(presence.of("scan-1")) == {"a-1", "b-1"}
    now[0] = 4.0
    presence.hear(telling("a", [work("a-1", "scan-2")]))
    assert set(presence.of("scan-1")) == {"b-1"}
    assert [telemetry.scanner for telemetry in presence.scanners()] == ["a", "b"]
    now[0] = 5.5
    assert presence.of("scan-1") == {}
    assert [telemetry.scanner for telemetry in presence.scanners()] == ["a"]
    assert presence.of("scan-2")["a-1"][0] == 1.5
