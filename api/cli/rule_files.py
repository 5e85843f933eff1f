"""Rule files and samples that a command line names, read whole, and so not without bound."""

from pathlib import Path
from typing import Final

from api.cli.failures import Misuse

_LARGEST: Final = 1024 * 1024


def read_rules(name: str) -> str:
    """The text of a rule file. Raises `Misuse`."""
    try:
        return _read(name, "rule file").decode()
    except UnicodeDecodeError:
        raise Misuse(f"The rule file {name} is not UTF-8 text.") from None


def read_sample(name: str) -> bytes:
    """The bytes of a sample. Raises `Misuse`."""
    return _read(name, "sample")


def _read(name: str, kind: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise Misuse(f"The {kind} {name} cannot be read: {error.strerror}.") from None
    if len(content) > _LARGEST:
        raise Misuse(f"The {kind} {name} is larger than 1 MiB: to look into it, use `scanledger detect`.")
    return content
