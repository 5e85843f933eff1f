"""Mails and mailboxes: headers, texts and attachments are read in any encoding, and values found with their places."""

import base64
import contextlib
import io
import quopri
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.coverage import FailReason, SkipReason
from domain.errors import ObjectSkipped, ObjectUnreadable
from domain.finding import Occurrence
from infrastructure.detection.engine import HyperscanDetection, Inspected
from infrastructure.formats.mail_decoding import Base64Stream, QuotedPrintableStream, header_text

DETECTION = HyperscanDetection()
TABLE = b"name,mail\nA,bob@example.com\n"


def inspect(content: bytes, name: str = "object") -> Inspected:
    return DETECTION.inspect(io.BytesIO(content), name=name, size=len(content))


def occurrences(content: bytes, detector: str = "pii.email", name: str = "object") -> list[Occurrence]:
    found = [finding for finding in inspect(content, name).findings if finding.detector == detector]
    assert sum(finding.count for finding in found) == sum(len(finding.occurrences) for finding in found)
    return [one for finding in found for one in finding.occurrences]


def place(one: Occurrence) -> tuple[object, ...]:
    return tuple(part for part in (one.inner_path, one.record_index, one.field, one.line) if part is not None)


def mail(text: str = "nothing", **options: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["Date"], message["Subject"] = "Zoe", "Thu, 1 Jan 2026 00:00:00 +0000", "Grüße"
    message.set_content(text, **options)
    return message


def full_mail() -> EmailMessage:
    message = mail("first line\ncard 4111 1111 1111 1111 of bob@example.com\n")
    message["To"] = "Bób <carl@example.com>"
    message.add_alternative("<p>dora@example.com</p>", subtype="html")
    message.add_attachment(TABLE, maintype="text", subtype="csv", filename="übersicht.csv")
    inner = mail("of eve@example.com")
    message.add_attachment(inner)
    return message


EXPECTED = {
    ("To", 1),
    ("body", 2),
    ("body.html", 1),
    ("übersicht.csv", 0, "mail", 2),
    ("message-4.eml", "body", 1),
}


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_values_in_a_mail_are_found_once_each_with_their_header_or_attachment(newline):
    content = full_mail().as_bytes().replace(b"\n", newline)
    assert {place(one) for one in occurrences(content)} == EXPECTED
    assert len(occurrences(content)) == len(EXPECTED)
    assert [place(one) for one in occurrences(content, "payment.card")] == [("body", 2)]


def test_a_mailbox_is_read_message_by_message():
    one = b"From zoe@x Thu Jan  1 00:00:00 2026\n" + full_mail().as_bytes() + b"\n"
    found = occurrences(one * 3)
    assert len(found) == 3 * len(EXPECTED)
    assert {one.record_index for one in found if one.field == "To"} == {0, 1, 2}
    assert {one.inner_path for one in found if one.field is None} == {f"{number}/body.html" for number in range(3)}


@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-16", "utf-8", "windows-1251", "utf-7"])
@pytest.mark.parametrize("cte", ["base64", "quoted-printable"])
def test_text_is_read_in_every_charset_and_encoding(charset, cte):
    text = f"{'word ' * 30} card 4111111111111111\n"
    raw = text.encode(charset)
    content = mail().as_bytes().partition(b"\n\n")[0]
    head = b"\n".join(line for line in content.split(b"\n") if not line.lower().startswith(b"content-"))
    body = base64.encodebytes(raw) if cte == "base64" else quopri.encodestring(raw, quotetabs=True)
    kind = f"\nContent-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {cte}\n\n".encode()
    assert len(occurrences(head + kind + body, "payment.card")) == 1


@settings(max_examples=40)
@given(data=st.binary(max_size=3000), step=st.integers(1, 700), width=st.integers(1, 90))
def test_transfer_encodings_are_undone_however_the_stream_comes(data, step, width):
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(step)

    coded = base64.b64encode(data)
    lines = b"\r\n".join(coded[at : at + width] for at in range(0, len(coded), width))
    quoted = quopri.encodestring(data, quotetabs=True)
    # The encoder makes all line ends alike, so that its text holds other bytes than it was given.
    told = quopri.decodestring(quoted)
    for stream, whole in ((Base64Stream(Trickle(lines)), data), (QuotedPrintableStream(Trickle(quoted)), told)):
        pieces = iter(lambda stream=stream: stream.read(9), b"")
        assert b"".join(pieces) == whole


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?= an alle", "Grüße an alle"),
        (b"=?iso-8859-1?Q?a_b=FC?= =?utf-8?b?YyBk?=", "a büc d"),
        (b"=?utf-8*de?B?w7w?=", "ü"),
        (b"=?no-such-charset?q?abc?=", "abc"),
        (b"=?utf-8?x?abc?= =?utf-8?q?", "=?utf-8?x?abc?= =?utf-8?q?"),
        ("grüße".encode("latin-1"), "grüße"),
    ],
)
def test_encoded_words_in_headers_are_decoded(raw, text):
    assert header_text(raw) == text


def test_what_stands_outside_of_all_parts_is_looked_at():
    head = b'From: a\nDate: b\nSubject: c\nContent-Type: multipart/mixed; boundary="B"\n\n'
    content = head + b"bob@example.com\n--B\n\ncarl@example.com\n--B--\ndora@example.com\n"
    assert [place(one) for one in occurrences(content)] == [("body", 1)] * 3


def test_a_boundary_that_is_never_closed_hides_nothing():
    head = b'From: a\nDate: b\nSubject: c\nContent-Type: multipart/mixed; boundary="B"\n\n'
    inner = b'--B\nContent-Type: multipart/mixed; boundary="C"\n\n--C\n\nbob@example.com\n'
    assert len(occurrences(head + inner + b"--B\n\ncarl@example.com\n")) == 2


@pytest.mark.parametrize(
    ("kind", "extra", "reason"),
    [
        ("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", b"base64", FailReason.ENCRYPTED),
        ("application/octet-stream; name=a.bin", b"x-uuencode", SkipReason.UNSUPPORTED_FORMAT),
    ],
)
def test_what_cannot_be_read_of_a_mail_is_said(kind, extra, reason):
    head = b"From: a\nDate: b\nSubject: c\nContent-Type: %s\nContent-Transfer-Encoding: %s\n\n" % (kind.encode(), extra)
    if isinstance(reason, SkipReason):
        assert str(reason) in inspect(head + b"begin 644 a\n").remark
    else:
        with pytest.raises(ObjectUnreadable) as raised:
            inspect(head + b"MIIB\n")
        assert raised.value.reason is reason


@pytest.mark.parametrize(
    "text",
    [b"note: this is no mail\nbut text\n", b"From here to there: a story\n\nOnce\n", b"key: value\nother: thing\n"],
)
def test_text_that_begins_like_a_mail_is_text(text):
    found = occurrences(text + b"bob@example.com\n")
    assert [one.field for one in found] == [None]
    assert found[0].byte_offset == len(text)


def nested(levels: int) -> bytes:
    content = b"From: a\nDate: b\nSubject: c\n\nbob@example.com\n"
    for _ in range(levels):
        content = b"From: a\nDate: b\nSubject: c\nContent-Type: message/rfc822\n\n" + content
    return content


def test_mails_within_mails_are_read_as_deep_as_is_allowed():
    assert len(occurrences(nested(3))) == 1
    with pytest.raises(ObjectUnreadable) as raised:
        inspect(nested(50))
    assert raised.value.reason is FailReason.RESOURCE_LIMIT


def test_parts_within_parts_are_read_as_deep_as_is_allowed():
    def deep(levels: int) -> bytes:
        parts = (b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (at, at) for at in range(levels))
        return b"From: a\nDate: b\nSubject: c\n" + b"".join(parts) + b"\nbob@example.com\n"

    assert len(occurrences(deep(90))) == 1
    with pytest.raises(ObjectUnreadable) as raised:
        inspect(deep(200))
    assert raised.value.reason is FailReason.RESOURCE_LIMIT


@settings(max_examples=60)
@given(cut=st.floats(0, 1), flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=5))
def test_a_mail_that_is_cut_or_damaged_never_fails_but_as_foreseen(cut, flips):
    content = bytearray(full_mail().as_bytes())
    for at, byte in flips:
        content[int(at * (len(content) - 1))] = byte
    with contextlib.suppress(ObjectSkipped, ObjectUnreadable):
        inspect(bytes(content[: int(cut * len(content))]), "a.eml")
