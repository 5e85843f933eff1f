"""Secrets at rest: AES-256-GCM, a data key for each secret, wrapped by the installation's key.

Both layers are bound to `tenant|connector|field` as associated data: a row copied to another place does not open.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from application.ports import SecretRow
from domain.errors import Permanent

_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32


class SecretUnreadable(Permanent):
    """A stored secret does not open: it was sealed with another key, or its row was altered."""


class EnvelopeVault:
    """`Vault`, and its opposite. `encryption_key` is 32 bytes; raises ValueError for any other length."""

    def __init__(self, encryption_key: bytes) -> None:
        if len(encryption_key) != _KEY_BYTES:
            raise ValueError("the encryption key must have 32 bytes")
        self._master = AESGCM(encryption_key)
        self.key_id = hashlib.sha256(b"scanledger key id v1" + encryption_key).hexdigest()[:16]

    def seal(self, tenant: str, connector_id: str, secrets: Mapping[str, str]) -> Sequence[SecretRow]:
        return [self._seal(tenant, connector_id, field, secret) for field, secret in sorted(secrets.items())]

    def open(self, tenant: str, connector_id: str, sealed: Sequence[SecretRow]) -> dict[str, str]:
        """The secrets in the clear, by field. Raises SecretUnreadable."""
        return {secret.field: self._open(tenant, connector_id, secret) for secret in sealed}

    def _seal(self, tenant: str, connector_id: str, field: str, secret: str) -> SecretRow:
        bound = _bound(tenant, connector_id, field)
        data_key = AESGCM.generate_key(bit_length=256)
        wrapped = _encrypt(self._master, data_key, bound)
        ciphertext = _encrypt(AESGCM(data_key), secret.encode(), bound)
        return SecretRow(connector_id, field, self.key_id, wrapped, ciphertext)

    def _open(self, tenant: str, connector_id: str, sealed: SecretRow) -> str:
        bound = _bound(tenant, connector_id, sealed.field)
        try:
            data_key = _decrypt(self._master, sealed.wrapped_key, bound)
            return _decrypt(AESGCM(data_key), sealed.ciphertext, bound).decode()
        except (InvalidTag, ValueError) as error:
            raise SecretUnreadable(
                f"The secret {sealed.field} of connector {connector_id} does not open with this installation's"
                " encryption key; give the connector its credentials anew."
            ) from error


def _bound(tenant: str, connector_id: str, field: str) -> bytes:
    return f"{tenant}|{connector_id}|{field}".encode()


def _encrypt(key: AESGCM, plain: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + key.encrypt(nonce, plain, bound)


def _decrypt(key: AESGCM, sealed: bytes, bound: bytes) -> bytes:
    return key.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
