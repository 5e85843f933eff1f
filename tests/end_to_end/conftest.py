"""One ring for all tests of a process that disturb it, whole again before each of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infrastructure.s3_server import S3Server
from tests.end_to_end.corpus import Corpus, make_corpus
from tests.end_to_end.ring import Ring
from tests.end_to_end.slow_bucket import READ_SECONDS, SlowBucket, open_slow_bucket


@pytest.fixture(scope="session")
def readable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder below which the ring's filesystem connectors may read."""
    return tmp_path_factory.mktemp("readable")


@pytest.fixture(scope="session")
def corpus(readable: Path) -> Corpus:
    return make_corpus(readable / "corpus", chunks=12)


@pytest.fixture(scope="session")
def small_corpus(readable: Path) -> Corpus:
    return make_corpus(readable / "small", chunks=1)


@pytest.fixture(scope="session")
def _ring(tmp_path_factory: pytest.TempPathFactory, readable: Path) -> Iterator[Ring]:
    with Ring(tmp_path_factory.mktemp("ring"), [readable]).running() as ring:
        yield ring


@pytest.fixture
def ring(_ring: Ring) -> Ring:
    _ring.make_whole()
    return _ring


@pytest.fixture(scope="session")
def _slow_bucket(s3_server: S3Server, s3_client: Any) -> Iterator[SlowBucket]:
    with open_slow_bucket(s3_server, s3_client) as bucket:
        yield bucket


@pytest.fixture
def slow_bucket(_slow_bucket: SlowBucket) -> SlowBucket:
    _slow_bucket.forget()
    _slow_bucket.read_seconds = READ_SECONDS
    _slow_bucket.slow_listing = None
    return _slow_bucket
