"""Compose a mail: headers, text and HTML.

A mail keeps its Message-ID. If the process dies before it can record that the server accepted the
mail, it is sent twice, but mail programs show it once.
"""

from dataclasses import replace
from email.headerregistry import Address
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formataddr, formatdate, parseaddr

from db.mail.emails import Email
from db.runtime.settings import settings
from tasks.mail.rendering import render


def compose(mail: Email) -> MIMEMultipart:
    """Text and HTML of a mail, with its Message-ID. Errors: many kinds, when a name or an address
    cannot be in a mail. (The older classes of the email package take a quarter of EmailMessage's
    time, which was half of the mailer's.)
    """
    mail = replace(mail, name=name_in(mail))
    subject, text, html = render(mail)
    name, address = parseaddr(settings().mail_from)
    message = MIMEMultipart("alternative")
    message["Subject"] = " ".join(subject.split())
    message["From"] = formataddr((name, address))
    recipient = Address(addr_spec=with_ascii_domain(mail.email))  # refuses what is not one address
    message["To"] = formataddr((mail.name, recipient.addr_spec))
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{mail.id}@{address.rpartition('@')[2]}>"
    if mail.booking:
        message["X-Booking-Code"] = mail.booking["code"]
    message.attach(MIMEText(text, "plain", "utf-8"))
    message.attach(MIMEText(html, "html", "utf-8"))
    return message


def name_in(mail: Email) -> str:
    """The recipient's name on one line, since a line break would end the header. Empty in sign-in
    mails: before the first sign-in, another person may have made the account, with a name that is
    an advertisement.
    """
    return "" if mail.template == "sign_in" else " ".join(mail.name.split())


def with_ascii_domain(email: str) -> str:
    """Write the domain in ASCII (bücher.example as xn--bcher-kva.example), for every server."""
    local, _, domain = email.rpartition("@")
    return f"{local}@{domain.encode('idna').decode()}"
