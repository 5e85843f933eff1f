"""Presidio's pattern recognizers on texts, in a process of the peers' environment."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import peer, run


@dataclass(frozen=True, slots=True)
class Answer:
    """For each text its spans `(start, end, entity, score)` in characters; and the CPU seconds it took."""

    spans: list[list[tuple[int, int, str, float]]]
    seconds: float
    recognizers: int


def analyze(texts: Sequence[str], entities: Collection[str]) -> Answer:
    """What the recognizers of these entities find, with the scores that context words give them."""
    child = Path(__file__).with_name("presidio_child.py")
    request = json.dumps({"entities": sorted(entities), "texts": list(texts)})
    done = run([peer("python"), str(child)], input=request)
    if done.returncode != 0:
        raise RuntimeError(f"Presidio failed: {done.stderr[-2000:]}")
    answer = json.loads(done.stdout)
    spans = [[(start, end, entity, score) for start, end, entity, score in found] for found in answer["spans"]]
    return Answer(spans, answer["seconds"], answer["recognizers"])
