"""E-mail, as it arrives: the right words, once, whatever the mail server says."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from db.accounts import codes
from db.accounts.codes import MailedCode
from db.bookings import bookings
from db.connections import one, transaction
from db.runtime.settings import settings
from ops.local.servers import free_port
from tests.support.mails import parts
from tests.support.running import Running
from tests.support.waiting import wait_until


def write(running: Running, booking: UUID, template: str = "confirmed") -> UUID:
    """A mail about a booking and its task, as a change of state writes them."""
    query = "select notify_buyers(%s, %s, %s)"
    running.conn.execute(query, [running.sale.event, [booking], template])
    return UUID(str(mail_of(running, booking, template)["id"]))


def mail_of(running: Running, booking: UUID, template: str = "confirmed") -> dict[str, Any]:
    query = "select * from emails where booking_id = %s and template = %s"
    return one(running.conn.execute(query, [booking, template]))


def state(running: Running, mail: UUID) -> str:
    query = "select state from emails where id = %s"
    return str(one(running.conn.execute(query, [mail]))["state"])


def is_sent(running: Running, *mails: UUID) -> bool:
    return all(state(running, mail) == "sent" for mail in mails)


def rename(
    running: Running, booking: UUID, name: str | None = None, email: str | None = None
) -> None:
    """Change the buyer's name or address, to one from before there were rules for them."""
    constraint = "alter table buyers drop constraint if exists buyers_email_mailed_form"
    running.conn.execute(constraint)
    query = """
        update buyers set name = coalesce(%s, name), email = coalesce(%s, email)
        where id = (select buyer_id from bookings where id = %s)"""
    running.conn.execute(query, [name, email, booking])


# What they say


def test_a_confirmation_has_all_that_a_buyer_needs(running: Running) -> None:
    booking = running.sale.hold("alice")
    running.sale.confirm(booking)
    with running.work():
        wait_until(lambda: mail_of(running, booking)["state"] == "sent")
    (mail,) = running.catcher.mails("alice@usher.example")
    row = running.booking(booking)
    secrets = running.conn.execute("select secret from tickets").fetchall()
    assert mail["Subject"] == "Your tickets for Evening"
    assert mail["To"] == "alice <alice@usher.example>"
    assert mail["From"] == "Usher <tickets@usher.example>"
    assert mail["X-Booking-Code"] == row["code"]
    assert mail["Message-ID"] == f"<{mail_of(running, booking)['id']}@usher.example>"
    for body in parts(mail):
        assert "alice" in body
        assert row["code"] in body
        assert "105.00 EUR" in body
        assert "Europe/Berlin" in body
        assert "Stalls, row 1, seat" in body
        assert all(ticket["secret"] in body for ticket in secrets)
    running.check()


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("held", "your seats are held for you until"),
        ("expired", "the time to pay for these seats is over"),
        ("cancelled", "your booking is cancelled"),
        ("dispute_lost", "your bank has taken the payment of this booking back"),
        ("not_approved", "was checked and could not be accepted"),
        ("failed", "your bank did not let us take the payment"),
    ],
)
def test_the_others_say_what_happened(running: Running, template: str, words: str) -> None:
    booking = running.sale.hold("alice")
    mail = write(running, booking, template)
    with running.work():
        wait_until(lambda: is_sent(running, mail))
    (caught,) = running.catcher.mails()
    assert all(words in " ".join(body.split()) for body in parts(caught))


def test_free_tickets_are_mailed_too(running: Running) -> None:
    booking = running.sale.hold("alice", category=2)
    with running.work():
        wait_until(lambda: mail_of(running, booking)["state"] == "sent")
    assert "0.00 EUR" in parts(running.catcher.mails()[0])[0]


def test_one_mail_of_a_kind_for_a_booking(running: Running) -> None:
    booking = running.sale.hold("alice")
    mails = {write(running, booking) for _ in range(3)}
    with running.work():
        wait_until(lambda: is_sent(running, *mails) and not running.tasks("send_email"))
    assert len(running.catcher.mails()) == 1


def test_a_reminder_is_sent_to_those_who_have_not_begun_to_pay(running: Running) -> None:
    holding, paying = running.sale.hold("alice"), running.sale.hold("bob")
    running.pay(paying)
    running.conn.execute("delete from outbox where actor = 'advance'")
    assert bookings.remind_holders(running.conn, 100) == 0
    half_of_the_time_goes_by(running)
    assert [bookings.remind_holders(running.conn, 100) for _ in range(2)] == [1, 0]
    with running.work():
        wait_until(lambda: not running.tasks("send_email"))
    assert mail_of(running, holding, "held")["state"] == "sent"
    assert [mail["To"] for mail in running.catcher.mails()] == ["alice <alice@usher.example>"]


def test_who_was_paying_at_half_of_the_time_is_not_reminded_later(running: Running) -> None:
    """A declined buyer has the mail about that, and is at the page."""
    paying = running.sale.hold("bob")
    running.pay(paying)
    half_of_the_time_goes_by(running)
    assert bookings.remind_holders(running.conn, 100) == 0
    running.sale.record(paying, "failed")
    query = "select reopen_booking(event_id, id, payment_id) from bookings"
    running.conn.execute(query)
    assert running.booking(paying)["state"] == "held"
    assert bookings.remind_holders(running.conn, 100) == 0


def test_holds_are_reminded_a_part_at_a_time_each_once(running: Running) -> None:
    held = {running.sale.hold(f"buyer{n}") for n in range(5)}
    half_of_the_time_goes_by(running)
    assert [bookings.remind_holders(running.conn, 2) for _ in range(4)] == [2, 2, 1, 0]
    mails = running.conn.execute("select booking_id from emails where template = 'held'")
    assert sorted(row["booking_id"] for row in mails.fetchall()) == sorted(held)
    running.conn.execute("update reminded_holds set deadline = deadline - interval '25 hours'")
    running.conn.execute("update bookings set deadline = deadline - interval '25 hours',"
                         " created_at = created_at - interval '25 hours'")  # fmt: skip
    assert bookings.remind_holders(running.conn, 100) == 0
    assert running.conn.execute("select from reminded_holds").fetchall() == []


def half_of_the_time_goes_by(running: Running) -> None:
    running.conn.execute("update bookings set created_at = now() - (deadline - now())")


def test_a_reminder_that_is_not_true_any_more_is_not_sent(running: Running) -> None:
    booking = running.sale.hold("alice")
    mail = write(running, booking, "held")
    running.pay(booking)
    running.conn.execute("delete from outbox where actor = 'advance'")  # it stays under way
    with running.work():
        wait_until(lambda: not running.tasks("send_email"))
    assert state(running, mail) == "skipped"
    assert running.catcher.mails() == []


# Names and addresses


@pytest.mark.parametrize(
    "name",
    [
        "Zoë Ångström-O'Neill",
        "林 さくら",
        'Al "the \\ pal" <ice@example.org>, Bob',
        "=?utf-8?q?Bcc=3A_bob?=",
        "x" * 200,
        "<b>alice</b>",
    ],
)
def test_any_name(running: Running, name: str) -> None:
    booking = running.sale.hold("alice")
    rename(running, booking, name=name)
    mail = write(running, booking)
    with running.work():
        wait_until(lambda: is_sent(running, mail))
    (caught,) = running.catcher.mails("alice@usher.example")
    (address,) = caught["To"].addresses
    assert address.addr_spec == "alice@usher.example"
    assert "<b>alice" not in parts(caught)[1]
    assert caught["X-Envelope-To"] == "alice@usher.example"


@pytest.mark.faults("H4")
def test_a_sign_in_mail_carries_nobodys_words(running: Running) -> None:
    """Whoever made the account chose the name, and perhaps not their own address."""
    name = "Win at https://casino.example"
    buyer = running.sale.add_buyer("alice")
    running.conn.execute("update buyers set name = %s where id = %s", [name, buyer])
    with transaction() as conn:
        codes.mail_code(conn, buyer, "sign_in", MailedCode("the secret", "098765"))
    with running.work():
        wait_until(lambda: running.catcher.mails("alice@usher.example"))
    (caught,) = running.catcher.mails()
    assert "casino" not in caught.as_string()
    assert all("098765" in part and "casino" not in part for part in parts(caught))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\x0b"])
def test_a_name_cannot_add_headers(running: Running, end: str) -> None:
    booking = running.sale.hold("alice")
    rename(running, booking, name=f"alice{end}Bcc: bob@usher.example{end}{end}Buy this")
    running.conn.execute("update events set name = %s", [f"Evening{end}Bcc: bob@usher.example"])
    mail = write(running, booking)
    with running.work():
        wait_until(lambda: is_sent(running, mail))
    (caught,) = running.catcher.mails()
    assert caught["Bcc"] is None
    assert caught["X-Envelope-To"] == "alice@usher.example"
    assert caught["To"].addresses[0].display_name == "alice Bcc: bob@usher.example Buy this"
    assert caught["X-Booking-Code"]


@pytest.mark.parametrize(
    ("email", "arrives_at"),
    [
        ("o'neill+tickets@usher.example", "o'neill+tickets@usher.example"),
        ('"al ice"@usher.example', '"al ice"@usher.example'),
        ("alice@bücher.example", "alice@xn--bcher-kva.example"),
        ("kai@straße.example", "kai@xn--strae-oqa.example"),
        ("nikos@ελλάς.example", "nikos@xn--hxarsa0b.example"),
        ("a" * 64 + "@usher.example", "a" * 64 + "@usher.example"),
    ],
)
def test_odd_addresses(running: Running, email: str, arrives_at: str) -> None:
    booking = running.sale.hold("alice")
    rename(running, booking, email=email)
    mail = write(running, booking)
    with running.work():
        wait_until(lambda: is_sent(running, mail))
    assert running.catcher.mails()[0]["X-Envelope-To"] == arrives_at


@pytest.mark.parametrize(
    "email",
    [
        "zoë@usher.example",
        "alice",
        "alice@",
        "@usher.example",
        "alice@usher..example",
        "alice@usher.example, bob@usher.example",
        "alice@usher.example\nBcc: bob@usher.example",
        "alice@usher.example> SIZE=1\r\nRCPT TO:<bob@usher.example",
    ],
)
def test_an_address_that_cannot_be_sent_to_holds_nobody_up(running: Running, email: str) -> None:
    """It becomes a dead letter; the nineteen others of its batch arrive."""
    bookings = [running.sale.hold(f"buyer{n}", 1) for n in range(20)]
    rename(running, bookings[7], email=email)
    mails = [write(running, booking) for booking in bookings]
    bad = mails.pop(7)
    with running.work(threads=1):
        wait_until(lambda: not running.tasks("send_email"))
    assert is_sent(running, *mails)
    assert state(running, bad) == "failed"
    assert [letter["args"]["email_id"] for letter in running.dead_letters()] == [str(bad)]
    assert len(running.catcher.mails()) == 19
    assert not any("bob" in caught["X-Envelope-To"] for caught in running.catcher.mails())
    running.check()


def test_a_template_that_fails_holds_nobody_up(running: Running) -> None:
    good, bad = running.sale.hold("alice"), running.sale.hold("bob")
    mails = [write(running, good), write(running, bad, "unheard_of")]
    with running.work():
        wait_until(lambda: not running.tasks("send_email"))
    assert [state(running, mail) for mail in mails] == ["sent", "failed"]
    assert "unheard_of" in running.dead_letters()[0]["reason"]


# Servers that will not


def test_not_now_is_tried_again(running: Running) -> None:
    booking = running.sale.hold("alice")
    mail = write(running, booking)
    running.catcher.misbehave(reject_rate=1, reply="451")
    with running.work():
        wait_until(lambda: any(task["failures"] >= 3 for task in running.tasks("send_email")))
        assert state(running, mail) == "pending"
        running.catcher.misbehave()
        wait_until(lambda: is_sent(running, mail) and not running.tasks("send_email"))
    assert running.dead_letters() == []
    assert len(running.catcher.mails()) == 1


def test_never_is_a_dead_letter(running: Running) -> None:
    booking = running.sale.hold("alice")
    mail = write(running, booking)
    running.catcher.misbehave(reject_rate=1, reply="550")
    with running.work():
        wait_until(lambda: not running.tasks("send_email"))
    assert state(running, mail) == "failed"
    assert "550" in mail_of(running, booking)["last_error"]
    (letter,) = running.dead_letters()
    assert "MailRefused" in letter["reason"] or "550" in letter["reason"]
    assert letter["args"] == {"email_id": str(mail)}
    running.check()


def test_an_answer_that_is_lost_makes_no_second_mail(running: Running) -> None:
    """Sent twice, since nobody could know; under one Message-ID."""
    booking = running.sale.hold("alice")
    mail = write(running, booking)
    running.catcher.misbehave(drop_rate=1)
    with running.work():
        wait_until(running.catcher.mails)
        running.catcher.misbehave()
        wait_until(lambda: is_sent(running, mail))
    caught = running.catcher.mails()
    assert len(caught) >= 2
    assert {message["Message-ID"] for message in caught} == {f"<{mail}@usher.example>"}


def test_the_server_is_away(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    mails = [write(running, running.sale.hold(f"buyer{n}", 1)) for n in range(25)]
    monkeypatch.setenv("SMTP_URL", "smtp://127.0.0.1:9")
    settings.cache_clear()
    with running.work():
        wait_until(lambda: all(task["failures"] > 0 for task in running.tasks("send_email")))
        monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{running.catcher.smtp_port}")
        settings.cache_clear()
        wait_until(lambda: is_sent(running, *mails))
    assert running.dead_letters() == []
    assert len(running.catcher.mails()) == 25


def test_it_is_tried_for_a_day(running: Running) -> None:
    """Half an hour without a mail server must not cost anybody the tickets."""
    from tasks import main
    from tasks.durable.leases import policies

    policy = policies[main.send_email.actor_name]
    mean = sum(
        min(policy.longest_delay, policy.base_delay * 2**n) / 2 for n in range(1, policy.failures)
    )
    assert 20 * 3600 < mean < 72 * 3600


@contextmanager
def server(monkeypatch: pytest.MonkeyPatch, word: str, reply: str) -> Iterator[list[str]]:
    """A mail server that answers MAIL, RCPT or DATA as it is told to. Gives who got mail."""
    taken: list[str] = []

    class Handler:
        async def handle_MAIL(
            self, smtp: SMTP, session: Session, envelope: Envelope, address: str, options: Any
        ) -> str:
            envelope.mail_from = address
            return reply if word == "MAIL" else "250 go on"

        async def handle_RCPT(
            self, smtp: SMTP, session: Session, envelope: Envelope, address: str, options: Any
        ) -> str:
            if word == "RCPT":
                return reply
            envelope.rcpt_tos.append(address)
            return "250 go on"

        async def handle_DATA(self, smtp: SMTP, session: Session, envelope: Envelope) -> str:
            taken.extend(envelope.rcpt_tos)
            return reply if word == "DATA" else "250 taken"

    port = free_port()
    controller = Controller(Handler(), hostname="127.0.0.1", port=port)
    controller.start()
    monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{port}")
    settings.cache_clear()
    try:
        yield taken
    finally:
        controller.stop()


@pytest.mark.parametrize(
    ("word", "reply", "becomes"),
    [
        ("RCPT", "550 no such user", "failed"),
        ("RCPT", "451 greylisted", "pending"),
        ("DATA", "554 spam", "failed"),
        ("DATA", "452 full", "pending"),
        ("MAIL", "451 not now", "pending"),
        ("MAIL", "550 sender unknown", "pending"),  # about us: no mail would get through
    ],
)
def test_what_each_refusal_means(
    running: Running, monkeypatch: pytest.MonkeyPatch, word: str, reply: str, becomes: str
) -> None:
    booking = running.sale.hold("alice")
    mail = write(running, booking)
    with server(monkeypatch, word, reply), running.work():
        wait_until(lambda: all(task["failures"] > 0 for task in running.tasks("send_email")))
    assert state(running, mail) == becomes
    assert len(running.dead_letters()) == (becomes == "failed")
    assert len(running.tasks("send_email")) == (becomes == "pending")


def test_a_slow_server_ends_a_batch_before_its_lease(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was taken by then is written down, so that it is not sent again."""
    from tasks.mail import smtp

    monkeypatch.setattr(smtp, "BATCH_TIME", 0.5)
    mails = [write(running, running.sale.hold(f"buyer{n}", 1)) for n in range(12)]
    running.catcher.misbehave(latency_ms=100)
    with running.work(threads=1):
        wait_until(lambda: is_sent(running, *mails), 20)
    assert len(running.catcher.mails()) == 12
    attempts = running.conn.execute("select distinct attempts from emails").fetchall()
    assert len(attempts) > 1, "all in one batch"


def test_a_server_that_says_nothing_is_left(running: Running) -> None:
    from tasks.mail import smtp

    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMTP_URL", f"smtp://127.0.0.1:{silent.getsockname()[1]}")
        patch.setattr(smtp, "TIMEOUT", 0.2)
        settings.cache_clear()
        write(running, running.sale.hold("alice"))
        with running.work():
            wait_until(lambda: any(t["failures"] for t in running.tasks("send_email")))
        assert "timed out" in str(running.tasks("send_email")[0]["errors"])


def test_two_mailers_send_each_mail_once(running: Running) -> None:
    mails = [write(running, running.sale.hold(f"buyer{n}", 1)) for n in range(50)]
    with running.work(threads=6, relays=3):
        wait_until(lambda: is_sent(running, *mails))
    assert len(running.catcher.mails()) == 50
