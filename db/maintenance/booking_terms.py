"""The words by which bookings are found, and the numbers that stand for them in booking_terms.

Words are compared without marks and case: "Nguyen" finds "Nguyễn", "Đặng" and "dang" are one, and
Arabic names are found however their alef is written. It is done here and not by the database,
whose rules differ with its locale.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any
from unicodedata import category, combining, normalize

from db.presentation.booking_codes import plain_code

MOST_WORDS = 12
"""Of a name; the others are not looked for."""

ALIKE = str.maketrans(
    {
        "đ": "d", "ð": "d", "ł": "l", "ø": "o", "æ": "ae", "œ": "oe", "þ": "th", "\u0131": "i",
        "ħ": "h", "ى": "ي", "ی": "ي", "\u0671": "\u0627", "ة": "\u0647", "ک": "ك", "ـ": "",
        "\u02bc": "'", "\u2019": "'", "\u2018": "'", "`": "'",
    }
)  # fmt: skip
"""Letters that have no other form in Unicode and are written for each other, and the stretching of
Arabic words, which says nothing."""

APOSTROPHE = re.compile("(?<=\\w)'(?=\\w)")


def words_of(name: str) -> list[str]:
    """The words of a name, plain, in its order, each once; also those around an apostrophe, and
    without it: O'Brien is found as O'Brien, OBrien and Brien."""
    found: dict[str, None] = {}
    for part in parts_of(name):
        pieces = APOSTROPHE.split(part)
        found |= dict.fromkeys([*pieces, "".join(pieces)] if len(pieces) > 1 else pieces)
    return list(found)[:MOST_WORDS]


def wanted_words(text: str) -> list[str]:
    """The words of what was typed; those around an apostrophe are one word."""
    return list(dict.fromkeys(part.replace("'", "") for part in parts_of(text)))[:MOST_WORDS]


def parts_of(text: str) -> list[str]:
    """What stands between blanks and punctuation, but for apostrophes within a word."""
    letters = (
        letter if category(letter)[0] in "LNM" or letter == "'" else " " for letter in plain(text)
    )
    return [part for piece in "".join(letters).split() if (part := piece.strip("'"))]


def plain(text: str) -> str:
    """A text without case and marks. Marks of Indic scripts are vowels, and stay."""
    decomposed = normalize("NFKD", normalize("NFKC", text).casefold())
    kept = (letter for letter in decomposed if not combining(letter) or is_vowel(letter))
    return normalize("NFC", "".join(kept).translate(ALIKE))


def is_vowel(letter: str) -> bool:
    """Whether a combining letter says more than how a word is stressed or read: those of scripts
    from Devanagari on."""
    return "\u0900" <= letter < "\u1ab0"


def term(organisation_id: int, kind: str, word: str) -> int:
    """The number of a word of a kind in an organisation, as a bigint."""
    digest = sha256(f"{organisation_id} {kind} {word}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def terms_of(booking: Mapping[str, Any]) -> Iterator[int]:
    """The terms of a booking: {organisation_id, state, names, cards, references, tags}."""
    for kind, word in _words(booking):
        yield term(booking["organisation_id"], kind, word)


def _words(booking: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "state", booking["state"]
    for name in booking["names"]:
        yield from (("name", word) for word in words_of(name))
    yield from (("card", f"{digits:04}") for digits in booking["cards"])
    yield from (("reference", plain_code(reference)) for reference in booking["references"])
    yield from (("tag", plain(tag)) for tag in booking["tags"])


def wanted_terms(organisation_id: int, wanted: Mapping[str, Any]) -> list[int]:
    """The terms that a booking must have to be what is looked for: {state, name, card, tag}, each
    or None."""
    words: list[tuple[str, str]] = []
    for kind, plainly in (("state", str), ("card", str), ("tag", plain)):
        words += [(kind, plainly(wanted[kind]))] if wanted[kind] else []
    words += [("name", word) for word in wanted_words(wanted["name"] or "")]
    return [term(organisation_id, kind, word) for kind, word in words]


def codes_in(text: str, length: int = 8) -> list[str]:
    """What may be a booking code in a text, such as the reference of a transfer."""
    letters = plain_code(text)
    return list(dict.fromkeys(_windows(letters, length)))


def _windows(letters: str, length: int) -> Iterable[str]:
    return (letters[start : start + length] for start in range(len(letters) - length + 1))
