from collections.abc import Iterator

import pytest

from infrastructure.embedded.folder import DataFolder
from infrastructure.embedded.nats import EmbeddedNats
from tests.workers.brokers import Brokers


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    folder = DataFolder(tmp_path_factory.mktemp("nats"))
    with folder.locked():
        server = EmbeddedNats(folder)
        try:
            server.start()
            yield Brokers(server)
        finally:
            server.stop()
