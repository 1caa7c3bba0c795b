"""Bookings whose sagas are carried out side by side, and those that leave the group."""

import random
import re
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count, pairwise
from typing import Any
from uuid import UUID

import pytest
from psycopg.errors import SerializationFailure

from db.connections import one
from db.durable import outbox
from db.runtime.logs import bind_trace
from tasks.durable import side_by_side
from tests.support.notifying import news
from tests.support.running import Running
from tests.support.theatre import another, build_theatre
from tests.support.waiting import wait_until
from web.api.gateway_notifications import store

CREATE, CAPTURE = "POST /v1/payment_intents", "POST /v1/payment_intents/{id}/capture"
NAMES = ("alice", "bob", "charlie", "dora", "emil")
DECLINED = "pm_card_visa_chargeDeclined"
THREE_DS = "pm_card_threeDSecure2Required"
RISKY = "pm_card_riskLevelElevated"


@pytest.fixture(autouse=True)
def not_told_to_stop() -> None:
    from tasks.durable.leases import told_to_stop

    told_to_stop.clear()  # the workers of other tests were


def paying(running: Running, *cards: str) -> list[UUID]:
    """Bookings of several buyers, each being paid by its card."""
    bookings = [running.sale.hold(name) for name, _ in zip(NAMES, cards, strict=False)]
    for booking, card in zip(bookings, cards, strict=True):
        running.pay(booking, card)
    return bookings


def lease_all(running: Running) -> Any:
    """The lease of all tasks of bookings, as of one message."""
    from tasks.booking_groups import advance
    from tasks.durable import leases

    ids = [task["id"] for task in running.tasks()]
    lease = leases.take_lease(ids, leases.policies[advance.actor_name])
    assert len(lease.tasks) == len(ids)
    return lease


def advance_all(running: Running) -> None:
    """Carry out all tasks of bookings as one message's."""
    from tasks.booking_groups import Group
    from tasks.durable.side_by_side import beside

    lease = lease_all(running)
    with beside(lease) as (now, others):
        assert now.ids == lease.ids
        Group(now, others).advance()


def answers_of(group: Any, step: Any, members: Any) -> list[Any]:
    """The answers to the calls of one step, however far apart they come."""
    group.ask(step, members)
    answered = []
    while some := group.answers.take():
        answered += some
    return answered


def states(running: Running, bookings: list[UUID]) -> list[str]:
    return [running.booking(booking)["state"] for booking in bookings]


def counts(running: Running) -> Any:
    return running.sandbox.calls()["counts"]


def transactions(running: Running) -> int:
    """How many transactions have written the states of bookings since they were held."""
    query = """
        select count(distinct xmin::text) as n from state_log
        where noun = 'booking' and new_state in ('secured', 'confirmed')"""
    return int(one(running.conn.execute(query))["n"])


def test_a_group_is_paid_and_confirmed_by_two_transactions(running: Running) -> None:
    bookings = paying(running, *["pm_card_visa"] * 5)
    advance_all(running)
    assert states(running, bookings) == ["confirmed"] * 5
    assert running.tasks() == []
    assert counts(running) == {CREATE: {"200": 5}, CAPTURE: {"200": 5}}
    assert transactions(running) == 2
    for booking in bookings:
        (intent,) = running.intents(booking)
        assert (intent["captured"], intent["charges"], intent["held"]) == (10500, 1, 0)
        assert running.seats(booking) == ["sold", "sold"]
    running.check()


def test_every_member_has_a_key_of_its_own(running: Running) -> None:
    bookings = paying(running, *["pm_card_visa"] * 4)
    advance_all(running)
    refs = {running.booking(booking)["payment_id"]: booking for booking in bookings}
    found = running.conn.execute("select id, gateway_ref, booking_id from payments").fetchall()
    assert {row["id"]: row["booking_id"] for row in found} == refs
    assert len({row["gateway_ref"] for row in found}) == 4
    running.check()


def test_the_mails_of_a_group_carry_the_traces_of_its_bookings(running: Running) -> None:
    bookings = paying(running, *["pm_card_visa"] * 3)
    for booking in bookings:
        query = "update outbox set trace = %s where key = %s"
        running.conn.execute(query, [f"trace-{booking}", str(booking)])
    bind_trace(None)  # as the middleware does for a message with several traces
    advance_all(running)
    query = """
        select m.booking_id, o.trace
        from outbox o join emails m on m.id = (o.args ->> 'email_id')::uuid
        where o.actor = 'send_email' and m.template = 'confirmed'"""
    found = {row["booking_id"]: row["trace"] for row in running.conn.execute(query)}
    assert found == {booking: f"trace-{booking}" for booking in bookings}


@pytest.mark.parametrize(
    ("card", "state"),
    [(DECLINED, "held"), (THREE_DS, "authorising"), (RISKY, "review")],
)
def test_an_unusual_card_costs_the_others_nothing(running: Running, card: str, state: str) -> None:
    running.conn.execute(
        "insert into review_rules (organisation_id, rule, most, window_seconds, action)"
        " values (%s, 'risk_level', 0, 3600, 'review')",
        [running.sale.organisation],
    )
    bookings = paying(running, "pm_card_visa", card, "pm_card_visa", "pm_card_visa")
    advance_all(running)
    assert states(running, bookings) == ["confirmed", state, "confirmed", "confirmed"]
    assert running.tasks() == []
    assert transactions(running) == 2
    running.check()


def test_another_sum_than_was_asked_for_is_voided_alone(running: Running) -> None:
    bookings = paying(running, *["pm_card_visa"] * 3)
    change = """
        update payments set params = jsonb_set(params, '{amount}', '5000')
        where booking_id = %s"""
    running.conn.execute(change, [bookings[1]])
    advance_all(running)
    assert states(running, bookings) == ["confirmed", "held", "confirmed"]
    (intent,) = running.intents(bookings[1])
    assert (intent["status"], intent["captured"], intent["held"]) == ("canceled", 0, 0)
    running.check()


@pytest.mark.parametrize("call", [CREATE, CAPTURE])
@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "fail_before", "fail_after"])
def test_a_call_without_an_answer_is_resolved_alone(running: Running, call: str, kind: str) -> None:
    bookings = paying(running, *["pm_card_visa"] * 4)
    running.sandbox.faults(next=[{"call": call, "kind": kind}])
    advance_all(running)
    assert (
        sorted(states(running, bookings))[:3]
        == ["authorising" if call == CREATE else "confirmed"] + ["confirmed"] * 2
    )
    assert transactions(running) == 2
    with running.work():
        for booking in bookings:
            running.wait_for(booking, "confirmed")
    for booking in bookings:
        paid = [intent for intent in running.intents(booking) if intent["captured"]]
        assert [intent["charges"] for intent in paid] == [1]
    running.check()


@pytest.mark.parametrize("call", [CREATE, CAPTURE])
def test_a_slow_call_delays_no_other(running: Running, call: str) -> None:
    bookings = paying(running, *["pm_card_visa"] * 4)
    running.sandbox.faults(spike_ms=4000, next=[{"call": call, "kind": "spike"}])
    group = threading.Thread(target=advance_all, args=[running])
    group.start()
    wait_until(lambda: states(running, bookings).count("confirmed") >= 3 or not group.is_alive())
    assert group.is_alive(), "the slow one is still out"
    assert side_by_side.room.free == side_by_side.THREADS - 1
    group.join()
    assert states(running, bookings) == ["confirmed"] * 4
    running.check()


def test_what_notifications_ask_for_meanwhile_is_done_with_the_confirmation(
    running: Running,
) -> None:
    """No task is left to find out what its own worker has recorded."""
    from tasks.booking_groups import AUTHORISE, Group
    from tasks.booking_groups import CAPTURE as CAPTURING
    from tasks.durable.side_by_side import beside

    bookings = paying(running, *["pm_card_visa"] * 3)
    with beside(lease_all(running)) as (now, others):
        group = Group(now, others)
        members = group.begin()
        for booking in bookings:
            payment = running.booking(booking)["payment_id"]
            assert store(news(payment, "authorised")) == "news"
        for step in (AUTHORISE, CAPTURING):
            members = group.record(step, answers_of(group, step, members))
    assert states(running, bookings) == ["confirmed"] * 3
    assert running.tasks() == []
    running.check()


def test_a_lost_lease_costs_no_other_its_record(running: Running) -> None:
    """Another worker has the task since its lease ran out; the answer is its to find."""
    from tasks.booking_groups import Group
    from tasks.durable.side_by_side import beside

    bookings = paying(running, *["pm_card_visa"] * 4)
    lease = lease_all(running)
    with beside(lease) as (_, others):
        group = Group(lease, others)
        members = group.begin()
        take = "update outbox set lease_token = gen_random_uuid() where key = %s"
        running.conn.execute(take, [str(bookings[2])])
        from tasks.booking_groups import AUTHORISE
        from tasks.booking_groups import CAPTURE as CAPTURING

        for step in (AUTHORISE, CAPTURING):
            members = group.record(step, answers_of(group, step, members))
    assert states(running, bookings) == ["confirmed", "confirmed", "authorising", "confirmed"]
    assert transactions(running) == 2
    payment = running.payment(running.booking(bookings[2])["payment_id"])
    assert (payment["state"], payment["gateway_ref"]) == ("intended", None)
    running.check()


def test_a_booking_given_up_meanwhile_is_voided_alone(running: Running) -> None:
    from tasks.booking_groups import AUTHORISE, Group
    from tasks.booking_groups import CAPTURE as CAPTURING
    from tasks.durable.side_by_side import beside

    bookings = paying(running, *["pm_card_visa"] * 3)
    lease = lease_all(running)
    with beside(lease) as (_, others):
        group = Group(lease, others)
        answered = answers_of(group, AUTHORISE, group.begin())
        assert running.cancel(bookings[0]) == "authorising"
        secured = group.record(AUTHORISE, answered)
        group.record(CAPTURING, answers_of(group, CAPTURING, secured))
    assert states(running, bookings)[1:] == ["confirmed"] * 2
    with running.work():
        running.wait_for(bookings[0], "cancelled")
    (intent,) = running.intents(bookings[0])
    assert (intent["status"], intent["held"]) == ("canceled", 0)
    running.check()


def test_a_member_that_cannot_be_recorded_takes_no_other_along(running: Running) -> None:
    bookings = paying(running, *["pm_card_visa"] * 4)
    for when in ("secured", "confirmed"):
        running.conn.execute(f"""
            create function refuse_{when}() returns trigger language plpgsql as
                $$ begin raise exception 'cannot be {when}'; end $$;
            create trigger refuse_{when} before update on bookings for each row
            when (new.state = '{when}' and new.id = '{bookings[1 if when == "secured" else 2]}')
            execute function refuse_{when}()""")
    advance_all(running)
    assert states(running, bookings) == ["confirmed", "authorising", "secured", "confirmed"]
    failures = {UUID(task["key"]): task["failures"] for task in running.tasks()}
    assert failures == {bookings[1]: 1, bookings[2]: 1}


def test_a_buyer_has_one_booking_in_a_group(running: Running) -> None:
    """Since the rules of reviews count what a buyer pays beside it."""
    from tasks.booking_groups import send

    bookings = paying(running, *["pm_card_visa"] * 3)
    buyers = (
        "update bookings set buyer_id = (select min(buyer_id) from bookings) where id = any (%s)"
    )
    running.conn.execute("alter table bookings disable trigger user")
    running.conn.execute(buyers, [bookings[:2]])
    members, ended = send(lease_all(running))
    assert (len(members), ended) == (2, set())


def test_a_group_is_of_one_gateway_account(running: Running) -> None:
    from tasks.booking_groups import send

    bookings = paying(running, *["pm_card_visa"] * 3)
    query = """
        with other as (
            insert into gateway_accounts (organisation_id, provider)
            select organisation_id, provider from gateway_accounts limit 1 returning id)
        update payments set gateway_account_id = other.id from other where booking_id = %s"""
    running.conn.execute(query, [bookings[1]])
    members, _ = send(lease_all(running))
    assert {member.progress.gateway_account_id for member in members} == {running.sale.gateway}


def test_a_circuit_that_is_not_closed_lets_one_call_through(running: Running) -> None:
    bookings = paying(running, *["pm_card_visa"] * 4)
    running.conn.execute("select lock_circuit(%s)", [running.sale.gateway])
    running.conn.execute("select open_circuit(%s, null, 1000, 1000)", [running.sale.gateway])
    running.conn.execute("update gateway_circuits set retry_at = clock_timestamp()")
    advance_all(running)
    assert counts(running)[CREATE] == {"200": 1}
    assert sorted(states(running, bookings)) == ["authorising"] * 3 + ["confirmed"]
    with running.work():
        for booking in bookings:
            running.wait_for(booking, "confirmed")
    running.check()


def test_members_without_a_slot_leave_the_group(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    from db.payments import circuits
    from db.payments.circuits import Priority
    from tasks.gateways.stripe import client

    monkeypatch.setitem(client.PRIORITIES, "create", Priority(book=5, wait=0))
    monkeypatch.setattr(circuits, "BURST", 0.1)  # two slots of 20 a second
    bookings = paying(running, *["pm_card_visa"] * 4)
    advance_all(running)
    assert counts(running)[CREATE] == {"200": 2}
    assert sorted(states(running, bookings)) == ["authorising"] * 2 + ["confirmed"] * 2
    assert [task["failures"] for task in running.tasks()] == [0, 0]


def test_attempts_of_one_address_are_counted_within_a_group(running: Running) -> None:
    """Each that is sent counts for the next: a group is no way around the limit."""
    from tasks.booking_groups import send

    for n in range(18):
        booking = running.sale.hold(f"mallory{n}", quantity=1)
        running.pay(booking)
    running.conn.execute("update payments set first_sent_at = now()")
    running.conn.execute("delete from outbox")
    paying(running, *["pm_card_visa"] * 4)
    running.conn.execute("update payments set address_hash = 'one address'")
    members, _ = send(lease_all(running))
    assert len(members) == 2


def test_what_has_nothing_to_do_ends_in_the_group(running: Running) -> None:
    bookings = paying(running, *["pm_card_visa"] * 2)
    advance_all(running)
    running.conn.execute(
        "select wake_sagas(event_id, array_agg(id)) from bookings group by event_id"
    )
    advance_all(running)
    assert running.tasks() == []
    assert states(running, bookings) == ["confirmed"] * 2
    assert running.sandbox.calls()["total"] == 4


def test_a_worker_that_stops_hands_the_members_back(running: Running) -> None:
    from tasks.durable.leases import told_to_stop

    bookings = paying(running, *["pm_card_visa"] * 3)
    told_to_stop.set()
    try:
        advance_all(running)
    finally:
        told_to_stop.clear()
    assert running.sandbox.calls()["total"] == 0
    assert [task["lease_token"] for task in running.tasks()] == [None] * 3
    with running.work():
        for booking in bookings:
            running.wait_for(booking, "confirmed")


def test_tasks_for_which_no_thread_is_free_are_handed_back(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do not wait here: their message's thread is needed for others, and their leases run."""
    from tasks.durable import side_by_side

    bookings = paying(running, *["pm_card_visa"] * 4)
    monkeypatch.setattr(side_by_side, "room", side_by_side.Room(3))
    lease = lease_all(running)
    with side_by_side.beside(lease) as (now, _):
        assert now.ids == lease.ids[:3]
    (back,) = [task for task in running.tasks() if task["lease_token"] is None]
    assert (back["id"], back["failures"], back["claims"]) == (lease.ids[3], 0, 0)
    running.conn.execute("update outbox set lease_token = null, lease_until = null, claims = 0")
    with running.work():
        for booking in bookings:
            running.wait_for(booking, "confirmed")


def test_a_message_names_tasks_of_one_account(running: Running) -> None:
    from tasks.relay import messages

    due = [outbox.DueTask(n, "advance", 50, 0, gateway_account_id=n % 2) for n in range(6)]
    assert [message.args for message in messages(due)] == [([0, 2, 4],), ([1, 3, 5],)]


def test_a_task_whose_worker_may_have_died_goes_alone(running: Running) -> None:
    from tasks.relay import messages

    due = [outbox.DueTask(n, "advance", 50, n % 2, gateway_account_id=1) for n in range(4)]
    sent = sorted(len(message.args[0]) for message in messages(due))
    assert sent == [1, 1, 2]


SHOW_PLANS = """
load 'auto_explain'; set auto_explain.log_min_duration = 0;
set auto_explain.log_nested_statements = on; set client_min_messages = log;
set plan_cache_mode = force_generic_plan
"""


@pytest.mark.parametrize(
    "call",
    [
        "follow_each_other(array_agg(event_id), array_agg(id))",
        "reasons_for_review(array_agg(event_id), array_agg(id))",
        "confirm_bookings(min(event_id), array_agg(booking_id), array_agg(id))",
    ],
)
def test_members_are_found_by_their_ids_even_while_they_are_few(
    running: Running, call: str
) -> None:
    """A plan is kept until the next analysis: by then a crowd may have come."""
    paying(running, *["pm_card_visa"] * 4)
    running.conn.execute("analyze")
    plans: list[str] = []
    with another(running.conn) as conn:
        conn.add_notice_handler(lambda told: plans.append(told.message_primary or ""))
        conn.execute(SHOW_PLANS.encode())
        plans.clear()
        conn.execute(f"select {call} from payments".encode())
    kept = [plan for plan in plans[:-1] if "new_rows" not in plan]  # those are planned each time
    lines = [line for plan in kept for line in plan.splitlines()]
    scans = [found for found in pairwise(lines) if READS.search(found[0])]
    assert scans
    for scan, condition in scans:
        assert re.search(r"Cond: .*\bid = ", condition), (scan, condition)


READS = re.compile(r"Scan .*on (payments|bookings)\b")


@pytest.mark.system
@pytest.mark.timeout(240)
def test_groups_beside_all_that_happens_to_their_bookings(running: Running) -> None:
    """For a minute, buyers pay, cancel and are refunded, holds run out, and the gateway notifies. A
    deadlock would fail the suite (the server's log is read at its end)."""
    rows = {1: ["." * 50] * 10}
    sale = build_theatre(running.conn, rows)
    crowded = replace(running, sale=sale)
    over = threading.Event()
    beside = [pay_many, notify_at_random, end_at_random, refund_at_random]
    with crowded.work(threads=8, relays=2), ThreadPoolExecutor(len(beside)) as threads:
        tasks = [threads.submit(work, crowded, over) for work in beside]
        wait(tasks, 60, FIRST_EXCEPTION)
        over.set()
        for task in tasks:
            task.result()
        wait_until(lambda: not crowded.tasks() and not crowded.tasks("refund"), 60)
    logged = """
        select new_state, max(n) as together from (
            select new_state, count(*) as n from state_log where noun = 'booking'
            group by new_state, xmin::text) x
        group by new_state"""
    most = {row["new_state"]: row["together"] for row in crowded.conn.execute(logged)}
    assert {"confirmed", "cancelled", "expired", "expiring"} <= set(most)
    assert most["secured"] > 1 and most["confirmed"] > 1, "some went side by side"
    running.check()


def pay_many(running: Running, over: threading.Event) -> None:
    """Buyers, eight at a time, hold a seat and pay in one moment."""
    with restless(running) as crowd:
        for number in count():
            entries = [crowd.sale.join(f"buyer {number}.{n}", 1, 1) for n in range(8)]
            while some(crowd, "select id from entries where id = any (%s) and " + WAITS, entries):
                if over.wait(0.01):
                    return
            held = "select booking_id as id from entries where id = any (%s)"
            card = DECLINED if number % 5 == 0 else "pm_card_visa"
            for booking in some(crowd, held, entries):
                with suppress(SerializationFailure):  # given up, or run out, already
                    crowd.conn.execute(PAY, [card, booking])


WAITS = "booking_id is null"
PAY = """
    select s.outcome from bookings b, start_payment(b.event_id, b.id, b.buyer_id, %s,
        'https://usher.example') s where b.id = %s"""


def notify_at_random(running: Running, over: threading.Event) -> None:
    with restless(running) as crowd:
        while not over.wait(0.02):
            for payment in some(crowd, "select id from payments order by random() limit 3"):
                crowd.notify(payment, random.choice(["authorised", "captured", "failed"]))


def end_at_random(running: Running, over: threading.Event) -> None:
    """Buyers give up what is being paid, and deadlines pass."""
    live = """
        select id from bookings where state in ('held', 'authorising') order by random() limit 2"""
    past = "update bookings set deadline = now() - interval '2 min' where id = %s"
    with restless(running) as crowd:
        while not over.wait(0.05):
            for booking in some(crowd, live):
                with suppress(SerializationFailure):
                    crowd.cancel(booking)
            for booking in some(crowd, live):
                crowd.conn.execute(past, [booking])
            with suppress(SerializationFailure):
                crowd.tick()


def refund_at_random(running: Running, over: threading.Event) -> None:
    """The organiser refunds bookings, whose seats are sold again."""
    sold = "select id from bookings where state = 'confirmed' order by random() limit 2"
    ask = "select request_refund(%s, null, %s, null, null, true, 'ill', true)"
    with restless(running) as crowd:
        while not over.wait(0.05):
            for booking in some(crowd, sold):
                with suppress(SerializationFailure):
                    crowd.conn.execute(ask, [crowd.sale.event, booking])


@contextmanager
def restless(running: Running) -> Iterator[Running]:
    """The same on a connection of its own."""
    with another(running.conn) as conn:
        conn.autocommit = True
        yield replace(running, conn=conn, sale=replace(running.sale, conn=conn))


def some(running: Running, query: str, *values: object) -> list[UUID]:
    return [row["id"] for row in running.conn.execute(query, values or None)]
