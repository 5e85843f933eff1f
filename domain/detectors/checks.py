"""Checks that need no library. Each takes the bytes that matched and answers how much they are worth.

The answer is a factor of the detector's confidence: 1 for a valid value, less for one that is valid in form but
likely not real (a published test number, a reserved address), 0 for what is no such value at all.
"""

import base64
import binascii
import json
from collections.abc import Callable, Collection
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

from domain.detectors.account_checks import ACCOUNT_CHECKS
from domain.detectors.document_checks import DOCUMENT_CHECKS
from domain.detectors.identity_checks import IDENTITY_CHECKS
from domain.detectors.payment_tables import CARD_RANGES, IBAN_LENGTHS, TEST_CARDS
from domain.detectors.secret_checks import SECRET_CHECKS, base62_crc
from domain.detectors.wallet_checks import WALLET_CHECKS

Check = Callable[[bytes], float]

_DOUBLED: Final = bytes(sum(divmod(2 * (byte - 48), 10)) + 48 if 48 <= byte <= 57 else 0 for byte in range(256))
_NOT_DIGITS: Final = bytes(byte for byte in range(256) if not 48 <= byte <= 57)


def _digits(value: bytes) -> bytes:
    return value.translate(None, _NOT_DIGITS)


def luhn(digits: bytes) -> bool:
    """Whether ASCII digits end in their Luhn check digit (ISO/IEC 7812-1, annex B)."""
    total = sum(digits[::-2]) + sum(digits[-2::-2].translate(_DOUBLED)) - 48 * len(digits)
    return total % 10 == 0


def _lengths_by_issuer() -> dict[bytes, frozenset[int]]:
    """Lengths in use by the first four digits: a table look-up instead of a search in the ranges."""
    table: dict[bytes, frozenset[int]] = {}
    for prefix in range(2000, 7000):
        first, last = prefix * 100, prefix * 100 + 99
        for low, high, lengths in CARD_RANGES:
            if low <= last and first <= high:
                table[b"%d" % prefix] = lengths
                break
    return table


_CARD_LENGTHS: Final = _lengths_by_issuer()
_MOST_CARDS: Final = 16
_ON_END: Final = 0.6
"""Of a card, 0.8, it leaves less than is shown; with a word of cards near by, enough."""


def card_lengths(prefix: bytes) -> Collection[int]:
    """The lengths of the cards whose first four digits these are."""
    return _CARD_LENGTHS.get(prefix, ())


def card(value: bytes) -> float:
    """A payment card: issuer range, length and Luhn. Published test numbers count for half, digits on end that are not
    16 (which counters, times and ids may have as well) for little more, repeated groups for less."""
    digits = value if value.isdigit() else _digits(value)
    if len(digits) not in _CARD_LENGTHS.get(digits[:4], ()) or not luhn(digits):
        return 0.0
    if digits in TEST_CARDS or digits.count(digits[-2:-1]) > len(digits) - 4:
        return 0.5
    if len(digits) == 16 and (digits[4:8] == digits[8:12] or _counts_on(digits)):
        return 0.4
    return 1.0 if len(digits) == _MOST_CARDS or len(value) != len(digits) else _ON_END


def _counts_on(digits: bytes) -> bool:
    """Whether four groups of four are evenly apart, as in a table of numbers: 5414 5415 5416 5417."""
    first, second, third, fourth = (int(digits[at : at + 4]) for at in range(0, 16, 4))
    return second - first == third - second == fourth - third


def card_track(value: bytes) -> float:
    """Magnetic stripe data: the card's number in it is a card's."""
    return 1.0 if card(value[1:].lstrip(b"Bb").replace(b"=", b"^").partition(b"^")[0]) else 0.0


_IN_DIGITS: Final = {ord(letter): str(int(letter, 36)) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def iban(value: bytes) -> float:
    """An IBAN: the length of its country and modulo 97 (ISO 13616, ISO/IEC 7064 MOD 97-10)."""
    text = value.replace(b" ", b"").decode("ascii")
    if len(text) != IBAN_LENGTHS.get(text[:2]):
        return 0.0
    return 1.0 if int((text[4:] + text[:4]).translate(_IN_DIGITS)) % 97 == 1 else 0.0


NEVER_ISSUED_SSN: Final = frozenset({b"078051120", b"219099999", b"123456789", b"987654321", b"111111111"})
"""Numbers used in advertisements and as placeholders (SSA, *Misused SSNs*)."""


def us_ssn(value: bytes) -> float:
    """A US SSN: area not 000, 666 or 9xx, group not 00, serial not 0000 (SSA, *Randomization*, 2011)."""
    digits = _digits(value)
    if digits[:3] in {b"000", b"666"} or digits[0] == ord("9") or digits[3:5] == b"00" or digits[5:] == b"0000":
        return 0.0
    return 0.3 if digits in NEVER_ISSUED_SSN or len(set(digits)) == 1 else 1.0


FILE_ENDINGS: Final = frozenset(
    b"png jpg jpeg gif svg webp ico css js ts jsx tsx json htm html php py rb go exe dll zip gz txt yml yaml "
    b"service socket target mount timer slice scope device conf dtsi dts local".split()
)
_RESERVED_DOMAINS: Final = (b"example.com", b"example.org", b"example.net", b".example", b".test", b".invalid")


def email(value: bytes) -> float:
    """An e-mail address: no stray dots, no file name, no password before a host; reserved domains (RFC 2606) count for
    less."""
    local, _, domain = value.lower().rpartition(b"@")
    if b"/" in local or b".." in local or local.endswith(b".") or domain.rpartition(b".")[2] in FILE_ENDINGS:
        return 0.0
    if domain.endswith(_RESERVED_DOMAINS):
        return 0.6
    return 0.4 if local == b"git" else 1.0


_IN_DOCUMENTS: Final = frozenset({(192, 0, 2), (198, 51, 100), (203, 0, 113)})
"""Networks that are reserved for examples (RFC 5737)."""


_OCTETS: Final = {b"%d" % octet: octet for octet in range(256)}


@lru_cache(maxsize=4096)
def ip_address(value: bytes) -> float:
    """An IP address by how far it reaches: public 1, private less, loopback and unspecified least.

    What is more likely a version (4.3.99.16), a place in a document or an object identifier (1.3.6.1) counts for less.
    """
    if b":" in value:
        return _ipv6(value)
    octets = [_OCTETS.get(octet) for octet in value.split(b".")]
    return 0.0 if None in octets else _ipv4(*octets)  # type: ignore[arg-type]  # none of them is None


def _ipv4(first: int, second: int, third: int, fourth: int) -> float:
    if first in {0, 127} or first >= 224:
        return 0.2
    if (first, second, third) in _IN_DOCUMENTS:
        return 0.5
    if first == 10 or (first, second) in {(192, 168), (169, 254)} or (first == 172 and 16 <= second <= 31):
        return 0.65
    if max(first, second, third, fourth) < 20:
        return 0.4
    if (first < 10 and second < 10) or (first < 20 and max(second, third, fourth) < 100):
        return 0.5
    return 1.0


def _ipv6(value: bytes) -> float:
    try:
        address = IPv6Address(value.decode("ascii"))
    except ValueError:
        return 0.0
    groups = [group for group in value.split(b":") if group]
    if len(groups) < 4 and all(len(group) < 3 for group in groups):
        return 0.0
    if len(groups) <= 2 and not any(byte in b"0123456789" for byte in value):
        return 0.0
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        return 0.2
    return 1.0 if address.is_global else 0.6


def _variety(value: bytes) -> float:
    """Distinct characters per character, of at most 24: a cheap stand-in for entropy."""
    head = value[-24:]
    return len(set(head)) / len(head)


def random_key(value: bytes) -> float:
    """A key that looks drawn at random: no run, no repetition."""
    return 1.0 if _variety(value) >= 0.45 else 0.0


def aws_key(value: bytes) -> float:
    """An AWS key id, or a 40-character secret in mixed case with digits. AWS's own examples count little."""
    if b"EXAMPLE" in value:
        return 0.2
    if len(value) == 40 and not (any(map(_is_upper, value)) and any(map(_is_lower, value)) and _has_digit(value)):
        return 0.0
    return random_key(value[4:])


def _is_upper(byte: int) -> bool:
    return 65 <= byte <= 90


def _is_lower(byte: int) -> bool:
    return 97 <= byte <= 122


def _has_digit(value: bytes) -> bool:
    return any(48 <= byte <= 57 for byte in value)


def github_token(value: bytes) -> float:
    """A GitHub token. A classic one ends in the base-62 CRC-32 of its random part; without that it is doubtful."""
    if random_key(value) == 0.0:
        return 0.0
    if value.startswith(b"github_pat_"):
        return 1.0
    return 1.0 if value[-6:] == base62_crc(value[4:-6]) else 0.6


def slack_token(value: bytes) -> float:
    """A Slack token or webhook; one without a digit after its prefix is a placeholder."""
    body = value.rpartition(b"/")[2] if b"/" in value else value[5:]
    return random_key(body) if _has_digit(body) or b"/" in value else 0.0


def stripe_key(value: bytes) -> float:
    """A Stripe key; test-mode keys count for less."""
    if random_key(value) == 0.0:
        return 0.0
    return 0.6 if b"_test_" in value[:9] else 1.0


def jwt(value: bytes) -> float:
    """A JWT: the header decodes to a JSON object that names its algorithm (RFC 7519, RFC 7515)."""
    header, _, _ = value.partition(b".")
    try:
        decoded = json.loads(base64.urlsafe_b64decode(header + b"=" * (-len(header) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return 0.0
    return 1.0 if isinstance(decoded, dict) and isinstance(decoded.get("alg"), str) else 0.0


def private_key(value: bytes) -> float:
    """A private key block: whole and unencrypted 1, encrypted half, without a body or an end little."""
    body = value.split(b"-----")
    if len(body) < 4 or len(body[2]) < 64:
        return 0.3
    return 0.5 if b"ENCRYPTED" in value else 1.0


CHECKS: Final[dict[str, Check]] = {
    **ACCOUNT_CHECKS,
    **DOCUMENT_CHECKS,
    **IDENTITY_CHECKS,
    **WALLET_CHECKS,
    **SECRET_CHECKS,
    "aws_key": aws_key,
    "card": card,
    "card_track": card_track,
    "email": email,
    "github_token": github_token,
    "iban": iban,
    "ip_address": ip_address,
    "jwt": jwt,
    "private_key": private_key,
    "random_key": random_key,
    "slack_token": slack_token,
    "stripe_key": stripe_key,
    "us_ssn": us_ssn,
}
"""The checks by the names that detectors use."""
