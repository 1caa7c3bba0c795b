"""Slots at the gateway: the account's bucket, the endpoints', and who comes before whom."""

import time
from contextlib import suppress

import pytest

from db.connections import Conn, one, pool
from db.payments import circuits
from db.payments.circuits import Priority, Slot
from db.runtime.settings import settings
from tasks.durable.leases import TryLater
from tasks.gateways.errors import Refused
from tasks.gateways.stripe import payments as stripe_payments
from tasks.gateways.stripe.client import (
    PRIORITIES,
    RECONCILE,
    Account,
    call,
    client,
    pages,
    take_slots,
    wait_for,
)
from tests.support.gateway_calls import at_once, begun
from tests.support.running import Running

ALL = {**PRIORITIES, "reconcile": RECONCILE}
PATIENT = Priority(book=5, wait=5)


@pytest.fixture
def account(configured: dict[str, str], conn: Conn) -> int:
    query = """
        with o as (insert into organisations (name) values ('Opera') returning id)
        insert into gateway_accounts (organisation_id, provider) select id, 'stripe' from o
        returning id"""
    return int(one(conn.execute(query))["id"])


def allow(monkeypatch: pytest.MonkeyPatch, a_second: float, of_account: float = 0) -> None:
    monkeypatch.setenv("GATEWAY_LIMIT", str(a_second))
    monkeypatch.setenv("GATEWAY_ACCOUNT_LIMIT", str(of_account))
    settings.cache_clear()


def slots(conn: Conn, account: int, *endpoints: str, by: Priority = PATIENT) -> list[float | None]:
    """Slots in one instant, as good as: seconds until each, None where none was given."""
    with conn.transaction():
        return [circuits.take_slots(conn, account, name, by)[0].seconds for name in endpoints]


def booked(conn: Conn, account: int) -> float:
    """Seconds up to which the account's bucket is booked."""
    query = """
        select extract(epoch from next_at - clock_timestamp())::float8 as ahead
        from gateway_circuits where gateway_account_id = %s"""
    return float(one(conn.execute(query, [account]))["ahead"])


def book(conn: Conn, account: int, seconds: float) -> None:
    """Book the account's bucket up to so many seconds from now."""
    slots(conn, account, "any")
    conn.execute(
        "update gateway_circuits set next_at = clock_timestamp() + make_interval(secs => %s),"
        " booked_until = now()",
        [seconds],
    )


def test_a_burst_goes_at_once_and_what_follows_is_spaced(
    conn: Conn, account: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, 1)
    monkeypatch.setattr(circuits, "BURST", 3)
    given = slots(conn, account, *["create"] * 6)
    assert given == pytest.approx([0, 0, 0, 1, 2, 3], abs=0.5)


def test_a_limit_that_was_not_used_is_not_saved_up(
    conn: Conn, account: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, 4)
    slots(conn, account, "create")
    for table in ("gateway_slots", "gateway_circuits"):
        conn.execute(f"update {table} set next_at = now() - interval '1 hour'")
    first, second = slots(conn, account, "create", "create")
    assert first == 0 and second == pytest.approx(0.25, abs=0.1)


def test_a_slot_too_far_away_is_not_given_and_not_booked(
    conn: Conn, account: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, 1)
    given = slots(conn, account, *["create"] * 7, by=Priority(book=5, wait=3))
    assert [value is None for value in given] == [False] * 4 + [True] * 3
    (later,) = slots(conn, account, "create", by=Priority(book=5, wait=4))
    assert later == pytest.approx(4, abs=0.3)


def test_endpoints_share_the_account_s_bucket(
    conn: Conn, account: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, 1, 2)
    monkeypatch.setattr(circuits, "BURST", 2)
    given = slots(conn, account, *["create", "capture", "cancel"] * 2)
    assert given == pytest.approx([0, 0, 0, 0, 0.5, 1], abs=0.3)


def test_the_account_may_do_four_times_what_an_endpoint_may(
    configured: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, 25)
    assert settings().gateway_account_limit == 100


@pytest.mark.parametrize(
    ("ahead", "refused"),
    [
        (0, set()),
        (0.08, {"reconcile"}),
        (0.4, {"reconcile", "refund"}),
        (1.0, {"reconcile", "refund", "create"}),
        (1.7, {"reconcile", "refund", "create", "retrieve"}),
        (3.5, {"reconcile", "refund", "create", "retrieve", "cancel"}),
        (6.0, {"reconcile", "refund", "create", "retrieve", "cancel", "capture"}),
    ],
)
def test_the_fuller_the_bucket_the_fewer_have_slots(
    conn: Conn, account: int, ahead: float, refused: set[str]
) -> None:
    """Capture before cancel before authorise before refund before reconcile."""
    found = set()
    for name in ("capture", "cancel", "retrieve", "create", "refund", "reconcile"):
        book(conn, account, ahead)
        if slots(conn, account, name, by=ALL[name]) == [None]:
            found.add(name)
    assert found == refused


def test_whoever_waits_at_an_endpoint_goes_before_those_who_need_not(
    conn: Conn, account: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the account's bucket has room: they share the workers."""
    allow(monkeypatch, 2, 1000)
    assert slots(conn, account, "refund", by=ALL["refund"]) == [0]
    slots(conn, account, *["capture"] * 3, by=ALL["capture"])
    assert slots(conn, account, "list refunds", by=ALL["list refunds"]) == [None]
    assert slots(conn, account, "create", by=ALL["create"]) == [0]
    conn.execute("update gateway_circuits set booked_until = now()")
    assert slots(conn, account, "list refunds", by=ALL["list refunds"]) == [0]


def test_accounts_do_not_wait_for_each_other(
    conn: Conn, account: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, 1)
    slots(conn, account, *["create"] * 4)
    other = one(
        conn.execute(
            "insert into gateway_accounts (organisation_id, provider)"
            " select organisation_id, provider from gateway_accounts returning id"
        )
    )["id"]
    assert slots(conn, other, "create") == [0]


def test_a_limit_that_is_used_up_hands_the_task_back(running: Running) -> None:
    progress = begun(running, running.sale.hold("alice"))
    query = "insert into gateway_slots values (%s, 'create', now() + interval '1 hour')"
    running.conn.execute(query, [progress.gateway_account_id])
    with pytest.raises(TryLater, match="rate limit"):
        stripe_payments.authorise(progress)
    assert running.sandbox.calls()["total"] == 0


def test_all_threads_together_keep_the_limit_and_wait_without_a_connection(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, 10)
    pool().resize(1, 1)
    account = begun(running, running.sale.hold("alice")).gateway_account_id
    start = time.monotonic()

    def wait() -> Slot:
        (slot,) = take_slots(account, "any", priority=PATIENT)
        wait_for(account, slot)
        return slot

    given = at_once(*[wait] * 8)
    # Whoever comes later waits less: on a busy machine not all come at once.
    most = [0, 0, 0.05, 0.15, 0.25, 0.35, 0.45, 0.55]
    waits = sorted(slot.seconds for slot in given)
    assert all(wait < limit + 0.1 for wait, limit in zip(waits, most, strict=True)), waits
    assert time.monotonic() - start > 0.5


def test_the_gateway_s_own_limits_are_kept(running: Running) -> None:
    """Eight threads that call as fast as they may, against the limits that Stripe has."""
    account = Account(begun(running, running.sale.hold("alice")).gateway_account_id)
    running.sandbox.limits(account_rate=100, endpoint_rate=25)

    def work() -> None:
        for _ in range(10):
            with suppress(Refused):
                call(
                    account, "cancel", lambda: client(account).v1.payment_intents.cancel("pi_none")
                )

    try:
        given = at_once(*[work] * 8)
    finally:
        running.sandbox.limits(account_rate=0, endpoint_rate=0)
    assert given == [None] * 8, given
    counts = running.sandbox.calls()["counts"]
    assert counts == {"POST /v1/payment_intents/{id}/cancel": {"404": 80}}


def test_a_refusal_for_calling_too_often_makes_all_pause(running: Running) -> None:
    progress = begun(running, running.sale.hold("alice"))
    account = Account(progress.gateway_account_id)
    running.sandbox.limits(endpoint_rate=1)
    try:
        for expected in (None, "rate limited"):
            try:
                call(account, "list", lambda: client(account).v1.payment_intents.list({"limit": 1}))
            except TryLater as error:
                assert expected and expected in str(error)
    finally:
        running.sandbox.limits(endpoint_rate=0)
    (wait,) = slots(running.conn, account.gateway_account_id, "list")
    assert wait is not None and wait > 0.3


def test_each_page_of_a_list_has_its_slot(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("alice", "bob", "charlie"):
        stripe_payments.authorise(progress := begun(running, running.sale.hold(name)))

    def found(by: Priority) -> int:
        first = client(progress).v1.payment_intents.list
        return len(list(pages(progress, "list", lambda: first({"limit": 1}), by)))

    assert found(PATIENT) == 3
    allow(monkeypatch, 1, 1000)
    running.conn.execute("delete from gateway_slots")
    with pytest.raises(TryLater, match="rate limit"):
        found(Priority(book=5, wait=0))
    counts = running.sandbox.calls()["counts"]
    assert counts["GET /v1/payment_intents"]["200"] == 3 + 1
