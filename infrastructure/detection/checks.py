"""The checks by name: those of the domain, and those that need a library."""

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module, resources
from typing import Any, Final

from stdnum import numdb
from stdnum.util import get_cc_module

from domain.detectors import checks
from domain.detectors.checks import Check
from domain.detectors.identity_checks import PLACEHOLDER_WORTH, placeholder
from infrastructure.detection.phone import phone

_ACCOUNT_PART: Final = re.compile(r"(\d+)!([nac])")
_ACCOUNT_CHARACTERS: Final = {"n": "[0-9]", "a": "[A-Z]", "c": "[A-Za-z0-9]"}


def iban(value: bytes) -> float:
    """An IBAN; half if the account number does not have its country's structure or own check digits."""
    if not checks.iban(value):
        return 0.0
    number = value.replace(b" ", b"").decode("ascii")
    structure, module = _accounts_of(number[:2])
    if structure is None or not structure.fullmatch(number, 4):
        return 0.5
    return 1.0 if module is None or module.is_valid(number) else 0.5


@cache
def _accounts_of(country: str) -> tuple[re.Pattern[str] | None, Any]:
    """The structure of a country's account numbers in the registry of IBANs, and the module that knows more of them."""
    [(_, entry), *_] = numdb.get("iban").info(country)
    shape = entry.get("bban")
    parts = (f"{_ACCOUNT_CHARACTERS[kind]}{{{length}}}" for length, kind in _ACCOUNT_PART.findall(shape or ""))
    return re.compile("".join(parts)) if shape else None, get_cc_module(country.lower(), "iban")


CHECKS: Final[dict[str, Check]] = {**checks.CHECKS, "iban": iban, "phone": phone}

_STDNUM: Final = "stdnum."
_NO_CHECKS: Final = frozenset({"exceptions.py", "numdb.py", "util.py"})


@cache
def check_named(name: str | None) -> Check:
    """The check that a detector names; `stdnum.nl.bsn` is the `is_valid` of that module of python-stdnum,
    by which placeholders (000000000) count for little.

    Without a name, every value is valid. Raises `KeyError` if there is no such check.
    """
    if name is None:
        return _always
    if name.startswith(_STDNUM):
        return _of_stdnum(name)
    return CHECKS[name]


def _always(_value: bytes) -> float:
    return 1.0


def _of_stdnum(name: str) -> Check:
    if name not in stdnum_modules():
        raise KeyError(name)

    def check(value: bytes) -> float:
        if not _is_valid(name)(value.decode("latin-1")):
            return 0.0
        return PLACEHOLDER_WORTH if placeholder(value) else 1.0

    return check


@cache
def _is_valid(module: str) -> Callable[[str], bool]:
    is_valid: Callable[[str], bool] = import_module(module).is_valid
    return is_valid


@cache
def stdnum_modules() -> frozenset[str]:
    """The names of python-stdnum's modules that check a kind of number."""
    root = resources.files("stdnum")
    folders = [("stdnum", root), *((f"stdnum.{one.name}", one) for one in root.iterdir() if one.is_dir())]
    return frozenset(
        f"{package}.{file.name.removesuffix('.py')}"
        for package, folder in folders
        for file in folder.iterdir()
        if file.name.endswith(".py") and not file.name.startswith("_") and file.name not in _NO_CHECKS
    )
