"""The checks by name: those of the domain, and those that need a library."""

from typing import Final

from stdnum import iban as stdnum_iban
from stdnum.exceptions import ValidationError

from domain.detectors import checks
from domain.detectors.checks import Check
from infrastructure.detection.phone import phone


def iban(value: bytes) -> float:
    """An IBAN; half if the account number does not have its country's structure or own check digits."""
    if not checks.iban(value):
        return 0.0
    try:
        stdnum_iban.validate(value.decode("ascii"))
    except ValidationError:
        return 0.5
    return 1.0


CHECKS: Final[dict[str, Check]] = {**checks.CHECKS, "iban": iban, "phone": phone}
