"""What is news: what goes further than known, by the table of ranks. No order in which
notifications come loses what we need to know."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest

from db.connections import Conn
from tests.support.notifying import news, send
from tests.support.paying import approved, fail, nothing_taken
from tests.support.running import Running
from tests.support.waiting import wait_until
from tests.support.world import Caller, Sale, pay
from web.api.gateway_notifications import store

KNOWN = (
    "intended", "unknown", "requires_action", "processing", "authorised", "failed", "voided",
    "captured",
)  # fmt: skip
SAID = {
    "payment_intent.requires_action": ("requires_action", "requires_action"),
    "payment_intent.processing": ("processing", "processing"),
    "payment_intent.amount_capturable_updated": ("requires_capture", "authorised"),
    "payment_intent.payment_failed": ("requires_payment_method", "failed"),
    "payment_intent.canceled": ("canceled", "voided"),
    "payment_intent.succeeded": ("succeeded", "captured"),
}
"""By type, the gateway's word and ours."""
AFTER = {
    "": ("requires_action", "processing", "authorised", "captured", "failed"),
    "requires_action": ("processing", "authorised", "captured", "failed", "voided"),
    "processing": ("authorised", "captured", "failed", "voided"),
    "authorised": ("captured", "failed", "voided"),
    "failed": ("requires_action", "processing", "authorised", "captured", "voided"),
    "captured": (),
    "voided": (),
}
"""What an intent can become at the gateway. One that failed can be tried again."""
REFUND_AFTER = {"": ("pending", "succeeded"), "pending": ("succeeded", "failed"),
                "succeeded": ("failed",), "failed": ()}  # fmt: skip


@pytest.fixture
def is_news(conn: Conn) -> dict[tuple[str, str, str], bool]:
    """The whole table: by object, what is known and what is said."""
    words = [(kind, *pair) for kind in ("payment", "refund") for pair in product(KNOWN, KNOWN)]
    words += [("refund", *pair) for pair in product(REFUND_AFTER, REFUND_AFTER)]
    query = "select is_news(%s, %s, %s) as news"
    rows = [conn.execute(query, word).fetchone() for word in words]
    return {word: bool(row and row["news"]) for word, row in zip(words, rows, strict=True)}


def lives(after: dict[str, tuple[str, ...]], most: int) -> Iterator[tuple[str, ...]]:
    """All that can become of an object at the gateway, in up to so many changes."""
    found: list[tuple[str, ...]] = [("",)]
    for _ in range(most):
        found = [(*life, state) for life in found for state in after[life[-1]]]
        yield from (life[1:] for life in found)


@dataclass(frozen=True)
class Moment:
    """How many changes have happened, what was delivered of them, and what we know."""

    happened: int = 0
    delivered: frozenset[int] = frozenset()
    known: int = 0  # the change that was seen last; 0: none
    stopped: int = 0  # the change that was seen last by the task that stops unexpected payments


def orders(life: tuple[str, ...], is_new: Any) -> Iterator[Moment]:
    """All ends of all orders in which changes happen, notifications come and a worker looks by
    itself. A notification comes after its change, and once; if it is news, a task looks."""
    seen, todo = set[Moment](), [Moment()]
    while todo:
        now = todo.pop()
        if now in seen:
            continue
        seen.add(now)
        if now.happened == len(life) == len(now.delivered):
            yield now
        if now.happened < len(life):
            todo.append(replace(now, happened=now.happened + 1))
        if now.happened:
            todo.append(look(now, life))
        for change in set(range(1, now.happened + 1)) - now.delivered:
            told = replace(now, delivered=now.delivered | {change})
            known = life[now.known - 1] if now.known else ""
            todo.append(look(told, life) if is_new(known, life[change - 1]) else told)


def look(now: Moment, life: tuple[str, ...]) -> Moment:
    """What was recorded as failed stays so; a task of its own looks at it then."""
    if now.known and life[now.known - 1] == "failed":
        return replace(now, stopped=now.happened)
    return replace(now, known=now.happened)


def test_no_order_loses_news_of_a_payment(is_news: dict[tuple[str, str, str], bool]) -> None:
    """In the end we know its state, or what has failed here is stopped if it has money."""
    count = 0
    for life in lives(AFTER, 5):
        for end in orders(life, lambda known, said: is_news["payment", known or "intended", said]):
            count += 1
            known = life[end.known - 1] if end.known else ""
            has_money = life[-1] in ("authorised", "captured")
            stopped = known == "failed" and (not has_money or end.stopped == len(life))
            assert known == life[-1] or stopped, (life, end)
    assert count > 1000


def test_no_order_loses_news_of_a_refund(is_news: dict[tuple[str, str, str], bool]) -> None:
    for life in lives(REFUND_AFTER, 3):
        for end in orders(life, lambda known, said: is_news["refund", known or "pending", said]):
            known = life[end.known - 1] if end.known else "pending"
            assert known == life[-1], (life, end)


def test_what_cannot_follow_is_no_news(is_news: dict[tuple[str, str, str], bool]) -> None:
    """A notification that was overtaken, and the same again. Money that was taken is news even
    where there can be none."""
    for known, said in product(AFTER, AFTER):
        is_overtaken = said not in reach(known) and (known, said) != ("voided", "captured")
        if is_overtaken or known == said:
            assert not is_news["payment", known or "intended", said or "intended"], (known, said)


def reach(state: str) -> set[str]:
    found, todo = set[str](), [state]
    while todo:
        for after in AFTER[todo.pop()]:
            if after not in found:
                found.add(after)
                todo.append(after)
    return found


@pytest.fixture
def payment(tosca: Sale, alice: Caller, conn: Conn) -> dict[str, Any]:
    booking = tosca.book(alice, conn)
    id = pay(tosca, alice, booking).json["payment"]["id"]
    conn.execute("delete from outbox")
    return {"payment_id": id, "booking_id": booking["id"]}


@pytest.mark.parametrize("type", SAID)
def test_what_is_no_news_makes_no_task(
    anybody: Caller,
    payment: dict[str, Any],
    conn: Conn,
    is_news: dict[tuple[str, str, str], bool],
    type: str,
) -> None:
    """Of each state that is known and each that is said; and the task is the one that is due."""
    word, says = SAID[type]
    conn.execute("alter table payments disable trigger user")
    for known in KNOWN:
        conn.execute(
            "update payments set state = %s, gateway_ref = 'pi_1', captured ="
            " case when %s = 'captured' then amount else 0 end",
            [known, known],
        )
        thing = {"id": "pi_1", "object": "payment_intent", "status": word, "metadata": payment}
        event = {"id": f"evt_{known}", "type": type, "data": {"object": thing}}
        assert send(anybody, event).json == {"received": True}
        actor = "stop_unexpected" if known in ("failed", "voided") else "advance"
        due = [actor] if is_news["payment", known, says] else []
        found = conn.execute("delete from outbox returning actor, key").fetchall()
        assert [task["actor"] for task in found] == due, known
        kept = conn.execute("delete from notification_inbox returning id").fetchall()
        assert [row["id"] for row in kept] == [event["id"]] * len(due), known


def test_a_new_attempt_on_an_intent_that_had_failed_is_news(running: Running) -> None:
    """A browser tried again what we had given up: the money is not kept."""
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    fail(running, booking, payment)
    assert store(news(payment, "requires_action")) == "no_news"
    assert store(news(payment, "authorised")) == "news"
    with running.work():
        wait_until(lambda: not running.tasks("stop_unexpected"))
    assert nothing_taken(running, booking)
    running.check()
