"""XML and HTML: values are found as a reader of the page would see them, with the element that they stand in."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.finding import Finding, Occurrence
from infrastructure.detection.engine import HyperscanDetection
from infrastructure.formats.limits import Limits
from infrastructure.formats.markup import sniff_markup, unreferenced_stretches
from infrastructure.formats.window import Frame

DETECTION = HyperscanDetection()
IN_BLOCKS = [HyperscanDetection(limits=Limits(block_bytes=size)) for size in (4096, 5000, 9001)]
XML = b'<?xml version="1.0"?>'


def findings(content: bytes, name: str = "object", detection: HyperscanDetection = DETECTION) -> tuple[Finding, ...]:
    return detection.inspect(io.BytesIO(content), name=name, size=len(content)).findings


def occurrences(content: bytes, detector: str = "pii.email", name: str = "object") -> list[Occurrence]:
    return [one for found in findings(content, name) if found.detector == detector for one in found.occurrences]


@pytest.mark.parametrize("at", [b"@", b"&#64;", b"&#x40;", b"&#X0040;", b"&#064", b"&commat;"])
@pytest.mark.parametrize("before", [XML + b"<a>", b"<!doctype html>\n<p>", b'<html><a href="mailto:'])
def test_an_address_is_found_once_however_its_at_sign_is_written(at, before):
    address = b"bob" + at + b"example.com"
    (one,) = occurrences(before + address + b'"></a>')
    assert (one.byte_offset, one.length) == (len(before), len(address))


@pytest.mark.parametrize(
    "card",
    [
        b"4111&#32;1111&#32;1111&#32;1111",
        b"4111&nbsp;1111&nbsp;1111&nbsp;1111",
        b"4111&thinsp;1111&#8201;1111&ensp;1111",
        b"4111&#45;1111&#8209;1111&ndash;1111",
        b"4111&shy;1111&#8203;1111&ZeroWidthSpace;1111",
        b"&#52;&#49;&#49;&#49;&#49;&#49;&#49;&#49;&#49;&#49;&#49;&#49;&#49;&#49;&#49;&#49;",
    ],
)
def test_a_card_number_is_found_as_it_is_shown(card):
    content = b"<html><p>the card " + card + b"</p></html>"
    (one,) = occurrences(content, "payment.card")
    assert content[one.byte_offset : one.byte_offset + one.length] == card


def test_what_is_no_reference_stays_as_it_is():
    for text in (b"bob&at;example.com", b"bob&#x110000;example.com", b"bob&#0;example.com", b"bob&commat example.com"):
        assert occurrences(XML + b"<a>" + text + b"</a>") == []


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"<a><mail>{}</mail></a>", "mail"),
        (b"<a><mail kind='x' >{}</mail></a>", "mail"),
        (b"<a><b/><c>x</c><d><e>y</e></d>{}</a>", "a"),
        (b'<a mail="{}"/>', "mail"),
        (b'<a first="1" dc:mail = "{}">', "dc:mail"),
        (b"<a><![CDATA[ {} ]]></a>", "a"),
        (b"<a><!-- c --><?p q?>{}</a>", "a"),
        (b"<a><!-- {} --></a>", None),
        (b"<bob_4111111111111111_x>{}</bob_4111111111111111_x>", "***_*************111_x"),
    ],
)
def test_a_hit_in_xml_has_the_innermost_element_or_attribute_as_its_field(content, field):
    for hidden in (b"bob@example.com", b"bob&#64;example.com"):
        (one,) = occurrences(XML + content.replace(b"{}", hidden))
        assert one.field == field


def test_hits_are_grouped_by_the_element():
    people = b"".join(b"<p><mail>user%d@example.com</mail><old>old%d@example.com</old></p>" % (n, n) for n in range(30))
    found = [(finding.column, finding.count) for finding in findings(XML + b"<all>" + people + b"</all>")]
    assert found == [("mail", 30), ("old", 30)]


def test_entities_are_neither_expanded_nor_fetched():
    entities = b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;"><!ENTITY x SYSTEM "file:///etc/passwd">]>'
    content = XML + entities + b"<a>" + b"&b;&x;" * 1000 + b"bob@example.com</a>"
    (one,) = occurrences(content)
    assert content[one.byte_offset :].startswith(b"bob@")


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (XML, "a", True),
        (b"<note>text</note>", "a", True),
        (b"<!-- c --><note/>", "a", True),
        (b"<svg xmlns='x'><a/></svg>", "a.svg", True),
        (b"<!DOCTYPE html><p>", "a", False),
        (b"<HTML lang=de>", "a", False),
        (b"no tag at all", "a.html", False),
        (b"a < b and c > d", "a", None),
        (b"<bob@example.com> wrote", "a", None),
        (b"<placeholder> of a text", "a.txt", None),
    ],
)
def test_markup_is_told_by_its_beginning_or_its_name(head, name, kind):
    assert sniff_markup(head, name) is kind


PIECES = st.sampled_from(
    [b"&#64;", b"&amp;", b"&nbsp;", b"<p>", b"</p>", b"bob", b"@example.com", b"&commat;example.com", b" ", b"x" * 700,
     b"4111&nbsp;1111 1111&#32;1111", b'<a b="', b'">', b"&", b"&#", b"\n"],
)  # fmt: skip


@given(pieces=st.lists(PIECES, min_size=20, max_size=200), detection=st.sampled_from(IN_BLOCKS))
def test_where_a_text_is_cut_into_blocks_changes_nothing(pieces, detection):
    content = b"<html>" + b"".join(pieces)
    assert findings(content, detection=detection) == findings(content)


@given(pieces=st.lists(PIECES, max_size=60))
def test_every_byte_of_a_stretch_is_traced_to_where_it_came_from(pieces):
    data = b"".join(pieces)
    for stretch in unreferenced_stretches(Frame(data, 100, 100, 100 + len(data), 100 + len(data), last=True)):
        assert len(stretch.origins) == len(stretch.text) + 1
        assert list(stretch.origins) == sorted(stretch.origins)
        for at, byte in enumerate(stretch.text):
            start, end = stretch.origins[at] - 100, stretch.origins[at + 1] - 100
            assert data[start] in (byte, ord("&")) or end == start
