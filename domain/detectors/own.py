"""A tenant's own rules: detectors that it made, and what is not to be reported to it."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from domain.detectors.anchors import parsed
from domain.detectors.rule import Detector, Pattern
from domain.detectors.rulebook import detector_of, fields_of
from domain.errors import Conflict, Fault, Invalid

MAX_DETECTORS: Final = 100
MAX_PATTERN: Final = 1_000
MAX_ALLOWANCES: Final = 500
MAX_BYTES: Final = 64 * 1024
"""How large a tenant's detectors may be together, and how large its allow list: a scan carries both to its workers."""

MAX_PATTERNS: Final = 20
MAX_PATTERNS_TOGETHER: Final = 200
MAX_EXAMPLES: Final = 50
MAX_EXAMPLE: Final = 4_096
MAX_WORDS: Final = 50
LEAST_VALUE: Final = 3
"""Without a keyword, a value has at least this many bytes: shorter ones stand everywhere."""

_LONGEST_NAME: Final = 200
_WORD: Final = re.compile(r"(?=.{1,48}$)[^\W_][^\x00-\x20\x7f]*(?: [^\W_][^\x00-\x20\x7f]*)*")
_CLASS: Final = re.compile(r"(?<!\\)\[\^?\]?((?:[^\]\\]|\\.)*)\]", re.DOTALL)
_NESTED: Final = re.compile(r"(?<!\\)\[|--|&&|~~|\|\|")


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is known and not to be reported: hits of one detector, of one category, or of any (`detector` None).

    One of the others is set: the SHA-256 of a value, in hex; an expression for whole values; or what the keys of
    objects begin with.
    """

    detector: str | None = None
    sha256: str | None = None
    pattern: str | None = None
    object_prefix: str | None = None

    def covers(self, detector: Detector) -> bool:
        """Whether it speaks of hits of this detector."""
        return self.detector in {None, detector.id, detector.category}


@dataclass(frozen=True)
class OwnRules:
    """The detectors and the allow list of a tenant, as they stand at one moment. A scan is pinned to them."""

    detectors: tuple[Detector, ...] = ()
    allowed: tuple[Allowance, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.detectors or self.allowed)

    @cached_property
    def body(self) -> bytes:
        """All that findings depend on, as JSON: the same rules give the same bytes, in whatever order they were made.

        Examples and names are left out.
        """
        detectors = [_pinned(detector) for detector in sorted(self.detectors, key=lambda detector: detector.id)]
        allowed = [_given(allowance) for allowance in self.allowed]
        document = {"detectors": detectors, "allowed": sorted(allowed, key=lambda one: json.dumps(one, sort_keys=True))}
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    @property
    def digest(self) -> str:
        """SHA-256 of the body, in hex; empty where there are no rules."""
        return hashlib.sha256(self.body).hexdigest() if self else ""


def of_body(body: bytes) -> OwnRules:
    """The rules that have this body."""
    document = json.loads(body)
    detectors = (kept_detector({**fields, "name": fields["id"]}) for fields in document["detectors"])
    return OwnRules(tuple(detectors), tuple(Allowance(**given) for given in document["allowed"]))


def kept_detector(fields: Mapping[str, Any]) -> Detector:
    """A tenant's detector of fields that `own_detector` took, now or under other limits."""
    return replace(detector_of(fields), custom=True)


def combined(ruleset: str, own: str) -> str:
    """The digest of all that a scan looks for: of what is built in, and of a tenant's own rules, if it has any."""
    return hashlib.sha256(f"{ruleset}\n{own}".encode()).hexdigest() if own else ruleset


def _pinned(detector: Detector) -> dict[str, Any]:
    return {n: value for n, value in fields_of(detector).items() if n not in {"name", "matches", "near_misses"}}


def _given(allowance: Allowance) -> dict[str, str]:
    names = ("detector", "sha256", "pattern", "object_prefix")
    return {name: value for name in names if (value := getattr(allowance, name)) is not None}


# Making one -----------------------------------------------------------------------------------------------------------


def own_detector(fields: Mapping[str, Any]) -> Detector:
    """A tenant's detector of these fields, which are those of a rule file. Raises `Invalid` with every fault.

    Whether an engine can take its patterns is not known yet.
    """
    if faults := list(_ambiguous(fields.get("patterns"))):
        raise Invalid(faults)
    detector = replace(detector_of(fields), custom=True)
    if faults := list(_faults(detector)):
        raise Invalid(faults)
    return detector


def _ambiguous(patterns: Any) -> Iterator[Fault]:
    """Classes that one engine takes for nested, and another does not."""
    for place, given in enumerate(patterns if isinstance(patterns, list) else []):
        regex = given.get("regex") if isinstance(given, Mapping) else given
        if isinstance(regex, str) and any(_NESTED.search(members) for members in _CLASS.findall(regex)):
            message = (
                "has a class with [ or a doubled -, &, ~ or | in it; write a class like [[:alpha:]] as [A-Za-z], and a"
                " backslash before such a character"
            )
            yield Fault(f"patterns[{place}]", message)


def _faults(detector: Detector) -> Iterator[Fault]:
    if len(detector.name) > _LONGEST_NAME:
        yield Fault("name", f"is longer than {_LONGEST_NAME} characters")
    if len(detector.patterns) > MAX_PATTERNS:
        yield Fault("patterns", f"are more than {MAX_PATTERNS}; make several detectors of them")
    for place, pattern in enumerate(detector.patterns):
        if (fault := _pattern_fault(pattern)) is not None:
            yield Fault(f"patterns[{place}]", fault)
    keywords = dict.fromkeys(word for pattern in detector.patterns for word in pattern.keywords)
    for name, words in (("keywords", tuple(keywords)), ("context", detector.context), ("denial", detector.denial)):
        yield from _word_faults(name, words)
    for name, examples in (("matches", detector.matches), ("near_misses", detector.near_misses)):
        yield from _example_faults(name, examples)


def _pattern_fault(pattern: Pattern) -> str | None:
    if max(len(pattern.regex), len(pattern.anchor or "")) > MAX_PATTERN:
        return f"is longer than {MAX_PATTERN} characters"
    if pattern.before is not None or pattern.after is not None:
        return "has `before` or `after`, which only rules that are built in can have"
    if not pattern.keywords and parsed(pattern.regex).getwidth()[0] < LEAST_VALUE:
        return f"can match fewer than {LEAST_VALUE} bytes; make it longer, or give keywords that must stand before it"
    return None


def _word_faults(name: str, words: Sequence[str]) -> Iterator[Fault]:
    if len(words) > MAX_WORDS:
        yield Fault(name, f"are more than {MAX_WORDS}")
    for place, word in enumerate(words[:MAX_WORDS]):
        if not _WORD.fullmatch(word):
            message = "must be words of letters and digits with single blanks between, 48 characters at most"
            yield Fault(f"{name}[{place}]", message)


def _example_faults(name: str, examples: Sequence[str]) -> Iterator[Fault]:
    if len(examples) > MAX_EXAMPLES:
        yield Fault(name, f"are more than {MAX_EXAMPLES}")
    for place, example in enumerate(examples[:MAX_EXAMPLES]):
        if len(example) > MAX_EXAMPLE:
            yield Fault(f"{name}[{place}]", f"is longer than {MAX_EXAMPLE} characters")


def require_room(detectors: Iterable[Detector]) -> None:
    """Raises Conflict if these are more than a tenant may have."""
    kept = tuple(detectors)
    size = sum(len(json.dumps(fields_of(detector)).encode()) for detector in kept)
    patterns = sum(len(detector.patterns) for detector in kept)
    if len(kept) > MAX_DETECTORS or patterns > MAX_PATTERNS_TOGETHER or size > MAX_BYTES:
        message = (
            f"A tenant may have {MAX_DETECTORS} detectors of its own with {MAX_PATTERNS_TOGETHER} patterns,"
            f" {MAX_BYTES // 1024} KiB together with their examples; delete one that is no longer needed."
        )
        raise Conflict("DETECTOR_LIMIT_REACHED", message, limit=MAX_DETECTORS, bytes=MAX_BYTES)


def require_room_on_list(allowed: Iterable[Allowance]) -> None:
    """Likewise of an allow list."""
    kept = tuple(allowed)
    size = sum(len(json.dumps(_given(allowance)).encode()) for allowance in kept)
    if len(kept) > MAX_ALLOWANCES or size > MAX_BYTES:
        message = (
            f"An allow list may have {MAX_ALLOWANCES} entries, {MAX_BYTES // 1024} KiB together; delete one that is no"
            " longer needed, or say several with one pattern."
        )
        raise Conflict("ALLOW_LIST_LIMIT_REACHED", message, limit=MAX_ALLOWANCES, bytes=MAX_BYTES)
