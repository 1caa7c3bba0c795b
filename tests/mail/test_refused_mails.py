"""A mail that is refused: its organiser is told, corrects the address and sends it again."""

import json
from uuid import UUID

import pytest
from flask import Flask

from db.connections import Conn, one
from tests.support.mails import body
from tests.support.running import Running
from tests.support.waiting import wait_until
from tests.support.world import Caller, Sale, seller

pytestmark = pytest.mark.processes


@pytest.fixture
def organiser(app: Flask, running: Running) -> Caller:
    """Of the evening's organisation."""
    other = seller(app, "organiser", "Theatre")
    query = "update api_keys set organisation_id = %s where organisation_id = %s"
    running.conn.execute(query, [running.sale.organisation, other.id])
    return other


@pytest.fixture
def refused(running: Running) -> UUID:
    """A confirmed booking whose tickets the mail server refuses, with words about the address."""
    booking = running.sale.hold("alice")
    running.sale.confirm(booking)
    reply = "550 5.1.1 <alice@usher.example>: Recipient alice unknown in Alice@Usher.Example"
    running.catcher.misbehave(reject_rate=1, reply=reply)
    with running.work():
        wait_until(lambda: not running.tasks("send_email"))
    running.catcher.misbehave()
    return booking


def path(running: Running, booking: UUID, what: str) -> str:
    return f"/v1/events/{running.sale.event}/bookings/{booking}/{what}"


@pytest.mark.faults("F3")
def test_the_organiser_is_told_what_was_refused(
    running: Running, organiser: Caller, refused: UUID
) -> None:
    (mail,) = organiser.get(f"/v1/events/{running.sale.event}/emails-in-trouble").json
    assert mail["booking_id"] == str(refused)
    assert mail["booking_code"] == running.booking(refused)["code"]
    assert (mail["template"], mail["email"]) == ("confirmed", "alice@usher.example")
    assert mail["reason"].startswith("550 5.1.1")


@pytest.mark.faults("F3")
def test_the_organiser_corrects_the_address_and_the_tickets_arrive(
    running: Running, organiser: Caller, refused: UUID
) -> None:
    given = {"email": "Alice@Straße.example"}
    answer = organiser.call("PUT", path(running, refused, "address"), given)
    assert answer.status_code == 200, answer.text
    assert answer.json["email"] == "Alice@xn--strae-oqa.example"
    assert answer.json["corrected"] is True
    assert [mail["template"] for mail in answer.json["emails"]] == ["confirmed"]
    with running.work():
        wait_until(lambda: running.catcher.mails("alice@xn--strae-oqa.example"))
        wait_until(lambda: not running.tasks("send_email"))
    (caught,) = running.catcher.mails()
    assert one(running.conn.execute("select secret from tickets limit 1"))["secret"] in body(caught)
    assert "alice" not in str(caught["To"]).partition("<")[0], "another person may read it"
    assert organiser.get(f"/v1/events/{running.sale.event}/emails-in-trouble").json == []
    assert all(letter["resolved_at"] for letter in running.dead_letters())
    account = one(running.conn.execute("select email from buyers where name = 'alice'"))
    assert account["email"] == "alice@usher.example", "the account is the buyer's"
    running.check()


@pytest.mark.faults("F3")
def test_a_correction_is_audited_without_the_address(
    running: Running, organiser: Caller, refused: UUID
) -> None:
    organiser.call("PUT", path(running, refused, "address"), {"email": "new@usher.example"})
    query = "select actor, action, detail::text from audit_log where action like '%%address%%'"
    act = one(running.conn.execute(query, []))
    assert act["actor"].startswith("organiser:")
    assert act["action"] == "booking address corrected"
    assert str(refused) in act["detail"]
    assert "usher.example" not in act["detail"]


@pytest.mark.faults("F3")
def test_tickets_are_sent_again_as_another_mail(running: Running, organiser: Caller) -> None:
    booking = running.sale.hold("alice")
    running.sale.confirm(booking)
    with running.work():
        wait_until(lambda: running.catcher.mails() and not running.tasks("send_email"))
        first, again = (
            organiser.post(path(running, booking, "emails"), key="again") for _ in range(2)
        )
        assert first.status_code == 202, first.text
        assert first.json == again.json
        assert "usher.example" not in first.text
        wait_until(lambda: len(running.catcher.mails()) == 2)
        wait_until(lambda: not running.tasks("send_email"))
    ids = {mail["Message-ID"] for mail in running.catcher.mails()}
    assert len(ids) == 2, "mail programs show a Message-ID once"
    assert len({mail["Subject"] for mail in running.catcher.mails()}) == 1
    running.check()


def test_there_is_nothing_to_send_for_a_hold(running: Running, organiser: Caller) -> None:
    booking = running.sale.hold("alice")
    answer = organiser.post(path(running, booking, "emails"), key="key")
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, "nothing_to_send")


def test_the_buyers_own_address_ends_the_correction(
    running: Running, organiser: Caller, refused: UUID
) -> None:
    where = path(running, refused, "address")
    for email, corrected in (("new@usher.example", True), ("alice@usher.example", False)):
        organiser.call("PUT", where, {"email": email})
        assert organiser.get(where).json == {"email": email, "corrected": corrected}


@pytest.mark.parametrize("email", ["zoë@usher.example", "a" * 65 + "@usher.example", "alice"])
def test_a_correction_has_to_be_mailable(
    running: Running, organiser: Caller, refused: UUID, email: str
) -> None:
    answer = organiser.call("PUT", path(running, refused, "address"), {"email": email})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["path"] == "email"


def test_only_the_organisation_sees_and_corrects(
    running: Running, refused: UUID, circus: Caller, alice: Caller, anybody: Caller
) -> None:
    email = {"email": "mallory@usher.example"}
    for caller, status in ((circus, 404), (alice, 403), (anybody, 401)):
        answers = [
            caller.get(f"/v1/events/{running.sale.event}/emails-in-trouble"),
            caller.get(path(running, refused, "address")),
            caller.call("PUT", path(running, refused, "address"), email),
            caller.post(path(running, refused, "emails"), key="key"),
        ]
        assert [answer.status_code for answer in answers] == [status] * 4
    assert running.conn.execute("select from booking_addresses").fetchall() == []


@pytest.mark.faults("addresses in dead letters")
def test_no_address_is_in_errors_and_dead_letters(running: Running, refused: UUID) -> None:
    query = """
        select jsonb_build_array(
            (select jsonb_agg(to_jsonb(e)) from emails e),
            (select jsonb_agg(to_jsonb(l)) from dead_letters l)) as rows"""
    rows = json.dumps(one(running.conn.execute(query))["rows"]).lower()
    assert "550 5.1.1" in rows
    assert "alice" not in rows
    assert "usher.example" not in rows


def test_an_archived_booking_keeps_no_address(
    tosca: Sale, opera: Caller, conn: Conn, paid: dict[str, str]
) -> None:
    where = f"{tosca.path}/bookings/{paid['id']}/address"
    assert opera.call("PUT", where, {"email": "new@usher.example"}).status_code == 200
    conn.execute("update emails set state = 'skipped'")
    conn.execute("delete from outbox")
    query = "select archive_bookings(%s, '2030-01-01', %s)"
    conn.execute(
        "select make_partition(name, '2030-01-01') from unnest(array['archived_bookings', "
        "'archived_payments']) name"
    )
    conn.execute(query, [tosca.id, [paid["id"]]])
    assert conn.execute("select from booking_addresses").fetchall() == []
    assert opera.get(where).status_code == 404
