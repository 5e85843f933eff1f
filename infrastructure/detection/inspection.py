"""One object with all that is packed in it: formats are recognised, read and searched, entry by entry."""

import io
from collections import Counter
from collections.abc import Callable
from typing import Final

from application.ports import ByteStream, Stopped
from domain.coverage import FailReason, SkipReason
from domain.errors import ObjectSkipped, ObjectUnreadable
from infrastructure.detection.column_search import record_batch
from infrastructure.detection.matcher import Matcher
from infrastructure.detection.tallies import Tallies
from infrastructure.detection.text_search import TextSearch
from infrastructure.formats import charset
from infrastructure.formats.compression import MAGIC_BYTES, decompression_of
from infrastructure.formats.extracted import ColumnBatch, Entry, Passage, Place, Unread
from infrastructure.formats.inner_names import inner_name
from infrastructure.formats.layouts import locator_for
from infrastructure.formats.limits import Budget, BudgetSpent
from infrastructure.formats.lines import TextLocator
from infrastructure.formats.readers import Format, format_of
from infrastructure.formats.signatures import refuse
from infrastructure.formats.streams import PeekableStream
from infrastructure.formats.window import frames

HEAD: Final = 64 * 1024
WHOLE_TEXT: Final = range(1 << 62)
_BETWEEN: Final = "!/"
_COMPRESSED_ENDINGS: Final = {"gz", "gzip", "z", "zst", "zstd", "bz2", "bz", "bzip2", "xz", "lzma"}
_TAR_ENDINGS: Final = {"tgz", "tbz", "tbz2", "txz", "tlz", "tzst"}


class ObjectInspection:
    """Reads one object to its end and tallies what is found. What cannot be read of what is packed in it is kept in
    mind, and never passed over in silence."""

    def __init__(self, matcher: Matcher, budget: Budget, tallies: Tallies, stopped: Callable[[], bool]) -> None:
        self._matcher = matcher
        self._budget = budget
        self._limits = budget.limits
        self._tallies = tallies
        self._stopped = stopped
        self._unread: list[Unread] = []
        self._read = 0

    def read(self, stream: ByteStream, name: str) -> None:
        """Read the whole object. Raises `ObjectSkipped` or `ObjectUnreadable` if it, or all or some of what is packed
        in it, could not be read."""
        self._content(PeekableStream(stream), name, "")
        failed = next((one for one in self._unread if isinstance(one.error, ObjectUnreadable)), None)
        if failed is not None:
            raise ObjectUnreadable(failed.error.reason, _told(failed))  # type: ignore[arg-type]  # told apart above
        if self._unread and not self._read:
            raise ObjectSkipped(self._unread[0].error.reason, _told(self._unread[0]))  # type: ignore[arg-type]

    def remark(self) -> str:
        """One sentence on what is packed in the object and was skipped; empty if that is nothing."""
        if not self._unread:
            return ""
        reasons = Counter(str(one.error.reason) for one in self._unread)
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        entries = len(self._unread) + self._read
        return f"{len(self._unread)} of {entries} entries skipped: {counts}; {_told(self._unread[0])}"

    def _content(self, content: PeekableStream, name: str, path: str) -> None:
        decompression = decompression_of(content.peek(MAGIC_BYTES))
        if decompression is not None:
            with self._budget.descent():
                self._content(PeekableStream(decompression(content, self._budget)), _inside(name), path)
            return
        head = content.peek(HEAD)
        form = format_of(head, name)
        if form is not None:
            with self._budget.descent():
                self._extract(form, content, name, path)
        else:
            refuse(head, name)
            self._text(content, head, name, path)
            self._read += 1

    def _extract(self, form: Format, content: PeekableStream, name: str, path: str) -> None:
        given = 0
        for item in form.read(content, name, self._budget):
            if self._stopped():
                raise Stopped
            given += not isinstance(item, Entry | Unread)
            match item:
                case Passage():
                    self._passage(item, path)
                case ColumnBatch():
                    record_batch(item, self._matcher, self._tallies, path)
                case Entry():
                    self._entry(item, path)
                case Unread():
                    self._unread.append(Unread(_joined(path, inner_name(item.name)), item.error))
        self._read += given > 0 or not form.container

    def _entry(self, entry: Entry, path: str) -> None:
        inner = _joined(path, inner_name(entry.name))
        self._budget.entry()
        try:
            self._content(PeekableStream(entry.stream), entry.name, inner)
        except (BudgetSpent, Stopped, MemoryError):
            raise
        except (ObjectSkipped, ObjectUnreadable) as error:
            self._unread.append(Unread(inner, error))
        except Exception as error:  # noqa: BLE001 — a reader's own fault must not take the other entries with it
            fault = ObjectUnreadable(FailReason.PARSE_ERROR, f"its reader failed: {type(error).__name__}")
            self._unread.append(Unread(inner, fault))

    def _passage(self, passage: Passage, path: str) -> None:
        locator = TextLocator(charset.same_width, self._limits)
        self._search(PeekableStream(io.BytesIO(passage.text)), locator, passage.place, path)

    def _text(self, content: PeekableStream, head: bytes, name: str, path: str) -> None:
        width: charset.Width = charset.same_width
        transcoding = charset.transcoding_of(head)
        if transcoding is not None:
            content = PeekableStream(transcoding.stream(content))
            width, head = transcoding.width, content.peek(HEAD)
        if charset.looks_binary(head):
            raise ObjectSkipped(SkipReason.BINARY, "control characters")
        self._search(content, locator_for(head, name, width, self._limits), Place(), path)

    def _search(self, content: PeekableStream, locator: TextLocator, place: Place, path: str) -> None:
        search = TextSearch(self._matcher, locator, self._limits, place, path)
        whole = frames(content, search.reach(), self._limits.block_bytes)
        search.record(whole, WHOLE_TEXT, self._tallies, self._stopped)


def _inside(name: str) -> str:
    """The name of what a compressed file holds: `a.csv.gz` → `a.csv`, `a.tgz` → `a.tar`. One that does not tell of the
    compression, as names of objects with a Content-Encoding do not, is that of what it holds."""
    stem, _, ending = name.rpartition(".")
    if ending.lower() in _TAR_ENDINGS:
        return f"{stem}.tar"
    return stem if ending.lower() in _COMPRESSED_ENDINGS else name


def _joined(path: str, name: str) -> str:
    return f"{path}{_BETWEEN}{name}" if path else name


def _told(unread: Unread) -> str:
    detail = unread.error.detail or str(unread.error.reason)
    return f"{unread.name}: {detail}" if unread.name else detail
