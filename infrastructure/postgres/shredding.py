"""Crypto-shredding: what events say of objects' keys can be erased, although no event is ever changed.

An object's key may name a person. So the few fields of a scan's events that hold one, or words that may quote one, are
stored encrypted under a random key of the scan's own, from the table `scan_keys`. To destroy that is to erase them in
every copy of the log, exported ones too; its bytes, and so its seals, stay what they are. From then on such fields read
as empty.

AES-SIV (RFC 5297) is deterministic: the same event is always the same bytes. Its stream is authenticated with it.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

MARK: Final = "siv1:"

_FIELDS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "scan.queued": ((), ("after", "until")),
    "scan.objects-listed": (("last_key",), ()),
    "scan.listing-split": (("until",), ("after", "until")),
    "scan.listing-failed": (("detail",), ()),
}
"""By kind, the fields of the event and of each of its `units`. Their prefixes are what clients configured."""

VEILED: Final = frozenset(_FIELDS)

KEY_COLUMN: Final = (
    f"CASE WHEN topic IN ({', '.join(repr(kind) for kind in sorted(VEILED))})"
    " THEN (SELECT k.key FROM scan_keys k WHERE k.scan_id = originator_id) END AS key"
)
"""What a SELECT of stored_events gives beside `state`, for `unveiled`. It costs other kinds next to nothing."""

_KEY_BITS: Final = 512
_MARK_BYTES: Final = MARK.encode()

_raw: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_units: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_text: Final = msgspec.json.Decoder(str)
_encode: Final = msgspec.json.Encoder().encode


def new_key() -> bytes:
    return AESSIV.generate_key(_KEY_BITS)


def veiled(kind: str, state: bytes, stream: str, key: bytes | None) -> bytes:
    """An event's JSON as it is stored. Without a key, of a scan that has none, nothing is changed."""
    if key is None or kind not in VEILED:
        return state
    cipher = AESSIV(key)

    def hide(text: str) -> str:
        hidden = cipher.encrypt(text.encode("utf-8", "surrogatepass"), [stream.encode()])
        return MARK + base64.b64encode(hidden).decode()

    return _changed(kind, state, hide)


def unveiled(kind: str, state: bytes, stream: str, key: bytes | None) -> bytes:
    """What `veiled` was given; empty fields where the key is destroyed. What was stored before there were keys is as it
    is, even if it looks otherwise."""
    if kind not in VEILED or _MARK_BYTES not in state:
        return state
    cipher = None if key is None else AESSIV(key)

    def show(text: str) -> str:
        return _shown(text, cipher, stream) if text.startswith(MARK) else text

    return _changed(kind, state, show)


def _shown(text: str, cipher: AESSIV | None, stream: str) -> str:
    if cipher is None:
        return ""
    try:
        hidden = base64.b64decode(text[len(MARK) :], validate=True)
        return cipher.decrypt(hidden, [stream.encode()]).decode("utf-8", "surrogatepass")
    except (binascii.Error, InvalidTag, ValueError):
        return text


def _changed(kind: str, state: bytes, change: Callable[[str], str]) -> bytes:
    """The JSON with the fields changed that are not empty; every other byte of a value stays."""
    own, of_units = _FIELDS[kind]
    event = _raw.decode(state)
    _change(event, own, change)
    if of_units:
        units = _units.decode(event["units"])
        for unit in units:
            _change(unit, of_units, change)
        event["units"] = msgspec.Raw(_encode(units))
    return _encode(event)


def _change(fields: dict[str, Any], names: tuple[str, ...], change: Callable[[str], str]) -> None:
    for name in names:
        text = _text.decode(fields[name]) if name in fields else ""
        if text:
            fields[name] = msgspec.Raw(_encode(change(text)))
