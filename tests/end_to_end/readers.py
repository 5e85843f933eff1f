"""The children of a scanner that read a given file, and what befalls them."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.end_to_end.ring import Ring, wait_until


def reader_of(ring: Ring, path: Path) -> psutil.Process | None:
    """The child of the scanner that has this file open."""
    for child in ring.children("scanner"):
        with suppress(OSError, psutil.Error):
            files = Path(f"/proc/{child.pid}/fd")
            if any(file.readlink() == path for file in files.iterdir()):
                return child
    return None


@contextmanager
def killer(ring: Ring, path: Path, by: signal.Signals = signal.SIGKILL) -> Iterator[list[int]]:
    """Sends a signal to every process that reads `path`; gives their pids. SIGKILL is as an object that crashes its
    reader, SIGSTOP as one that hangs it."""
    killed: list[int] = []
    stop = threading.Event()

    def hunt() -> None:
        while not stop.wait(0.01):
            if (reader := reader_of(ring, path)) is not None:
                reader.send_signal(by)
                killed.append(reader.pid)
                wait_until("the reader is gone", lambda reader=reader: reader_of(ring, path) != reader)

    thread = threading.Thread(target=hunt)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()
