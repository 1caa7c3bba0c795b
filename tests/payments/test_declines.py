"""Who tries card numbers is stopped; who pays is not."""

from uuid import UUID

import pytest

from db.connections import Conn, one, transaction
from db.payments import payments
from db.payments.decline_limits import admit_attempt, decline_limits
from db.runtime.errors import TooManyTries
from tests.support.paying import THREE_DS, waits_for_buyer
from tests.support.running import Running
from tests.support.theatre import Theatre, build_evening
from tests.support.waiting import wait_until

DECLINED = "pm_card_chargeDeclined"
ADDRESS = b"an address of 16"


def declined_once(running: Running, booking: UUID, address: bytes | None = ADDRESS) -> str:
    """Try a card that is declined; the failure's code, or 'refused' when it was not sent."""
    payment = start(running, booking, DECLINED, address)
    with running.work():
        wait_until(lambda: running.payment(payment)["state"] == "failed")
    return str(running.payment(payment)["failure_code"])


def start(running: Running, booking: UUID, card: str, address: bytes | None = ADDRESS) -> UUID:
    query = "select event_id, buyer_id from bookings where id = %s"
    owner = one(running.conn.execute(query, [booking]))
    with transaction("buyer") as conn:
        started = payments.start_payment(
            conn, owner["event_id"], booking, owner["buyer_id"], "card", card,
            "https://usher.example", address_hash=address,
        )  # fmt: skip
    return UUID(str(started["payment_id"]))


@pytest.mark.faults("H2")
def test_an_account_has_five_declines(running: Running) -> None:
    booking = running.sale.hold("mallory")
    codes = [declined_once(running, booking, None) for _ in range(5)]
    assert codes == ["generic_decline"] * 5
    with pytest.raises(TooManyTries) as refused:
        start(running, booking, DECLINED, None)
    assert refused.value.details["retry_after"] == 900
    other = running.sale.hold("alice")
    with running.work():
        start(running, other, "pm_card_visa", None)
        running.wait_for(other, "confirmed")


@pytest.mark.faults("H2")
def test_an_address_has_twenty_declines_also_when_all_try_at_once(running: Running) -> None:
    bookings = [running.sale.hold(f"mallory{n}", quantity=1) for n in range(30)]
    attempts = [start(running, booking, DECLINED) for booking in bookings]
    with running.work(threads=8):
        wait_until(lambda: all(running.payment(p)["state"] == "failed" for p in attempts))
    codes = [running.payment(payment)["failure_code"] for payment in attempts]
    assert codes.count("generic_decline") == 20
    assert codes.count("refused") == 10
    with pytest.raises(TooManyTries):
        start(running, bookings[0], "pm_card_visa")
    start(running, bookings[1], "pm_card_visa", b"another address!")


@pytest.mark.faults("H2")
def test_a_crowd_behind_one_address_pays_in_spite_of_some_declines(running: Running) -> None:
    """Forty buyers: every fourth card is declined, and its buyer pays with another."""
    bookings = [running.sale.hold(f"buyer{n}", quantity=1) for n in range(40)]
    with running.work(threads=8):
        for n, booking in enumerate(bookings):
            start(running, booking, DECLINED if n % 4 == 0 else "pm_card_visa")
        for booking in bookings[::4]:
            running.wait_for(booking, "held")
            start(running, booking, "pm_card_mastercard")
        for booking in bookings:
            running.wait_for(booking, "confirmed")


@pytest.mark.faults("H2")
def test_declines_make_a_later_payment_wait_for_a_person(running: Running) -> None:
    booking = running.sale.hold("mallory")
    for _ in range(4):
        declined_once(running, booking)
    start(running, booking, "pm_card_visa")
    with running.work():
        running.wait_for(booking, "review")


@pytest.mark.faults("an honest crowd")
def test_thirty_buyers_pay_with_their_companys_card(running: Running) -> None:
    bookings = [running.sale.hold(f"buyer{n}", quantity=1) for n in range(30)]
    with running.work(threads=8):
        for booking in bookings:
            start(running, booking, "pm_card_visa")
        for booking in bookings:
            running.wait_for(booking, "confirmed")


# What counts as declined


def attempts(theatre: Theatre, names: list[str], state: str, **columns: object) -> None:
    """Attempts to pay for a seat each that were sent from ADDRESS, and are in that state now."""
    for name in names:
        booking = theatre.hold(name, quantity=1)
        payment = theatre.pay(booking)
        theatre.conn.execute(
            "update payments set address_hash = %s, first_sent_at = now() where id = %s",
            [ADDRESS, payment],
        )
        if state != "intended":
            theatre.record(booking, state, failure_code=columns.get("failure_code"))
        if state in ("failed", "voided"):
            assert payments.reopen_booking(theatre.conn, theatre.progress(booking))


def verdict(theatre: Theatre, name: str, address: bytes | None = None) -> str:
    """Whether a buyer may make another attempt."""
    query = "select decline_room(%s, %s, %s, %s) as verdict"
    values = [theatre.event, theatre.add_buyer(name), address, decline_limits()]
    return str(one(theatre.conn.execute(query, values))["verdict"])


def crowd(people: int, name: str = "mallory") -> list[str]:
    return [f"{name}{n}" for n in range(people)]


A_WHILE_AGO = "update payments set updated_at = now() - interval '6 min' where state = %s"


@pytest.mark.faults("H2")
@pytest.mark.parametrize("state", ["failed", "voided"])
def test_attempts_that_ended_without_an_authorisation_count_however_they_ended(
    conn: Conn, state: str
) -> None:
    evening = build_evening(conn)
    attempts(evening, ["mallory"] * 4, state)
    attempts(evening, crowd(15), state)
    assert verdict(evening, "mallory", ADDRESS) == "go"
    attempts(evening, ["mallory"], state)
    assert verdict(evening, "mallory") == "refuse"
    assert verdict(evening, "alice", ADDRESS) == "refuse"
    assert verdict(evening, "alice") == "go"


@pytest.mark.faults("H2")
def test_pages_of_a_bank_that_were_left_open_count_after_a_while(conn: Conn) -> None:
    evening = build_evening(conn)
    attempts(evening, crowd(20), "requires_action")
    assert verdict(evening, "alice", ADDRESS) == "go"  # a crowd that has just begun to pay
    conn.execute(A_WHILE_AGO, ["requires_action"])
    assert verdict(evening, "alice", ADDRESS) == "refuse"
    attempts(evening, crowd(2, "bob"), "authorised")
    assert verdict(evening, "alice", ADDRESS) == "go"


@pytest.mark.faults("H2")
def test_an_account_has_five_pages_of_banks_open_at_once(conn: Conn) -> None:
    evening = build_evening(conn)
    attempts(evening, ["mallory"] * 4, "requires_action")
    assert verdict(evening, "mallory") == "go"
    attempts(evening, ["mallory"], "requires_action")
    assert verdict(evening, "mallory") == "wait"
    conn.execute(A_WHILE_AGO, ["requires_action"])
    assert verdict(evening, "mallory") == "refuse"


@pytest.mark.faults("an honest crowd")
def test_what_was_authorised_or_never_reached_the_gateway_counts_for_nothing(conn: Conn) -> None:
    """Authorisations that we gave up, and attempts during an outage."""
    evening = build_evening(conn)
    for name in ["alice"] * 6:
        booking = evening.hold(name, quantity=1)
        payment = evening.authorise(booking)
        conn.execute("update payments set first_sent_at = now() where id = %s", [payment])
        evening.record(booking, "voided")
    assert verdict(evening, "alice") == "go"
    attempts(evening, crowd(25), "failed", failure_code="not_sent")
    assert verdict(evening, "bob", ADDRESS) == "go"


@pytest.mark.faults("an honest crowd")
def test_an_authorisation_whose_answer_was_lost_counts_for_nothing(running: Running) -> None:
    """It is found when the attempt is ended."""
    from tasks.attempts import stop
    from tasks.gateways.registry import gateway_of

    booking = running.sale.hold("alice", quantity=1)
    payment = start(running, booking, "pm_card_visa", None)
    with transaction() as conn:
        payments.mark_sent(conn, running.sale.event, payment)
    gateway_of(running.sale.progress(booking)).authorise(running.sale.progress(booking))
    progress = running.sale.progress(booking)
    ended = stop(progress, spare_authorised=False)
    with transaction() as conn:
        assert payments.record(conn, progress, ended)
    found = running.payment(payment)
    assert (found["state"], found["authorised_at"] is not None) == ("voided", True)


def leave_at_the_bank(running: Running, name: str) -> None:
    """The card asks for 3-D Secure; the buyer gives the booking up instead."""
    booking = running.sale.hold(name, quantity=1)
    payment = start(running, booking, THREE_DS, None)
    with running.work():
        wait_until(lambda: waits_for_buyer(running, payment))
        running.cancel(booking)
        wait_until(lambda: running.payment(payment)["state"] == "voided")


@pytest.mark.faults("H2")
def test_cards_that_ask_for_3d_secure_are_tested_five_times_by_one_account(
    running: Running,
) -> None:
    for _ in range(5):
        leave_at_the_bank(running, "mallory")
    booking = running.sale.hold("mallory", quantity=1)
    with pytest.raises(TooManyTries):
        start(running, booking, THREE_DS, None)


@pytest.mark.faults("an honest crowd")
def test_a_buyer_who_closes_the_banks_page_once_pays_with_the_next_booking(
    running: Running,
) -> None:
    leave_at_the_bank(running, "alice")
    booking = running.sale.hold("alice")
    with running.work():
        start(running, booking, "pm_card_visa", None)
        running.wait_for(booking, "confirmed")
    (paid,) = running.conn.execute(
        "select authorised_at is not null as was_authorised from payments where booking_id = %s",
        [booking],
    )
    assert paid["was_authorised"]


# Attempts that wait for others


def put_off_behind_twenty(theatre: Theatre) -> UUID:
    """Alice's attempt, when twenty of her address are on their way."""
    attempts(theatre, crowd(20), "intended")
    theatre.conn.execute("delete from outbox")
    payment = theatre.pay(theatre.hold("alice"))
    query = "update payments set address_hash = %s where id = %s"
    theatre.conn.execute(query, [ADDRESS, payment])
    return payment


@pytest.mark.faults("H2")
@pytest.mark.parametrize(("waited", "least", "most"), [(0, 0.3, 0.3), (8, 4, 4.5), (600, 10, 10)])
def test_an_attempt_that_waits_for_others_is_tried_ever_less_often(
    conn: Conn, waited: float, least: float, most: float
) -> None:
    evening = build_evening(conn)
    payment = put_off_behind_twenty(evening)
    query = "update payments set created_at = now() - make_interval(secs => %s) where id = %s"
    conn.execute(query, [waited, payment])
    admission = admit_attempt(conn, evening.event, payment)
    assert admission.verdict == "wait"
    assert admission.seconds is not None
    assert least <= admission.seconds <= most


@pytest.mark.faults("H2")
def test_in_an_outage_it_is_tried_after_those_that_are_on_their_way(conn: Conn) -> None:
    evening = build_evening(conn)
    payment = put_off_behind_twenty(evening)
    conn.execute("select open_circuit(%s, null, 1000, 1000)", [evening.gateway])
    conn.execute("update gateway_circuits set retry_at = now() + interval '30 s'")
    seconds = admit_attempt(conn, evening.event, payment).seconds
    assert seconds is not None
    assert 39 <= seconds <= 50


@pytest.mark.faults("H2")
def test_a_task_that_waits_for_others_is_marked_as_put_off(running: Running) -> None:
    from tasks import bookings
    from tasks.durable.backoff import record_failure
    from tasks.durable.leases import TryLater

    put_off_behind_twenty(running.sale)
    lease = running.lease()
    step, progress = bookings.next_step(lease) or pytest.fail("nothing to do")
    with pytest.raises(TryLater) as later:
        step(lease, progress)
    record_failure(lease, later.value)
    (task,) = running.tasks()
    assert (task["put_off"], task["failures"]) == (True, 0)
