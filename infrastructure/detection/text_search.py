"""The search of one text: every hit once, however it is cut, in the order of where it begins, and with its place."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from application.ports import Stopped
from infrastructure.detection.frequent import FrequentValues
from infrastructure.detection.json_search import JsonLinesSearch
from infrastructure.detection.matcher import Hit, Matcher
from infrastructure.detection.precedence import definite
from infrastructure.detection.separated_search import SeparatedSearch
from infrastructure.detection.table_search import TableSearch
from infrastructure.detection.tallies import Tallies, masked, shown_confidence
from infrastructure.formats.delimited import DelimitedLocator
from infrastructure.formats.extracted import Place
from infrastructure.formats.json_escapes import unescaped_strings
from infrastructure.formats.json_paths import JsonDocumentLocator, JsonLinesLocator
from infrastructure.formats.limits import Limits
from infrastructure.formats.lines import TextLocator
from infrastructure.formats.markup import MarkupLocator, unreferenced_stretches
from infrastructure.formats.unescaping import MAX_STRING, Unescaped
from infrastructure.formats.window import Frame, Reach

_YIELDING_REACH: Final = 512
"""How far a hit that gives way may stretch over more definite ones."""


class TextSearch:
    """Searches one text, placing what it finds with `locator`."""

    def __init__(self, matcher: Matcher, locator: TextLocator, limits: Limits, place: Place, inner_path: str) -> None:
        self._matcher = matcher
        self._locator = locator
        self._limits = limits
        self._place = place
        self._inner_path = inner_path or None
        self._moved = place != Place() or bool(inner_path)
        self._is_json = isinstance(locator, JsonLinesLocator | JsonDocumentLocator)
        self._unescaped = _unescaping(locator)
        self._is_plain = type(locator) is TextLocator
        self._frequent: FrequentValues | None = None

    def reach(self) -> Reach:
        """How much of the text must be at hand around an anchor."""
        before = self._matcher.before + 1 + _YIELDING_REACH
        if self._unescaped is not None:
            before = max(before, 2 * MAX_STRING)
        after = max(self._matcher.after, self._limits.record_reach) + 1
        return Reach(before, after, self._limits.record_reach + before)

    def record(self, surrounded: Iterable[Frame], span: range, tallies: Tallies, stopped: Callable[[], bool]) -> None:
        """Record the hits that start in `span`, and read no further than they need."""
        locator = self._locator
        columns: TableSearch | JsonLinesSearch = (
            JsonLinesSearch(self._matcher, locator, tallies, span)
            if isinstance(locator, JsonLinesLocator)
            else TableSearch(self._matcher, locator, tallies, span)
        )
        for frame, hits in self._settled_hits(surrounded, columns):
            if stopped():
                raise Stopped
            if frame.settled < span.start:
                continue
            locator.begin(frame)
            own = hits[bisect_left(hits, (span.start,)) : bisect_left(hits, (span.stop,))]
            self._record(own, frame, tallies)
            if self._frequent is not None:
                self._frequent.record(span, frame, locator)
            elif self._is_plain:
                self._frequent = self._matcher.frequent(tallies)
            locator.settle(min(frame.settled, span.stop))
            if frame.settled >= span.stop:
                break
            columns.learn(frame)
        tallies.add_records(locator.records())

    def _settled_hits(
        self, surrounded: Iterable[Frame], columns: TableSearch | JsonLinesSearch
    ) -> Iterator[tuple[Frame, list[Hit]]]:
        """Each frame with the hits that start before its settled border and were not given before, by their start."""
        search = SeparatedSearch(self._matcher, literal=not self._is_json, delimiter=self._delimiter())
        pending: list[Hit] = []
        hidden: list[Hit] = []
        reaching: list[Hit] = []
        covered: dict[int, int] = {}
        emitted = 0
        for frame in surrounded:
            left, announced = columns.search(frame)
            pending += search.hits(left, self._frequent)
            pending += announced
            if self._unescaped is not None:
                hidden += self._hidden_hits(self._unescaped(frame))
            pending.sort()
            cut = bisect_left(pending, (frame.settled,))
            ready = definite(pending, cut, self._matcher.yielding, covered, frequent=self._frequent, earlier=reaching)
            reaching = [hit for hit in (*reaching, *pending[:cut]) if hit[1] > frame.settled]
            del pending[:cut]
            if hidden:
                ready = _unhidden(ready, hidden)
                ready += {hit for hit in hidden if emitted <= hit[0] < frame.settled}
                ready.sort()
                hidden = [hit for hit in hidden if hit[1] >= frame.settled]
            emitted = frame.settled
            yield frame, ready

    def _delimiter(self) -> bytes | None:
        """What stands between values, so that none belongs to the keyword of another."""
        if isinstance(self._locator, DelimitedLocator):
            return self._locator.dialect.delimiter
        return b"," if self._is_json else None

    def _hidden_hits(self, unescaped: Iterable[Unescaped]) -> list[Hit]:
        """Hits that escapes hide from the search of the raw bytes."""
        found: list[Hit] = []
        for string in unescaped:
            text = string.text
            raw = sorted(self._matcher.hits(text, 0, 0, len(text), self._matcher.nothing_covered()))
            hits = definite(raw, len(raw), self._matcher.yielding, {})
            for start, end, detector, confidence, _ in hits:
                span = string.source(start, end)
                if span is not None and confidence > 0.0:
                    found.append((*span, detector, confidence, text[start:end]))
        return found

    def _record(self, hits: list[Hit], frame: Frame, tallies: Tallies) -> None:
        locator, of, most = self._locator, tallies.of, tallies.occurrences
        column, data, base = locator.column, frame.data, frame.base
        listed = tallies.allowances is not None
        for start, end, detector, confidence, value in hits:
            if confidence == 0.0:
                tallies.reject(detector, column(start))
                continue
            if listed and tallies.allow(detector, value or data[start - base : end - base]):
                continue
            tally = of(detector, column(start))
            tally.count += 1
            kept = tally.count <= most
            if kept or tally.could_rise(confidence):
                near = locator.near(start, end)
                sure = tally.rise(confidence, near)
                if kept:
                    shown = masked(value or data[start - base : end - base])
                    tally.keep(locator.place(start, end, shown, shown_confidence(sure)))
                    if self._moved:
                        tally.move(self._place, self._inner_path)


def _unescaping(locator: TextLocator) -> Callable[[Frame], Iterator[Unescaped]] | None:
    """What undoes the escapes of the text that this locator is of; None if it has none."""
    if isinstance(locator, JsonLinesLocator | JsonDocumentLocator):
        return unescaped_strings
    return unreferenced_stretches if isinstance(locator, MarkupLocator) else None


def _unhidden(hits: list[Hit], hidden: list[Hit]) -> list[Hit]:
    """The hits of the raw search but those that are only a part of what an escape had hidden."""
    return [hit for hit in hits if not any(h[2] == hit[2] and h[0] <= hit[0] < h[1] for h in hidden)]
