"""Test mode: events that do not take place are sold for trial, and are nowhere among the others."""

from datetime import UTC, datetime
from typing import Any

import pytest

from db.connections import Conn, one, transaction
from db.maintenance.housekeeping import sum_up_day
from db.maintenance.reports import check_complete
from db.payments import refunds
from db.runtime.errors import Conflict
from db.runtime.settings import settings
from tests.support.running import Running
from tests.support.theatre import Theatre, build_evening
from tests.support.waiting import wait_until
from tests.support.world import Caller, Sale

TEST_ACCOUNT, TEST_KEY = "acct_for_tests", "sk_test_of_the_platform"


@pytest.fixture
def trial(running: Running, monkeypatch: pytest.MonkeyPatch) -> Theatre:
    """An event of an organisation in test mode; the platform has an account for tests."""
    monkeypatch.setenv("STRIPE_TEST_API_KEY", TEST_KEY)
    settings.cache_clear()
    running.sandbox.account(TEST_ACCOUNT, keys=[TEST_KEY])
    return build_evening(running.conn, test_mode=True)


def count(conn: Conn, table: str, event: int) -> int:
    query = f"select count(*) as n from {table} where event_id = %s"
    return int(one(conn.execute(query, [event]))["n"])


def test_it_is_paid_at_the_test_account_and_counted_nowhere(
    running: Running, trial: Theatre
) -> None:
    """Beside a sale that is none."""
    for sale in (trial, running.sale):
        booking = sale.hold(f"buyer of {sale.event}")
        running.pay(booking)
        with running.work():
            running.wait_for(booking, "confirmed")
        with transaction("operator:1") as conn:
            asked = {"tickets": None, "amount": 500, "with_fees": True, "resell": False}
            refunds.request_refund(conn, None, sale.event, booking, asked | {"reason": "ill"})
        with running.work():
            wait_until(lambda: not running.tasks("refund"))
    kept = [running.sandbox.ledger(account=TEST_ACCOUNT), running.sandbox.ledger()]
    assert [len(ledger["intents"]) for ledger in kept] == [1, 1]
    due = [count(running.conn, "receipts_due", s.event) for s in (trial, running.sale)]
    assert due == [0, 2], "the receipt and the credit note"
    sum_up_day(running.conn, datetime.now(UTC).date())
    assert [count(running.conn, "daily_sales", s.event) for s in (trial, running.sale)] == [0, 1]
    with pytest.raises(Conflict, match="test"):
        check_complete(running.conn, trial.event)
    check_complete(running.conn, running.sale.event)
    running.check()


def test_mail_goes_to_members_alone_and_says_test(running: Running, trial: Theatre) -> None:
    conn = running.conn
    member, stranger = trial.hold("member"), trial.hold("stranger")
    conn.execute(
        "insert into memberships (account_id, organisation_id, role) values (%s, %s, 'door')",
        [running.booking(member)["buyer_id"], trial.organisation],
    )
    for booking in (member, stranger):
        running.pay(booking)
    with running.work():
        for booking in (member, stranger):
            running.wait_for(booking, "confirmed")
        wait_until(lambda: not running.tasks("send_email"))
    (mail,) = running.catcher.mails()
    assert str(mail["subject"]).startswith("TEST ")
    for part in ("plain", "html"):
        body = mail.get_body((part,))
        assert body is not None
        assert "this event does not take place" in body.get_content()
    states = "select distinct state from emails where booking_id = %s"
    assert [row["state"] for row in conn.execute(states, [stranger])] == ["skipped"]


@pytest.mark.parametrize("is_test", [True, False])
def test_the_code_of_a_ticket_says_test(
    tosca: Sale, alice: Caller, paid: dict[str, Any], conn: Conn, is_test: bool
) -> None:
    conn.execute("update events set is_test = %s", [is_test])
    path = f"{tosca.path}/bookings/{paid['id']}/tickets"
    (ticket, _) = alice.get(path).json
    drawn = alice.get(f"{path}/{ticket['id']}.svg")
    assert drawn.status_code == 200
    assert (">TEST</text></svg>" in drawn.text) == is_test


def test_no_catalogue_has_it(
    hall: Sale, anybody: Caller, opera: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/v1/organisations/{opera.id}"
    refused = opera.patch(path, {"test_mode": True})
    assert (refused.status_code, refused.json["conflict_reason"]) == (409, "no_test_account")
    monkeypatch.setenv("STRIPE_TEST_API_KEY", TEST_KEY)
    settings.cache_clear()
    assert opera.patch(path, {"test_mode": True}).json["test_mode"] is True
    trial = hall.add_event().open()
    assert opera.patch(path, {"test_mode": False}).json["test_mode"] is False
    real = hall.add_event().open()
    shown = [event["id"] for event in anybody.get("/v1/events").json]
    assert shown == [real.id]
    assert [anybody.get(sale.path).json["is_test"] for sale in (trial, real)] == [True, False]
    refused = opera.get(f"{trial.path}/reports/sales")
    assert (refused.status_code, refused.json["conflict_reason"]) == (409, "test_event")
    own: list[dict[str, Any]] = opera.get(f"{path}/events").json
    assert {event["id"] for event in own} == {trial.id, real.id}
