"""The sources of objects, and what looks for findings in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from application.detecting import Wanted
    from application.ports import Detection, ObjectSource
    from application.trying import Explanation, Trial
    from domain.detectors import Detector
    from infrastructure.detection.local.pool import LocalDetection
    from infrastructure.detection.local.walk import Candidate
    from infrastructure.settings import Settings


def open_source(
    settings: Settings, kind: str, config: Mapping[str, Any], credentials: Mapping[str, str] | None
) -> ObjectSource:
    """The source of a connector. Raises SourceMisconfigured."""
    from infrastructure.connectors import registry

    policy = registry.SourcePolicy(settings.filesystem_roots, settings.s3_endpoints)
    return registry.open_source(kind, config, credentials, policy)


def open_detection(detectors: Sequence[str] = (), rules: str = "") -> Detection:
    """The detectors with these ids, compiled; all of them if none is named. `rules` are a tenant's own, as a command
    carries them: its detectors are among those, and its allow list is heeded."""
    from application.pinned_rules import from_text
    from domain.detectors import select
    from infrastructure.detection.engine import HyperscanDetection

    own = from_text(rules)
    return HyperscanDetection(select(detectors, own.detectors), allowed=own.allowed)


def open_local_detection(wanted: Wanted, *, jobs: int, standard_input: int | None) -> LocalDetection:
    """Child processes that read local files, `jobs` of them at most; see `infrastructure.detection.local.pool`."""
    from infrastructure.detection.local.pool import LocalDetection

    return LocalDetection(wanted, jobs=jobs, standard_input=standard_input)


def local_files(targets: Sequence[str], excluded: Sequence[str], input_name: str | None) -> Iterable[Candidate]:
    """What these targets name; see `infrastructure.detection.local.walk`."""
    from infrastructure.detection.local.walk import Walk

    return Walk(targets, excluded=excluded, input_name=input_name)


def try_detectors(rule: str, text: str | None) -> Sequence[Trial]:
    """A detector by its id, or those of a rule file, tried on their own examples. Raises `Invalid`."""
    from infrastructure.detection.local.trial import tried

    return tried(rule, text)


def explain_detection(detector: Detector, sample: bytes) -> Explanation:
    """What a detector finds in a text, and why nothing else."""
    from infrastructure.detection.local.trial import explained

    return explained(detector, sample)
