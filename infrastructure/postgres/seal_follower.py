"""The follower `seal`: a thread that assigns leaves, and one that signs and writes outside what may take its time."""

import threading
from typing import Any, Final

import psycopg
import structlog

from infrastructure.postgres import sealing
from infrastructure.postgres.follower import POLL_SECONDS, listening
from infrastructure.postgres.notary import Notary
from infrastructure.postgres.sealing import Sealer

_PACE_SECONDS: Final = 0.05
"""Batches come at most this often while events keep coming: one costs as much for an event as for many."""

log = structlog.get_logger(__name__)


class SealFollower:
    """Seals every event of the log once, in order, and has the logs signed."""

    def __init__(self, database_url: str, notary: Notary) -> None:
        self._database_url = database_url
        self._sealer = Sealer()
        self._notary = notary

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set, through any number of lost connections."""
        while not stop.is_set():
            try:
                with listening(self._database_url) as connection:
                    connection.execute("LISTEN stored_events")
                    self._follow(connection, stop)
            except psycopg.Error as error:
                log.warning("seal.interrupted", error=type(error).__name__)
                self._sealer.forget()
                stop.wait(0.5)

    def sign(self, stop: threading.Event) -> None:
        """Sign what `run` seals until `stop` is set; in a thread of its own."""
        self._notary.run(self._database_url, stop)

    def _follow(self, connection: psycopg.Connection[Any], stop: threading.Event) -> None:
        while not stop.is_set():
            sealed = self._sealer.catch_up(connection)
            self._notary.heed(sealed, caught_up=sealed.count < sealing.BATCH)
            if not sealed.count:
                for _ in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                    pass
            elif sealed.count < sealing.BATCH:
                stop.wait(_PACE_SECONDS)
