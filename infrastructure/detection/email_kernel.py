"""The kernel of e-mail addresses: they are told by which kinds of characters stand beside each other."""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from domain.detectors.checks import FILE_ENDINGS
from infrastructure.detection.cells import Bytes, Mask, Offsets, gathered, kinds_of, marked, table_of_kinds

_LONGEST_EMAIL: Final = 60
_SHORTEST_EMAIL: Final = 5
_LETTER: Final = 1
_NUMERAL: Final = 2
_STOP: Final = 3
_SIGN: Final = 4
_HYPHEN: Final = 5
_OTHER: Final = 6
_OF_DOMAIN: Final = 8
_BEGINNING: Final = 15
_AT: Final = ord("@")
_LONGEST_ENDING: Final = 24
_MOST_DOTS: Final = 4
_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_EMAIL_KINDS: Final = table_of_kinds(_LETTERS, b"0123456789", b".", b"@", b"-", b"_+")


def email(text: Bytes, starts: Offsets, ends: Offsets) -> Mask:
    """Words of `[A-Za-z0-9_+-]` between dots, `@`, up to four domains of letters, digits and hyphens within them, and 2
    to 24 letters that are no ending of a file's name."""
    lengths = ends - starts
    accepted: Mask = (lengths > _SHORTEST_EMAIL) & (lengths <= _LONGEST_EMAIL)
    offsets, characters = gathered(text, starts[accepted], ends[accepted])
    signs = np.flatnonzero(characters == _AT)
    if len(signs) != len(offsets) - 1 or ((signs < offsets[:-1]) | (signs >= offsets[1:])).any():
        accepted[accepted] = np.diff(np.searchsorted(signs, offsets)) == 1
        offsets, characters = gathered(text, starts[accepted], ends[accepted])
        signs = np.flatnonzero(characters == _AT)
    accepted[accepted] = _emails(offsets, characters, signs)
    return accepted


def _emails(offsets: NDArray[np.int32], characters: Bytes, signs: Offsets) -> Mask:
    """Which cells are e-mail addresses, of which each has one `@`; they begin at `offsets` of the characters."""
    first, stops = offsets[:-1], offsets[1:]
    halves = np.empty(2 * len(signs), np.int64)
    halves[::2], halves[1::2] = signs + 1 - first, stops - signs - 1
    codes = np.repeat(np.tile(np.array([0, _OF_DOMAIN], np.uint8), len(signs)), halves)
    codes += kinds_of(characters, _EMAIL_KINDS)
    pairs = codes.copy()
    pairs[1:] |= codes[:-1] << np.uint8(4)
    pairs[first] |= np.uint8(_BEGINNING << 4)
    shaped = ~marked(np.take(_NO_EMAIL_PAIRS, pairs), offsets)
    others = np.flatnonzero(codes != _LETTER + _OF_DOMAIN)
    dots = others[np.searchsorted(others, stops) - 1]
    ending = stops - 1 - dots
    shaped &= (codes[dots] == _STOP + _OF_DOMAIN) & (ending >= 2) & (ending <= _LONGEST_ENDING)
    points = np.flatnonzero(codes == _STOP + _OF_DOMAIN)
    shaped &= np.diff(np.searchsorted(points, offsets)) <= _MOST_DOTS
    lasts = characters[stops - 1] & np.uint8(31), characters[stops - 2] & np.uint8(31)
    likely = shaped & _likely_endings()[np.minimum(ending, _LONGEST_ENDING), lasts[0], lasts[1]]
    for at in np.flatnonzero(likely).tolist():
        shaped[at] = characters[dots[at] + 1 : stops[at]].tobytes().lower() not in FILE_ENDINGS
    return shaped


def _email_pairs() -> Mask:
    """By the kind of a character, in the upper four bits, and that of the next one, whether they may stand so."""
    table: Mask = np.zeros(256, np.bool_)
    words = (_LETTER, _NUMERAL, _HYPHEN, _OTHER)
    plain = (_LETTER + _OF_DOMAIN, _NUMERAL + _OF_DOMAIN)
    stop, hyphen = _STOP + _OF_DOMAIN, _HYPHEN + _OF_DOMAIN
    may_follow = {
        _BEGINNING: words,
        **dict.fromkeys(words, (*words, _STOP, _SIGN)),
        _STOP: words,
        _SIGN: plain,
        **dict.fromkeys(plain, (*plain, stop, hyphen)),
        stop: plain,
        hyphen: (*plain, hyphen),
    }
    for kind, following in may_follow.items():
        table[[kind << 4 | one for one in following]] = True
    return table


_NO_EMAIL_PAIRS: Final = ~_email_pairs()


@cache
def _likely_endings() -> Mask:
    """By length, last letter and the one before it (of which five bits count), whether that may end a file's name."""
    table: Mask = np.zeros((_LONGEST_ENDING + 1, 32, 32), np.bool_)
    for ending in FILE_ENDINGS:
        table[len(ending), ending[-1] & 31, ending[-2] & 31] = True
    return table
