"""Every detector finds its examples and leaves its near misses alone; the checks hold what their sources say."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.detectors import detectors, select
from domain.detectors.anchors import anchor_of, parsed
from domain.detectors.checks import card, iban, ip_address, jwt, luhn, us_ssn
from domain.detectors.payment_tables import IBAN_LENGTHS, TEST_CARDS
from domain.detectors.rule import MAX_ANCHOR
from domain.detectors.rulebook import detectors_of, rule_files

ALL = detectors()


def test_the_first_set_of_detectors_is_there():
    assert {detector.id for detector in ALL} >= {
        "pii.email",
        "payment.card",
        "payment.iban",
        "pii.us-ssn",
        "pii.phone",
        "network.ip-address",
        "secret.aws-access-key",
        "secret.github-token",
        "secret.slack-token",
        "secret.stripe-key",
        "secret.google-api-key",
        "secret.jwt",
        "secret.private-key",
    }


def test_ids_are_unique_and_made_of_category_and_name():
    assert len({detector.id for detector in ALL}) == len(ALL)
    assert all(re.fullmatch(r"[a-z]+\.[a-z0-9-]+", detector.id) for detector in ALL)
    assert [detector.id for detector in ALL] == sorted(detector.id for detector in ALL)


@pytest.mark.parametrize(("name", "toml"), rule_files().items(), ids=rule_files())
def test_every_rule_file_is_sound(name, toml):
    assert detectors_of(toml, name)


def test_every_entry_is_complete():
    complete = [one for one in ALL if one.name and 0 < one.confidence <= 1 and one.matches and one.near_misses]
    assert [one.id for one in ALL if one not in complete] == []


def test_anchors_are_bounded_so_that_a_cut_cannot_hide_them():
    for pattern in (pattern for detector in ALL for pattern in detector.patterns if not pattern.keywords):
        anchor = anchor_of(pattern)
        assert parsed(anchor.expression).getwidth()[1] <= min(MAX_ANCHOR, anchor.before)


def test_detectors_are_selected_by_id_and_by_category():
    assert [d.id for d in select(["pii.email"])] == ["pii.email"]
    assert {d.category for d in select(["payment", "pii.email"])} == {"payment", "pii"}
    assert select([]) == ALL


def test_an_unknown_detector_is_named():
    with pytest.raises(KeyError, match=r"pii\.nothing"):
        select(["pii.email", "pii.nothing"])


@given(st.text("0123456789", min_size=1, max_size=18))
def test_exactly_one_check_digit_satisfies_luhn(payload):
    assert sum(luhn(f"{payload}{digit}".encode()) for digit in range(10)) == 1


@given(st.text("0123456789", min_size=8, max_size=18), st.data())
def test_luhn_catches_every_single_wrong_digit(payload, data):
    valid = next(f"{payload}{digit}" for digit in range(10) if luhn(f"{payload}{digit}".encode()))
    place = data.draw(st.integers(0, len(valid) - 1))
    wrong = data.draw(st.sampled_from([d for d in "0123456789" if d != valid[place]]))
    assert not luhn((valid[:place] + wrong + valid[place + 1 :]).encode())


def test_published_test_cards_are_doubtful_but_kept():
    assert {card(number) for number in TEST_CARDS} == {0.5}


@given(st.sampled_from(sorted(IBAN_LENGTHS)), st.data())
def test_an_iban_with_one_wrong_character_is_none(country, data):
    length = IBAN_LENGTHS[country]
    account = data.draw(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=length - 4, max_size=length - 4))
    number = int("".join(str(int(character, 36)) for character in f"{account}{country}00"))
    valid = f"{country}{98 - number % 97:02d}{account}"
    assert iban(valid.encode()) == 1.0
    place = data.draw(st.integers(4, length - 1))
    wrong = data.draw(st.sampled_from([c for c in "0123456789" if c != valid[place]]))
    if not valid[place].isalpha():
        assert iban((valid[:place] + wrong + valid[place + 1 :]).encode()) == 0.0


@pytest.mark.parametrize(
    ("number", "worth"),
    [(b"536-90-4399", 1.0), (b"078-05-1120", 0.3), (b"666-11-2222", 0.0), (b"899-11-2222", 1.0), (b"900-11-2222", 0.0)],
)
def test_social_security_numbers_follow_the_rules_of_their_issuer(number, worth):
    assert us_ssn(number) == worth


@pytest.mark.parametrize(
    ("near", "far"), [(b"8.8.8.8.", b"127.0.0.1"), (b"203.0.114.7", b"192.168.1.1"), (b"10.0.0.1", b"0.0.0.0")]
)
def test_an_address_that_reaches_further_is_worth_more(near, far):
    assert ip_address(near.rstrip(b".")) > ip_address(far) > 0


@given(st.binary(max_size=80))
def test_no_header_makes_the_token_check_raise(header):
    assert jwt(header + b".eyJ9.x") in {0.0, 1.0}


def test_context_raises_and_denial_lowers_confidence():
    ssn = next(detector for detector in ALL if detector.id == "pii.us-ssn")
    assert ssn.in_context(0.75, b"his SSN is") == pytest.approx(0.875)
    assert ssn.in_context(0.3, b"his SSN is") == pytest.approx(0.35)
    assert ssn.in_context(0.6, b"invoice ") == pytest.approx(0.24)
    assert ssn.in_context(0.6, b"nothing") == 0.6


def test_short_context_words_count_only_as_words():
    payment_card = next(detector for detector in ALL if detector.id == "payment.card")
    assert payment_card.in_context(0.5, b"company 4") == 0.5
    assert payment_card.in_context(0.5, b"the pan: ") > 0.5
