"""E-mail: durable tasks send what the emails table holds, many over one SMTP connection.

A mail keeps one Message-ID for good, so one that is sent twice, because the process died before it
could write down that the first was taken, is one mail to whoever counts.
"""

import smtplib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.headerregistry import Address
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formataddr, formatdate, parseaddr
from urllib.parse import unquote, urlsplit
from uuid import UUID

import structlog

from db.catalogue.currencies import list_currencies
from db.connections import Conn, refuse_transaction
from db.durable import outbox
from db.mail import emails
from db.mail.emails import Email
from db.runtime.errors import UsherError
from db.runtime.faults import reach
from db.runtime.settings import settings
from tasks.durable.broker import durable
from tasks.durable.leases import Lease, Stopping, describe, stop_if_told
from tasks.mail.rendering import render

log = structlog.get_logger()

TIMEOUT = 10
"""Seconds for each word with the mail server."""
BATCH_TIME = 120
"""Seconds after which a batch ends where it is: its lease must outlast a slow server."""


@durable(queue="mail", batch=20, lease=300, failures=60, base_delay=2, longest_delay=3600)
def send_email(lease: Lease) -> None:
    """Send mails. Those that the server takes are done; others are tried again, for a day."""
    with lease.transaction() as conn:
        ids = [task.args["email_id"] for task in lease.tasks]
        waiting = emails.take(conn, ids, list_currencies(conn))
    reach("before mail")
    sent, trouble = send_all([mail for mail in waiting if is_true(mail)])
    reach("after mail")
    with lease.transaction() as conn:
        emails.mark_sent(conn, sent)
        for mail in waiting:
            if not is_true(mail):
                emails.mark_skipped(conn, mail.id, "no longer true")
            elif isinstance(trouble.get(mail.id), MailRefused):
                emails.mark_failed(conn, mail.id, str(trouble[mail.id]))
        finish(lease, conn, {str(id): error for id, error in trouble.items()})
    passing = [error for error in trouble.values() if not isinstance(error, MailRefused)]
    if passing:
        raise passing[0]


def is_true(mail: Email) -> bool:
    """Some mails are only sent while the booking is in a state that they tell of: a reminder to pay
    to somebody who still has to."""
    states = ONLY_WHILE.get(mail.template)
    return states is None or (mail.booking is not None and mail.booking["state"] in states)


ONLY_WHILE = {
    "held": ("held",),
    "pay_offline": ("authorising",),
    "in_review": ("review",),
    "being_checked": ("authorising", "expiring", "review", "secured"),
    "frozen": ("frozen",),
    "unfrozen": ("confirmed",),
}


def finish(lease: Lease, conn: Conn, trouble: dict[str, Exception]) -> None:
    """Tasks of mails that went out, or never can, end here; the others are left to fail."""
    for task in lease.tasks:
        error = trouble.get(task.args["email_id"])
        if isinstance(error, MailRefused):
            outbox.bury(conn, [task.id], lease.token, describe(error), keep=False)
    done = [task.id for task in lease.tasks if task.args["email_id"] not in trouble]
    outbox.finish(conn, done, lease.token)


def send_all(mails: list[Email]) -> tuple[list[UUID], dict[UUID, Exception]]:
    """Send over one connection: the ids that the server took, and what was wrong with others."""
    end = time.monotonic() + BATCH_TIME
    sent: list[UUID] = []
    trouble: dict[UUID, Exception] = {}
    if not mails:
        return sent, trouble
    try:
        with connection() as server:
            for mail in mails:
                stop_if_told()
                if time.monotonic() > end:
                    raise TimeoutError("the mail server is slow")
                refusal = send(server, mail)
                if refusal:
                    trouble[mail.id] = refusal
                else:
                    sent.append(mail.id)
    except (OSError, smtplib.SMTPException, Stopping) as error:
        left = (mail.id for mail in mails if mail.id not in sent and mail.id not in trouble)
        why = error if isinstance(error, Stopping) else MailAway(f"{type(error).__name__}: {error}")
        trouble |= dict.fromkeys(left, why)
    return sent, trouble


def send(server: smtplib.SMTP, mail: Email) -> UsherError | None:
    """What is wrong with this mail, if anything. Errors: OSError and smtplib's where no other mail
    can be sent either.
    """
    try:
        message = compose(mail)
    except Exception as error:  # whatever is wrong with it, its neighbours go out
        return MailRefused(f"it cannot be written: {type(error).__name__}: {error}")
    reach("before SMTP")
    try:
        server.send_message(message)
    except smtplib.SMTPSenderRefused as error:
        return MailAway(str(error))  # that is about us, not about this mail
    except smtplib.SMTPRecipientsRefused as error:
        ((code, _),) = error.recipients.values()
        return verdict(code, error)
    except smtplib.SMTPResponseException as error:
        return verdict(error.smtp_code, error)
    reach("after SMTP")
    return None


def verdict(code: int, error: Exception) -> UsherError:
    """4xx: later; 5xx: never."""
    return MailRefused(str(error)) if code >= 500 else MailAway(str(error))


@contextmanager
def connection() -> Iterator[smtplib.SMTP]:
    """The mail server of SMTP_URL, signed in where the URL says so."""
    refuse_transaction()
    url = urlsplit(settings().smtp_url)
    host = url.hostname or "127.0.0.1"
    if url.scheme == "smtps":
        context = ssl.create_default_context()
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, url.port or 465, timeout=TIMEOUT, context=context
        )
    else:
        server = smtplib.SMTP(host, url.port or 25, timeout=TIMEOUT)
    with server:
        if url.username:
            if url.scheme == "smtp":
                server.starttls(context=ssl.create_default_context())
            server.login(unquote(url.username), unquote(url.password or ""))
        yield server


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


@durable(queue="mail", batch=200)
def remind(lease: Lease) -> None:
    """Half of the time to pay is over: a mail to those who have not begun to."""
    with lease.transaction() as conn:
        bookings = [(task.event_id or 0, task.args["booking_id"]) for task in lease.tasks]
        emails.remind(conn, bookings)
        lease.finish(conn)


class MailAway(UsherError):
    """The mail server cannot take it now."""

    permanent = False


class MailRefused(UsherError):
    """The mail server will not take it."""
