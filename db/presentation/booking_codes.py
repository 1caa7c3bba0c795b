"""Booking codes as people and banks write them."""

from unicodedata import normalize


def plain_code(text: str) -> str:
    """Only the letters and digits of a text, in capitals and in their plain form: booking codes are
    written small, in groups, with punctuation, or within longer references of a transfer.
    """
    return "".join(
        character for character in normalize("NFKC", text).upper() if character.isalnum()
    )
