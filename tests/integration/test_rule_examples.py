"""Every rule, by the engine that scans run: it finds its examples, once each, and leaves its near misses alone."""

import io

import pytest

from domain.detectors import Detector
from domain.detectors.rulebook import detectors_of, rule_files
from infrastructure.detection.engine import HyperscanDetection

FILES = rule_files()
EVERYTHING = HyperscanDetection()


@pytest.fixture(scope="module", params=FILES)
def rules(request) -> list[tuple[Detector, HyperscanDetection]]:
    """The detectors of one file, each with an engine that knows it alone."""
    detectors = detectors_of(FILES[request.param], request.param)
    return [(detector, HyperscanDetection([detector])) for detector in detectors]


def count(detection: HyperscanDetection, text: str, detector: Detector) -> int:
    """The hits of one detector in a text file."""
    content = text.encode()
    inspected = detection.inspect(io.BytesIO(content), name="example.txt", size=len(content))
    return sum(finding.count for finding in inspected.findings if finding.detector == detector.id)


def test_an_example_is_found_once(rules):
    found = {(one.id, text): count(detection, text, one) for one, detection in rules for text in one.matches}
    assert {example: times for example, times in found.items() if times != 1} == {}


def test_a_near_miss_is_not_found(rules):
    found = {(one.id, text): count(detection, text, one) for one, detection in rules for text in one.near_misses}
    assert {example: times for example, times in found.items() if times != 0} == {}


def test_beside_all_other_rules_an_example_is_still_found(rules):
    definite = [one for one, _ in rules if not one.yields]
    found = {(one.id, text): count(EVERYTHING, text, one) for one in definite for text in one.matches}
    assert {example: times for example, times in found.items() if times != 1} == {}
