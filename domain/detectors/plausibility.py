"""Whether a value that stands where a secret may stand is one: no placeholder, no word, no piece of code.

Each function answers a factor of the detector's confidence: 1 for what looks like a secret, little for what a person
would doubt (a published example, a bare word), 0 for what is none.
"""

import re
from typing import Final

_PUBLISHED: Final = re.compile(
    rb"(?i)example|dummy|sample|Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1|C2y6yDjf5/R\+ob0N8A7Cgv30VR"
)
_FILLED_IN: Final = re.compile(
    rb"(?i)place_?holder|change_?(?:me|it|this)|replace[_-]?(?:me|with|this)|redacted|masked|removed|to_?be_?set"
    rb"|your_|your-|your(?:own|api|app|access|auth|token|key|secret|pass|private|client|real)|(?:put|insert|enter|add|set)[_-]?"
    rb"(?:your|token|key|pass|secret)|x{5}|\*{3}|\.{3}|([^A])\1{6}|(?-i:12345678|abcdefgh|ABCDEFGH|01234567|76543210)"
)
_TEMPLATE: Final = re.compile(
    rb"\$\{|\{\{|\}\}|<%|%>|\$\(|<[A-Za-z]|^\$[A-Za-z_]+$|^%[A-Za-z_]+%$|%s|%\(|^\{[\w.:!]*\}$|^#\{|^@[\w.]+@$|^__\w+__$"
    rb"|^\[[A-Za-z]|\\[({]|^!(?:vault|secret|env|ref)"
)
_CODE: Final = re.compile(
    rb"^\d{4}-\d\d-\d\d(?:$|T)|\(|\)|->|=>|::|==|&&|\|\||\[['\"]|\]$|[;{},]$|^[{\[(&*!]|^(?:self|this|process|os|env|config|settings|args|opts|"
    rb"options|params|request|req|ctx|data|var|local|secrets|credentials|module|vault|ENV|System|std)\."
    rb"|^[A-Za-z_]\w{0,40}(?:\.[A-Za-z_]\w{0,40})+$"
)
_PATH: Final = re.compile(
    rb"://|^(?:/|\./|\.\./|~/|[A-Za-z]:\\)[\w.-]+[/\\]?|^(?:\w[\w.-]*/){2}|\.(?:pem|key|crt|txt|json|ya?ml|py|js|html?)$"
)
_UUID: Final = re.compile(rb"(?i)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_NAMES: Final = re.compile(
    rb"(?i)pass|pswd|pwd|secret|token|key|user|auth|login|cred|none|null|nil|true|false|undefined|string|input|field|prompt|value"
    rb"|required|optional|empty|missing|hidden|default|encrypt|hash|param|const|enum|type|error|invalid|label|text|name"
)
_NOTHING: Final = frozenset(
    b"none null nil true false undefined yes no required optional string str bytes text empty unset password passwd "
    b"passphrase default hidden".split()
)
_WEAK: Final = frozenset(
    b"admin administrator root user username test tester testing guest demo default welcome changeme letmein hello "
    b"world foo bar baz foobar abc abcd abc123 qwerty 123 1234 12345 123456 1234567 12345678 123456789 1234567890 "
    b"000000 111111 postgres postgresql mysql mongo mongodb redis rabbitmq elastic oracle sa pass passw0rd pwd pw "
    b"password password1 password123 passwd secret mysecret mypassword mypass mysecretpassword supersecret "
    b"topsecret s3cret secret123 pass123 test123 test1234 admin123 root123 user123 guest123 token apikey key "
    b"hunter2 tiger scott bob alice joe john jane me "
    b"rootpassword rootpass dbpass dbpassword userpass userpassword postgrespassword minioadmin airflow "
    b"odoo django wordpress drupal keycloak grafana jenkins vagrant docker kafka localhost local dev development "
    b"production staging somepassword thepassword newpassword oldpassword dbuser".split()
)

_QUOTES: Final = b"\"'`"
_WEAK_WORTH: Final = 0.3
_PUBLISHED_WORTH: Final = 0.2
_WORD_WORTH: Final = 0.5


def is_filled_in(value: bytes) -> bool:
    """Whether the value only fills its place: `xxxxx`, `changeme`, `your-token`, `0000000`, `12345678`."""
    return _FILLED_IN.search(value) is not None


def is_placeholder(value: bytes) -> bool:
    """Whether the value only fills its place, or is a template's variable: `${TOKEN}`, `{{ token }}`, `<token>`."""
    return is_filled_in(value) or _TEMPLATE.search(value) is not None


def is_published(value: bytes) -> bool:
    """Whether the value says of itself that it is an example."""
    return _PUBLISHED.search(value) is not None


def _alphabet(text: bytes) -> int:
    if text.isdigit():
        return 10
    if not text.lower().strip(b"0123456789abcdef"):
        return 16
    if text.islower() or text.isupper():
        return 26 if text.isalpha() else 36
    return 62


def is_varied(text: bytes) -> bool:
    """Whether a text has nearly as many distinct characters as one of its length and alphabet drawn at random.

    Of a random text, fewer than one in ten thousand is said not to be.
    """
    if not text:
        return False
    size = _alphabet(text)
    expected = size * (1 - (1 - 1 / size) ** len(text))
    return len(set(text)) >= 0.54 * expected


_PIECES: Final = re.compile(rb"[^A-Za-z0-9]+")


def drawn_at_random(value: bytes) -> float:
    """A token behind its literal beginning: varied, no identifier, no placeholder. Published examples count little."""
    longest = max(_PIECES.split(value), key=len)
    rest = value[min(len(value) // 3, 12) :]
    if is_filled_in(value) or not is_varied(longest[min(len(longest) // 3, 9) :]):
        return 0.0
    if (rest.islower() or rest.isupper()) and not any(map(_is_digit, rest)) and is_identifier(rest):
        return 0.0
    return _PUBLISHED_WORTH if is_published(value) else 1.0


def _is_digit(byte: int) -> bool:
    return 48 <= byte <= 57


def _kinds(value: bytes) -> int:
    """How many of the four kinds of characters it has: lower case, upper case, digits, others."""
    lower = any(97 <= byte <= 122 for byte in value)
    upper = any(65 <= byte <= 90 for byte in value)
    digit = any(map(_is_digit, value))
    return lower + upper + digit + (not value.isalnum())


def is_code(value: bytes) -> bool:
    """Whether the value is an expression, a path, an address, or a name of something, rather than a text of its own."""
    return _CODE.search(value) is not None or _PATH.search(value) is not None


_PARTS: Final = re.compile(rb"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SIMPLE: Final = re.compile(rb"[A-Za-z]+(?:[_.:/ -][A-Za-z]+)*[_-]?\d{0,4}")
_TRIMMINGS: Final = b"#.!@$%^&*?"
_COMMON_PAIRS: Final = frozenset(
    b"ab ac ad ag ai al am an ap ar as at be bi bl bu ca ce ch ci ck cl co ct da de di do ea ec ed ee ef el em en "
    b"ep er es et ev ex fi fo fr ge ha he hi ho ht ia ib ic id ie if ig il im in io ir is it iv ke la le li ll lo "
    b"ls lu ly ma me mi mm mo mp na nc nd ne ng ni no ns nt oc od ol om on op or os ot ou ov ow pa pe pl po pp pr "
    b"pt ra re ri rm rn ro rr rs rt ry se sh si so sp ss st su ta te th ti to tr ts tt tu ty ue ul um un up ur us "
    b"ut va ve vi wa wi".split()
)


def is_identifier(value: bytes) -> bool:
    """Whether the value is made of words: `my-token-2`, `getPassword`, `DB_PASS`, `eu-west-1`.

    It is if most of it is letters, in long parts, and most pairs of neighbours in them are common in English.
    """
    letters = sum(byte > 64 for byte in value) - value.count(b"_")
    parts = _PARTS.findall(value)
    if not parts or letters < 0.6 * len(value) or letters < 2.5 * len(parts):
        return False
    pairs = [part[at : at + 2].lower() for part in parts for at in range(len(part) - 1)]
    return sum(pair in _COMMON_PAIRS for pair in pairs) >= 0.6 * len(pairs)


def password(value: bytes) -> float:
    """What stands as a password in quotes, in a connection string or an address.

    Words that everybody uses in examples count for little, other single words for half.
    """
    if is_placeholder(value) or is_code(value) or value.lower().strip(_QUOTES) in _NOTHING:
        return 0.0
    if len(value) < 4 or len(set(value)) < 3 or value.lower() in _WEAK or is_published(value):
        return _WEAK_WORTH
    return _as_password(value)


def _as_password(value: bytes) -> float:
    named = _NAMES.search(value) is not None
    words = value.strip(_TRIMMINGS)
    if _SIMPLE.fullmatch(words) and (named or is_identifier(value)):
        return (0.0 if value.isalpha() or b"_" in value else _WEAK_WORTH) if named else _WORD_WORTH
    if named and is_identifier(words):
        return _WEAK_WORTH
    if value.isdigit() or _kinds(value) < 2:
        return _WORD_WORTH
    return 1.0


def key(value: bytes) -> float:
    """What stands as a key, token or secret: long and varied, of letters and digits, no words, no id."""
    text = value.rstrip(b"=")
    if len(text) < 12 or is_placeholder(value) or is_code(text) or is_identifier(value) or not is_varied(text):
        return 0.0
    if _kinds(text) < 2:
        return 0.0
    if not any(map(_is_digit, text)) and (not is_mixed(text) or _NAMES.search(text)):
        return 0.0
    if is_published(value):
        return _PUBLISHED_WORTH
    return _WORD_WORTH if _UUID.fullmatch(value) else 1.0


_TURNS: Final = re.compile(rb"[a-z](?=[A-Z\d])|[A-Z](?=[a-z\d])|\d(?=[A-Za-z])")
_NAMED: Final = re.compile(rb"[A-Za-z_]\w{0,11}=")


def is_mixed(value: bytes) -> bool:
    """Whether letters and digits are mixed as in a random text: nine in ten names have longer runs of one kind."""
    text = b"".join(_PIECES.split(value))
    turns = len(_TURNS.findall(text))
    both = text.lower() != text and text.upper() != text
    return turns >= (0.35 if both else 0.2) * (len(text) - 1)


def named_key(value: bytes) -> float:
    """A key of which only the name of its service, somewhere before it, speaks: it must look the more random."""
    if _NAMED.match(value) or value.count(b".") > 2 or len(set(value) & set(b"0123456789")) < 2 or not is_mixed(value):
        return 0.0
    return 0.0 if is_code(value.rstrip(b"=")) or is_identifier(value) else drawn_at_random(value)
