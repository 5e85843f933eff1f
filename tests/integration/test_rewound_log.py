"""What a log tells who remembers it, when its server was started anew: the data may be an older copy."""

from collections.abc import Iterator

import pytest

from application.ports import Append, LogRewound
from infrastructure.embedded.folder import DataFolder
from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.postgres.event_log import PostgresScanLog
from infrastructure.postgres.migrate import migrate
from tests.domain.given import queued
from tests.domain.samples import SAMPLES

STARTED = next(event for event in SAMPLES if event.kind == "scan.chunk-started")


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    folder = DataFolder(tmp_path_factory.mktemp("postgres"))
    with folder.locked():
        server = EmbeddedPostgres(folder)
        try:
            server.start()
            migrate(server.url)
            yield server
        finally:
            server.stop()


def test_a_watchful_log_says_once_that_its_server_was_started_anew_and_writes_nothing_then(
    server: EmbeddedPostgres,
) -> None:
    watchful = PostgresScanLog(server.url, watchful=True)
    usual = PostgresScanLog(server.url)
    for log, stream in ((watchful, "a"), (usual, "b")):
        log.append([Append(stream, 0, [queued()])])
        log.append([Append(stream, 1, [STARTED])])
    for _ in range(2):
        server.stop()
        server.start()
        with pytest.raises(LogRewound):
            watchful.append([Append("a", 2, [STARTED])])
        assert len(watchful.history("a", 0, 10)) == len(usual.history("a", 0, 10)) == 2
    server.stop()
    server.start()
    with pytest.raises(LogRewound):
        watchful.history("a", 0, 10)
    watchful.append([Append("a", 2, [STARTED])])
    usual.append([Append("b", 2, [STARTED])])
    for log in (watchful, usual):
        log.close()
