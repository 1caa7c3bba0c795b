"""Compose a mail: headers, text and HTML.

A mail keeps its Message-ID. If the process dies before it can record that the server accepted the
mail, it is sent twice, but mail programs show it once.
"""

from dataclasses import replace
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import Compat32
from email.utils import formataddr, formatdate, parseaddr

from db.accounts.codes import PURPOSES
from db.mail.emails import Email
from db.presentation.addresses import read_address
from db.presentation.texts import on_one_line
from db.runtime.settings import settings
from tasks.mail.rendering import render

LONGEST_WORD = 60
"""Characters of a word in a header that are written as they are: lines end between words and should
have 78 characters."""
ENCODED = "=?"
"""The beginning of an encoded word."""
LONGEST_ENCODED_WORD = 75
"""RFC 2047, section 2."""
LONGEST_LINE = 76


class ShortAsTheyAre(Compat32):
    """Headers that fit on a line are written as they are: folding each anew took a sixth of the
    mailer's time."""

    def fold_binary(self, name: str, value: str) -> bytes:
        short = len(name) + len(value) < LONGEST_LINE and value.isascii() and value.isprintable()
        return (
            f"{name}: {value}{self.linesep}".encode() if short else super().fold_binary(name, value)
        )


POLICY = ShortAsTheyAre()


def compose(mail: Email) -> MIMEMultipart:
    """Text and HTML of a mail, with its Message-ID. Errors: many kinds, when a name or an address
    cannot be in a mail. (The older classes of the email package take a quarter of EmailMessage's
    time, which was half of the mailer's.)
    """
    mail = replace(mail, name=name_in(mail))
    subject, text, html = render(mail)
    name, address = sender()
    message = MIMEMultipart("alternative", boundary=message_name(mail), policy=POLICY)
    message["Subject"] = fold(on_one_line(subject), "Subject")
    message["From"] = mailbox(name, address, "From")
    message["To"] = mailbox(mail.name, read_address(mail.email), "To")
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{message_name(mail)}@{address.rpartition('@')[2]}>"
    if mail.booking:
        message["X-Booking-Code"] = mail.booking["code"]
    message.attach(MIMEText(text, "plain", "utf-8", policy=POLICY))
    message.attach(MIMEText(html, "html", "utf-8", policy=POLICY))
    return message


def sender() -> tuple[str, str]:
    """The name and the address that all mail comes from."""
    name, address = parseaddr(settings().mail_from)
    return name, address if address.isascii() else read_address(address)


def message_name(mail: Email) -> str:
    """What is before the @ of the Message-ID. A mail that is sent again on purpose has another one,
    since mail programs show it once."""
    return f"{mail.id}.{mail.resends}" if mail.resends else str(mail.id)


def name_in(mail: Email) -> str:
    """The recipient's name. Empty while the address is not verified: another person may have made
    the account, with a name that is an advertisement. A mail with a code never has it.
    """
    return on_one_line(mail.name) if mail.verified and mail.template not in PURPOSES else ""


def mailbox(name: str, address: str, header: str) -> str:
    """A name and an address as a header has them, folded."""
    if name.isascii() and len(name) <= LONGEST_WORD and ENCODED not in name:
        return formataddr((name, address))
    return f"{_encode(name, header)}\n <{address}>"


def fold(text: str, header: str) -> str:
    """A text as a header has it. It is encoded in words of RFC 2047 if it is not plain ASCII, has a
    word that is too long for a line, or would be decoded although it is no such word.
    """
    longest = max(map(len, text.split()), default=0)
    plain = text.isascii() and longest <= LONGEST_WORD and ENCODED not in text
    return text if plain else _encode(text, header)


def _encode(text: str, header: str) -> str:
    return Header(text, "utf-8", LONGEST_ENCODED_WORD, header).encode()
