"""A mail as it goes out: headers, text and HTML.

It keeps one Message-ID for good: mail programs show it once, also when it is sent twice because the
process died before it could write down that the server had taken it.
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
    """Text and HTML of a mail, under its one Message-ID. Errors: many, where a name or an address
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
    """On one line, since header lines end at a line's end. None where anybody may have sent us the
    address, with a name that advertises something: before the first sign-in nobody has shown that
    the account is theirs.
    """
    return "" if mail.template == "sign_in" else " ".join(mail.name.split())


def with_ascii_domain(email: str) -> str:
    """Every server understands bücher.example as xn--bcher-kva.example."""
    local, _, domain = email.rpartition("@")
    return f"{local}@{domain.encode('idna').decode()}"
