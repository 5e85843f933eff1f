"""The checks of secrets: random texts pass, checksums decide, placeholders, words and code do not count."""

import base64
import string
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.detectors import detectors
from domain.detectors.plausibility import drawn_at_random, is_identifier, key, named_key, password
from domain.detectors.secret_checks import (
    SECRET_CHECKS,
    age_key,
    base58_check,
    base62_crc,
    basic_credentials,
    npm_token,
    passphrase_or_key,
    pem_in_base64,
)

HEX = "0123456789abcdef"
BASE62 = string.ascii_letters + string.digits


def randomly(alphabet: str, length: int, seeds: int = 400) -> list[bytes]:
    """Texts that look drawn at random, and are the same in every run."""
    texts = []
    for seed in range(seeds):
        state, text = zlib.crc32(b"%d %d" % (seed, length)), ""
        for _ in range(length):
            state = (state * 1103515245 + 12345) % 2**31
            text += alphabet[(state >> 8) % len(alphabet)]
        texts.append(text.encode())
    return texts


@pytest.mark.parametrize(("alphabet", "length"), [(HEX, 32), (HEX, 40), (HEX, 64), (BASE62, 24), (BASE62, 40)])
@pytest.mark.parametrize("check", [drawn_at_random, key], ids=lambda check: check.__name__)
def test_of_random_texts_at_most_one_in_a_hundred_is_refused(check, alphabet, length):
    texts = randomly(alphabet, length)
    assert sum(check(text) < 1.0 for text in texts) <= len(texts) // 100


@given(st.sampled_from("abcxyz019"), st.integers(20, 60))
def test_a_run_of_one_character_is_no_token(character, length):
    assert drawn_at_random(b"tok_" + character.encode() * length) == 0.0


@pytest.mark.parametrize(
    "value",
    [
        b"xxxxxxxxxxxxxxxxxxxx",
        b"your-api-key-goes-here",
        b"changeme-please-now1",
        b"${SERVICE_TOKEN_NAME}",
        b"{{ service_token1 }}",
        b"<service-token-here1>",
        b"os.environ.get_token1",
        b"my_service_api_token_2",
        b"getTokenFromSettings2",
        b"/etc/ssl/private/key1.pem",
    ],
)
def test_placeholders_templates_names_and_paths_are_no_keys(value):
    assert key(value) == named_key(value) == 0.0


@pytest.mark.parametrize("value", [b"Summer2024!", b"aB3$kL9m", b"Tr0ub4dor&3", b"kX9v2Lq0Zt7Rb4", b"R00tPa55w0rd!"])
def test_a_password_of_several_kinds_of_characters_counts_in_full(value):
    assert password(value) == 1.0


@pytest.mark.parametrize("value", [b"password123", b"postgres", b"hunter2", b"admin", b"12345678"])
def test_what_everybody_uses_in_examples_counts_for_little(value):
    assert password(value) <= 0.3


@pytest.mark.parametrize("value", [b"null", b"string", b"get_password()", b"config.password", b"user_password", b"%s"])
def test_code_and_names_are_no_passwords(value):
    assert password(value) == 0.0


def test_published_examples_are_doubtful_but_kept():
    assert drawn_at_random(b"tok_7Gq2EXAMPLExLw91Zt8Rb3") == pytest.approx(0.2)


@pytest.mark.parametrize("value", [b"getPassword", b"my-token-2", b"DB_PASS", b"application.properties"])
def test_words_are_identifiers(value):
    assert is_identifier(value)


def test_an_npm_token_without_its_checksum_is_doubtful():
    secret = randomly(BASE62, 30)[0]
    assert npm_token(b"npm_" + secret + base62_crc(secret)) == 1.0
    assert npm_token(b"npm_" + secret + b"000000") == pytest.approx(0.6)


def test_a_bech32_checksum_tells_an_age_key():
    valid = next(d.matches[0] for d in detectors() if d.id == "secret.age-key").encode()
    value = valid[valid.index(b"AGE-") :]
    assert age_key(value) == 1.0
    assert age_key(value[:-1] + (b"Q" if value[-1:] != b"Q" else b"P")) == pytest.approx(0.6)
    assert age_key(b"AGE-SECRET-KEY-1" + b"Q" * 58) == 0.0


def test_one_wrong_character_breaks_base58_check():
    valid = next(d.matches[0] for d in detectors() if d.id == "secret.bitcoin-key").encode().split()[-1]
    assert base58_check(valid) == 1.0
    assert base58_check(valid[:9] + (b"2" if valid[9:10] != b"2" else b"3") + valid[10:]) == 0.0


def test_basic_credentials_are_worth_what_their_password_is():
    def worth(text: bytes) -> float:
        return basic_credentials(base64.b64encode(text))

    assert worth(b"bot:kX9v2Lq0Zt") == 1.0
    assert 0.0 < worth(b"user:password") <= 0.3
    assert worth(b"no colon at all") == 0.0
    assert worth(b"\xff\xfe:\x00\x01\x02\x03") == 0.0


def test_only_a_private_key_in_base64_counts():
    assert pem_in_base64(base64.b64encode(b"-----BEGIN EC PRIVATE" + b" KEY-----\nMHc")) == 1.0
    assert pem_in_base64(base64.b64encode(b"-----BEGIN CERTIFICATE-----\nMHc")) == 0.0


def test_a_secret_is_a_key_or_at_least_no_plain_word():
    assert passphrase_or_key(randomly(BASE62, 24)[1]) == 1.0
    assert passphrase_or_key(b"swordfish") < 0.5


@pytest.mark.parametrize("name", sorted(SECRET_CHECKS))
@given(value=st.binary(min_size=1, max_size=200))
def test_no_bytes_make_a_check_raise(name, value):
    assert 0.0 <= SECRET_CHECKS[name](value) <= 1.0
