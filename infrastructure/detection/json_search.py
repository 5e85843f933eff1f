"""Members of JSON lines that are full of one kind of value, counted all at once as dense columns of a table are."""

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from infrastructure.detection.dense import Dense, dense_column
from infrastructure.detection.matcher import Hit, Matcher
from infrastructure.detection.table_search import blank
from infrastructure.detection.tallies import Tallies
from infrastructure.formats.json_paths import JsonLinesLocator, PathWalker
from infrastructure.formats.names import is_plain_name
from infrastructure.formats.window import Frame

if TYPE_CHECKING:
    from infrastructure.detection.condensed import Condensed
    from infrastructure.formats.json_template import Member, Template

_BLANK: Final = 32
_COMMA: Final = ord(",")
_WIDEST_JOINT: Final = 4
_LINES_SAMPLED: Final = 64
_SAMPLED_BYTES: Final = 32 * 1024
_TIMES_TRIED: Final = 8


class JsonLinesSearch:
    """Looks at the members of one text of JSON lines, frame after frame. What is found is the same as hit by hit."""

    def __init__(self, matcher: Matcher, locator: JsonLinesLocator, tallies: Tallies, span: range) -> None:
        self._matcher = matcher
        self._locator = locator
        self._tallies = tallies
        self._span = span
        self._template: Template | None = None
        self._dense: list[tuple[Member, Dense]] = []
        self._next = 0
        self._beyond: list[tuple[int, int]] = []
        self._tries = _TIMES_TRIED

    def search(self, frame: Frame) -> "tuple[Frame | Condensed, list[Hit]]":
        """The frame without what was counted in it."""
        if self._template is not None and self._next < frame.base:
            self._template = None  # behind a line longer than all that is at hand
        if self._template is None and not self._beyond:
            return frame, []
        import numpy as np  # noqa: PLC0415 — 20 MB that only larger texts need

        if self._beyond:
            text = np.frombuffer(frame.data, np.uint8).copy()
            for start, end in self._beyond:
                text[start - frame.base : end - frame.base] = _BLANK
            self._beyond = []
            frame = replace(frame, data=text.tobytes())
        if self._template is None:
            return frame, []
        return self._without(frame, self._next, self._count(frame, self._template)), []

    def _count(self, frame: Frame, template: "Template") -> list[tuple[Any, Any, Any]]:
        """Count the accepted values of the lines that begin before the frame's limit: which they are, and where they
        begin, with their keys, and end."""
        import numpy as np  # noqa: PLC0415 — see above

        from infrastructure.formats.json_template import alike_lines  # noqa: PLC0415 — likewise

        offset = self._next
        text = np.frombuffer(frame.data, np.uint8)[offset - frame.base :]
        lines = alike_lines(text, template, frame.limit - offset, self._locator.reach)
        own = (lines.starts >= self._span.start - offset) & (lines.starts < self._span.stop - offset)
        counted: list[tuple[Any, Any, Any]] = []
        for member, dense in self._dense:
            starts, ends, there = lines.values(member)
            accepted = dense.kernel(lines.text, starts, ends) & there & own
            self._tallies.of(dense.detector, dense.name).count += int(accepted.sum())
            late = np.flatnonzero(accepted & (ends > frame.limit - offset))
            self._beyond += [(int(starts[at]) + offset, int(ends[at]) + offset) for at in late]
            counted.append((accepted, lines.keys(member) if _is_inert(member) else starts, ends))
        self._next = offset + lines.end()
        return counted

    def _without(self, frame: Frame, offset: int, counted: list[tuple[Any, Any, Any]]) -> "Frame | Condensed":
        """The frame without these stretches of the text that begins at `offset`."""
        import numpy as np  # noqa: PLC0415 — see above

        from infrastructure.detection.condensed import condensed  # noqa: PLC0415 — likewise

        if b"\\" not in frame.data:
            return condensed(frame, offset, counted, _stand_together)
        # It may be the beginning of a separator, and is looked at in its place.
        text = np.frombuffer(frame.data, np.uint8).copy()
        blank(text[offset - frame.base :], counted)
        return replace(frame, data=text.tobytes())

    def learn(self, frame: Frame) -> None:
        """Look, after a frame's hits were recorded, which members are dense from here on."""
        if self._template is not None or frame.last or not self._tries:
            return
        boundary = frame.data.find(b"\n", max(frame.limit - frame.base - 1, 0)) + 1
        if not boundary or self._locator.records() == 0:
            return
        self._tries -= 1
        settled = frame.data[: frame.settled - frame.base].rpartition(b"\n")[0]
        self._next = frame.base + boundary
        self._adopt(settled[-_SAMPLED_BYTES:].split(b"\n")[1:][-_LINES_SAMPLED:])

    def _adopt(self, lines: list[bytes]) -> None:
        """Take the template that most of these lines have, if some of its members are dense."""
        from infrastructure.formats.json_template import template_of  # noqa: PLC0415 — see above

        templates = [(template, line) for line in lines if (template := template_of(line)) is not None]
        if not templates:
            return
        [(usual, _)] = Counter(template for template, _ in templates).most_common(1)
        line = next(line for template, line in templates if template == usual)
        self._dense = []
        for member in usual.members:
            dense = self._dense_member(_path(line, member.string), member.keys[-1][1].decode("utf-8", "replace"))
            if dense is not None:
                self._dense.append((member, dense))
        self._template = usual if self._dense else None

    def _dense_member(self, path: str | None, key: str) -> Dense | None:
        if path is None:
            return None
        return dense_column(path, self._locator.records(), self._matcher.announced(key), self._matcher, self._tallies)


def _is_inert(member: "Member") -> bool:
    """Whether nothing is found in the key itself: what it announces is the value, which was counted."""
    return is_plain_name(member.keys[-1][1].decode("utf-8", "replace"))


def _stand_together(text: Any, ends: Any, begins: Any) -> Any:
    """Between values that end here and keys that begin there: whether only `","` or `", "` stands there."""
    return (begins - ends <= _WIDEST_JOINT) & (text[ends + 1] == _COMMA)


def _path(line: bytes, string: int) -> str | None:
    """The path, without indices, of a string of the line."""
    start = -1
    for _ in range(2 * string + 1):
        start = line.find(b'"', start + 1)
    walker = PathWalker()
    walker.advance(line, 0, start + 1)
    return walker.path(indices=False)
