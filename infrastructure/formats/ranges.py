"""One object read by ranges: as streams, and as the seekable file that Parquet needs."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from application.ports import OpenRange
from infrastructure.formats.streams import MeteredStream, PeekableStream

_AHEAD: Final = 1024 * 1024


class ObjectRanges:
    """An object's bytes by range, bounded by its size. Every read raises `Stopped` once `stopped()` is true."""

    def __init__(self, open_range: OpenRange, size: int, stopped: Callable[[], bool]) -> None:
        self._open_range = open_range
        self._stopped = stopped
        self.size = size

    @contextmanager
    def stream(self, start: int, stop: int) -> Iterator[PeekableStream]:
        """The bytes `start..stop`, as far as the object has them. An empty range is not asked for."""
        stop = min(stop, self.size)
        if start >= stop:
            yield PeekableStream(io.BytesIO())
            return
        with self._open_range(start, stop) as stream:
            yield PeekableStream(MeteredStream(stream, self._stopped))

    def read(self, start: int, stop: int) -> bytes:
        with self.stream(start, stop) as stream:
            return stream.read_full(stop - start)


class RangedFile(io.RawIOBase):
    """The object as a seekable file. A read is one range, of at least 1 MiB: so much is kept for the small reads that
    follow, each of which would cost a request."""

    def __init__(self, ranges: ObjectRanges) -> None:
        super().__init__()
        self._ranges = ranges
        self._position = 0
        self._kept = b""
        self._kept_at = 0
        self.fault: Exception | None = None
        """What a read raised. A library in between may make an error of its own of it."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ranges.size}[whence]
        self._position = max(origin + offset, 0)
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """The next `size` bytes; fewer only at the end."""
        left = max(self._ranges.size - self._position, 0)
        size = min(size, left) if size >= 0 else left
        first = self._position - self._kept_at
        if not 0 <= first <= len(self._kept) - size:
            self._fetch(size)
            first = 0
        content = self._kept[first : first + size]
        self._position += len(content)
        return content

    def _fetch(self, size: int) -> None:
        self._kept = b""
        try:
            self._kept = self._ranges.read(self._position, self._position + max(size, _AHEAD))
        except Exception as error:
            self.fault = error
            raise
        self._kept_at = self._position
