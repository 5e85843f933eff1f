"""Values as a person reads them. Object keys are hostile: nothing here lets them steer the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.text import Text

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")

MASKED_SHOWN: Final = 32


def printable(text: str) -> str:
    """`text` with every invisible character (controls, escapes, bidirectional marks) as `\\xNN` or `\\uNNNN`."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def cell(value: object, style: str = "") -> Text:
    """A table cell that shows `value` as it is: no markup, no control characters; None is `–`."""
    from rich.text import Text  # noqa: PLC0415 — many commands draw no table

    return Text("–" if value is None else printable(str(value)), style=style)


def shortened(masked: str) -> str:
    """The end of a masked value, where its last characters show."""
    return masked if len(masked) <= MASKED_SHOWN else f"…{masked[-MASKED_SHOWN + 1 :]}"


def number(value: float) -> str:
    """`1234.5` → `1,234`; below 10 with one decimal unless it is whole."""
    return f"{value:,.1f}" if value != int(value) and abs(value) < 10 else f"{int(value):,}"


def plural(count: int, noun: str, nouns: str = "") -> str:
    """`1 file`, `2 files`."""
    return f"{number(count)} {noun if count == 1 else nouns or noun + 's'}"


def byte_size(count: float) -> str:
    """Decimal units, as providers bill: `1234567` → `1.2 MB`."""
    for unit in _UNITS[:-1]:
        if abs(count) < 1000:
            return f"{number(count)} {unit}"
        count /= 1000
    return f"{number(count)} {_UNITS[-1]}"


def duration(seconds: float | None) -> str:
    """`95.2` → `1:35`, `4000` → `1:06:40`; None is `–`."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def percent(share: float) -> str:
    """A share of 1, cut to one decimal: what is not whole never reads as 100 %."""
    return f"{int(share * 1000) / 10:g} %"


def moment(at: str | None) -> str:
    """An RFC 3339 time to the second: `2026-01-31 12:00:00Z`."""
    return "–" if at is None else f"{at[:10]} {at[11:19]}Z"
