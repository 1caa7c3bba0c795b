"""E-mail: durable tasks send the rows of `emails`, many over one SMTP connection."""

from db.catalogue.currencies import list_currencies
from db.connections import Conn
from db.durable import outbox
from db.mail import emails
from db.mail.emails import Email
from db.runtime.faults import reach
from tasks.durable.actors import durable
from tasks.durable.backoff import describe
from tasks.durable.leases import Lease, Stopping, TryLater
from tasks.mail.smtp import MailRefused, send_all

ONLY_WHILE = {
    "held": ("held",),
    "pay_offline": ("authorising",),
    "in_review": ("review",),
    "being_checked": ("authorising", "expiring", "review", "secured"),
    "frozen": ("frozen",),
    "unfrozen": ("confirmed",),
    "postponed": ("confirmed", "frozen"),
}
"""The states of a booking in which a mail of this template still applies and is sent."""

ERASED = "@erased.invalid"
"""The domain of accounts whose personal data were erased (erase_person)."""
FULL = "its mailbox has had too many mails"


@durable(queue="mail", batch=20, lease=300, failures=60, base_delay=2, longest_delay=3600)
def send_email(lease: Lease) -> None:
    """Send mails. Those that the server accepts are done; others are tried again for a day. Those
    for which their mailbox is full are put off."""
    with lease.transaction() as conn:
        admitted = emails.admit(conn, [task.args["email_id"] for task in lease.tasks])
        now = [email_id for email_id, seconds in admitted.items() if not seconds]
        waiting = emails.take(conn, now, list_currencies(conn))
    reach("before mail")
    sent, trouble = send_all([mail for mail in waiting if still_applies(mail)])
    reach("after mail")
    full = {id: TryLater(seconds, FULL) for id, seconds in admitted.items() if seconds}
    with lease.transaction() as conn:
        emails.mark_sent(conn, sent)
        for mail in waiting:
            if not still_applies(mail):
                emails.mark_skipped(conn, mail.id, "no longer true")
            elif isinstance(trouble.get(mail.id), MailRefused):
                emails.mark_failed(conn, mail.id, str(trouble[mail.id]))
        finish(lease, conn, {str(id): error for id, error in (trouble | full).items()})
    passing = [error for error in trouble.values() if not isinstance(error, MailRefused)]
    if passing:
        raise passing[0]


def still_applies(mail: Email) -> bool:
    """Whether there is still a person to read it, the booking is still in a state for this mail,
    such as a reminder to pay, and no later postponement has a mail of its own."""
    if mail.email.endswith(ERASED):
        return False
    states = ONLY_WHILE.get(mail.template)
    if states is None:
        return True
    booking = mail.booking
    return (
        booking is not None
        and booking["state"] in states
        and mail.postponement in (None, booking["postponement"])
    )


def finish(lease: Lease, conn: Conn, trouble: dict[str, Exception]) -> None:
    """Finish tasks of mails that were sent, dead-letter refused ones, put off those of full
    mailboxes; the others fail later."""
    for task in lease.tasks:
        error = trouble.get(task.args["email_id"])
        if isinstance(error, MailRefused):
            outbox.dead_letter(conn, [task.id], lease.token, describe(error), keep=False)
        elif isinstance(error, TryLater) and not isinstance(error, Stopping):
            seconds = error.seconds
            outbox.retry(conn, [task.id], lease.token, str(error), seconds, counts=False)
    lease.finish(conn, [t.id for t in lease.tasks if t.args["email_id"] not in trouble])
