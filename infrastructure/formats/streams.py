"""Byte streams in front of a format: counted, stoppable, and open to a look ahead."""

from collections.abc import Callable

from application.ports import ByteStream, Stopped


class MeteredStream:
    """The object's own stream. Counts what is read and raises `Stopped` once `stopped()` is true."""

    def __init__(self, stream: ByteStream, stopped: Callable[[], bool]) -> None:
        self._stream = stream
        self._stopped = stopped
        self.bytes_read = 0

    def read(self, size: int, /) -> bytes:
        if self._stopped():
            raise Stopped
        chunk = self._stream.read(size)
        self.bytes_read += len(chunk)
        return chunk


class PeekableStream:
    """A stream whose beginning can be looked at before it is read."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._ahead = b""
        self._ended = False

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end, still to be read."""
        if len(self._ahead) < size and not self._ended:
            self._ahead += self._gather(size - len(self._ahead))
        return self._ahead[:size]

    def read(self, size: int, /) -> bytes:
        if self._ahead:
            chunk, self._ahead = self._ahead[:size], self._ahead[size:]
            return chunk
        return b"" if self._ended else self._stream.read(size)

    def read_full(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end."""
        self.peek(size)
        chunk, self._ahead = self._ahead[:size], self._ahead[size:]
        return chunk

    def _gather(self, size: int) -> bytes:
        chunks: list[bytes] = []
        while size > 0:
            chunk = self._stream.read(size)
            if not chunk:
                self._ended = True
                break
            chunks.append(chunk)
            size -= len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
