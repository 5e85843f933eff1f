"""Checks of crypto-currency addresses: Base58Check, Bech32 and the checksums over Keccak-256.

Each takes the bytes that matched and answers a factor of the detector's confidence, as in `checks`.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Final

Check = Callable[[bytes], float]

_BASE58: Final = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_RIPPLE: Final = b"rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"
_BECH32: Final = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_UNCHECKED_WORTH: Final = 0.7
"""What an address is worth that carries no checksum."""


def base58(value: bytes, alphabet: bytes = _BASE58) -> bytes:
    """The bytes that a Base58 text stands for; a leading zero digit is a zero byte. Raises `ValueError`."""
    number = 0
    for byte in value:
        number = number * 58 + alphabet.index(byte)
    zeros = len(value) - len(value.lstrip(alphabet[:1]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _checked_version(value: bytes, alphabet: bytes = _BASE58) -> int | None:
    """The version byte of a Base58Check address of 21 + 4 bytes whose checksum holds."""
    try:
        raw = base58(value, alphabet)
    except ValueError:
        return None
    holds = len(raw) == 25 and sha256(sha256(raw[:21]).digest()).digest()[:4] == raw[21:]
    return raw[0] if holds else None


def _bech32_holds(value: bytes) -> bool:
    """Whether a Bech32 or Bech32m text of one case has a valid checksum (BIP 173, BIP 350)."""
    if value not in {value.lower(), value.upper()}:
        return False
    prefix, _, data = value.lower().rpartition(b"1")
    checksum = 1
    expanded = [byte >> 5 for byte in prefix] + [0] + [byte & 31 for byte in prefix]
    for five_bits in [*expanded, *map(_BECH32.find, data)]:
        if five_bits < 0:
            return False
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ five_bits
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            checksum ^= generator if top >> bit & 1 else 0
    return checksum in {1, 0x2BC830A3}


def bitcoin(value: bytes) -> float:
    """A Bitcoin address of the main net: Base58Check (1…, 3…) or Bech32 (bc1…)."""
    if value[:3].lower() == b"bc1":
        return float(_bech32_holds(value))
    return float(_checked_version(value) in {0x00, 0x05})


def litecoin(value: bytes) -> float:
    """A Litecoin address of the main net: Base58Check (L…, M…) or Bech32 (ltc1…)."""
    if value[:4].lower() == b"ltc1":
        return float(_bech32_holds(value))
    return float(_checked_version(value) in {0x30, 0x32})


def dogecoin(value: bytes) -> float:
    """A Dogecoin address of the main net."""
    return float(_checked_version(value) in {0x1E, 0x16})


def tron(value: bytes) -> float:
    """A Tron address."""
    return float(_checked_version(value) == 0x41)


def ripple(value: bytes) -> float:
    """An XRP Ledger classic address: Base58Check with the ledger's own alphabet."""
    return float(_checked_version(value, _RIPPLE) == 0x00)


def bech32(value: bytes) -> float:
    """An address in Bech32 whose prefix its pattern has chosen."""
    return float(_bech32_holds(value))


def solana(value: bytes) -> float:
    """A Solana address: 32 bytes in Base58, without a checksum."""
    try:
        return _UNCHECKED_WORTH if len(base58(value)) == 32 and len(set(value)) > 12 else 0.0
    except ValueError:
        return 0.0


def ethereum(value: bytes) -> float:
    """An Ethereum address. In mixed case it carries a checksum (EIP-55); all zeros or ones is a placeholder."""
    address = value[2:]
    if len(set(address.lower())) < 6:
        return 0.0
    if address in {address.lower(), address.upper()}:
        return _UNCHECKED_WORTH
    digest = keccak256(address.lower()).hex()
    upper = (chr(byte).isupper() or chr(byte).isdigit() for byte in address)
    lower = (chr(byte).islower() or chr(byte).isdigit() for byte in address)
    pairs = zip(digest, upper, lower, strict=False)
    return float(all(up if nibble >= "8" else low for nibble, up, low in pairs))


_MONERO_SIZES: Final = {2: 1, 3: 2, 5: 3, 6: 4, 7: 5, 9: 6, 10: 7, 11: 8}
_MONERO_NETS: Final = frozenset({18, 19, 42})


def monero(value: bytes) -> float:
    """A Monero address: Base58 in blocks of eleven characters, four bytes of Keccak-256 at its end."""
    raw = b""
    for at in range(0, len(value), 11):
        block = value[at : at + 11]
        size = _MONERO_SIZES.get(len(block))
        try:
            number = int.from_bytes(base58(block), "big")
            raw += number.to_bytes(size or 0, "big")
        except (ValueError, OverflowError):
            return 0.0
    return float(raw[0] in _MONERO_NETS and keccak256(raw[:-4])[:4] == raw[-4:])


_LANE: Final = (1 << 64) - 1
_RATE: Final = 136


def keccak256(message: bytes) -> bytes:
    """Keccak-256 as it was before FIPS 202 gave it another padding: what Ethereum and Monero use."""
    padded = bytearray(message + b"\x01" + bytes(-(len(message) + 1) % _RATE))
    padded[-1] |= 0x80
    lanes = [[0] * 5 for _ in range(5)]
    for start in range(0, len(padded), _RATE):
        for at in range(_RATE // 8):
            word = int.from_bytes(padded[start + 8 * at : start + 8 * at + 8], "little")
            lanes[at % 5][at // 5] ^= word
        lanes = _keccak_rounds(lanes)
    return b"".join(lanes[at][0].to_bytes(8, "little") for at in range(4))


def _rotated(word: int, by: int) -> int:
    return (word << by | word >> (64 - by)) & _LANE if by else word


def _keccak_rounds(lanes: list[list[int]]) -> list[list[int]]:
    """The 24 rounds of Keccak-f[1600] (FIPS 202, 3.2), the round constants by their shift register."""
    register = 1
    for _ in range(24):
        parity = [lane[0] ^ lane[1] ^ lane[2] ^ lane[3] ^ lane[4] for lane in lanes]
        theta = [parity[x - 1] ^ _rotated(parity[(x + 1) % 5], 1) for x in range(5)]
        lanes = [[word ^ theta[x] for word in lanes[x]] for x in range(5)]
        x, y, current = 1, 0, lanes[1][0]
        for step in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            current, lanes[x][y] = lanes[x][y], _rotated(current, (step + 1) * (step + 2) // 2 % 64)
        lanes = [[lanes[x][y] ^ (~lanes[(x + 1) % 5][y] & lanes[(x + 2) % 5][y]) for y in range(5)] for x in range(5)]
        for bit in range(7):
            register = (register << 1 ^ (register >> 7) * 0x71) % 256
            if register & 2:
                lanes[0][0] ^= 1 << ((1 << bit) - 1)
    return lanes


WALLET_CHECKS: Final[dict[str, Check]] = {
    "bech32": bech32,
    "bitcoin": bitcoin,
    "dogecoin": dogecoin,
    "ethereum": ethereum,
    "litecoin": litecoin,
    "monero": monero,
    "ripple": ripple,
    "solana": solana,
    "tron": tron,
}
"""The checks by the names that detectors use."""
