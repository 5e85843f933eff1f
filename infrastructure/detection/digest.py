"""The ruleset digest: what an object's findings depend on besides its bytes."""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from typing import Final

from domain.detectors import Detector
from infrastructure.formats.limits import Limits

_PACKAGES: Final = ("domain.detectors", "infrastructure.detection", "infrastructure.formats")
_MODULES: Final = ("finding.py", "parts.py")
"""Of the domain: how findings are masked, merged and rated, and where objects are cut."""

_NO_PART: Final = frozenset({"local"})
"""What reads local files changes nothing in the findings of objects."""

LIBRARIES: Final = (
    "google-re2", "hyperscan", "numpy", "phonenumbers", "pyarrow", "pypdf", "python-stdnum", "zstandard",
)  # fmt: skip


def ruleset_digest(detectors: Sequence[Detector], limits: Limits) -> str:
    """SHA-256, in hex, over the chosen detectors, the limits, the code of rules, checks and formats, and the versions
    of Python and the libraries they use. Code is hashed whole, so that no change of a check can be forgotten."""
    digest = hashlib.sha256()
    for detector in detectors:
        digest.update(f"{detector.id}\n".encode())
    digest.update(f"{limits}\n".encode())
    digest.update(_code())
    return digest.hexdigest()


@cache
def _code() -> bytes:
    """What is the same for every engine of this process."""
    digest = hashlib.sha256()
    for file in sources():
        digest.update(file.read_bytes())
    digest.update(f"python {sys.version_info.major}.{sys.version_info.minor}\n".encode())
    for library in LIBRARIES:
        digest.update(f"{library} {metadata.version(library)}\n".encode())
    return digest.digest()


def sources() -> Iterator[Traversable]:
    """The files of code and rules that findings depend on."""
    for package in _PACKAGES:
        yield from _below(resources.files(package))
    yield from (resources.files("domain").joinpath(name) for name in _MODULES)


def _below(folder: Traversable) -> Iterator[Traversable]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith((".py", ".toml")):
            yield entry
        elif entry.is_dir() and entry.name not in _NO_PART:
            yield from _below(entry)
