"""Checkpoints of a tenant's log as signed notes: C2SP tlog-checkpoint and signed-note, with Ed25519."""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

_ED25519: Final = b"\x01"
_TEXT: Final = re.compile(
    r"(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]*)\n(?P<root>[A-Za-z0-9+/]{43}=)\n(?P<more>([^\n]+\n)*)"
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log was at one size. `notes` are extension lines."""

    origin: str
    size: int
    root: bytes
    notes: Sequence[str] = ()

    def text(self) -> str:
        """What is signed."""
        return "".join(f"{line}\n" for line in (self.origin, self.size, base64_of(self.root), *self.notes))


def origin(installation: str, tenant: str, generation: int) -> str:
    """The name of a tenant's log. One that was begun anew, after a restore, is another log."""
    name = f"scanledger/{installation}/{quoted(tenant)}"
    return name if generation == 1 else f"{name}/{generation}"


def quoted(tenant: str) -> str:
    """A tenant's id as a part of a path or an origin, whatever it is."""
    return quote(tenant, safe="").replace(".", "%2E")


def restored_from(given_up: Checkpoint) -> str:
    """The extension line of every checkpoint of a log that was begun anew: which one it continues no more."""
    return f"restored {given_up.origin} {given_up.size} {base64_of(given_up.root)}"


def key_id(name: str, public_key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:4]


def verifier_key(name: str, public_key: bytes) -> str:
    """The key in the form that tools for signed notes take."""
    return f"{name}+{key_id(name, public_key).hex()}+{base64_of(_ED25519 + public_key)}"


def note(checkpoint: Checkpoint, public_key: bytes, signature: bytes) -> str:
    """The signed note; `signature` is Ed25519 over `checkpoint.text()`."""
    name = checkpoint.origin
    return f"{checkpoint.text()}\n— {name} {base64_of(key_id(name, public_key) + signature)}\n"


def read(note: str) -> Checkpoint:
    """The checkpoint in a signed note, whoever signed it. Raises ValueError for what is none."""
    text, _, signatures = note.rpartition("\n\n")
    found = _TEXT.fullmatch(f"{text}\n")
    if found is None or not signatures:
        raise ValueError("is not a signed checkpoint")
    root = base64.b64decode(found["root"], validate=True)
    return Checkpoint(found["origin"], int(found["size"]), root, tuple(found["more"].splitlines()))


def signer(note: str) -> bytes:
    """The id of the key that a signed checkpoint names first."""
    return base64.b64decode(note.rpartition("\n\n")[2].split()[2])[:4]


def base64_of(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
