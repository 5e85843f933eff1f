"""What clients may send of detectors and allow lists."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, StrictBool, StrictFloat, StrictStr, StringConstraints, WithJsonSchema

from api.schemas import Body, Name, Text, left_out, must
from domain.detectors.own import MAX_EXAMPLE, MAX_EXAMPLES, MAX_PATTERN, MAX_PATTERNS, MAX_WORDS
from domain.detectors.rule import Severity
from domain.errors import Fault


def _pattern(value: object) -> object:
    """A text, or a table of texts. What they mean is judged with the whole detector."""
    if (fault := _misshapen(value if isinstance(value, dict) else {"regex": value})) is not None:
        raise ValueError(fault)
    return value


def _misshapen(table: Mapping[Any, Any]) -> str | None:
    if strange := sorted(set(table) - {"regex", "keywords", "anchor"}):
        return f"has an unknown field {strange[0]}; a pattern has regex, keywords and anchor"
    if not isinstance(table.get("regex"), str):
        return "must be a regular expression, or an object with one as its regex"
    if not isinstance(table.get("anchor", ""), str):
        return "must have a string as its anchor"
    words = table.get("keywords", [])
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        return "must have a list of strings as its keywords"
    return None


_EXPRESSION: Final = {"type": "string", "minLength": 1, "maxLength": MAX_PATTERN}
_PATTERN: Final = {
    "anyOf": [
        _EXPRESSION,
        {
            "type": "object",
            "properties": {
                "regex": _EXPRESSION,
                "keywords": {"type": "array", "items": {"type": "string", "minLength": 1}},
                "anchor": _EXPRESSION,
            },
            "required": ["regex"],
            "additionalProperties": False,
        },
    ]
}

Words = Annotated[
    list[Annotated[StrictStr, StringConstraints(min_length=1, max_length=48)]], Field(max_length=MAX_WORDS)
]
Example = Annotated[StrictStr, StringConstraints(max_length=MAX_EXAMPLE)]
Examples = Annotated[list[Example], Field(max_length=MAX_EXAMPLES)]
SAMPLE_BYTES: Final = 64 * 1024


class DetectorRule(Body):
    """PUT /detectors/{id}: the fields of a rule, and what to try it out on. Patterns are matched in linear time."""

    name: Annotated[Name, Field(examples=["Employee number"])]
    confidence: Annotated[
        StrictFloat, Field(gt=0, le=1, allow_inf_nan=False, description="Of a valid value with no context word near.")
    ]
    patterns: Annotated[
        list[Annotated[Any, BeforeValidator(_pattern), WithJsonSchema(_PATTERN)]],
        Field(
            min_length=1,
            max_length=MAX_PATTERNS,
            description="Regular expressions over bytes. A group (?P<value>…) is the value, else the whole match is.",
            examples=[[r"(?<![\w-])EMP-\d{6}(?![\w-])"]],
        ),
    ]
    keywords: Annotated[
        Words, Field(default_factory=list, description="One of them must stand at most 48 bytes before the value.")
    ]
    context: Annotated[Words, Field(default_factory=list, description="Words near a value that raise its confidence.")]
    denial: Annotated[Words, Field(default_factory=list, description="Words near a value that lower its confidence.")]
    validator: Annotated[StrictStr, StringConstraints(min_length=1, max_length=100)] = left_out(
        "What a value must pass, such as luhn, or stdnum.nl.bsn of python-stdnum.", "stdnum.nl.bsn"
    )
    severity: Severity = left_out("How grave a finding is; default: that of its category.", "high")
    yields: Annotated[StrictBool, Field(description="Finds nothing where another detector does.")] = False
    matches: Annotated[
        Examples,
        Field(default_factory=list, description="Texts in which exactly one value is found, made up."),
    ]
    near_misses: Annotated[Examples, Field(default_factory=list, description="Texts in which none is found.")]
    sample: Annotated[
        StrictStr,
        must(lambda v: len(v.encode("utf-8", "replace")) <= SAMPLE_BYTES, "is larger than 64 KiB"),
        Field(description="A text to try it out on, 64 KiB at most. It is kept nowhere."),
    ] = ""
    dry_run: Annotated[StrictBool, Field(description="Only try it out.")] = False


class CreateDetector(DetectorRule):
    """POST /detectors."""

    id: Annotated[
        StrictStr,
        StringConstraints(max_length=64),
        Field(description="<category>.<name>", examples=["acme.employee-no"]),
    ]


class Allow(Body):
    """POST /allow-list: exactly one of value, pattern and object_prefix."""

    detector: Annotated[StrictStr, StringConstraints(min_length=1, max_length=64)] = left_out(
        "Hits of this detector or category alone.", "payment.card"
    )
    value: Annotated[StrictStr, StringConstraints(min_length=1, max_length=4096)] = left_out(
        "A value, exactly as it is written. Only its SHA-256 is kept.", "4111 1111 1111 1111"
    )
    pattern: Annotated[StrictStr, StringConstraints(min_length=1, max_length=MAX_PATTERN)] = left_out(
        "A regular expression that matches whole values.", r"[\w.]+@example\.com"
    )
    object_prefix: Text = left_out("Every hit in objects whose key begins so.", "fixtures/")
    reason: Annotated[StrictStr, StringConstraints(min_length=1, max_length=500), Field(examples=["A test number."])]

    @staticmethod
    def further_faults(value: Mapping[str, Any]) -> Iterator[Fault]:
        """None or several of what can be allowed."""
        if len(value.keys() & {"value", "pattern", "object_prefix"}) != 1:
            yield Fault("value", "give exactly one of value, pattern and object_prefix")
