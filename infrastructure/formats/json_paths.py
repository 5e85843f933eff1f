"""JSON: which member of which record a hit stands in, reading only what lies before it."""

import re
from functools import lru_cache
from typing import Final

from domain.detectors.rule import CONTEXT_AFTER, CONTEXT_BEFORE
from domain.finding import Occurrence
from infrastructure.formats.charset import Width
from infrastructure.formats.limits import Limits
from infrastructure.formats.lines import TextLocator
from infrastructure.formats.names import decoded, is_plain_name, shown_name
from infrastructure.formats.window import Frame

_REST_OF_STRING: Final = rb'(?:[^"\\]++|\\.)*+(?:(")|\\?\Z)'
_TOKEN: Final = re.compile(rb'"' + _REST_OF_STRING + rb"|[\[\]{},]", re.DOTALL)
_REST: Final = re.compile(_REST_OF_STRING, re.DOTALL)
_MAX_KEY: Final = 256
_MAX_DEPTH: Final = 64
_OPEN_OBJECT, _OPEN_ARRAY, _COMMA = b"{", b"[", b","
_QUOTE: Final = ord('"')


class PathWalker:
    """Follows JSON tokens and knows the path at its position. Takes any bytes; of broken JSON it makes a guess."""

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self._stack: list[bytes | int | None] = []
        self._beyond = 0
        self._expects_key = False
        self._string: bytes | None = None

    def advance(self, data: bytes | bytearray, base: int, target: int) -> None:
        """Read on as far as `target`, which may lie inside a string. `data` starts at `base`."""
        start, stop = self.position - base, target - base
        if self._string is not None:
            rest = _REST.match(data, start, stop)
            start = self._read_string(rest, base) if rest else stop
        for token in _TOKEN.finditer(data, start, stop):
            text = token[0]
            if text[0] != _QUOTE:
                self._take(text)
            elif token[1] is None:
                self._string = b""
                self._read_string(token, base)
            elif self._expects_key:
                self._name(text)
        if self._string is None:
            self.position = target

    def _read_string(self, token: re.Match[bytes], base: int) -> int:
        """Take a string, or as much of it as is at hand. Where to go on, in `data`."""
        text = token[0]
        closed = token[1] is not None
        cut_escape = not closed and (len(text) - len(text.rstrip(b"\\"))) % 2
        self._string = ((self._string or b"") + (text[:-1] if cut_escape else text))[:_MAX_KEY]
        self.position = base + token.end() - cut_escape
        if closed:
            if self._expects_key:
                self._name(self._string)
            self._string = None
        return token.end()

    def _name(self, quoted: bytes) -> None:
        self._stack[-1] = quoted[:_MAX_KEY].strip(b'"')
        self._expects_key = False

    def _take(self, token: bytes) -> None:
        if token in (_OPEN_OBJECT, _OPEN_ARRAY):
            self._open(None if token == _OPEN_OBJECT else 0)
        elif token == _COMMA:
            self._next()
        else:
            self._close()

    def _open(self, member: int | None) -> None:
        if len(self._stack) >= _MAX_DEPTH:
            self._beyond += 1
        else:
            self._stack.append(member)
            self._expects_key = member is None

    def _next(self) -> None:
        if self._beyond or not self._stack:
            return
        top = self._stack[-1]
        if isinstance(top, int):
            self._stack[-1] = top + 1
        else:
            self._stack[-1] = None
            self._expects_key = True

    def _close(self) -> None:
        if self._beyond:
            self._beyond -= 1
        elif self._stack:
            self._stack.pop()
            self._expects_key = False

    def path(self, *, indices: bool = True) -> str | None:
        """`$.users[3].email`, or `$.users[*].email` without indices. None deeper than 64 levels."""
        if self._beyond:
            return None
        steps = ["$"]
        for member in self._stack:
            if isinstance(member, bytes):
                steps.append(_member_step(member))
            elif member is not None:
                steps.append(f"[{member}]" if indices else "[*]")
        return "".join(steps)


@lru_cache(maxsize=4096)
def _member_step(key: bytes) -> str:
    name = decoded(key)
    return f".{name}" if is_plain_name(name) and "." not in name else f"[{shown_name(name)!r}]"


class _JsonLocator(TextLocator):
    """Knows the path of the hit asked for last."""

    def __init__(self, width: Width, limits: Limits) -> None:
        super().__init__(width, limits)
        self._walker = PathWalker()
        self._path: str | None = None

    def near(self, start: int, end: int) -> bytes:
        """The path, and what stands around the hit in its string: other members say nothing of this one."""
        if self._path is None:
            return super().near(start, end)
        first, stop = start - self._base, end - self._base
        before = self._data[max(first - CONTEXT_BEFORE, 0) : first].rpartition(b'"')[2]
        after = self._data[stop : stop + CONTEXT_AFTER].partition(b'"')[0]
        return self._path.encode() + b" " + before + b" " + after


class JsonLinesLocator(_JsonLocator):
    """Places hits in newline-delimited JSON: a record is a line, blank ones counted."""

    def __init__(self, width: Width, limits: Limits) -> None:
        super().__init__(width, limits)
        self._line_start = 0

    @property
    def reach(self) -> int:
        """How long a line may be for its members to have a path."""
        return self._reach

    def records(self) -> int:
        return self.lines()

    def column(self, start: int) -> str | None:
        relative = start - self._base
        newline = self._data.rfind(b"\n", max(relative - self._reach - 1, 0), relative)
        line_start = self._base + newline + 1
        self._path = None
        if newline >= 0 or (self._base == 0 and start <= self._reach):
            if line_start != self._line_start:
                self._walker, self._line_start = PathWalker(line_start), line_start
            self._walker.advance(self._data, self._base, start)
            self._path = self._walker.path(indices=False)
        return self._path

    def place(self, start: int, end: int, masked: str, confidence: float) -> Occurrence:
        self._advance_lines(start)
        path = None if self._path is None else self._walker.path()
        return self._placed(start, end, masked, confidence, record_index=self._line - 1, json_path=path)


class JsonDocumentLocator(_JsonLocator):
    """Places hits in one JSON document; beyond `json_document_bytes` of it without a path."""

    def __init__(self, width: Width, limits: Limits) -> None:
        super().__init__(width, limits)
        self._limit = limits.json_document_bytes
        self._unread = bytearray()
        self._unread_base = 0

    def begin(self, frame: Frame) -> None:
        super().begin(frame)
        end = self._unread_base + len(self._unread)
        if end < self._limit:
            self._unread += frame.data[end - frame.base :]

    def settle(self, offset: int) -> None:
        super().settle(offset)
        read = self._limit if offset >= self._limit else self._walker.position
        del self._unread[: read - self._unread_base]
        self._unread_base = max(read, self._unread_base)

    def column(self, start: int) -> str | None:
        self._path = None
        if start < self._limit:
            self._walker.advance(self._unread, self._unread_base, start)
            self._path = self._walker.path(indices=False)
        return self._path

    def place(self, start: int, end: int, masked: str, confidence: float) -> Occurrence:
        path = None if self._path is None else self._walker.path()
        return self._placed(start, end, masked, confidence, json_path=path)


_JSON_OBJECT: Final = re.compile(rb'\s*\{\s*["}]')
_JSON_ARRAY: Final = re.compile(rb'\s*\[\s*[\[{"]')


def sniff_json_lines(head: bytes, name: str) -> bool:
    """Whether it is JSON with one object a line: by name, or because the first two lines both are whole objects."""
    if name.endswith((".ndjson", ".jsonl", ".jsonlines")):
        return True
    lines = [line for line in head.split(b"\n", 3)[:3] if line.strip()][:2]
    return len(lines) == 2 and all(_JSON_OBJECT.match(line) and line.rstrip().endswith(b"}") for line in lines)


def sniff_json_document(head: bytes, name: str) -> bool:
    """Whether it is one JSON document: it starts as an object or as an array of containers or strings."""
    if name.endswith((".json", ".geojson")):
        return head.lstrip()[:1] in (_OPEN_OBJECT, _OPEN_ARRAY)
    return bool(_JSON_OBJECT.match(head) or _JSON_ARRAY.match(head))
