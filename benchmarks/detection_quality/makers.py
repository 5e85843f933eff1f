"""Secrets that are more than random letters: with a checksum, or an encoding around them."""

import base64
import json
import string
from random import Random
from typing import Final
from zlib import crc32

from benchmarks.detection_quality.shapes import Maker, made

_BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BECH32: Final = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"


def _checksummed(random: Random) -> str:
    """30 characters and the six of their CRC-32 in base 62, as GitHub's and npm's tokens end."""
    entropy = made("{w30}", random)
    rest, digits = crc32(entropy.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        digits = _BASE62[digit] + digits
    return entropy + digits


def _jwt(random: Random) -> str:
    header = {"alg": random.choice(["HS256", "RS256"]), "typ": "JWT"}
    claims = {"sub": str(random.randrange(10**9)), "iat": 1_700_000_000 + random.randrange(10**7), "scope": "read"}
    parts = [_url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims)]
    return ".".join([*parts, made("{b43}", random)])


def _discord(random: Random) -> str:
    return ".".join([_url(made("{=1|2|9}{d17}", random).encode()), made("{=G|X|Y}{b5}", random), made("{b38}", random)])


def _url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _body(random: Random, width: int = 64) -> list[str]:
    whole = base64.b64encode(bytes([0x30, 0x82, 0x04, 0xA4, 0x02, 0x01, 0x00, 0x02, 0x82]) + random.randbytes(1183))
    return [whole[at : at + width].decode() for at in range(0, len(whole), width)]


def _pem(random: Random) -> str:
    kind = random.choice(["RSA ", "", "EC ", "OPENSSH "])
    return "\n".join([f"-----BEGIN {kind}PRIVATE KEY-----", *_body(random), f"-----END {kind}PRIVATE KEY-----"])


def _pem_in_one_line(random: Random) -> str:
    return "\\n".join(["-----BEGIN PRIVATE KEY-----", *_body(random), "-----END PRIVATE KEY-----", ""])


def _ppk(random: Random) -> str:
    head = ["PuTTY-User-Key-File-2: ssh-rsa", "Encryption: none", "Comment: rsa-key", "Public-Lines: 6"]
    private = ["Private-Lines: 14", *_body(random)[:14], f"Private-MAC: {made('{h40}', random)}"]
    return "\n".join([*head, *_body(random)[:6], *private])


def _basic(random: Random) -> str:
    return base64.b64encode(made("{a6}:{w16}", random).encode()).decode()


def _age(random: Random) -> str:
    """32 random bytes in bech32 with their checksum, in upper case, as age writes its secret keys."""
    number = int.from_bytes(random.randbytes(32), "big") << 4
    data = [number >> 5 * place & 31 for place in reversed(range(52))]
    prefix = "age-secret-key-"
    spread = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    rest = _polymod([*spread, *data, 0, 0, 0, 0, 0, 0]) ^ 1
    return "".join(_BECH32[digit] for digit in [*data, *(rest >> 5 * place & 31 for place in reversed(range(6)))])


def _polymod(values: list[int]) -> int:
    rest = 1
    for value in values:
        top, rest = rest >> 25, (rest & 0x1FFFFFF) << 5 ^ value
        for bit, factor in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            rest ^= factor if top >> bit & 1 else 0
    return rest


def _words(random: Random) -> str:
    """A password as people make them."""
    word = random.choice(["Winter", "Arsenal", "Dragon", "Sunshine", "Madrid", "Falcon", "Thunder", "Monkey"])
    return f"{word}{random.choice(['!', '#', '$', '_'])}{random.randrange(1970, 2026)}{random.choice('!?*%')}"


MAKERS: Final[dict[str, Maker]] = {
    "crc": _checksummed,
    "jwt": _jwt,
    "discord": _discord,
    "pem": _pem,
    "pemline": _pem_in_one_line,
    "pem64": lambda random: base64.b64encode(_pem(random).encode()).decode(),
    "ppk": _ppk,
    "basic": _basic,
    "word64": lambda random: base64.b64encode(made("{w16}", random).encode()).decode(),
    "words": _words,
    "django": lambda random: "".join(random.choices("abcdefghijklmnopqrstuvwxyz0123456789!@#%^&*(-_=+)", k=50)),
    "letters34": lambda random: "".join(random.choices(string.ascii_letters, k=34)),
    "age": _age,
}
