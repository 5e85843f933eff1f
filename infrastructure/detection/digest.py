"""The ruleset digest: what an object's findings depend on besides its bytes."""

import hashlib
from collections.abc import Sequence
from importlib import metadata, resources
from typing import Final

from domain.detectors import Detector
from infrastructure.formats.limits import Limits

_SOURCES: Final = ("domain.detectors", "infrastructure.detection", "infrastructure.formats")
_LIBRARIES: Final = ("hyperscan", "phonenumbers", "pyarrow", "python-stdnum", "zstandard")


def ruleset_digest(detectors: Sequence[Detector], limits: Limits) -> str:
    """SHA-256, in hex, over the chosen detectors, the limits, the code of rules, checks and formats, and the versions
    of the libraries they use. Code is hashed whole, so that no change of a check can be forgotten."""
    digest = hashlib.sha256()
    for detector in detectors:
        digest.update(f"{detector.id}\n".encode())
    digest.update(f"{limits}\n".encode())
    for package in _SOURCES:
        for file in sorted(resources.files(package).iterdir(), key=lambda entry: entry.name):
            if file.name.endswith(".py"):
                digest.update(file.read_bytes())
    for library in _LIBRARIES:
        digest.update(f"{library} {metadata.version(library)}\n".encode())
    return digest.hexdigest()
