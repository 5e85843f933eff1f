"""Following scans to their end: polls that cost nothing while nothing changes, and rates over a sliding window."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol

from api.cli.client import Client, Document
from api.cli.failures import EXIT_OF_STATUS

POLL_SECONDS: Final = 0.25
RATE_WINDOW_SECONDS: Final = 5.0


@dataclass(slots=True)
class Watched:
    """One scan being followed: its latest document (None before the first answer) and how fast it goes."""

    scan_id: str
    label: str
    document: Document | None = None
    etag: str | None = None
    samples: deque[tuple[float, int, int]] = field(default_factory=deque)

    @property
    def ended(self) -> bool:
        return self.document is not None and self.document["status"] in EXIT_OF_STATUS

    def take(self, document: Document, etag: str | None) -> None:
        self.document, self.etag = document, etag

    def sample(self, now: float) -> None:
        """Note how far the scan has come at `now` (monotonic seconds)."""
        if self.document is None:
            return
        progress = self.document["progress"]
        self.samples.append((now, progress["files_processed"], progress["bytes_processed"]))
        while len(self.samples) > 2 and self.samples[0][0] < now - RATE_WINDOW_SECONDS:
            self.samples.popleft()

    @property
    def rates(self) -> tuple[float, float]:
        """Files and bytes a second: of the last seconds, or of the whole scan once it has ended."""
        if self.ended and self.document:
            progress = self.document["progress"]
            seconds = max(progress["elapsed_seconds"], 0.001)
            return progress["files_processed"] / seconds, progress["bytes_processed"] / seconds
        if len(self.samples) < 2:
            return 0.0, 0.0
        (began, files, volume), (now, files_now, volume_now) = self.samples[0], self.samples[-1]
        seconds = max(now - began, 0.001)
        return (files_now - files) / seconds, (volume_now - volume) / seconds


class Display(AbstractContextManager["Display"], Protocol):
    """Shows scans as they go on, until they ended or the context closes."""

    def show(self, scans: Sequence[Watched]) -> None: ...


def watch(client: Client, scans: Sequence[Watched], display: Display) -> list[Document]:
    """Follow `scans` until every one has ended; their final documents, in order. Raises `ApiFailure`."""
    with display:
        while True:
            for scan in scans:
                _refresh(client, scan)
            display.show(scans)
            if all(scan.ended for scan in scans):
                return [scan.document for scan in scans if scan.document is not None]
            threading.Event().wait(POLL_SECONDS)


def _refresh(client: Client, scan: Watched) -> None:
    if scan.ended:
        return
    if changed := client.get_if_changed(f"/scans/{scan.scan_id}", scan.etag):
        scan.take(*changed)
    scan.sample(time.monotonic())
