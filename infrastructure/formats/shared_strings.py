"""The strings that a workbook's cells share: as many as there are, in little memory."""

import tempfile
from array import array
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Final, Self

from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from infrastructure.formats.limits import MIB
from infrastructure.formats.xml_parts import local_name

_IN_MEMORY: Final = 32 * MIB
_MOST: Final = 8 * 1024 * 1024
_LONGEST: Final = 8 * MIB
_PASSAGE: Final = MIB


class SharedStrings:
    """Takes the elements of the part that holds the strings, and then gives each by its number. They are held in memory
    up to 32 MiB, else on disk. To be used in a `with` statement."""

    def __init__(self) -> None:
        self.depth = 0
        self._held = bytearray()
        self._file: IO[bytes] | None = None
        self._ends = array("Q", [0])
        self._used = bytearray()
        self._parts: list[str] = []
        self._in_text = False
        self._length = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def start(self, tag: str, _attributes: dict[str, str]) -> None:
        self.depth += 1
        self._in_text = local_name[tag] == "t"

    def end(self, tag: str) -> None:
        self.depth -= 1
        self._in_text = False
        if local_name[tag] == "si":
            self._add("".join(self._parts))
            self._parts.clear()
            self._length = 0

    def text(self, text: str) -> None:
        if self._in_text:
            self._length += len(text)
            if self._length > _LONGEST:
                raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "has a string that is too long")
            self._parts.append(text)

    def _add(self, text: str) -> None:
        if len(self._used) >= _MOST:
            raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "has too many strings")
        string = text.encode("utf-8", "replace")
        end = self._ends[-1] + len(string)
        if end <= _IN_MEMORY:
            self._held += string
        else:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 — closed in `__exit__`
            self._file.seek(end - len(string))
            self._file.write(string)
        self._ends.append(end)
        self._used.append(0)

    def of(self, number: str) -> bytes | None:
        """The string of that number; None if there is none."""
        try:
            index = int(number)
            if index < 0:
                return None
            self._used[index] = 1
        except (ValueError, IndexError):
            return None
        return self._string(index)

    def unused(self) -> Iterator[bytes]:
        """The strings that nothing asked for, a line each, in pieces of about 1 MiB."""
        lines: list[bytes] = []
        length, index = 0, self._used.find(0)
        while index >= 0:
            lines.append(self._string(index))
            length += len(lines[-1])
            if length >= _PASSAGE:
                yield b"\n".join(lines)
                lines, length = [], 0
            index = self._used.find(0, index + 1)
        if lines:
            yield b"\n".join(lines)

    def _string(self, index: int) -> bytes:
        start, end = self._ends[index], self._ends[index + 1]
        if self._file is None or end <= len(self._held):
            return bytes(self._held[start:end])
        self._file.seek(start)
        return self._file.read(end - start)
