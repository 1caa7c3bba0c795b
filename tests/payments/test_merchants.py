"""Merchants: organisations with accounts of their own at the gateway, beside each other."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import requests
from flask import Flask

from db.connections import Conn, one, transaction
from db.payments import event_cancellations, merchants, payouts, refunds
from db.runtime.errors import Conflict
from tests.support.notifying import send
from tests.support.running import Running
from tests.support.theatre import Theatre, build_evening
from tests.support.waiting import wait_until
from tests.support.world import Caller

OPERA, CIRCUS = "acct_opera", "acct_circus"
OPERA_KEY, CIRCUS_KEY = "sk_live_of_the_opera", "sk_live_of_the_circus"
CREATE = "POST /v1/payment_intents"


@pytest.fixture(autouse=True)
def accounts_of_the_gateway(running: Running) -> None:
    running.sandbox.account(OPERA, keys=[OPERA_KEY])
    running.sandbox.account(CIRCUS, keys=[CIRCUS_KEY])


def connect(running: Running, sale: Theatre, **how: Any) -> int:
    """Connect an account; the events of the sale's organisation are paid through it."""
    with transaction("operator:1") as conn:
        account: int = merchants.add_account(conn, sale.organisation, mode="live", **how)["id"]
    with running.work():
        wait_until(lambda: not running.tasks("check_merchant"))
    query = "update events set gateway_account_id = %s where id = %s"
    running.conn.execute(query, [account, sale.event])
    return account


def state(running: Running, sale: Theatre, account: int) -> dict[str, Any]:
    return merchants.get_account(running.conn, sale.organisation, account)


def pay(running: Running, sale: Theatre, name: str) -> tuple[UUID, UUID]:
    booking = sale.hold(name)
    return booking, running.pay(booking)


def ledger(running: Running, account: str = "") -> list[str]:
    """The bookings whose payments an account at the gateway has."""
    query = {"account": account} if account else {}
    intents = running.sandbox.ledger(**query)["intents"]
    return [intent["metadata"]["booking_id"] for intent in intents]


def test_each_merchant_s_money_goes_to_its_own_account(running: Running) -> None:
    """By a key of its own, or with the platform's key and a header; the rest to the platform."""
    circus, fair = build_evening(running.conn), build_evening(running.conn)
    own = connect(running, running.sale, api_key=OPERA_KEY)
    running.sandbox.account("acct_fair", connected=True)
    connected = connect(running, fair, connected_account="acct_fair")
    assert state(running, running.sale, own)["external_account"] == OPERA
    assert state(running, fair, connected)["state"] == "active"
    paid = [
        pay(running, sale, f"buyer{n}")[0] for n, sale in enumerate([running.sale, fair, circus])
    ]
    with running.work():
        for booking in paid:
            running.wait_for(booking, "confirmed")
    assert [ledger(running, account) for account in (OPERA, "acct_fair", "")] == [
        [str(booking)] for booking in paid
    ]
    running.check()


def test_keys_stand_nowhere_in_the_clear(running: Running) -> None:
    connect(running, running.sale, api_key=OPERA_KEY)
    rows = running.conn.execute("select * from sealed_secrets").fetchall()
    assert [(row["purpose"], row["owner"].isdigit()) for row in rows] == [("stripe_key", True)]
    for table in ("sealed_secrets", "outbox", "audit_log", "gateway_accounts", "dead_letters"):
        text = str(running.conn.execute(f"select * from {table}").fetchall())
        assert OPERA_KEY not in text, table


def test_another_key_is_kept_only_if_it_is_the_same_account_s(running: Running) -> None:
    account = connect(running, running.sale, api_key=OPERA_KEY)
    organisation = running.sale.organisation
    running.sandbox.account(OPERA, keys=["sk_live_newer"])
    for key, refusal in [(CIRCUS_KEY, "another account"), ("sk_live_newer", None)]:
        with transaction("organiser:1") as conn:
            merchants.offer_key(conn, organisation, account, "live", key)
        with running.work():
            wait_until(lambda: not running.tasks("check_merchant"))
        found = state(running, running.sale, account)
        assert found["state"] == "active"
        assert (refusal or "None") in str(found["refusal"])
        # What is not kept is not there any more.
        assert len(running.conn.execute("select from sealed_secrets").fetchall()) == 1
    running.sandbox.account(OPERA, revoke=[OPERA_KEY])
    booking, _ = pay(running, running.sale, "alice")
    with running.work():
        running.wait_for(booking, "confirmed")


def test_a_key_that_is_wrong_or_of_a_known_account_is_refused(running: Running) -> None:
    circus = build_evening(running.conn)
    connect(running, running.sale, api_key=OPERA_KEY)
    running.sandbox.account(CIRCUS, revoke=[CIRCUS_KEY])
    for key, why in [(CIRCUS_KEY, "does not accept"), (OPERA_KEY, "connected already")]:
        account = connect(running, circus, api_key=key)
        found = state(running, circus, account)
        assert (found["state"], found["external_account"]) == ("refused", None)
        assert why in found["refusal"]
    with transaction("operator:1") as conn, pytest.raises(Conflict, match="connected already"):
        merchants.add_account(conn, circus.organisation, mode="live", connected_account=OPERA)


def outages(conn: Conn) -> dict[int, str]:
    rows = conn.execute("select * from outages where closed_at is null")
    return {row["gateway_account_id"]: row["reason"] for row in rows}


@pytest.mark.parametrize("how", ["own key", "connected"])
def test_a_lost_account_pauses_its_lanes_and_nothing_is_declined(
    running: Running, how: str
) -> None:
    if how == "own key":
        account = connect(running, running.sale, api_key=OPERA_KEY)
        running.sandbox.account(OPERA, revoke=[OPERA_KEY])
    else:
        running.sandbox.account(OPERA, connected=True)
        account = connect(running, running.sale, connected_account=OPERA)
        running.sandbox.account(OPERA, connected=False)
    booking, payment = pay(running, running.sale, "alice")
    other = build_evening(running.conn)
    beside, _ = pay(running, other, "bob")
    with running.work():
        wait_until(lambda: running.booking(beside)["state"] == "confirmed")
        wait_until(lambda: outages(running.conn) == {account: "key_refused"})
    assert running.booking(booking)["state"] == "authorising"
    assert running.payment(payment)["failure_code"] is None
    assert running.dead_letters() == []
    due = "select is_due from lanes_due(now(), accounts_away()) where event_id = %s"
    assert [one(running.conn.execute(due, [s.event]))["is_due"] for s in (running.sale, other)] == [
        False, True,
    ]  # fmt: skip
    running.sandbox.account(OPERA, keys=["sk_live_newer"], connected=how == "connected")
    with transaction("organiser:1") as conn:
        if how == "own key":
            merchants.offer_key(conn, running.sale.organisation, account, "live", "sk_live_newer")
        else:
            merchants.check_again(conn, running.sale.organisation, account)
    with running.work():
        wait_until(lambda: not running.tasks("check_merchant"))
        running.conn.execute("update outbox set run_at = now(), resend_at = now()")
        wait_until(lambda: probed(running))
        running.conn.execute("update outbox set run_at = now(), resend_at = now()")
        running.wait_for(booking, "confirmed")
    assert outages(running.conn) == {}
    running.check()


def probed(running: Running) -> bool:
    """The clock has probes made until the outage is over."""
    running.conn.execute("update gateway_circuits set retry_at = now() where state = 'open'")
    query = """
        select enqueue('probe_gateway', 'payments', gateway_account_id::text,
            jsonb_build_object('account_id', gateway_account_id))
        from outages where closed_at is null"""
    return not running.conn.execute(query).fetchall()


def test_one_merchant_s_outage_does_not_touch_another(running: Running) -> None:
    account = connect(running, running.sale, api_key=OPERA_KEY)
    circus = build_evening(running.conn)
    other = connect(running, circus, api_key=CIRCUS_KEY)
    running.sandbox.faults(account=OPERA, drop_before_rate=1)
    away = [pay(running, running.sale, f"opera{n}")[0] for n in range(3)]
    with running.work():
        wait_until(lambda: outages(running.conn) == {account: "away"})
        paid = [pay(running, circus, f"circus{n}")[0] for n in range(3)]
        for booking in paid:
            wait_until(lambda: running.booking(booking)["state"] == "confirmed")  # noqa: B023
    assert {running.booking(booking)["state"] for booking in away} == {"authorising"}
    circuits = "select gateway_account_id, state, failures from gateway_circuits"
    found = {row["gateway_account_id"]: row for row in running.conn.execute(circuits)}
    assert found[account]["state"] != "closed"
    assert (found[other]["state"], found[other]["failures"]) == ("closed", 0)


def test_organisations_that_share_an_account_share_its_limits_and_its_outage(
    running: Running,
) -> None:
    """Its circuit is one row, and its outage one of each."""
    other = build_evening(running.conn)
    query = "select gateway_account_id from events where id = %s"
    accounts = {
        one(running.conn.execute(query, [sale.event]))["gateway_account_id"]
        for sale in (running.sale, other)
    }
    assert len(accounts) == 2
    paid = [pay(running, sale, f"b{n}")[0] for n, sale in enumerate([running.sale, other])]
    with running.work():
        for booking in paid:
            running.wait_for(booking, "confirmed")
    rows = running.conn.execute("select gateway_account_id from gateway_circuits").fetchall()
    assert [row["gateway_account_id"] for row in rows] == [min(accounts)]
    running.conn.execute("select open_circuit(%s, null, 60, 60)", [min(accounts)])
    assert outages(running.conn).keys() == accounts
    third = build_evening(running.conn)
    assert len(outages(running.conn)) == 3, "one that comes later shares it, too"
    away = "select is_due from lanes_due(now(), accounts_away()) where event_id = %s"
    assert not one(running.conn.execute(away, [third.event]))["is_due"]
    running.conn.execute("update gateway_circuits set state = 'half-open', probes = 1")
    running.conn.execute("select close_circuit(%s, 1)", [min(accounts)])
    assert outages(running.conn) == {}


def test_a_backlog_is_that_of_an_account(running: Running) -> None:
    """Of all who sell through it; another merchant's lanes go on."""
    circus = build_evening(running.conn)
    connect(running, circus, api_key=CIRCUS_KEY)
    shared = build_evening(running.conn)
    for n in range(3):
        pay(running, running.sale, f"b{n}")
    backlogged = "select unnest(backlogged_accounts(2)) as account"
    found = {row["account"] for row in running.conn.execute(backlogged)}
    accounts = "select gateway_account_id from events where id = any (%s)"
    wanted = running.conn.execute(accounts, [[running.sale.event, shared.event]]).fetchall()
    assert {row["gateway_account_id"] for row in wanted} <= found
    (others,) = running.conn.execute(accounts, [[circus.event]]).fetchall()
    assert others["gateway_account_id"] not in found


# Notifications


@pytest.fixture
def two_merchants(running: Running) -> dict[str, dict[str, Any]]:
    """The opera and the circus, each with a confirmed booking."""
    circus = build_evening(running.conn)
    found = {}
    for name, sale, key in [("opera", running.sale, OPERA_KEY), ("circus", circus, CIRCUS_KEY)]:
        account = connect(running, sale, api_key=key)
        with transaction("organiser:1") as conn:
            secret = f"whsec_of_the_{name}"
            merchants.keep_webhook_secret(conn, sale.organisation, account, secret)
        booking, payment = pay(running, sale, name)
        with running.work():
            running.wait_for(booking, "confirmed")
        ref = running.payment(payment)["gateway_ref"]
        found[name] = {"account": account, "secret": secret, "booking": booking, "ref": ref}
    return found


def warning(ref: str, id: str = "evt_1", **more: Any) -> dict[str, Any]:
    thing = {"id": f"issfr_{ref}", "object": "radar.early_fraud_warning", "payment_intent": ref,
             "fraud_type": "card_never_received", "actionable": True}  # fmt: skip
    type = "radar.early_fraud_warning.created"
    return {"id": id, "type": type, "data": {"object": thing}, **more}


def test_a_notification_counts_only_for_the_account_whose_secret_signed_it(
    running: Running, app: Flask, two_merchants: dict[str, dict[str, Any]]
) -> None:
    """The opera signs a fraud warning that names the circus' payment."""
    anybody = Caller(app.test_client())
    opera, circus = two_merchants["opera"], two_merchants["circus"]
    mine, theirs = (f"/webhooks/stripe/{each['account']}" for each in (opera, circus))
    about = warning(circus["ref"])
    for event in (about, about | {"account": CIRCUS}):
        assert send(anybody, event, secret=opera["secret"], path=mine).status_code == 200
    assert send(anybody, about, secret=opera["secret"], path=theirs).status_code == 400
    # The platform's secret says nothing about accounts with keys of their own.
    for event in (about, about | {"account": CIRCUS}):
        assert send(anybody, event).status_code == 200
    assert running.tasks("freeze_for_fraud_warning") == []
    assert running.conn.execute("select from notification_inbox").fetchall() == []
    assert send(anybody, about, secret=circus["secret"], path=theirs).status_code == 200
    with running.work():
        running.wait_for(circus["booking"], "frozen")
    assert running.booking(opera["booking"])["state"] == "confirmed"


def test_ids_of_one_merchant_s_notifications_do_not_hide_another_s(
    running: Running, app: Flask, two_merchants: dict[str, dict[str, Any]]
) -> None:
    anybody = Caller(app.test_client())
    for each in two_merchants.values():
        path = f"/webhooks/stripe/{each['account']}"
        send(anybody, warning(each["ref"], "evt_same"), secret=each["secret"], path=path)
    assert len(running.tasks("freeze_for_fraud_warning")) >= 1
    ids = running.conn.execute("select id from notification_inbox").fetchall()
    assert len(ids) == 2


def test_a_warning_of_one_merchant_does_not_hide_another_s(
    running: Running, app: Flask, two_merchants: dict[str, dict[str, Any]]
) -> None:
    """The opera signs a warning about its own payment, with the id that the circus' will have."""
    anybody = Caller(app.test_client())
    opera, circus = two_merchants["opera"], two_merchants["circus"]
    first = warning(opera["ref"])
    first["data"]["object"]["id"] = warning(circus["ref"])["data"]["object"]["id"]
    for event, each in ((first, opera), (warning(circus["ref"], "evt_2"), circus)):
        path = f"/webhooks/stripe/{each['account']}"
        assert send(anybody, event, secret=each["secret"], path=path).status_code == 200
        send(anybody, event | {"id": "evt_again"}, secret=each["secret"], path=path)
    query = "select booking_id from fraud_warnings order by created_at"
    warned = [row["booking_id"] for row in running.conn.execute(query)]
    assert warned == [opera["booking"], circus["booking"]]
    with running.work():
        running.wait_for(circus["booking"], "frozen")


def deauthorization(account: str) -> dict[str, Any]:
    thing = {"id": "ca_usher", "object": "application"}
    type = "account.application.deauthorized"
    return {"id": "evt_gone", "type": type, "account": account, "data": {"object": thing}}


def test_an_account_that_leaves_the_platform_pauses_before_a_buyer_pays(
    running: Running, app: Flask
) -> None:
    """The notification decides nothing: the gateway is asked."""
    anybody = Caller(app.test_client())
    running.sandbox.account(OPERA, connected=True)
    account = connect(running, running.sale, connected_account=OPERA)
    for connected, away in ((True, {}), (False, {account: "key_refused"})):
        running.sandbox.account(OPERA, connected=connected)
        assert send(anybody, deauthorization(OPERA)).status_code == 200
        assert len(running.tasks("check_merchant")) == 1
        with running.work():
            wait_until(lambda: not running.tasks("check_merchant"))
        assert outages(running.conn) == away
    assert state(running, running.sale, account)["refusal"]
    due = "select is_due from lanes_due(now(), accounts_away()) where event_id = %s"
    assert not one(running.conn.execute(due, [running.sale.event]))["is_due"]


def test_no_merchant_says_that_another_has_left(
    running: Running, app: Flask, two_merchants: dict[str, dict[str, Any]]
) -> None:
    """Nor the platform's notifications that it is an account with own keys that has."""
    anybody = Caller(app.test_client())
    fair = build_evening(running.conn)
    running.sandbox.account("acct_fair", connected=True)
    connect(running, fair, connected_account="acct_fair")
    opera = two_merchants["opera"]
    path = f"/webhooks/stripe/{opera['account']}"
    for named in ("acct_fair", OPERA):
        event = deauthorization(named)
        assert send(anybody, event, secret=opera["secret"], path=path).status_code == 200
    strange: tuple[Any, ...] = (OPERA, "acct_unknown", None, 7)
    for other in strange:
        event = deauthorization("") | {"account": other}
        assert send(anybody, event).status_code == 200
    assert running.tasks("check_merchant") == []


def test_an_account_without_a_secret_believes_nothing(app: Flask, running: Running) -> None:
    anybody = Caller(app.test_client())
    account = connect(running, running.sale, api_key=OPERA_KEY)
    for path in (f"/webhooks/stripe/{account}", "/webhooks/stripe/999"):
        assert send(anybody, warning("pi_1"), path=path).status_code == 400
        assert send(anybody, warning("pi_1"), secret="", path=path).status_code == 400


def test_the_sandbox_delivers_to_each_merchant_s_endpoint(running: Running) -> None:
    """With the account's own secret, and the account's id where it is the platform's endpoint."""
    answer = requests.get(
        f"{running.sandbox.url}/v1/account", auth=(OPERA_KEY, ""), timeout=5
    ).json()
    assert answer["id"] == OPERA
    refused = requests.get(
        f"{running.sandbox.url}/v1/account", auth=("sk_test_x", ""), timeout=5,
        headers={"Stripe-Account": OPERA},
    )  # fmt: skip
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "account_invalid")


# Suspensions


def suspend(operator: Caller, sale: Theatre) -> None:
    path = f"/v1/organisations/{sale.organisation}/suspension"
    answer = operator.call("PUT", path, {"reason": "events that do not take place"})
    assert answer.json["suspension"] == "events that do not take place"


def test_a_suspended_organisation_sells_nothing_and_its_door_goes_on(
    running: Running, operator: Caller
) -> None:
    conn, sale = running.conn, running.sale
    sold, _ = pay(running, sale, "alice")
    with running.work():
        running.wait_for(sold, "confirmed")
    held = sale.hold("bob")
    suspend(operator, sale)
    assert next_lanes(conn) == []
    start = """
        select outcome from bookings b,
            start_payment(b.event_id, b.id, b.buyer_id, 'pm_card_visa', 'https://usher.example')
        where b.id = %s"""
    assert one(conn.execute(start, [held]))["outcome"] == "suspended"
    tickets = "select state from tickets where booking_id = %s"
    assert {row["state"] for row in conn.execute(tickets, [sold])} == {"valid"}
    operator.delete(f"/v1/organisations/{sale.organisation}/suspension")
    assert next_lanes(conn) == [sale.event]
    running.check()


def next_lanes(conn: Conn) -> list[int]:
    """The lanes that may be decided, though they would have to be looked at."""
    rows = conn.execute("select event_id from lanes_due(now(), '{}') where is_due")
    return [row["event_id"] for row in rows]


def test_a_suspended_organisation_pays_nothing_out_by_hand(
    running: Running, operator: Caller
) -> None:
    booking, _ = pay(running, running.sale, "alice")
    with running.work():
        running.wait_for(booking, "confirmed")
    suspend(operator, running.sale)
    event, organisation = running.sale.event, running.sale.organisation
    asked = {"tickets": None, "amount": 100, "with_fees": True, "resell": False, "reason": "ill"}
    with transaction("organiser:1") as conn, pytest.raises(Conflict, match="suspended"):
        refunds.request_refund(conn, organisation, event, booking, asked)
    with transaction("organiser:1") as conn, pytest.raises(Conflict, match="suspended"):
        event_cancellations.cancel_event(conn, organisation, event, "away", with_fees=True)
    with transaction("operator:1") as conn:
        refunds.request_refund(conn, None, event, booking, asked)


# Payouts and fees


def read_balances(running: Running) -> None:
    """What the clock begins every hour."""
    with transaction("clock:read_balances") as conn:
        payouts.start_readings(conn)
    with running.work():
        wait_until(lambda: not running.tasks("read_balance"))


def test_fees_and_payouts_are_read_from_the_gateway(running: Running) -> None:
    """Twice, since the second payout comes later; nothing is counted twice."""
    account = connect(running, running.sale, api_key=OPERA_KEY)
    other = build_evening(running.conn)
    for sale, names in [(running.sale, ["alice", "bob"]), (other, ["charlie"])]:
        for name in names:
            booking, _ = pay(running, sale, name)
            with running.work():
                running.wait_for(booking, "confirmed")
    with transaction("operator:1") as conn:
        asked = {"tickets": None, "amount": 500, "with_fees": True, "resell": False, "reason": "x"}
        refunds.request_refund(conn, None, other.event, booking, asked)
    with running.work():
        wait_until(lambda: not running.tasks("refund"))
    paid_out = [running.sandbox.pay_out("eur", OPERA)["amount"]]
    for _ in range(2):
        read_balances(running)
    rows = payouts.list_payouts(running.conn, running.sale.organisation, limit=10)
    assert [row["amount"] for row in rows] == paid_out
    assert (rows[0]["transactions"], rows[0]["gross"]) == (2, 2 * 10500)
    assert rows[0]["gross"] - rows[0]["fee"] == paid_out[0]
    now = datetime.now(UTC)
    window = (now - timedelta(days=1), now + timedelta(days=1))
    (own,) = payouts.sum_fees(running.conn, running.sale.organisation, *window)
    assert (own["gateway_account_id"], own["transactions"]) == (account, 2)
    assert own["fee"] == rows[0]["fee"] > 0
    (shared,) = payouts.sum_fees(running.conn, other.organisation, *window)
    assert (shared["transactions"], shared["amount"]) == (2, 10500 - 500)
    third = build_evening(running.conn)
    assert payouts.sum_fees(running.conn, third.organisation, *window) == []
    assert payouts.list_payouts(running.conn, other.organisation, limit=10) == []
