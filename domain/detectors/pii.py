"""Personal data: addresses, numbers that identify or reach a person."""

from typing import Final

from domain.detectors.rule import Detector, Pattern

_LABEL = r"""[a-z_ ]{0,10}["']?[:= .#]{1,4}["']?"""

PII: Final = (
    Detector(
        id="pii.email",
        name="Email address",
        confidence=0.9,
        patterns=(
            Pattern(
                anchor=r"[A-Za-z0-9_+-]@[A-Za-z0-9]",
                # RFC 5321: at most 64 octets before the @, 255 after it, 63 in each label.
                confirm=r"(?<![A-Za-z0-9._%+'-])[A-Za-z0-9_%+-][A-Za-z0-9._%+'-]{0,63}@"
                r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])",
                before=66,
                after=256,
            ),
        ),
        validator="email",
        context=("email", "e-mail", "mailto", "mail", "from:", "to:"),
        matches=(
            "write to jane.doe+news@mail.firm.co.uk, please",
            "<bob@corp.io>",
            "'o''brien',x_1@a-b.org;",
            "user=first_last%dept@host.example.com",
        ),
        near_misses=(
            "icon@2x.png",
            "@decorator and a@b",
            "git@:repo",
            "user@localhost",
            "left@-right.com",
            "pkg@1.2.3",
        ),
    ),
    Detector(
        id="pii.us-ssn",
        name="US Social Security number",
        confidence=0.75,
        patterns=(
            Pattern(
                anchor=r"\b\d{3}-\d{2}-\d{4}\b",
                confirm=r"(?<![\w.-])(?<!\d )\d{3}-\d{2}-\d{4}(?![\w-])",
                before=12,
                after=2,
            ),
            Pattern(
                anchor=r"\b\d{3} \d{2} \d{4}\b",
                confirm=r"(?<![\w.-])(?<!\d )\d{3} \d{2} \d{4}(?![\w-])(?! \d)",
                before=12,
                after=4,
            ),
            Pattern(
                anchor=rf"(?i)(?:ssn|social.?security){_LABEL}\d{{9}}\b",
                confirm=rf"(?i:ssn|social.?security)(?i:{_LABEL})(?P<value>\d{{9}})(?![\w-])",
                before=64,
                after=2,
            ),
        ),
        validator="us_ssn",
        context=("ssn", "social", "taxpayer", "tax id", "tax_id"),
        denial=("order", "invoice", "part number", "sku"),
        matches=("SSN: 536-90-4399", "his 212 09 7694 card", 'ssn="536904399"', "social security no. 536904399"),
        near_misses=(
            "000-12-3456",
            "666-12-3456",
            "900-12-3456",
            "536-00-4399",
            "536-90-0000",
            "1536-90-4399",
            "536-90-43991",
            "2024-536-90-4399",
            "number 536904399",
        ),
    ),
    Detector(
        id="pii.phone",
        name="Phone number",
        confidence=0.7,
        patterns=(
            Pattern(
                anchor=r"\+[1-9][0-9 ().-]{6}",
                # E.164: at most 15 digits after the plus.
                confirm=r"(?<![\w+.])\+[1-9](?:[ .()-]{0,2}\d){6,14}(?!\d)",
                before=10,
                after=48,
            ),
            Pattern(
                anchor=r"\b[2-9]\d{2}\)?[ .-]{1,2}[2-9]\d{2}[ .-]\d{4}",
                confirm=r"(?<![\w.+-])(?<!\d )(?:(?:\+?1|001)[ .-])?\(?[2-9]\d{2}\)?[ .-]{1,2}"
                r"[2-9]\d{2}[ .-]\d{4}(?![\d-])(?!\.\d)(?! \d{4})",
                before=22,
                after=8,
            ),
            Pattern(
                anchor=rf"(?i)(?:phone|mobile|telephone|\btel|\bcell|\bfax){_LABEL}\(?[0-9]",
                confirm=rf"(?i:phone|mobile|tel|cell|fax)(?i:{_LABEL})"
                r"(?P<value>\(?\d(?:[ .()/-]{0,2}\d){6,13})(?![\w.-])",
                before=40,
                after=48,
            ),
        ),
        validator="phone",
        context=("phone", "mobile", "tel", "telephone", "call", "cell", "fax", "contact", "whatsapp"),
        denial=("order", "invoice", "tracking", "version"),
        matches=(
            "call +49 30 901820 now",
            "+14155552671",
            "(415) 555-2671",
            "415.555.2671 or so",
            "1-212-736-5000",
            "001-212-736-5000x12",
            'phone: "2127365000"',
            "Tel: 030 901820",
        ),
        near_misses=(
            "+12",
            "5551234",
            "1700000000",
            "1234-415-555-2671-99",
            "2024-05-06 10:11:12",
            "+0123456789",
            "+99912345678901",
            "4111 1111 1111 1111",
        ),
    ),
)
