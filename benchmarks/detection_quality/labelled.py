"""The labelled sets of documents, where they are: per kind ours beside Presidio's pattern recognizers."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.detection_quality.ours import SHOWN, Hit, hits_in
from benchmarks.detection_quality.scoring import Score, Span, of_spans
from benchmarks.peers import presidio

KINDS: Final = {
    "CREDIT_CARD": ("payment.card",),
    "IBAN_CODE": ("payment.iban",),
    "US_SSN": ("pii.us-ssn",),
    "PHONE_NUMBER": ("pii.phone",),
    "EMAIL_ADDRESS": ("pii.email",),
    "IP_ADDRESS": ("network.ip-address",),
    "US_DRIVER_LICENSE": ("pii.us-driver-license",),
}
"""The labels that both sides have a rule for: Presidio's entity is called like the label."""

ADDRESSES: Final = (
    "pii.street-address",
    "pii.street-address-de",
    "pii.street-address-east",
    "pii.street-address-es",
    "pii.street-address-fr",
    "pii.po-box",
)
"""Rules for the labels ADDRESS and STREET_ADDRESS, which Presidio's patterns do not look for."""


@dataclass(frozen=True, slots=True)
class Document:
    text: str
    labels: tuple[tuple[int, int, str], ...]

    def spans(self, *labels: str) -> list[Span]:
        return [(start, end) for start, end, label in self.labels if label in labels]


def folder() -> Path:
    """Where the sets are to be found: `$SCANLEDGER_SHARED_DATA`, or `../shared/data` beside the project."""
    given = os.environ.get("SCANLEDGER_SHARED_DATA")
    root = Path(given) if given else Path(__file__).resolve().parents[3] / "shared" / "data"
    return root / "presidio_research"


def documents() -> Iterator[Document]:
    """Every document of every set."""
    for path in sorted(folder().glob("*.json")):
        for entry in json.loads(path.read_text("utf-8")):
            spans = ((s["start_position"], s["end_position"], s["entity_type"]) for s in entry["spans"])
            yield Document(entry["full_text"], tuple(spans))


@dataclass(slots=True)
class Compared:
    """Scores of one kind: ours from confidence 0.5 and at any; Presidio's at any, its default, and from 0.5."""

    ours: Score
    ours_any: Score
    presidio: Score
    presidio_sure: Score
    missed: list[str]
    false: list[str]


def compared() -> dict[str, Compared]:
    """Each kind's scores over all documents, with a few of our misses and false alarms."""
    known = list(documents())
    answer = presidio.analyze([document.text for document in known], KINDS)
    results = {kind: Compared(*(Score() for _ in range(4)), [], []) for kind in (*KINDS, "ADDRESS")}
    for document, theirs in zip(known, answer.spans, strict=True):
        ours = list(hits_in(document.text))
        for kind, detectors in KINDS.items():
            labels = document.spans(kind)
            result = results[kind]
            _score(result, document, labels, [hit for hit in ours if hit.detector in detectors])
            result.presidio.add(of_spans(labels, [(s, e) for s, e, entity, _ in theirs if entity == kind]))
            sure = [(s, e) for s, e, entity, score in theirs if entity == kind and score >= SHOWN]
            result.presidio_sure.add(of_spans(labels, sure))
        addresses = [hit for hit in ours if hit.detector in ADDRESSES]
        _score(results["ADDRESS"], document, document.spans("ADDRESS", "STREET_ADDRESS"), addresses)
    return results


def _score(result: Compared, document: Document, labels: list[Span], hits: list[Hit]) -> None:
    result.ours_any.add(of_spans(labels, [(hit.start, hit.end) for hit in hits]))
    own = [(hit.start, hit.end) for hit in hits if hit.confidence >= SHOWN]
    score = of_spans(labels, own)
    result.ours.add(score)
    # These documents are synthetic: they may be shown as they are.
    if score.missed:
        result.missed += [_shown(document, span) for span in labels if not of_spans([span], own).hits]
    if score.false:
        result.false += [_shown(document, span) for span in own if of_spans(labels, [span]).false]


def _shown(document: Document, span: Span) -> str:
    start, end = span
    before, after = document.text[max(start - 40, 0) : start], document.text[end : end + 20]
    return f"{before}[{document.text[start:end]}]{after}".replace("\n", " ")
