"""Documents that are zip files of parts: found by name, related to each other, and none of them left out."""

import posixpath
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Final, NamedTuple

from application.ports import ByteStream
from domain.errors import ObjectSkipped, ObjectUnreadable
from infrastructure.formats.extracted import Entry, Extracted, Unread
from infrastructure.formats.limits import Budget, BudgetSpent
from infrastructure.formats.names import shown_name
from infrastructure.formats.xml_parts import Elements, local_name, parsed
from infrastructure.formats.zip_members import members, open_member

_ZIP: Final = b"PK\x03\x04"
_NUMBER: Final = re.compile(r"(\d{1,18})")


class Relation(NamedTuple):
    """One part's use of another: its id, the last word of its type, and the other part's name."""

    id: str
    kind: str
    target: str


class Package:
    """The parts of a document. A name is found in any case, as Office does; of two parts of one name the last is found,
    and the other is left for `rest`."""

    def __init__(self, file: IO[bytes], budget: Budget) -> None:
        self.budget: Final = budget
        self._file = file
        self._members = [member for member in members(file, budget) if member.file_size or not member.is_dir()]
        self._named = {_key(member.filename): member for member in self._members}
        self._taken: set[int] = set()

    def names(self) -> list[str]:
        """The names of all parts in lower case, `sheet9` before `sheet10`."""
        return sorted(self._named, key=_in_order)

    def read(self, name: str, reading: Callable[[ByteStream], Iterator[Extracted]]) -> Iterator[Extracted]:
        """What `reading` makes of a part, which then is not part of the rest. If it cannot be read, that is said, and
        the other parts can be."""
        member = self._named.get(_key(name))
        if member is None:
            return
        self._taken.add(id(member))
        self.budget.entry()
        try:
            yield from reading(self._opened(member))
        except BudgetSpent:
            raise
        except (ObjectUnreadable, ObjectSkipped) as error:
            yield Unread(member.filename, error)

    def survey(self, name: str, elements: Elements) -> bool:
        """Give `elements` what a part holds, as far as it can be read, and whether that is all of it. It stays part of
        the rest."""
        member = self._named.get(_key(name))
        if member is None:
            return False
        self.budget.entry()
        try:
            for _ in parsed(self._opened(member), elements, self.budget):
                pass
        except BudgetSpent:
            raise
        except (ObjectUnreadable, ObjectSkipped):
            return False
        return True

    def relations(self, part: str) -> list[Relation]:
        """What a part refers to within the package. Their list stays part of the rest where it also refers to the
        outside or cannot be read."""
        folder, _, stem = _key(part).rpartition("/")
        name = posixpath.join(folder, "_rels", f"{stem}.rels")
        found = _Relations(folder)
        if self.survey(name, found) and not found.outside:
            self._taken.add(id(self._named[name]))
        return found.inside

    def rest(self) -> Iterator[Extracted]:
        """The parts that nobody read, as they are."""
        for member in self._members:
            if id(member) in self._taken:
                continue
            try:
                yield Entry(member.filename, self._opened(member))
            except BudgetSpent:
                raise
            except (ObjectUnreadable, ObjectSkipped) as error:
                yield Unread(member.filename, error)

    def _opened(self, member: zipfile.ZipInfo) -> ByteStream:
        return open_member(self._file, member, self.budget)


def is_package(head: bytes, name: str, folder: bytes, endings: tuple[str, ...]) -> bool:
    """Whether it is a zip file that begins as an Office document with parts in `folder`, or has one of its endings."""
    if not head.startswith(_ZIP):
        return False
    if name.endswith(endings):
        return True
    part = rb"PK\x03\x04.{26}%b"
    opened = re.search(part % rb"(?:\[Content_Types\]\.xml|_rels/\.rels)", head, re.DOTALL)
    return opened is not None and re.search(part % re.escape(folder), head, re.DOTALL) is not None


def part_name(part: str) -> str:
    """The name of a part without its folders and `.xml`, as it may be shown."""
    return shown_name(part.rpartition("/")[2].removesuffix(".xml"))


def _key(name: str) -> str:
    return name.replace("\\", "/").strip("/").lower()


def _in_order(name: str) -> list[tuple[int, str]]:
    return [(int(piece), "") if at % 2 else (0, piece) for at, piece in enumerate(_NUMBER.split(name))]


class _Relations:
    """Gathers the relations of one part (ECMA-376, part 2)."""

    def __init__(self, folder: str) -> None:
        self.depth = 0
        self.inside: list[Relation] = []
        self.outside = False
        self._folder = folder

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if local_name[tag] != "Relationship":
            return
        if attributes.get("TargetMode", "").lower() == "external":
            self.outside = True
            return
        kind = attributes.get("Type", "").rpartition("/")[2]
        target = posixpath.normpath(posixpath.join("/", self._folder, attributes.get("Target", "")))
        self.inside.append(Relation(attributes.get("Id", ""), kind, _key(target)))

    def end(self, _tag: str) -> None:
        self.depth -= 1

    def text(self, text: str) -> None:
        pass
