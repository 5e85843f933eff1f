"""The checks of identities, documents, accounts and wallets hold what their issuers say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.detectors.account_checks import bic, clabe, document_number, mac_address, person_name, street, us_routing
from domain.detectors.checks import CHECKS, card, card_track, ip_address
from domain.detectors.document_checks import birth_date, coordinates, expiry, icao_digit, npi, passport_mrz, vin
from domain.detectors.identity_checks import (
    any_number,
    german_pension,
    hong_kong_id,
    luhn_number,
    placeholder,
    polish_id_card,
    singapore_nric,
    taiwan_id,
    uk_nino,
)
from domain.detectors.rule import names_column
from domain.detectors.wallet_checks import base58, bitcoin, ethereum, keccak256, monero, ripple, solana

DIGITS = st.text("0123456789", min_size=8, max_size=18)
SHAPES = {
    "egypt_id": r"[23][0-9]{13}",
    "emirates_id": r"784-[0-9]{4}-[0-9]{7}-[0-9]",
    "german_pension": r"[0-9]{8}[A-Z][0-9]{3}",
    "hungarian_id": r"[0-9]{11}",
    "hungarian_tax_id": r"[0-9]{10}",
    "iran_id": r"[0-9]{10}",
    "kazakhstan_iin": r"[0-9]{12}",
    "kuwait_civil_id": r"[0-9]{12}",
    "luxembourg_id": r"[0-9]{13}",
    "mexican_rfc": r"[A-Z&]{3,4}[0-9]{6}[0-9A-Z]{3}",
    "polish_id_card": r"[A-Z]{3}[0-9]{6}",
    "russian_snils": r"[0-9]{11}",
    "saudi_id": r"[0-9]{10}",
    "singapore_nric": r"[STFGM][0-9]{7}[A-Z]",
    "spanish_social_security": r"[0-9]{12}",
    "sri_lanka_id": r"([0-9]{9}V|[0-9]{12})",
    "taiwan_id": r"[A-Z][1289][0-9]{8}",
    "uruguayan_ci": r"[0-9]{7}-[0-9]",
    "australian_medicare": r"[0-9]{10}",
    "dea": r"[A-Z]{2}[0-9]{7}",
    "german_document": r"[CFGHJKLMNPRTVWXYZ0-9]{9,10}",
    "german_health_insurance": r"[A-Z][0-9]{9}",
    "hungarian_taj": r"[0-9]{9}",
    "npi": r"[12][0-9]{9}",
    "quebec_health": r"[A-Z]{4}[0-9]{8}",
    "uk_driving_licence": r"[A-Z9]{5}[0-9]{6}[A-Z]{2}[0-9][A-Z]{2}",
    "vin": r"[A-HJ-NPR-Z0-9]{17}",
    "clabe": r"[0-9]{18}",
    "us_routing": r"[0-9]{9}",
}


@pytest.mark.parametrize("name", sorted(SHAPES))
@given(data=st.data())
def test_a_check_answers_a_factor_for_every_value_of_its_shape(name, data):
    value = data.draw(st.from_regex(SHAPES[name], fullmatch=True))
    assert 0.0 <= CHECKS[name](value.encode()) <= 1.0


@given(st.text("0123456789/.- JanuaryMärz", max_size=24))
def test_no_text_makes_the_date_check_raise(text):
    assert birth_date(text.encode()) in {0.0, 0.8, 1.0}


@given(st.text("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", min_size=26, max_size=106))
def test_no_random_text_is_a_wallet_with_a_checksum(text):
    assert bitcoin(text.encode()) == monero(text.encode()) == 0.0


@given(DIGITS)
def test_exactly_one_last_digit_makes_a_luhn_number(payload):
    assert sum(luhn_number(f"{payload}{digit}".encode()) > 0 for digit in range(10)) == 1


def test_placeholders_count_for_little():
    assert all(map(placeholder, [b"000000000", b"123-456-789", b"987654321", b"77777"]))
    assert any_number(b"111-11-1111") < 0.5 < any_number(b"536-90-4399")


@pytest.mark.parametrize(
    ("column", "keyword"),
    [
        ("steuerId", "steuer id"),
        ("Steuer-ID", "steuer id"),
        ("P.IVA", "p.iva"),
        ("ИНН", "инн"),
        ("Fødselsnummer", "fødselsnummer"),
        ("身份证号码", "身份证"),
        ("NÚMERO FISCAL", "número fiscal"),
        ("customer_bsn", "bsn"),
        ("zipcode", "zip code"),
    ],
)
def test_a_column_is_announced_in_any_script_and_spelling(column, keyword):
    assert names_column((keyword,), column)


@pytest.mark.parametrize(("column", "keyword"), [("said", "sa id no"), ("spin", "pin"), ("vat2", "vat"), ("", "bsn")])
def test_a_part_of_a_word_does_not_announce_a_column(column, keyword):
    assert not names_column((keyword,), column)


@pytest.mark.parametrize(
    ("check", "valid", "wrong"),
    [
        (singapore_nric, b"S9747365Z", b"S9747365A"),
        (hong_kong_id, b"D682968(7)", b"D682968(0)"),
        (taiwan_id, b"A143589609", b"A143589600"),
        (german_pension, b"15 070649 C 103", b"15 070649 C 104"),
        (polish_id_card, b"ABY587410", b"ABY587411"),
        (uk_nino, b"JG103759A", b"BG103759A"),
        (npi, b"1245319599", b"1245319598"),
        (vin, b"1M8GDM9AXKP042788", b"1M8GDM9A1KP042788"),
        (us_routing, b"021000021", b"021000022"),
        (clabe, b"032180000118359719", b"032180000118359718"),
        (bic, b"DEUTDEFF500", b"DEUTZZFF500"),
        (mac_address, b"00:1a:2b:3c:4d:5e", b"ff:ff:ff:ff:ff:ff"),
        (ripple, b"rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh", b"rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTi"),
        (bitcoin, b"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", b"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"),
        (card_track, b"%B4532015112830366^DOE/JANE^2712101", b"%B4532015112830367^DOE/JANE^2712101"),
    ],
)
def test_a_valid_number_counts_and_one_wrong_sign_makes_it_nothing(check, valid, wrong):
    assert check(valid) == 1.0
    assert check(wrong) == 0.0


def test_a_wallet_in_mixed_case_must_satisfy_its_checksum():
    assert ethereum(b"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed") == 1.0
    assert ethereum(b"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD") == 0.0
    assert 0.0 < ethereum(b"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed") < 1.0


def test_keccak_is_not_sha3():
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak256(b"a" * 300) != keccak256(b"a" * 301)


def test_base58_keeps_leading_zeros_and_refuses_what_is_none():
    assert base58(b"11Z") == b"\0\0\x20"
    assert solana(b"EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v") > 0.0
    assert solana(b"0PjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v") == 0.0


@pytest.mark.parametrize(
    "text", ["1984-03-12", "12/31/1980", "31.12.1980", "March 3rd, 1984", "3. März 1984", "31 ago 1970", "19840312"]
)
def test_a_day_of_birth_is_read_in_any_order_of_its_parts(text):
    assert birth_date(text.encode()) == 1.0


@pytest.mark.parametrize("text", ["1984-13-40", "2084-03-12", "30/02/1999", "version 10.1", "12:30"])
def test_a_day_that_no_living_person_was_born_on_is_none(text):
    assert birth_date(text.encode()) == 0.0


def test_a_passport_s_lines_satisfy_all_their_check_digits():
    lines = b"P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10"
    assert passport_mrz(lines) == 1.0
    assert passport_mrz(lines[:-1] + b"1") == 0.0
    assert icao_digit("520727") == 3


def test_what_only_its_label_tells_apart_is_no_form_s_word():
    assert person_name(b"Jane Q. Doe") == 1.0
    assert person_name(b"String") == person_name(b"First Name") == 0.0
    assert document_number(b"C01X00T47") == 1.0
    assert document_number(b"AB") == document_number(b"AB1111") == 0.0
    assert street(b"221B Baker Street, Flat 2, London NW1 6XE") == 1.0
    assert 0.5 < street(b"221B Baker Street") < 1.0
    assert street(b"2021 Iain Lane") < street(b"4021 Iain Lane") > street(b"123 Main Street")
    assert street(b"51 Franklin Street, Fifth Floor, Boston, MA 02110-1301") < 0.5
    assert street(b"42 Hard Drive") == 0.0
    assert expiry(b"11/2028") == 1.0
    assert expiry(b"13/28") == 0.0
    assert coordinates(b"52.520008, 13.404954") == 1.0
    assert coordinates(b"152.520008, 13.404954") == 0.0


def test_versions_count_for_less_than_addresses():
    assert ip_address(b"4.3.99.16") < ip_address(b"10.0.0.1") < ip_address(b"203.0.114.7")


def test_a_number_of_nineteen_digits_is_less_likely_a_card_than_one_in_groups():
    assert card(b"4220315081820346526") < card(b"4220 3150 8182 0346 526")
