"""Reviews: a person looks at a payment before its money is taken; every way that one can end."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from db.bookings import bookings
from db.connections import Conn, one, transaction
from db.payments import reviews
from db.runtime.errors import Conflict, NotFound
from db.runtime.settings import settings
from tests.support.dashboard import dashboard
from tests.support.paying import (
    PRICE,
    THREE_DS,
    carry_on,
    nothing_taken,
    paid_once,
    waits_for_buyer,
)
from tests.support.refunding import cancel
from tests.support.running import Running
from tests.support.waiting import wait_until
from tests.support.world import Answer, Caller, Sale, path_of, pay

RISKY = "pm_card_riskLevelElevated"


def reviewed(running: Running, card: str = RISKY) -> UUID:
    """A booking whose payment waits for somebody to look at it."""
    booking = running.sale.hold(f"buyer{uuid4()}")
    running.pay(booking, card)
    with running.work():
        running.wait_for(booking, "review")
    running.check()
    return booking


def decide(running: Running, booking: UUID, decision: str, payment: UUID | None = None) -> str:
    asked = {"decision": decision, "reason": "called the buyer", "payment_id": payment}
    with transaction("key:opera") as conn:
        return str(
            reviews.decide_review(conn, None, running.sale.event, booking, asked)["booking_state"]
        )


def set_rule(running: Running, rule: str, most: int, action: str = "review") -> None:
    owner = one(running.conn.execute("select id from organisations"))
    given = {"window_seconds": 3600, "most": most, "action": action}
    reviews.set_rule(running.conn, None, owner["id"], rule, given)


def mails(running: Running, booking: UUID) -> set[str]:
    query = "select template from emails where booking_id = %s"
    return {row["template"] for row in running.conn.execute(query, [booking])}


def in_time(running: Running, booking: UUID, *, seconds: float) -> None:
    """The review ends in so many seconds."""
    query = "update bookings set review_until = now() + make_interval(secs => %s) where id = %s"
    running.conn.execute(query, [seconds, booking])


def overdue(running: Running, booking: UUID) -> int:
    """Nobody has decided in time, and the clock comes by: how many it has ended."""
    in_time(running, booking, seconds=-1)
    with transaction("clock:end_reviews") as conn:
        return reviews.end_reviews(conn, 10)


def is_voided(running: Running, booking: UUID) -> bool:
    return [intent["status"] for intent in running.intents(booking)] == ["canceled"]


def test_what_the_gateway_tells_of_a_card_stays_with_the_payment(running: Running) -> None:
    held = [running.sale.hold(name) for name in ("alice", "bob", "charlie")]
    cards = ("pm_card_visa", "pm_card_visa", "pm_card_mastercard")
    paid = [running.pay(booking, card) for booking, card in zip(held, cards, strict=True)]
    with running.work():
        for booking in held:
            running.wait_for(booking, "confirmed")
    first, second, other = (running.payment(payment) for payment in paid)
    assert first["card_fingerprint"] == second["card_fingerprint"] != other["card_fingerprint"]
    assert (first["risk_level"], first["gateway_review"]) == ("normal", False)
    assert first["card_checks"]["cvc_check"] == "pass"
    week = timedelta(days=7)
    assert abs(first["capture_before"] - datetime.now(UTC) - week) < timedelta(minutes=5)
    assert running.sandbox.calls()["total"] == 6, "no further request"


def test_a_declined_card_is_known_too(running: Running) -> None:
    booking = running.sale.hold("alice")
    with running.work():
        payment = running.pay(booking, "pm_card_visa_chargeDeclined")
        running.wait_for(booking, "held")
    assert running.payment(payment)["card_fingerprint"]


def test_a_risky_payment_waits_for_a_person(running: Running) -> None:
    booking = reviewed(running)
    (intent,) = running.intents(booking)
    assert (intent["held"], intent["captured"]) == (PRICE, 0)
    assert running.seats(booking) == ["held", "held"]
    assert mails(running, booking) == {"in_review"}
    (row,) = reviews.list_reviews(running.conn, None, running.sale.event, None, 10)
    assert (row["id"], row["total"], row["payment"]["risk_level"]) == (booking, PRICE, "elevated")
    assert [(reason["rule"], reason["value"]) for reason in row["reasons"]] == [
        ("gateway_review", 1)
    ]
    assert row["decide_by"] - datetime.now(UTC) > timedelta(hours=23)
    running.pass_deadline(booking)
    assert running.booking(booking)["state"] == "review", "the time to pay says nothing here"


def test_approved(running: Running) -> None:
    booking = reviewed(running)
    assert decide(running, booking, "approve") == "secured"
    with running.work():
        running.wait_for(booking, "confirmed")
    assert paid_once(running, booking)
    assert mails(running, booking) == {"in_review", "confirmed"}
    query = """select a.actor, p.personal from audit_log a join audit_personal p on p.act_id = a.id
        where a.action = 'review ended'"""
    (audit,) = running.conn.execute(query).fetchall()
    assert audit["actor"] == "key:opera"
    assert audit["personal"] == {"reason": "called the buyer"}
    running.check()


def test_rejected(running: Running) -> None:
    booking = reviewed(running)
    assert decide(running, booking, "reject") == "failed"
    assert running.seats(booking) == [], "at once: nobody can capture any more"
    running.check()
    with running.work():
        wait_until(lambda: is_voided(running, booking) and not running.tasks())
    assert nothing_taken(running, booking)
    assert running.booking(booking)["reason"] == "review_rejected"
    assert mails(running, booking) == {"in_review", "not_approved"}
    running.check()


def test_a_decision_is_made_once_about_the_attempt_that_was_looked_at(running: Running) -> None:
    booking = reviewed(running)
    with pytest.raises(Conflict, match="another attempt"):
        decide(running, booking, "approve", uuid4())
    payment = running.booking(booking)["payment_id"]
    assert decide(running, booking, "reject", payment) == "failed"
    for again in ("approve", "reject"):
        with pytest.raises(Conflict, match="nothing to decide"):
            decide(running, booking, again)
    with pytest.raises(NotFound):
        decide(running, uuid4(), "approve")
    running.check()


@pytest.mark.parametrize(("ends", "state"), [("reject", "failed"), ("approve", "confirmed")])
def test_one_about_which_nobody_decides(running: Running, ends: str, state: str) -> None:
    running.conn.execute("update organisations set review_ends = %s", [ends])
    booking = reviewed(running)
    assert overdue(running, booking) == 1
    assert overdue(running, booking) == 0
    with running.work():
        running.wait_for(booking, state)
    if ends == "reject":
        assert running.booking(booking)["reason"] == "review_overdue"
        assert is_voided(running, booking)
    else:
        assert paid_once(running, booking)
    running.check()


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ("update organisations set review_seconds = 3600", "1 hour"),
        ("update events set starts_at = now() + interval '2 hours'", "2 hours"),
        ("update organisations set review_seconds = 518400", "6 days"),
    ],
)
def test_it_ends_before_the_event_and_the_authorisation(
    running: Running, change: bytes, ends: str
) -> None:
    running.conn.execute(change)
    booking = reviewed(running)
    query = (
        "select abs(extract(epoch from review_until - now() - %s::interval)) as off from bookings"
    )
    off = one(running.conn.execute(query, [ends]))["off"]
    assert off < 600, running.booking(booking)["review_until"]


def test_the_buyer_may_give_it_up(running: Running) -> None:
    booking = reviewed(running)
    buyer = running.booking(booking)["buyer_id"]
    with transaction("buyer") as conn:
        assert bookings.cancel_booking(conn, running.sale.event, booking, buyer) == "expiring"
    running.check()
    with running.work():
        running.wait_for(booking, "cancelled")
    assert is_voided(running, booking)
    assert running.seats(booking) == []
    running.check()


def test_its_event_may_be_cancelled(running: Running) -> None:
    booking = reviewed(running)
    cancel(running)
    with running.work():
        running.wait_for(booking, "cancelled")
    assert is_voided(running, booking)
    assert running.booking(booking)["reason"] == "event_cancelled"
    running.check()


def test_the_gateway_may_end_the_authorisation(running: Running) -> None:
    booking = reviewed(running)
    payment = running.booking(booking)["payment_id"]
    running.sandbox.lapse(running.payment(payment)["gateway_ref"])
    running.notify(payment, "voided")
    with running.work():
        running.wait_for(booking, "failed")
    assert running.booking(booking)["reason"] == "authorisation_lapsed"
    assert running.seats(booking) == []
    running.check()


def test_a_failure_that_was_overtaken_leaves_it_in_review(running: Running) -> None:
    """An attempt that failed before the one that was authorised, told late."""
    booking = reviewed(running)
    payment = running.booking(booking)["payment_id"]
    assert running.notify(payment, "failed")
    with running.work():
        running.wait_for(booking, "review")
    running.check()


def test_a_decision_while_news_are_looked_at_is_not_lost(running: Running) -> None:
    from tasks import bookings as saga

    booking = reviewed(running)
    running.notify(running.booking(booking)["payment_id"], "voided")
    lease = running.lease()
    step, progress = saga.next_step(lease) or pytest.fail("nothing to do")
    assert decide(running, booking, "approve") == "secured"
    step(lease, progress)
    with running.work():
        running.wait_for(booking, "confirmed")
    running.check()


def test_money_that_somebody_took_at_the_gateway_counts_as_approved(running: Running) -> None:
    booking = reviewed(running)
    payment = running.booking(booking)["payment_id"]
    gateway_ref = running.payment(payment)["gateway_ref"]
    dashboard().v1.payment_intents.capture(gateway_ref)
    running.notify(payment, "captured")
    with running.work():
        running.wait_for(booking, "confirmed")
    assert paid_once(running, booking)
    running.check()


def test_one_that_is_authorised_at_the_last_moment_is_looked_at_too(running: Running) -> None:
    set_rule(running, "buyer_attempts", 0)
    booking = running.sale.hold("alice")
    payment = running.pay(booking, THREE_DS)
    with running.work():
        wait_until(lambda: waits_for_buyer(running, payment))
        running.sandbox.authenticate(running.payment(payment)["gateway_ref"], "approve")
        running.pass_deadline(booking)
        running.wait_for(booking, "review")
    running.check()


def test_what_the_gateway_blocks_is_declined(running: Running) -> None:
    booking = running.sale.hold("alice")
    with running.work():
        payment = running.pay(booking, "pm_card_riskLevelHighest")
        running.wait_for(booking, "held")
    assert running.payment(payment)["failure_code"] == "fraudulent"
    running.check()


def test_approved_by_rule_needs_nobody(running: Running) -> None:
    """An organiser may switch off what is on by default."""
    set_rule(running, "gateway_review", 0, "none")
    booking = running.sale.hold("alice")
    running.pay(booking, RISKY)
    with running.work():
        running.wait_for(booking, "confirmed")


def attempts(running: Running, *names: str, address: bytes | None = None) -> list[str]:
    """The states of bookings whose buyers pay one after the other, all with the same card."""
    states = []
    for name in names:
        booking = running.sale.hold(name)
        running.pay(booking)
        running.conn.execute("update payments set address_hash = %s", [address])
        lease = running.lease()
        carry_on(lease)
        states.append(running.booking(booking)["state"])
    running.check()
    return states


@pytest.mark.parametrize(
    ("rule", "names", "most"),
    [
        ("buyer_attempts", ("alice", "alice", "bob"), 1),
        ("buyer_seats", ("alice", "alice", "bob"), 2),
        ("card_bookings", ("alice", "alice"), 1),
        ("card_buyers", ("alice", "alice", "bob"), 1),
        ("address_buyers", ("alice", "alice", "bob"), 1),
    ],
)
def test_velocity(running: Running, rule: str, names: tuple[str, ...], most: int) -> None:
    """The rule lets `most` pass and has the next one looked at; whom it does not concern passes."""
    set_rule(running, rule, most)
    states = attempts(running, *names, address=b"one")
    reviewed_one = {"buyer_attempts": 1, "buyer_seats": 1, "card_bookings": 1}.get(rule, 2)
    expected = ["confirmed"] * len(names)
    expected[reviewed_one] = "review"
    assert states == expected


def test_what_is_long_ago_does_not_count(running: Running) -> None:
    set_rule(running, "card_buyers", 1)
    attempts(running, "alice")
    running.conn.execute("update payments set created_at = now() - interval '2 hours'")
    assert attempts(running, "bob") == ["confirmed"]


def test_other_organisations_do_not_count(running: Running) -> None:
    set_rule(running, "card_buyers", 1)
    attempts(running, "alice")
    other = "insert into organisations (name) values ('Circus') returning id"
    id = one(running.conn.execute(other))["id"]
    running.conn.execute("update payments set organisation_id = %s", [id])
    assert attempts(running, "bob") == ["confirmed"]


def test_by_default_a_crowd_with_one_card_from_one_address_passes(running: Running) -> None:
    names = [f"buyer{n}" for n in range(12)]
    assert attempts(running, *names, address=b"one") == ["confirmed"] * 12


# Over HTTP.


@pytest.fixture
def suspect(tosca: Sale, alice: Caller, conn: Conn) -> dict[str, Any]:
    """Alice's booking, in review as the saga would have it."""
    booking = tosca.book(alice, conn, seats=["1-1", "1-2"])
    pay(tosca, alice, booking)
    conn.execute(
        "UPDATE payments SET state = 'authorised', gateway_ref = 'pi_1', gateway_review = true"
    )
    conn.execute("SELECT secure_or_review(event_id, id, payment_id) FROM bookings")
    conn.execute("DELETE FROM outbox")
    return booking


def post(sale: Sale, booking: dict[str, Any], by: Caller | None = None, **asked: Any) -> Answer:
    body = {"decision": "approve", "reason": "known"} | asked
    return (by or sale.opera).post(f"{path_of(sale, booking)}/review", body, key="key")


def test_an_organiser_decides_once(
    tosca: Sale, alice: Caller, circus: Caller, suspect: dict[str, Any], conn: Conn
) -> None:
    seen = alice.get(path_of(tosca, suspect)).json
    assert (seen["state"], seen["seconds_left"]) == ("review", None)
    assert seen["checked_by"]
    (row,) = tosca.opera.get(f"{tosca.path}/reviews").json
    assert (row["id"], row["code"]) == (suspect["id"], suspect["code"])
    assert row["decide_by"] == seen["checked_by"]
    assert row["reasons"][0]["rule"] == "gateway_review"
    assert circus.get(f"{tosca.path}/reviews").status_code == 404
    assert post(tosca, suspect, circus).status_code == 404
    assert post(tosca, suspect, alice).status_code == 403
    assert post(tosca, suspect, decision="perhaps").status_code == 422
    first, again = (post(tosca, suspect, payment_id=row["payment"]["id"]) for _ in range(2))
    assert (first.status_code, first.json) == (201, {"booking_state": "secured"})
    assert (again.json, again.headers["Idempotent-Replayed"]) == (first.json, "true")
    task = conn.execute("SELECT actor FROM outbox WHERE queue <> 'mail'").fetchall()
    assert task == [{"actor": "advance"}]
    assert tosca.opera.get(f"{tosca.path}/reviews").json == []
    assert alice.get(path_of(tosca, suspect)).json["checked_by"] is None


def test_what_was_taken_at_once_is_not_looked_at(tosca: Sale, alice: Caller, conn: Conn) -> None:
    pay(tosca, alice, tosca.book(alice, conn))
    conn.execute(
        "UPDATE payments SET state = 'captured', captured = amount, gateway_ref = 'pi_1',"
        " gateway_review = true"
    )
    query = "SELECT secure_or_review(event_id, id, payment_id) AS became FROM bookings"
    assert conn.execute(query).fetchall() == [{"became": "secured"}]


def test_operators_may_decide(tosca: Sale, suspect: dict[str, Any], operator: Caller) -> None:
    answer = post(tosca, suspect, operator, decision="reject")
    assert answer.json == {"booking_state": "failed"}


def test_reviews_come_in_pages(
    tosca: Sale, suspect: dict[str, Any], bob: Caller, conn: Conn
) -> None:
    pay(tosca, bob, tosca.book(bob, conn))
    conn.execute(
        "UPDATE payments SET state = 'authorised', gateway_ref = 'pi_2', gateway_review = true"
        " WHERE gateway_ref IS NULL"
    )
    conn.execute("SELECT secure_or_review(event_id, id, payment_id) FROM bookings")
    first = tosca.opera.get(f"{tosca.path}/reviews?limit=1")
    assert [row["id"] for row in first.json] == [suspect["id"]]
    following = first.headers["Link"].split(">")[0].lstrip("<")
    assert len(tosca.opera.get(following).json) == 1


def test_organisers_set_their_rules(opera: Caller, circus: Caller, operator: Caller) -> None:
    path = f"/v1/organisations/{opera.id}/risk"
    rules = {rule["rule"]: rule for rule in opera.get(path).json["rules"]}
    assert set(rules) == set(reviews.RULES)
    assert (rules["card_buyers"]["action"], rules["gateway_review"]["action"]) == ("none", "review")
    rule = {"window_seconds": 600, "most": 2, "action": "review"}
    answer = opera.call("PUT", f"{path}/rules/card_buyers", rule)
    assert rule | {"rule": "card_buyers"} in answer.json["rules"]
    changed = opera.patch(path, {"review_seconds": 7200, "review_ends": "approve"})
    assert (changed.json["review_seconds"], changed.json["review_ends"]) == (7200, "approve")
    assert changed.json["rules"] == answer.json["rules"]
    assert operator.get(path).json == changed.json
    assert circus.get(path).status_code == 404
    assert opera.call("PUT", f"{path}/rules/moon", rule).status_code == 404
    assert opera.patch(path, {"review_seconds": 7 * 86_400}).status_code == 422
    assert operator.get("/v1/organisations/999/risk").status_code == 404


@pytest.mark.parametrize(("proxies", "known"), [("1", True), ("0", False)])
def test_the_address_is_kept_as_a_hash_where_it_is_known(
    proxies: str,
    known: bool,
    monkeypatch: pytest.MonkeyPatch,
    configured: dict[str, str],
    conn: Conn,
    request: pytest.FixtureRequest,
) -> None:
    """One hash for one address; none where all requests seem to come from the proxy."""
    monkeypatch.setenv("TRUSTED_PROXIES", proxies)
    settings.cache_clear()
    tosca: Sale = request.getfixturevalue("tosca")
    addresses = {"alice": "192.0.2.1", "bob": "192.0.2.1", "charlie": "192.0.2.2"}
    for name, address in addresses.items():
        buyer: Caller = request.getfixturevalue(name)
        path = f"{path_of(tosca, tosca.book(buyer, conn))}/payment"
        headers = {"X-Forwarded-For": address}
        body = {"payment_method": "pm_card_visa"}
        assert buyer.post(path, body, key="key", headers=headers).status_code == 202
    query = "SELECT address_hash FROM payments ORDER BY id"
    first, second, other = (row["address_hash"] for row in conn.execute(query))
    if known:
        assert first == second != other
        assert b"192" not in first
    else:
        assert (first, second, other) == (None, None, None)
