"""Planted identifiers: per kind ours, and Presidio's recognizer where it has one."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.detection_quality.numbers import Identifier, Planted, identifiers, planted
from benchmarks.detection_quality.ours import SHOWN, Hit, hits_in
from benchmarks.detection_quality.scoring import Score, Span, of_spans
from benchmarks.peers import presidio


@dataclass(slots=True)
class Compared:
    """Scores of one kind. `other`: hits of ours that name the value as something else; neither right nor false."""

    identifier: Identifier
    ours: Score = field(default_factory=Score)
    presidio: Score | None = None
    presidio_sure: Score | None = None
    other: int = 0
    missed: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)


def compared(seed: int, each: int) -> list[Compared]:
    """Every kind's scores."""
    return [_of(identifier, list(planted(identifier, seed, each))) for identifier in identifiers()]


def with_presidio(results: list[Compared], seed: int, each: int) -> None:
    """Add Presidio's scores of the kinds that it knows, in one process."""
    known = [result for result in results if result.identifier.entity]
    texts = [(result, text) for result in known for text in planted(result.identifier, seed, each)]
    entities = {str(result.identifier.entity) for result in known}
    answer = presidio.analyze([text.text for _, text in texts], entities)
    for (result, text), spans in zip(texts, answer.spans, strict=True):
        result.presidio = result.presidio or Score()
        result.presidio_sure = result.presidio_sure or Score()
        own = [(start, end, score) for start, end, entity, score in spans if entity == result.identifier.entity]
        result.presidio.add(of_spans(text.spans, [(start, end) for start, end, _ in own]))
        result.presidio_sure.add(of_spans(text.spans, [(start, end) for start, end, score in own if score >= SHOWN]))


def _of(identifier: Identifier, texts: list[Planted]) -> Compared:
    result = Compared(identifier)
    for text in texts:
        hits = [hit for hit in hits_in(text.text, text.name) if hit.confidence >= SHOWN]
        right, other = _split(hits, identifier.detectors)
        score = of_spans(text.spans, right)
        result.ours.add(score)
        missed = [span for span in text.spans if not of_spans([span], right).hits]
        result.other += sum(bool(of_spans([span], [o[:2] for o in other]).hits) for span in missed)
        result.missed += list(_shown(text, missed))
        result.false += list(_shown(text, [span for span in right if of_spans(text.spans, [span]).false]))
    return result


def _split(hits: list[Hit], detectors: tuple[str, ...]) -> tuple[list[Span], list[Span]]:
    right = [(hit.start, hit.end) for hit in hits if hit.detector in detectors]
    return right, [(hit.start, hit.end) for hit in hits if hit.detector not in detectors]


def _shown(text: Planted, spans: list[Span]) -> Iterator[str]:
    # Made up, every one of them.
    for start, end in spans:
        header = text.text.partition("\n")[0] + " | " if text.name.endswith(".csv") else ""
        yield (header + text.text[max(start - 50, 0) : start] + "[" + text.text[start:end] + "]").replace("\n", " ")
