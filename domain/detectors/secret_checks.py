"""Checks of secrets: checksums and payloads that issuers put into their tokens, and whether a value is one at all.

Each takes the bytes that matched and answers a factor of the detector's confidence, as in `checks`.
"""

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Callable
from typing import Any, Final

from domain.detectors.plausibility import drawn_at_random, is_identifier, is_published, key, named_key, password

_BASE62: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE58: Final = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32: Final = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_LONGEST_BASE58: Final = 128
_UNCHECKED: Final = 0.6


def base62_crc(secret: bytes) -> bytes:
    """The CRC-32 of a text in six digits of base 62, as GitHub and npm put it at the end of their tokens."""
    checksum, digits = zlib.crc32(secret), b""
    for _ in range(6):
        checksum, digit = divmod(checksum, 62)
        digits = _BASE62[digit : digit + 1] + digits
    return digits


def npm_token(value: bytes) -> float:
    """An npm token: it ends in the checksum of what stands between prefix and end; without that it is doubtful."""
    worth = drawn_at_random(value)
    return worth if value[-6:] == base62_crc(value[4:-6]) else worth * _UNCHECKED


def _decoded(text: bytes) -> bytes:
    """Base64 of either alphabet, padded or not; empty if it is none."""
    text = text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _json(text: bytes) -> dict[str, Any]:
    """The JSON object in base64; empty if there is none."""
    try:
        found = json.loads(_decoded(text))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def basic_credentials(value: bytes) -> float:
    """The base64 of `user:password` (RFC 7617), by what the password is worth."""
    user, colon, secret = _decoded(value).partition(b":")
    if not colon or not secret or not (user + secret).isascii() or not (user + secret).decode().isprintable():
        return 0.0
    return max(password(secret), 0.2)


def json_token(value: bytes) -> float:
    """A token whose payload is the base64 of a JSON object, behind a literal beginning or not."""
    payload = value[value.find(b"eyJ") :].partition(b"_")[0] if b"eyJ" in value else value
    return 1.0 if _json(payload) else 0.0


def pem_in_base64(value: bytes) -> float:
    """The base64 of a PEM private key."""
    return 1.0 if b"PRIVATE KEY-----" in _decoded(value[: len(value) // 4 * 4]) else 0.0


def bedrock_key(value: bytes) -> float:
    """A key of Amazon Bedrock: the base64 behind its beginning names the service; if it does not, it is doubtful."""
    decoded = _decoded(value.removeprefix(b"bedrock-api-key-").removeprefix(b"ABSK")[:64])
    worth = drawn_at_random(value)
    return worth if b"edrock" in decoded else worth * _UNCHECKED


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate(_GENERATOR):
            checksum ^= generator if top >> place & 1 else 0
    return checksum


def age_key(value: bytes) -> float:
    """An age identity: Bech32 (BIP 173); without its checksum it is doubtful, of one character it is none."""
    prefix, _, data = value.lower().rpartition(b"1")
    numbers = [_BECH32.find(byte) for byte in data]
    expanded = [byte >> 5 for byte in prefix] + [0] + [byte & 31 for byte in prefix]
    if len(set(data)) < 8 or min(numbers) < 0:
        return 0.0
    return 1.0 if _polymod(expanded + numbers) == 1 else _UNCHECKED


def base58_check(value: bytes) -> float:
    """Base58 that ends in four bytes of the doubled SHA-256 of the rest: private keys of Bitcoin and its kin."""
    digits = [_BASE58.find(byte) for byte in value]
    if min(digits, default=-1) < 0 or len(digits) > _LONGEST_BASE58:
        return 0.0
    number = 0
    for digit in digits:
        number = number * 58 + digit
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    digest = hashlib.sha256(hashlib.sha256(raw[:-4]).digest()).digest()
    return 1.0 if digest[:4] == raw[-4:] else 0.0


def service_key(value: bytes) -> float:
    """A key whose service is named near by: drawn at random, and no name of something."""
    return 0.0 if is_identifier(value) else drawn_at_random(value)


def private_scalar(value: bytes) -> float:
    """A private key in hex, as Ethereum writes it: 32 bytes drawn at random."""
    return drawn_at_random(value.removeprefix(b"0x"))


def passphrase_or_key(value: bytes) -> float:
    """What stands behind `secret`: a key, or a password that is no word. Words count for little."""
    worth = key(value)
    if worth:
        return worth
    return 0.7 * password(value) if any(48 <= byte <= 57 for byte in value) else 0.4 * password(value)


def password_hash(value: bytes) -> float:
    """A salted hash of a password; examples count little."""
    return 0.2 if is_published(value) or len(set(value[-20:])) < 6 else 1.0


SECRET_CHECKS: Final[dict[str, Callable[[bytes], float]]] = {
    "age_key": age_key,
    "base58_check": base58_check,
    "basic_credentials": basic_credentials,
    "bedrock_key": bedrock_key,
    "generic_key": key,
    "json_token": json_token,
    "named_key": named_key,
    "npm_token": npm_token,
    "passphrase_or_key": passphrase_or_key,
    "password": password,
    "password_hash": password_hash,
    "pem_in_base64": pem_in_base64,
    "private_scalar": private_scalar,
    "random_token": drawn_at_random,
    "service_key": service_key,
}
"""The checks of secrets by the names that detectors use."""
