"""Texts that people read: one rule for all of them, in whatever request or file they come.

A line is a name, a label or a reason. It stands inside sentences, tables and the headers of mails.
So it has no line ends, no control characters, and nothing that is not seen but changes what is
read: marks of direction, zero-width characters, fillers. Paragraphs may have line ends besides.

Two characters that are not seen are kept where a script or an emoji needs them: the joiners between
letters, as RFC 5892 (A.1, A.2) allows them in the names of domains, and between the parts of an
emoji; and a variation selector after its character.
"""

import re
from functools import lru_cache
from unicodedata import bidirectional, category, normalize

import idna

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""Postgres' text and UTF-8 cannot hold these."""

_ENDS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_ENDS_BUT_NEWLINE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_UNSEEN = {"Cf", "Zs", "Mn", "Me", "Cn", "Co"}
"""Unicode categories of which nothing can be seen without another character."""
_BLANK = "\u2800"
_HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Characters without a shape: Unicode's default ignorable ones, marks of direction among them."""
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SELECTORS = re.compile("[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_NON_JOINER, _JOINER = "\u200c", "\u200d"
_MARKS = {"\u200e": "L", "\u200f": "R", "\u061c": "R"}


class TextError(ValueError):
    """The text is not one that people can read without being misled. The message says why."""


def read_line(text: str) -> str:
    """Return the text in NFC without spaces around it. Errors: TextError."""
    text = text.strip()
    return text if text.isascii() and text.isprintable() else _read_line(text)


@lru_cache(1024)  # plans say the same names for thousands of seats
def _read_line(text: str) -> str:
    if _ENDS.search(text):
        raise TextError("Must be on one line, without control characters.")
    return _read(text)


def read_paragraphs(text: str) -> str:
    r"""Return the text in NFC without spaces around it, with \n at the end of each line. Errors:
    TextError.
    """
    text = re.sub("\r\n?", "\n", text).replace("\t", " ").strip()
    if _ENDS_BUT_NEWLINE.search(text):
        raise TextError("Must not have control characters besides line ends.")
    return _read(text)


def on_one_line(text: str) -> str:
    """The text on one line and without marks of direction, for one that was kept before the rule
    was there."""
    if text.isascii() and text.isprintable():
        return text
    return _DIRECTION.sub("", _ENDS.sub(" ", text)).strip()


def _read(text: str) -> str:
    if UNSTORABLE.search(text):
        raise TextError("Must not contain NUL or lone surrogates.")
    if text and all(_is_unseen(character) for character in text):
        raise TextError("Must have a visible character.")
    text = normalize("NFC", _drop_idle_mark(text))
    for found in _HIDDEN.finditer(text):
        if not _is_needed(text, found.start()):
            raise TextError(f"Must not contain the invisible character U+{ord(found[0]):04X}.")
    return text


def _is_unseen(character: str) -> bool:
    return character in _BLANK or category(character) in _UNSEEN


def _drop_idle_mark(text: str) -> str:
    """Drop a mark of direction at the beginning that says what the first letter says, too:
    keyboards for Hebrew and Arabic put one there."""
    direction = _MARKS.get(text[:1])
    if direction and len(text) > 1 and _direction(text[1]) == direction:
        return text[1:]
    return text


def _direction(letter: str) -> str:
    kind = bidirectional(letter)
    return "R" if kind in ("R", "AL") else kind


def _is_needed(text: str, at: int) -> bool:
    """Whether a script or an emoji needs the invisible character at this place."""
    hidden, before, after = text[at], text[at - 1 : at], text[at + 1 : at + 2]
    if _SELECTORS.match(hidden):
        return bool(before) and not before.isspace() and not _HIDDEN.match(before)
    if hidden == _JOINER and after and category(after) == "So":
        return category(before) in ("So", "Sk") or bool(_SELECTORS.match(before))
    return hidden in (_JOINER, _NON_JOINER) and _joins(text, at)


def _joins(text: str, at: int) -> bool:
    start = max(0, at - 20)  # more marks than this stand on no letter
    try:
        return idna.valid_contextj(text[start : at + 20], at - start)
    except ValueError:  # beside a character that has no name yet
        return False
