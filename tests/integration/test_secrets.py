"""Secrets at rest open only where they were sealed, and only whole."""

from dataclasses import replace

import pytest

from infrastructure.secrets import EnvelopeVault, SecretUnreadable

KEY = b"k" * 32
SECRETS = {"access_key_id": "AKIA", "secret_access_key": "hush ü"}


def test_secrets_come_back_as_they_went_in():
    sealed = EnvelopeVault(KEY).seal("tenant", "conn-1", SECRETS)
    assert EnvelopeVault(KEY).open("tenant", "conn-1", sealed) == SECRETS
    assert not any(secret.encode() in row.ciphertext for row in sealed for secret in SECRETS.values())


def test_the_same_secret_is_never_sealed_the_same_way_twice():
    first, second = (EnvelopeVault(KEY).seal("t", "c", {"f": "x"})[0] for _ in range(2))
    assert first.ciphertext != second.ciphertext
    assert first.wrapped_key != second.wrapped_key


@pytest.mark.parametrize(("tenant", "connector", "field"), [("u", "c", "f"), ("t", "d", "f"), ("t", "c", "g")])
def test_a_secret_moved_to_another_place_does_not_open(tenant: str, connector: str, field: str):
    [sealed] = EnvelopeVault(KEY).seal("t", "c", {"f": "x"})
    with pytest.raises(SecretUnreadable):
        EnvelopeVault(KEY).open(tenant, connector, [replace(sealed, field=field)])


def test_another_key_or_an_altered_row_does_not_open():
    [sealed] = EnvelopeVault(KEY).seal("t", "c", {"f": "x"})
    altered = sealed.ciphertext[:-1] + bytes([sealed.ciphertext[-1] ^ 1])
    for vault, row in (
        (EnvelopeVault(b"j" * 32), sealed),
        (EnvelopeVault(KEY), replace(sealed, ciphertext=altered)),
        (EnvelopeVault(KEY), replace(sealed, wrapped_key=b"")),
    ):
        with pytest.raises(SecretUnreadable):
            vault.open("t", "c", [row])


def test_a_key_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        EnvelopeVault(b"short")
