"""The Ed25519 key that checkpoints are signed with."""

from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain.checkpoint import Checkpoint, note


class SealKey:
    """`seed` is the key's 32 bytes (RFC 8032, 5.1.5); raises ValueError for any other length."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @cached_property
    def public(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def signed(self, checkpoint: Checkpoint) -> str:
        """The checkpoint as a signed note. The same one always gives the same note."""
        return note(checkpoint, self.public, self._key.sign(checkpoint.text().encode()))
