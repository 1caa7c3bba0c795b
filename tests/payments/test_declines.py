"""Who tries card numbers is stopped; who pays is not."""

from uuid import UUID

import pytest

from db.connections import one, transaction
from db.payments import payments
from db.runtime.errors import TooManyTries
from tests.support.running import Running
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
