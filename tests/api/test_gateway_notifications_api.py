"""Stripe's notifications: verified; those that are news are stored once and start a task, all
others are forgotten. All of them are sent both ways: past Flask, and through it."""

from typing import Any

import pytest

from db.connections import Conn
from db.runtime.settings import SettingsError, read_settings, settings
from tests.support.notifying import PATH, deliver, send, send_bytes
from tests.support.world import Caller, Sale, pay
from web.notifications import fast_path


@pytest.fixture(autouse=True, params=["past Flask", "through Flask"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "through Flask":
        monkeypatch.setattr(fast_path, "read_body", lambda environ: None)


@pytest.fixture
def payment(tosca: Sale, alice: Caller, conn: Conn) -> dict[str, Any]:
    """A payment that the gateway knows as pi_1, of a booking whose task is done."""
    booking = tosca.book(alice, conn)
    id = pay(tosca, alice, booking).json["payment"]["id"]
    conn.execute("UPDATE payments SET gateway_ref = 'pi_1'")
    conn.execute("DELETE FROM outbox")
    return {"id": id, "event_id": tosca.id, "booking_id": booking["id"]}


def intent(payment: dict[str, Any], status: str, id: str = "evt_1") -> dict[str, Any]:
    metadata = {"payment_id": payment["id"], "booking_id": payment["booking_id"]}
    thing = {"id": "pi_1", "object": "payment_intent", "status": status, "metadata": metadata}
    return {"id": id, "type": "payment_intent.amount_capturable_updated", "data": {"object": thing}}


def stored(conn: Conn) -> int:
    return len(conn.execute("SELECT FROM notification_inbox").fetchall())


def tasks(conn: Conn) -> list[dict[str, Any]]:
    return conn.execute("SELECT actor, queue, key, args, event_id FROM outbox").fetchall()


def test_news_of_a_payment_makes_us_look(
    anybody: Caller, payment: dict[str, Any], conn: Conn
) -> None:
    answer = send(anybody, intent(payment, "requires_capture"))
    assert (answer.status_code, answer.json) == (200, {"received": True})
    args = {"event_id": payment["event_id"], "booking_id": payment["booking_id"]}
    key = payment["booking_id"]
    assert tasks(conn) == [
        {"actor": "advance", "queue": "payments", "key": key, "args": args,
         "event_id": payment["event_id"]}
    ]  # fmt: skip


def test_a_notification_is_taken_once(anybody: Caller, payment: dict[str, Any], conn: Conn) -> None:
    send(anybody, intent(payment, "requires_capture"))
    conn.execute("DELETE FROM outbox")
    assert send(anybody, intent(payment, "requires_capture")).status_code == 200
    assert tasks(conn) == []
    assert stored(conn) == 1


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("requires_action", "requires_action"),
        ("processing", "processing"),
        ("requires_capture", "authorised"),
        ("succeeded", "captured"),
        ("canceled", "voided"),
    ],
)
def test_what_we_know_already_is_forgotten(
    anybody: Caller, payment: dict[str, Any], conn: Conn, status: str, state: str
) -> None:
    conn.execute("UPDATE payments SET state = %s, captured = amount", [state])
    assert send(anybody, intent(payment, status)).json == {"received": True}
    assert (tasks(conn), stored(conn)) == ([], 0)


@pytest.mark.parametrize("status", ["processing", "requires_payment_method"])
def test_whatever_is_news_makes_us_look(
    anybody: Caller, payment: dict[str, Any], conn: Conn, status: str
) -> None:
    send(anybody, intent(payment, status))
    assert [task["actor"] for task in tasks(conn)] == ["advance"]


OTHER_TYPES = (
    "payment_intent.created", "charge.succeeded", "charge.captured", "charge.refunded",
    "charge.updated", "radar.early_fraud_warning.updated", "payout.paid", "x",
)  # fmt: skip


@pytest.mark.parametrize("type", OTHER_TYPES)
def test_types_that_can_say_nothing_new_are_forgotten(
    anybody: Caller, payment: dict[str, Any], conn: Conn, type: str
) -> None:
    """An endpoint may be registered for them, too."""
    event = intent(payment, "requires_capture") | {"type": type}
    assert send(anybody, event).json == {"received": True}
    assert (tasks(conn), stored(conn)) == ([], 0)
    assert send(anybody, event, age=301).status_code == 400


@pytest.mark.parametrize("type", ["refund.updated", "refund.failed"])
def test_a_refund_that_failed_before_we_knew_it_is_forgotten(
    anybody: Caller, payment: dict[str, Any], conn: Conn, type: str
) -> None:
    thing = {"id": "x_1", "object": "refund", "payment_intent": "pi_1", "metadata": {}}
    thing["status"] = "failed"
    send(anybody, {"id": "evt_1", "type": type, "data": {"object": thing}})
    assert (tasks(conn), stored(conn)) == ([], 0)


@pytest.mark.parametrize(
    "type", ["created", "updated", "closed", "funds_withdrawn", "funds_reinstated"]
)
def test_news_of_a_dispute_makes_us_look(
    anybody: Caller, payment: dict[str, Any], conn: Conn, type: str
) -> None:
    """Disputes do not carry our metadata: they are found by the intent."""
    thing = {"id": "du_1", "object": "dispute", "payment_intent": "pi_1", "metadata": {}}
    send(anybody, {"id": "evt_1", "type": f"charge.dispute.{type}", "data": {"object": thing}})
    (task,) = tasks(conn)
    assert (task["actor"], task["key"]) == ("look_at_dispute", "du_1")
    args = {"event_id": payment["event_id"], "booking_id": payment["booking_id"]}
    assert task["args"] == args | {"payment_id": payment["id"], "dispute_id": "du_1"}


def test_a_dispute_that_is_not_ours_is_forgotten(anybody: Caller, conn: Conn) -> None:
    thing = {"id": "du_1", "object": "dispute", "payment_intent": "pi_other", "metadata": {}}
    event = {"id": "evt_1", "type": "charge.dispute.created", "data": {"object": thing}}
    assert send(anybody, event).status_code == 200
    assert (tasks(conn), stored(conn)) == ([], 0)


def test_a_warning_of_fraud_is_kept_once(
    anybody: Caller, payment: dict[str, Any], conn: Conn, tosca: Sale, circus: Caller
) -> None:
    thing = {"id": "issfr_1", "object": "radar.early_fraud_warning", "payment_intent": "pi_1",
             "fraud_type": "made_with_stolen_card", "actionable": True}  # fmt: skip
    for id in ("evt_1", "evt_2"):
        type = "radar.early_fraud_warning.created"
        assert send(anybody, {"id": id, "type": type, "data": {"object": thing}}).status_code == 200
    assert [task["actor"] for task in tasks(conn)] == ["freeze_for_fraud_warning"]
    assert stored(conn) == 1
    (warning,) = tosca.opera.get(f"{tosca.path}/fraud-warnings").json
    assert (warning["id"], warning["booking_id"]) == ("issfr_1", payment["booking_id"])
    assert (warning["kind"], warning["actionable"]) == ("made_with_stolen_card", True)
    assert circus.get(f"{tosca.path}/fraud-warnings").status_code == 404


@pytest.fixture
def refund(payment: dict[str, Any], conn: Conn) -> str:
    """A refund of that payment that has succeeded, re_1; its id."""
    return give_back(conn)


def give_back(conn: Conn) -> str:
    conn.execute("UPDATE payments SET state = 'authorised'")
    conn.execute("UPDATE payments SET state = 'captured', captured = amount")
    row = conn.execute(
        "INSERT INTO refunds (payment_id, event_id, booking_id, amount, currency, reason,"
        " gateway_ref, state) SELECT id, event_id, booking_id, 1000, currency, 'ill', 're_1',"
        " 'succeeded' FROM payments RETURNING id::text"
    ).fetchone()
    assert row
    return str(row["id"])


def news_of_refund(refund: str | None, status: str, type: str) -> dict[str, Any]:
    metadata = {"refund_id": refund} if refund else {}
    thing = {"id": "re_1", "object": "refund", "status": status, "payment_intent": "pi_1",
             "metadata": metadata}  # fmt: skip
    return {"id": "evt_1", "type": type, "data": {"object": thing}}


@pytest.mark.parametrize("type", ["refund.updated", "refund.failed", "charge.refund.updated"])
@pytest.mark.parametrize("tagged", [True, False])
def test_news_of_a_refund_makes_us_look(
    anybody: Caller, payment: dict[str, Any], refund: str, conn: Conn, type: str, tagged: bool
) -> None:
    send(anybody, news_of_refund(refund if tagged else None, "failed", type))
    (task,) = tasks(conn)
    assert (task["actor"], task["key"]) == ("refund", refund)
    args = {"event_id": payment["event_id"], "booking_id": payment["booking_id"]}
    assert task["args"] == args | {"refund_id": refund}


@pytest.mark.parametrize("status", ["succeeded", "pending"])
def test_what_we_know_of_a_refund_is_forgotten(
    anybody: Caller, refund: str, conn: Conn, status: str
) -> None:
    send(anybody, news_of_refund(refund, status, "refund.updated"))
    assert (tasks(conn), stored(conn)) == ([], 0)


def test_what_is_not_ours_is_forgotten(anybody: Caller, conn: Conn) -> None:
    ids = {"id": "01890000-0000-7000-8000-000000000000", "booking_id": "x"}
    assert send(anybody, intent(ids, "succeeded")).status_code == 200
    assert (tasks(conn), stored(conn)) == ([], 0)


@pytest.mark.parametrize("ours", ["stripe", "offline"])
@pytest.mark.parametrize("about", ["payment", "refund", "dispute", "warning"])
def test_news_of_another_account_does_not_touch_ours(
    anybody: Caller, payment: dict[str, Any], conn: Conn, about: str, ours: str
) -> None:
    """Of a connected account at the gateway; or about a payment that no gateway has."""
    refund = give_back(conn) if about == "refund" else None
    conn.execute("UPDATE gateway_accounts SET provider = %s", [ours])
    thing = {"id": "x_1", "object": about, "payment_intent": "pi_1", "metadata": {}}
    event = {
        "payment": intent(payment, "succeeded"),
        "refund": news_of_refund(refund, "failed", "refund.updated"),
        "dispute": {"type": "charge.dispute.created", "data": {"object": thing}},
        "warning": {"type": "radar.early_fraud_warning.created", "data": {"object": thing}},
    }[about] | {"id": "evt_1"}
    other = event | ({"account": "acct_other"} if ours == "stripe" else {})
    assert send(anybody, other).json == {"received": True}
    assert (tasks(conn), stored(conn)) == ([], 0)
    conn.execute(
        "UPDATE gateway_accounts SET provider = 'stripe', external_account = %s,"
        " access = CASE WHEN %s::text IS NULL THEN 'platform' ELSE 'connected' END",
        [other.get("account")] * 2,
    )
    send(anybody, other)
    assert (len(tasks(conn)), stored(conn)) == (1, 1)


@pytest.mark.parametrize("fault", [{"age": 301}, {"secret": "whsec_of_somebody_else"}])
def test_it_believes_no_other_signature(
    anybody: Caller, payment: dict[str, Any], conn: Conn, fault: dict[str, Any]
) -> None:
    answer = send(anybody, intent(payment, "succeeded"), **fault)
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert conn.execute("SELECT FROM notification_inbox").fetchall() == []


def test_it_believes_no_empty_secret(
    anybody: Caller,
    payment: dict[str, Any],
    configured: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a comma too many in the setting would make one."""
    setting = f"{configured['STRIPE_WEBHOOK_SECRET']}, "
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", setting)
    settings.cache_clear()
    news = intent(payment, "requires_capture")
    assert send(anybody, news, secret="").status_code == 400
    assert send(anybody, news).status_code == 200
    with pytest.raises(SettingsError, match="STRIPE_WEBHOOK_SECRET"):
        read_settings({**configured, "STRIPE_WEBHOOK_SECRET": " ,"})


def test_it_needs_a_signature(anybody: Caller) -> None:
    assert anybody.post(PATH, {"id": "evt_1"}).status_code == 400


@pytest.mark.parametrize(
    "signature",
    ["", "t=1", "v1=1", "t=,v1=,", "t=x,v1=00", "t=-1,v1=00", "t=1,t=2,v1=00", "t=9e9,v1=\u00e9",
     "t=" + "9" * 30 + ",v1=00", "t=\u0661,v1=00"],
)  # fmt: skip
def test_a_signature_that_is_none_is_refused(anybody: Caller, signature: str) -> None:
    assert deliver(anybody, b"{}", signature).status_code == 400


BALANCE = {"object": "balance", "available": []}
UNREADABLE = [
    b"", b"[]", b'"x"', b"null", b"{", b"\xff\xfe", b'{"id": 1, "type": "x"}', b'{"id": "evt_1"}',
    b'{"id": "evt_\\u0000", "type": "x"}', b'{"id": "", "type": "x"}', b'{"id": ' + b"9" * 5000,
    b'{"id": "' + b"e" * 300 + b'", "type": "x"}', b"[" * 100_000, b"\x00",
]  # fmt: skip


@pytest.mark.faults("F7")
@pytest.mark.parametrize("body", UNREADABLE, ids=lambda body: repr(body[:30]))
def test_what_is_signed_and_unreadable_is_accepted_and_ignored(
    anybody: Caller, conn: Conn, body: bytes
) -> None:
    """The gateway would repeat it for days, and then send no notification any more."""
    answer = send_bytes(anybody, body)
    assert (answer.status_code, answer.json) == (200, {"received": True})
    assert conn.execute("SELECT FROM notification_inbox").fetchall() == []


@pytest.mark.faults("F7")
@pytest.mark.parametrize(
    "event",
    [
        {"type": "balance.available", "data": {"object": BALANCE}},
        {"type": "v1.billing.meter.no_meter_found", "object": "v2.core.event"},
        {"type": "payment_intent.succeeded", "data": {"object": {"object": "payment_intent"}}},
        {"type": "charge.dispute.created", "data": {"object": {"object": "dispute"}}},
        {"type": "charge.refunded", "data": {"object": {"object": "charge", "id": 7}}},
        {"type": "refund.failed", "data": {"object": {"object": "refund", "metadata": []}}},
        {"type": "x", "data": {"object": {"id": "x", "metadata": {"payment_id": 5}}}},
        {"type": "x", "data": {"object": {"id": "a\0b", "payment_intent": {"id": [1]}}}},
        {"type": "x", "data": {"object": {"id": "\ud800", "\udfff": "\0"}}},
        {"type": "x", "data": [], "n": float("inf"), "m": float("nan"), "big": 10**4000},
        {"type": "x", "data": {"object": None}},
    ],
)
def test_whatever_form_a_notification_has_it_is_accepted(
    anybody: Caller, payment: dict[str, Any], conn: Conn, event: dict[str, Any]
) -> None:
    for type in (event["type"], "payment_intent.succeeded"):
        assert send(anybody, {"id": "evt_1"} | event | {"type": type}).status_code == 200
    assert (tasks(conn), stored(conn)) == ([], 0)


@pytest.mark.faults("F7")
@pytest.mark.parametrize("actionable", ["maybe", 1, None, [True]])
def test_a_warning_of_fraud_in_another_form(
    anybody: Caller, payment: dict[str, Any], conn: Conn, actionable: Any
) -> None:
    thing = {"object": "radar.early_fraud_warning", "payment_intent": "pi_1", "fraud_type": [],
             "actionable": actionable}  # fmt: skip
    type = "radar.early_fraud_warning.created"
    for n, more in enumerate(({}, {"id": "issfr_1"})):
        event = {"id": f"evt_{n}", "type": type, "data": {"object": thing | more}}
        assert send(anybody, event).status_code == 200
    assert len(conn.execute("SELECT FROM fraud_warnings").fetchall()) == 1
    assert stored(conn) == 1


@pytest.mark.faults("F7")
def test_news_are_read_however_deep_and_odd_the_rest_is(
    anybody: Caller, payment: dict[str, Any], conn: Conn
) -> None:
    event = intent(payment, "requires_capture")
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    event["data"]["object"] |= {"billing_details": {"name": "\0"}, "deep": deep}
    event["data"]["object"]["metadata"]["note"] = "\ud800"
    assert send(anybody, event).status_code == 200
    assert [task["actor"] for task in tasks(conn)] == ["advance"]


def test_a_refund_of_the_dashboard_is_looked_at(
    anybody: Caller, payment: dict[str, Any], conn: Conn
) -> None:
    """Once, and not where it failed, or where we have it."""
    made = {"id": "re_1", "object": "refund", "payment_intent": "pi_1", "metadata": {}}
    send(anybody, told(made | {"status": "failed"}, "evt_1"))
    assert tasks(conn) == []
    for event in ("evt_2", "evt_3"):
        send(anybody, told(made | {"status": "succeeded"}, event))
    (task,) = tasks(conn)
    assert (task["actor"], task["key"]) == ("adopt_refund", "re_1")
    assert task["args"]["payment_id"] == payment["id"]
    conn.execute("DELETE FROM outbox")
    conn.execute("UPDATE payments SET state = 'captured', captured = amount")
    conn.execute(
        "SELECT adopt_refund(event_id, %s, 're_1', 'succeeded', amount, currency) FROM payments",
        [payment["id"]],
    )
    send(anybody, told(made | {"status": "succeeded"}, "evt_4"))
    assert "adopt_refund" not in {task["actor"] for task in tasks(conn)}


def told(made: dict[str, Any], id: str) -> dict[str, Any]:
    return {"id": id, "type": "refund.updated", "data": {"object": made}}
