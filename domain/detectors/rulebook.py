"""The rules as data: detectors read from TOML files, or from the same fields in a request, with every fault named."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Final

from domain.detectors.anchors import anchor_of, parsed
from domain.detectors.rule import SEVERITIES, Detector, Pattern
from domain.errors import Fault, Invalid

_ID: Final = re.compile(r"[a-z]{2,16}\.[a-z0-9]+(?:-[a-z0-9]+)*")
_TEXTS: Final = ("id", "name", "validator", "severity")
_LISTS: Final = ("keywords", "context", "denial")
_FIELDS: Final = {*_TEXTS, *_LISTS, "confidence", "yields", "patterns", "matches", "near_misses"}
_PATTERN_FIELDS: Final = {"regex", "keywords", "anchor", "before", "after"}
_LONGEST_PATTERN: Final = 4096


def built_in() -> tuple[Detector, ...]:
    """The detectors that Scanledger ships, from `rules/*.toml`, in order of id.

    They are taken as they stand: that they are sound is tested with `rule_files`, not at every start.
    """
    entries = (entry for toml in rule_files().values() for entry in tomllib.loads(toml)["detector"])
    return tuple(sorted(map(_detector, entries), key=lambda detector: detector.id))


def rule_files() -> dict[str, str]:
    """The files of the built-in rules, by name."""
    folder = resources.files("domain.detectors") / "rules"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return {file.name: file.read_text("utf-8") for file in files}


def detectors_of(toml: str, source: str) -> list[Detector]:
    """The `[[detector]]` entries of a rule file. Raises `Invalid` with every fault; its fields begin with `source`."""
    try:
        document = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise Invalid([Fault(source, f"is no TOML: {error}")]) from None
    entries = document.pop("detector", [])
    faults = [Fault(f"{source}.{name}", "is unknown; only [[detector]] entries are") for name in document]
    found: list[Detector] = []
    for place, entry in enumerate(entries):
        try:
            found.append(detector_of(entry))
        except Invalid as invalid:
            at = f"{source}.detector[{place}]"
            faults += [Fault(f"{at}.{fault.field}", fault.message) for fault in invalid.faults]
    if faults:
        raise Invalid(faults)
    return found


def is_id(text: str) -> bool:
    """Whether a detector may have this id."""
    return _ID.fullmatch(text) is not None


def detector_of(fields: Mapping[str, Any]) -> Detector:
    """The detector that these fields describe. Raises `Invalid` with every fault."""
    faults = [*_unknown(fields), *_mistyped(fields)]
    if not faults:
        faults = [*_invalid(fields), *_bad_patterns(fields)]
    if faults:
        raise Invalid(faults)
    return _detector(fields)


def _detector(fields: Mapping[str, Any]) -> Detector:
    keywords = tuple(fields.get("keywords", ()))
    return Detector(
        id=fields["id"],
        name=fields["name"],
        confidence=float(fields["confidence"]),
        patterns=tuple(_pattern(pattern, keywords) for pattern in fields["patterns"]),
        matches=tuple(map(_joined, fields.get("matches", ()))),
        near_misses=tuple(map(_joined, fields.get("near_misses", ()))),
        validator=fields.get("validator"),
        context=tuple(fields.get("context", ())),
        denial=tuple(fields.get("denial", ())),
        own_severity=fields.get("severity"),
        yields=fields.get("yields", False),
    )


def fields_of(detector: Detector) -> dict[str, Any]:
    """The fields of which `detector_of` makes this detector; what is as it is by default is left out."""
    fields: dict[str, Any] = {"id": detector.id, "name": detector.name, "confidence": detector.confidence}
    shared = {pattern.keywords for pattern in detector.patterns}
    keywords = next(iter(shared)) if len(shared) == 1 else ()
    fields["patterns"] = [_given(pattern, keywords) for pattern in detector.patterns]
    optional: dict[str, Any] = {
        "validator": detector.validator,
        "severity": detector.own_severity,
        "keywords": list(keywords),
        "context": list(detector.context),
        "denial": list(detector.denial),
        "matches": list(detector.matches),
        "near_misses": list(detector.near_misses),
        "yields": detector.yields,
    }
    return fields | {name: value for name, value in optional.items() if value}


def _given(pattern: Pattern, keywords: tuple[str, ...]) -> str | dict[str, Any]:
    """The pattern as it is written beside keywords of the whole detector."""
    own: dict[str, Any] = {} if pattern.keywords == keywords else {"keywords": list(pattern.keywords)}
    own |= {name: at for name in ("anchor", "before", "after") if (at := getattr(pattern, name)) is not None}
    return {"regex": pattern.regex, **own} if own else pattern.regex


def _pattern(given: str | Mapping[str, Any], keywords: tuple[str, ...]) -> Pattern:
    if isinstance(given, str):
        return Pattern(given, keywords)
    return Pattern(**{"keywords": keywords, **given, **_tuples(given)})


def _tuples(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"keywords": tuple(given["keywords"])} if "keywords" in given else {}


def _joined(text: str | Sequence[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _unknown(fields: Mapping[str, Any]) -> list[Fault]:
    known = ", ".join(sorted(_FIELDS))
    faults = [Fault(name, f"is unknown; a detector has {known}") for name in fields if name not in _FIELDS]
    missing = (name for name in ("id", "name", "confidence", "patterns") if name not in fields)
    return faults + [Fault(name, "is missing") for name in missing]


def _mistyped(fields: Mapping[str, Any]) -> list[Fault]:
    faults = [Fault(n, "must be a text") for n in _TEXTS if n in fields and not isinstance(fields[n], str)]
    faults += [Fault(n, "must be a list of texts") for n in _LISTS if n in fields and not _is_texts(fields[n])]
    confidence = fields.get("confidence", 1)
    if isinstance(confidence, bool) or not isinstance(confidence, int | float):
        faults.append(Fault("confidence", "must be a number above 0, at most 1"))
    if not isinstance(fields.get("yields", False), bool):
        faults.append(Fault("yields", "must be true or false"))
    for name in ("matches", "near_misses"):
        texts = fields.get(name, [])
        if not isinstance(texts, list) or not all(isinstance(text, str) or _is_texts(text) for text in texts):
            faults.append(Fault(name, "must be a list of texts; a text may be a list of pieces"))
    return faults


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) and text for text in value)


def _invalid(fields: Mapping[str, Any]) -> list[Fault]:
    faults: list[Fault] = []
    if not is_id(fields["id"]):
        faults.append(Fault("id", "must be <category>.<name> in lower case, as in secret.acme-token"))
    if not fields["name"].strip():
        faults.append(Fault("name", "must not be blank"))
    if not 0 < fields["confidence"] <= 1:
        faults.append(Fault("confidence", "must be above 0, at most 1"))
    if fields.get("severity", "low") not in SEVERITIES.values():
        faults.append(Fault("severity", "must be low, medium, high or critical"))
    return faults


def _bad_patterns(fields: Mapping[str, Any]) -> list[Fault]:
    patterns = fields["patterns"]
    if not isinstance(patterns, list) or not patterns:
        return [Fault("patterns", "must be a list of at least one pattern")]
    faults: list[Fault] = []
    for place, given in enumerate(patterns):
        fault = _pattern_fault(given, tuple(fields.get("keywords", ())))
        if fault:
            faults.append(Fault(f"patterns[{place}]", fault))
    return faults


def _pattern_fault(given: Any, keywords: tuple[str, ...]) -> str | None:
    if not isinstance(given, str | dict) or (isinstance(given, dict) and not isinstance(given.get("regex"), str)):
        return "must be a regular expression, or a table with one as its regex"
    if isinstance(given, dict):
        for name in given:
            if name not in _PATTERN_FIELDS:
                return f"has an unknown field {name}; a pattern has {', '.join(sorted(_PATTERN_FIELDS))}"
    pattern = _pattern(given, keywords)
    if len(pattern.regex) > _LONGEST_PATTERN:
        return f"is longer than {_LONGEST_PATTERN} characters"
    try:
        if pattern.keywords:
            if parsed(pattern.regex).getwidth()[0] == 0:
                return "matches the empty text; let it need at least one character"
        else:
            anchor_of(pattern)
    except ValueError as error:
        return str(error)
    return None
