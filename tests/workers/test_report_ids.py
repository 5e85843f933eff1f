from application.messages import ChunkCompleted, ChunkFindings, ChunkStarted, ObjectsListed, Report, TimeIsUp
from tests.domain.given import NOON
from workers.report_ids import report_id


def id_of(report: Report, command: int = 5) -> str:
    return report_id(report.model_dump_json().encode(), command)


def completed(**changes: object) -> ChunkCompleted:
    report = ChunkCompleted(
        scan="s",
        worker="w",
        chunk=1,
        attempt=1,
        plan="p",
        started_at=NOON,
        scanned=1,
        bytes_read=1,
        exceptions=[],
        findings=[],
    )
    return report.model_copy(update=changes)


def test_the_same_report_has_the_same_id():
    assert id_of(completed()) == id_of(completed()) == "s/1/1/chunk-completed/0/w/5"


def test_reports_that_say_different_things_have_different_ids():
    ids = [
        id_of(completed()),
        id_of(completed(), command=6),
        id_of(completed(scan="s2")),
        id_of(completed(chunk=2)),
        id_of(completed(attempt=2)),
        id_of(completed(worker="w2")),
        id_of(ChunkStarted(scan="s", worker="w", chunk=1, attempt=1, plan="p", started_at=NOON)),
        *(
            id_of(ChunkFindings(scan="s", worker="w", chunk=1, attempt=1, plan="p", part=n, findings=[]))
            for n in (1, 2)
        ),
        *(id_of(ObjectsListed(scan="s", worker="w", unit=1, attempt=1, batch=n, after="", objects="")) for n in (1, 2)),
        id_of(TimeIsUp(scan="s", worker="timer")),
    ]
    assert len(set(ids)) == len(ids)
