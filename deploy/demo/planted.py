"""Sensitive values that belong to nobody: valid by checksum, made from a seed, none of them written here."""

import base64
import json
import random
import string
import zlib
from collections.abc import Callable
from typing import Final

BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
BASE32: Final = string.ascii_uppercase + "234567"

_CARD_BEGINNINGS: Final = (("411111", 16), ("555555", 16), ("378282", 15))
"""The issuer numbers of the card networks' published test cards."""

_FIRST_NAMES: Final = ("Ada", "Alan", "Barbara", "Claude", "Dorothy", "Edsger", "Frances", "Grace", "Hedy", "Mary")
_LAST_NAMES: Final = ("Adler", "Brooks", "Conway", "Dunn", "Ellis", "Flint", "Grant", "Hale", "Irving", "Mercer")


def _drawn(dice: random.Random, alphabet: str, length: int) -> str:
    return "".join(dice.choices(alphabet, k=length))


def person(dice: random.Random) -> str:
    return f"{dice.choice(_FIRST_NAMES)} {dice.choice(_LAST_NAMES)}"


def email(dice: random.Random) -> str:
    return f"{person(dice).replace(' ', '.').lower()}{dice.randrange(1000)}@example.com"


def card(dice: random.Random) -> str:
    """A number that passes the Luhn check (ISO/IEC 7812-1, annex B)."""
    beginning, length = dice.choice(_CARD_BEGINNINGS)
    digits = beginning + _drawn(dice, string.digits, length - len(beginning) - 1)
    doubled = (int(digit) * (2 - position % 2) for position, digit in enumerate(reversed(digits)))
    return digits + str(-sum(value // 10 + value % 10 for value in doubled) % 10)


def iban(dice: random.Random) -> str:
    """A German number that passes mod 97 (ISO 13616-1)."""
    account = _drawn(dice, string.digits, 18)
    country = "DE"
    as_digits = account + "".join(str(int(letter, 36)) for letter in country) + "00"
    return f"{country}{98 - int(as_digits) % 97:02}{account}"


def ssn(dice: random.Random) -> str:
    """An area, group and serial the Social Security Administration could issue."""
    return f"{dice.randrange(100, 600)}-{dice.randrange(10, 99)}-{dice.randrange(1000, 9999)}"


def phone(dice: random.Random) -> str:
    return f"+1 415-{dice.randrange(200, 999)}-{dice.randrange(1000, 9999)}"


def address(dice: random.Random) -> str:
    return ".".join(str(dice.randrange(1, 255)) for _ in range(4))


def aws_key_pair(dice: random.Random) -> str:
    key, secret = "AKIA" + _drawn(dice, BASE32, 16), _drawn(dice, BASE62 + "+/", 40)
    return f"aws_access_key_id = {key}\naws_secret_access_key = {secret}"


def github_token(dice: random.Random) -> str:
    """With the CRC-32 in base 62 that ends every classic token."""
    body = _drawn(dice, BASE62, 30)
    check, rest = "", zlib.crc32(body.encode())
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        check = BASE62[digit] + check
    return "GITHUB_TOKEN=" + "ghp" + "_" + body + check


def slack_token(dice: random.Random) -> str:
    first, second = (_drawn(dice, "123456789", 12) for _ in range(2))
    return "SLACK_BOT_TOKEN=" + "-".join(["xo" + "xb", first, second, _drawn(dice, BASE62, 24)])


def stripe_key(dice: random.Random) -> str:
    return "STRIPE_SECRET_KEY=" + "_".join(["sk", "live", _drawn(dice, BASE62, 24)])


def google_key(dice: random.Random) -> str:
    return "GOOGLE_API_KEY=" + "AI" + "za" + _drawn(dice, BASE62 + "-_", 35)


def jwt(dice: random.Random) -> str:
    """Three base64url parts (RFC 7519); the signature is noise."""
    claims = {"sub": str(dice.randrange(10**9)), "name": person(dice), "iat": 1_700_000_000 + dice.randrange(10**7)}
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    return "session=" + ".".join(_base64url(part) for part in [*parts, dice.randbytes(32)])


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def private_key(dice: random.Random) -> str:
    """A PEM block (RFC 7468) around noise."""
    label = "RSA " + "PRIVATE KEY"
    return f"-----BEGIN {label}-----\n{base64.encodebytes(dice.randbytes(600)).decode()}-----END {label}-----"


SECRETS: Final[dict[str, Callable[[random.Random], str]]] = {
    "secret.aws-access-key": aws_key_pair,
    "secret.github-token": github_token,
    "secret.slack-token": slack_token,
    "secret.stripe-key": stripe_key,
    "secret.google-api-key": google_key,
    "secret.private-key": private_key,
}
"""What lies about in settings files, by the detector that is to find it."""
