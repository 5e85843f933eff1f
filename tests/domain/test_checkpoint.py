"""Checkpoints in the form that other tools read."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from domain.checkpoint import Checkpoint, key_id, note, origin, quoted, read, restored_from, verifier_key
from infrastructure.audit.signing import SealKey

KEY = SealKey(bytes(range(32)))
ROOT = bytes(range(32, 64))
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
CHECKPOINT = Checkpoint("scanledger/i/t", 42, ROOT)


def test_a_checkpoint_is_a_signed_note_with_origin_size_and_root() -> None:
    text, _, signature = KEY.signed(CHECKPOINT).partition("\n\n")
    assert text == "scanledger/i/t\n42\nICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
    assert signature.startswith("— scanledger/i/t ")
    assert signature.endswith("\n")


@pytest.mark.parametrize("known", ["sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8", NEUMANN])
def test_keys_are_told_as_other_tools_tell_theirs(known: str) -> None:
    """The key that every Go installation trusts, and the one of the examples of Go's package note."""
    name, _, encoded = known.split("+", 2)
    assert verifier_key(name, base64.b64decode(encoded)[1:]) == known


def test_a_known_signature_is_of_the_key_that_its_line_names() -> None:
    """The example of Go's package note: what is signed, and by which key, is as we take it to be."""
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    blob = base64.b64decode(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    )
    public = base64.b64decode(NEUMANN.split("+", 2)[2])[1:]
    assert blob[:4] == key_id("PeterNeumann", public)
    Ed25519PublicKey.from_public_bytes(public).verify(blob[4:], text.encode())


def test_what_was_signed_is_read_again() -> None:
    restored = Checkpoint("scanledger/i/t/2", 7, ROOT, (restored_from(CHECKPOINT),))
    for checkpoint in (CHECKPOINT, restored, Checkpoint("o", 0, ROOT)):
        assert read(KEY.signed(checkpoint)) == checkpoint


def test_the_signature_is_over_the_text_alone() -> None:
    signed = KEY.signed(CHECKPOINT)
    blob = base64.b64decode(signed.splitlines()[-1].split(" ")[2])
    assert blob[:4] == key_id(CHECKPOINT.origin, KEY.public)
    Ed25519PublicKey.from_public_bytes(KEY.public).verify(blob[4:], CHECKPOINT.text().encode())


@pytest.mark.parametrize(
    "text", ["", "a\n", "o\n1\n", "o\n01\n" + "A" * 43 + "=\n\n— o AA==\n", "o\n1\nAA==\n\n— o AA==\n"]
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a signed checkpoint"):
        read(text)


def test_any_tenants_id_makes_an_origin_without_spaces_plus_or_slashes_of_its_own() -> None:
    assert origin("i", "a b+c/../é", 1) == "scanledger/i/a%20b%2Bc%2F%2E%2E%2F%C3%A9"
    assert origin("i", "t", 2) == "scanledger/i/t/2"
    assert quoted("..") == "%2E%2E"
    assert note(CHECKPOINT, KEY.public, bytes(64)).count("\n") == 5
