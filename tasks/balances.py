"""Balances: reads, account by account, what the gateway did with the money: its fees, and what it
paid out to the bank. The clock begins it every hour; each page is kept in its own transaction.
"""

import time

from db.payments import payouts
from db.payments.payouts import Reading
from tasks.durable.actors import durable
from tasks.durable.leases import Lease, TryLater, stop_if_told
from tasks.gateways.registry import balances_of

TIME_SLICE = 60
"""The time slice in seconds; Dramatiq interrupts an actor after 300."""


@durable(queue="maintenance", lease=120, longest_delay=3600)
def read_balance(lease: Lease) -> None:
    """Read what is new of an account's balance, then its payouts and what they contain."""
    end = time.monotonic() + TIME_SLICE
    account_id = lease.task.args["account_id"]
    with lease.transaction() as conn:
        reading = payouts.begin(conn, account_id)
    while True:
        page, cursor = balances_of(reading).list_balance(reading)
        with lease.transaction() as conn:
            payouts.take_page(conn, reading, page, cursor)
            lease.renew(conn)
        if cursor is None:
            break
        reading = Reading(account_id, reading.window_from, reading.window_to, cursor)
        go_on_until(end)
    read_payouts(lease, reading, end)
    with lease.transaction() as conn:
        lease.finish(conn)


def read_payouts(lease: Lease, reading: Reading, end: float) -> None:
    """Read payouts of the last days, and the transactions of those that are new."""
    account_id = reading.gateway_account_id
    found = balances_of(reading).list_payouts(reading, reading.window_to - payouts.PAYOUTS)
    with lease.transaction() as conn:
        payouts.keep_payouts(conn, account_id, found)
        unread = payouts.list_unread(conn, account_id)
        lease.renew(conn)
    for payout_ref in unread:
        cursor = None
        while True:
            rows, cursor = balances_of(reading).list_of_payout(reading, payout_ref, cursor)
            with lease.transaction() as conn:
                payouts.note_payout(conn, account_id, payout_ref, rows, whole=cursor is None)
                lease.renew(conn)
            if cursor is None:
                break
        go_on_until(end)


def go_on_until(end: float) -> None:
    """Errors: TryLater when the time slice is over."""
    stop_if_told()
    if time.monotonic() > end:
        raise TryLater(0, "the time slice is over")
