"""Payment: card and account numbers."""

from itertools import groupby
from typing import Final

from domain.detectors.payment_tables import IBAN_LENGTHS
from domain.detectors.rule import Detector, Pattern


def _iban_of(length: int, countries: str) -> str:
    """The shape of an IBAN of `length` characters, plain or in the printed groups of four."""
    full, rest = divmod(length - 4, 4)
    groups = rf"(?: ?[A-Z0-9]{{4}}){{{full}}}" + (rf" ?[A-Z0-9]{{{rest}}}" if rest else "")
    return rf"(?:{countries})\d\d{groups}"


def _iban() -> str:
    by_length = sorted(IBAN_LENGTHS, key=lambda country: (IBAN_LENGTHS[country], country))
    shapes = (_iban_of(n, "|".join(group)) for n, group in groupby(by_length, key=IBAN_LENGTHS.__getitem__))
    return rf"(?<![A-Za-z0-9])(?:{'|'.join(shapes)})(?![A-Za-z0-9])"


_CARD_END = r"(?![\dA-Za-z])(?![.-]\d)"

PAYMENT: Final = (
    Detector(
        id="payment.card",
        name="Payment card number",
        confidence=0.8,
        patterns=(
            Pattern(
                anchor=r"\b[2-6]\d{3}[ -]?\d{4}[ -]?\d{4}[ -]?\d",
                confirm=r"(?<![\w.+-])(?<!\d )[2-6]\d{3}([ -]?)\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?" + _CARD_END,
                before=20,
                after=10,
            ),
            Pattern(
                anchor=r"\b3\d{3}[ -]\d{6}[ -]\d{3}",
                confirm=r"(?<![\w.+-])(?<!\d )3\d{3}([ -])\d{6}\1\d{4,5}" + _CARD_END,
                before=18,
                after=6,
            ),
        ),
        validator="card",
        context=("card", "credit", "debit", "visa", "mastercard", "amex", "pan", "cvv", "cvc", "expir", "payment"),
        denial=("tracking", "imei", "order id", "order_id", "serial", "timestamp"),
        matches=(
            "4532015112830366",
            "card 5425-2334-3010-9903, thanks",
            "Visa 4539 1488 0343 6467 exp 12/27",
            "amex 3782-822463-10005",
            "371449635398431",
            "2223003122003222",
            "4222222222222",
        ),
        near_misses=(
            "4532015112830367",
            "1234567812345670",
            "0.4532015112830366",
            "x4532015112830366",
            "45320151128303661234567",
            "4532 01511283 0366",
            "4444444444444444",
            "9999999999999995",
        ),
    ),
    Detector(
        id="payment.iban",
        name="International bank account number",
        confidence=0.95,
        patterns=(
            Pattern(
                anchor=r"\b[A-Z]{2}\d{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4} ?[A-Z0-9]{3}",
                confirm=_iban(),
                before=20,
                after=32,
            ),
        ),
        validator="iban",
        context=("iban", "account", "bank", "bic", "swift", "konto", "sepa"),
        matches=(
            "DE89370400440532013000",
            "IBAN GB29 NWBK 6016 1331 9268 19 BIC NWBKGB2L",
            "NL91ABNA0417164300,",
            "NO9386011117947",
            "FR14 2004 1010 0505 0001 3M02 606",
        ),
        near_misses=(
            "DE89370400440532013001",
            "XX89370400440532013000",
            "DE8937040044053201300",
            "de89370400440532013000",
            "ADE89370400440532013000",
        ),
    ),
)
