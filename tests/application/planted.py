"""Objects of which everything is known: what is planted in them, which cannot be read, and which kill their reader.

A body is lines of LINE bytes, each one word: a detector's name is a hit, `plain` is not, and others are trouble.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from application.ports import ByteStream, OpenRange
from domain.coverage import Disposition, FailReason, SkipReason
from domain.errors import ObjectSkipped, ObjectUnreadable
from domain.finding import Finding, Occurrence
from domain.inventory import Known, Ruleset
from domain.manifest import ObjectInfo
from domain.parts import part_range

LINE: Final = 16
HUGE_LINES, PART_LINES = 24, 8
"""An object of so many lines is read in parts, one for each PART_LINES."""

RULES: Final = Ruleset("r1")
_DETECTORS: Final = ("card", "email", "iban")
_UNREADABLE: Final = {"unreadable": FailReason.NETWORK, "corrupt": FailReason.PARSE_ERROR}


class Died(BaseException):
    """The reader's process came to its end."""


def body(*words: str) -> bytes:
    return b"".join(word.encode().ljust(LINE - 1) + b"\n" for word in words)


def _huge(*planted: tuple[int, str]) -> bytes:
    words = ["plain"] * HUGE_LINES
    for line, word in planted:
        words[line] = word
    return body(*words)


BUCKETS: Final[Mapping[str, Mapping[str, bytes]]] = {
    "conn-1": {
        "a/0.csv": body("plain", "card", "plain"),
        "a/1.csv": body("card", "poison"),
        "a/2.csv": body("email", "card", "email"),
        "a/3.csv": b"",
        "b/0.csv": body("unreadable"),
        "b/1.csv": body("iban", "email", "plain", "card"),
        "b/2.csv": _huge((0, "card"), (7, "card"), (8, "card"), (19, "email")),
        "c/0.csv": body("binary"),
        "c/1.csv": body("email"),
        "c/2.csv": _huge((1, "iban"), (9, "email"), (10, "corrupt"), (18, "card")),
        "c/3.csv": body("plain"),
        "d/0.csv": body("card"),
        "d/1.csv": body("poison"),
        "d/2.csv": body("iban", "iban"),
    },
    "conn-2": {
        "k1.csv": body("email"),
        "k2.csv": body("plain", "card"),
        "k3.csv": body("corrupt"),
        "k4.csv": _huge((2, "email"), (12, "poison"), (17, "iban")),
        "k5.csv": body("card", "card", "iban", "email"),
        "k6.csv": body("plain"),
        "k7.csv": body("email", "plain"),
    },
}

PARTED_AT: Final[Mapping[str, Sequence[str]]] = {"conn-2": ("k3.csv", "k5.csv")}
"""Connectors that are listed by key ranges from the beginning, and where these meet."""


def entry(connector: str, key: str) -> ObjectInfo:
    return ObjectInfo(key, len(BUCKETS[connector][key]), f"etag of {key}")


@dataclass(frozen=True, slots=True)
class Truth:
    """What becomes of an object once it is read, and the lines (from 1) of each detector's hits that are found."""

    disposition: Disposition
    reason: str
    lines: Mapping[str, Sequence[int]]


def _truth(words: Sequence[str]) -> Truth:
    step = PART_LINES if len(words) >= HUGE_LINES else len(words)
    lines: dict[str, list[int]] = {}
    trouble: list[tuple[Disposition, str]] = []
    for first in range(0, len(words), step):
        part = words[first : first + step]
        strange = [word for word in part if word not in (*_DETECTORS, "plain")]
        trouble += [_fate(word) for word in strange]
        for number, word in enumerate(() if strange else part, first + 1):
            if word != "plain":
                lines.setdefault(word, []).append(number)
    disposition, reason = trouble[0] if trouble else (Disposition.SCANNED, "")
    return Truth(disposition, reason, lines)


def _fate(word: str) -> tuple[Disposition, str]:
    if word == "binary":
        return Disposition.SKIPPED, SkipReason.BINARY
    return Disposition.FAILED, FailReason.WORKER_LOST if word == "poison" else _UNREADABLE[word]


TRUTHS: Final[Mapping[tuple[str, str], Truth]] = {
    (connector, key): _truth(bytes_.decode().split())
    for connector, bucket in BUCKETS.items()
    for key, bytes_ in bucket.items()
    if bytes_
}

_SETTLED: Final = {"a/0.csv": None, "a/2.csv": None, "c/0.csv": SkipReason.BINARY, "c/3.csv": None, "k1.csv": None}
_CHANGED: Final = "b/1.csv"


def planning_skip(key: str, size: int, *, incremental: bool) -> SkipReason | None:
    """Why an object needs no reading, by what is known when it is listed."""
    if not size:
        return SkipReason.EMPTY
    return (_SETTLED[key] or SkipReason.UNCHANGED) if incremental and key in _SETTLED else None


class Facts:
    """`Inventory` of an earlier scan, all true: some objects are as they were, and one was another then."""

    def known(self, connector: str, location: str, first: str, last: str) -> Mapping[str, Known]:
        facts = {}
        for key in BUCKETS[connector]:
            if key in (*_SETTLED, _CHANGED) and first <= key <= last:
                now = entry(connector, key)
                etag = "etag of another" if key == _CHANGED else now.etag
                facts[key] = Known(key, now.size, etag, "scan-0", RULES, _SETTLED.get(key))
        return facts

    def boundaries(self, connector: str, location: str, prefix: str) -> Sequence[str]:
        return PARTED_AT.get(connector, ())

    def accepted_up_to(self) -> int:
        return 1_000_000


@dataclass(slots=True)
class PlantedSource:
    """`ObjectSource` of one bucket, in pages of `page` objects."""

    connector: str
    page: int
    ordered: bool = True

    def list_pages(self, prefix: str, after: str = "", until: str = "") -> Iterator[Sequence[ObjectInfo]]:
        found = self._within(prefix, after, until)
        for at in range(0, len(found), self.page):
            yield [entry(self.connector, key) for key in found[at : at + self.page]]

    def prefixes(self, prefix: str, after: str = "", until: str = "") -> Sequence[str]:
        heads = {key[: key.find("/") + 1] for key in self._within(prefix, after, until)}
        return sorted(head for head in heads if head > after)

    def _within(self, prefix: str, after: str, until: str) -> list[str]:
        keys = sorted(key for key in BUCKETS[self.connector] if key.startswith(prefix))
        return [key for key in keys if key > after and (not until or key <= until)]

    @contextmanager
    def open_object(self, entry: ObjectInfo, *, start: int = 0, stop: int | None = None) -> Iterator[ByteStream]:
        yield BytesIO(BUCKETS[self.connector][entry.key][start:stop])

    def check(self) -> None:
        """Always well."""

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class Look:
    """`Inspection` and `PartInspection`."""

    findings: Sequence[Finding]
    bytes_read: int
    lines: int
    records: int = 0
    remark: str = ""
    allowed: int = 0


class PlantedDetection:
    """`Detection` by words."""

    digest = RULES.digest

    def inspect(self, stream: ByteStream, *, name: str, size: int, stopped: Callable[[], bool] = lambda: False) -> Look:
        return _look(stream.read(size + 1), start=0)

    def inspect_part(
        self,
        open_range: OpenRange,
        *,
        name: str,
        size: int,
        part: int,
        parts: int,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Look:
        share = part_range(size, part, parts)
        opened: AbstractContextManager[ByteStream] = open_range(share.start, share.stop)
        with opened as stream:
            return _look(stream.read(size), start=share.start)


def _look(read: bytes, start: int) -> Look:
    words = read.decode().split()
    found: dict[str, list[int]] = {}
    for number, word in enumerate(words, 1):
        if word == "poison":
            raise Died
        if word == "binary":
            raise ObjectSkipped(SkipReason.BINARY)
        if word in _UNREADABLE:
            raise ObjectUnreadable(_UNREADABLE[word])
        if word != "plain":
            found.setdefault(word, []).append(number)
    findings = [
        Finding(
            detector,
            "test",
            1.0,
            len(lines),
            tuple(Occurrence("*", byte_offset=start + LINE * (line - 1), line=line) for line in lines),
        )
        for detector, lines in found.items()
    ]
    return Look(findings, len(read), len(words))
