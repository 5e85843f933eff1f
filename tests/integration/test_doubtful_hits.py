"""What is right in form and still tells of nobody is kept, but below the confidence that a reader is shown."""

import io

import pytest

from domain.detectors import select
from infrastructure.detection.engine import HyperscanDetection

SHOWN = 0.5

SHOWN_AND_DOUBTFUL = [
    (
        "pii.street-address",
        "ship to 51 Elm Street, Suite 4, Boston, MA 02110",
        "51 Franklin St, Fifth Floor, Boston, MA 02110",
    ),
    ("pii.street-address", "12 Harbour Road, Leeds", "Copyright Harbour Ltd, 12 Harbour Road, Leeds"),
    ("pii.street-address", "4021 Iain Lane", "2021 Iain Lane"),
    ("pii.street-address", "123 Main St, Springfield, IL 62701", "call 123 Main Street\n"),
    ("pii.street-address", "9 Kiln Road, Leeds", "University of Leeds, 9 Kiln Road"),
    ("pii.po-box", "P.O. Box 94079, Bath", "Harbour Institute, P.O. Box 94079"),
    ("pii.postcode", "12 High Street, Leeds, postcode LS1 4AP", "postcode LS1 4AP"),
    ("pii.phone", "+1 415 736 5001", "+1 415 555 0123"),
    ("pii.phone", "phone 212-736-5001", "phone 617-542-5942"),
    ("pii.phone", "+1 512 736 5001", "+1 800 736 5001"),
    ("pii.date-of-birth", "dob: 1984-03-12", "faker: dob: 1984-03-12"),
    ("pii.us-ssn", "SSN: 536-90-4399", "fake SSN: 536-90-4399"),
    ("pii.es-cif", "CIF A62634068", "CN=Autoridad de Certificacion CIF A62634068"),
    ("pii.gps-coordinates", "lat 41.99812", "lat 41.9981"),
    ("phi.mrn", "MRN-671978", "sku MRN-671978"),
    ("payment.card", "paid 5414 5415 5416 5425", "paid 5414 5415 5416 5417"),
    ("payment.bank-account", "account number 123456789201", "account number 123456789101"),
    ("secret.password-assignment", 'password = "mR7#kd92xQ"', 'password = "SomeKindOfPassword123!@#"'),
]


def confidence(detector: str, text: str) -> float:
    found = HyperscanDetection(select([detector])).inspect(io.BytesIO(text.encode()), name="note.txt", size=len(text))
    return max((finding.confidence for finding in found.findings), default=0.0)


@pytest.mark.parametrize(("detector", "likely", "doubtful"), SHOWN_AND_DOUBTFUL)
def test_what_speaks_against_a_hit_takes_it_from_sight_and_keeps_it(detector, likely, doubtful):
    assert confidence(detector, likely) >= SHOWN > confidence(detector, doubtful) > 0.0


@pytest.mark.parametrize(
    "text",
    [
        "postgres://app:Kq92xLwZt@db.corp.io/x",
        "amqp://app:Kq92.xL-wZt@mq.corp.io",
        "https://user:password@host.corp.io",
    ],
)
def test_the_password_of_an_address_is_no_mail_address(text):
    assert confidence("pii.email", text) == 0.0


@pytest.mark.parametrize("joined", ["client secret", "client_secret", "client-secret", "client.secret", "clientSecret"])
def test_however_a_field_s_name_joins_its_words_it_announces_a_value(joined):
    assert confidence("secret.key-column", f"{joined}\n3431ffc2f792c9d6d800c2a08436d4f204356bf1\n") >= SHOWN
