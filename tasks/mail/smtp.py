"""The mail server: send many mails over one connection, and tell which it did not accept."""

import re
import smtplib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit
from uuid import UUID

from db.connections import refuse_transaction
from db.mail.emails import Email
from db.presentation.addresses import without_addresses
from db.runtime.errors import UsherError
from db.runtime.faults import reach
from db.runtime.settings import settings
from tasks.durable.leases import Stopping, stop_if_told
from tasks.mail.compose import compose

TIMEOUT = 10
"""Seconds for each command to the mail server."""
BATCH_TIME = 120
"""Seconds after which a batch ends unfinished: with a slow server its lease must not run out."""


class MailAway(UsherError):
    """The mail server cannot accept the mail now."""

    permanent = False


class MailRefused(UsherError):
    """The mail server refuses the mail."""


def send_all(mails: list[Email]) -> tuple[list[UUID], dict[UUID, Exception]]:
    """Send over one connection; return the ids that were accepted, and the others' errors."""
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
    """Send one mail; return its error, if any. Errors: OSError and smtplib's when no other mail can
    be sent either.
    """
    try:
        message = compose(mail)
    except Exception as error:  # an error of this mail must not stop the others
        return MailRefused(f"the mail cannot be composed: {type(error).__name__}: {error}")
    reach("before SMTP")
    try:
        server.send_message(message)
    except smtplib.SMTPSenderRefused as error:
        return MailAway(said(error.smtp_code, error.smtp_error, mail))  # it is not about this mail
    except smtplib.SMTPRecipientsRefused as error:
        ((code, text),) = error.recipients.values()
        return verdict(code, said(code, text, mail))
    except smtplib.SMTPResponseException as error:
        return verdict(error.smtp_code, said(error.smtp_code, error.smtp_error, mail))
    reach("after SMTP")
    return None


def verdict(code: int, text: str) -> UsherError:
    """The error for an SMTP code. 4xx: try later; 5xx: refused."""
    return MailRefused(text) if code >= 500 else MailAway(text)


def said(code: int, text: bytes | str, mail: Email) -> str:
    """What the server answered, without the address or its local part: these are kept with the
    buyer alone."""
    answer = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    local = re.escape(mail.email.rpartition("@")[0].strip('"'))
    answer = re.sub(rf"(?<!\w){local}(?!\w)", "…", without_addresses(answer), flags=re.IGNORECASE)
    return f"{code} {' '.join(answer.split())}"


@contextmanager
def connection() -> Iterator[smtplib.SMTP]:
    """Connect to the mail server of SMTP_URL; sign in if the URL has a user."""
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
