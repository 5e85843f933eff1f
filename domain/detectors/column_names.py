"""Which of many keywords stand in a column's name, without asking each of them."""

from collections.abc import Iterator, Sequence
from typing import Final

from domain.detectors.rule import keyword_names, words_of_name


class KeywordsOfColumns:
    """Lists of keywords, to be looked up by the names of columns. Answers as `names_column` does for each list."""

    def __init__(self, lists: Sequence[tuple[str, ...]]) -> None:
        self._as_words: dict[str, set[int]] = {}
        self._joined: dict[str, set[int]] = {}
        for index, keywords in enumerate(lists):
            for spaced, part in keyword_names(keywords):
                self._as_words.setdefault(spaced.strip(), set()).add(index)
                if part:
                    self._joined.setdefault(part, set()).add(index)
        self._most_words: Final = max((words.count(" ") + 1 for words in self._as_words), default=0)
        self._lengths: Final = sorted(set(map(len, self._joined)))

    def of(self, column: str) -> list[int]:
        """The lists of which a keyword names this column, in order."""
        words = words_of_name(column).split(" ")
        found: set[int] = set()
        for run in _runs(words, self._most_words):
            found |= self._as_words.get(run, set())
        joined = "".join(words)
        for length in self._lengths:
            for start in range(len(joined) - length + 1):
                found |= self._joined.get(joined[start : start + length], set())
        return sorted(found)


def _runs(words: Sequence[str], most: int) -> Iterator[str]:
    for start in range(len(words)):
        for stop in range(start + 1, min(start + most, len(words)) + 1):
            yield " ".join(words[start:stop])
