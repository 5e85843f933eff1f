"""Reference tables of payment numbers."""

from typing import Final

IBAN_LENGTHS: Final[dict[str, int]] = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
    "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20,
    "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25,
    "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27,
    "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
"""Characters of an IBAN by country (SWIFT, *IBAN Registry*, ISO 13616)."""

CARD_RANGES: Final[tuple[tuple[int, int, frozenset[int]], ...]] = (
    (222100, 272099, frozenset({16})),
    (300000, 305999, frozenset({14, 16, 19})),
    (309500, 309599, frozenset({14, 16, 19})),
    (340000, 349999, frozenset({15})),
    (352800, 358999, frozenset({16, 17, 18, 19})),
    (360000, 369999, frozenset({14, 16, 19})),
    (370000, 379999, frozenset({15})),
    (380000, 399999, frozenset({14, 16, 19})),
    (400000, 499999, frozenset({13, 16, 19})),
    (500000, 509999, frozenset({13, 15, 16, 18, 19})),
    (510000, 559999, frozenset({16})),
    (560000, 599999, frozenset({13, 15, 16, 18, 19})),
    (601100, 601199, frozenset({16, 19})),
    (600000, 699999, frozenset({12, 13, 15, 16, 17, 18, 19})),
)
"""Issuer ranges by their first six digits, with the lengths in use (ISO/IEC 7812, the schemes' own rules).

Mastercard 2-series and 51–55, Diners, American Express 34 and 37, JCB 3528–3589, Visa 4, Maestro 50 and 56–69,
Discover and UnionPay in the 6 range."""

TEST_CARDS: Final = frozenset(
    {
        b"4111111111111111", b"4242424242424242", b"4012888888881881", b"4222222222222", b"4000056655665556",
        b"5555555555554444", b"5105105105105100", b"2223003122003222", b"378282246310005", b"371449635398431",
        b"378734493671000", b"6011111111111117", b"6011000990139424", b"30569309025904", b"38520000023237",
        b"3530111333300000", b"3566002020360505",
    }
)  # fmt: skip
"""Numbers that the schemes and processors publish for tests."""
