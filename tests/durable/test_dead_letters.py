"""Dead letters: what they hold, and what operators do with them through the API and the console."""

import json
import os
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from psycopg.types.json import Jsonb

from db.connections import one, transaction
from db.durable import dead_letters, outbox
from db.maintenance.invariants import violations
from db.runtime.errors import Conflict
from db.runtime.logs import bind_trace
from tasks.durable.leases import policies, take_lease
from tests.support.programs import Console
from tests.support.running import Running
from tests.support.waiting import wait_until
from tests.support.world import Answer, Caller, environment, token_of

OTHER = str(uuid4())
PURGE = "purge"  # any actor that these tests do not run


@pytest.fixture
def operator(running: Running, app: Flask) -> Caller:
    from db.accounts import api_keys

    with transaction() as conn:
        key = api_keys.add_key(conn, "operator", "night watch", None)
    return Caller(app.test_client(), key)


def dead_letter(running: Running, actor: str, reason: str = "Broken: it is", **args: Any) -> int:
    """A dead letter of a task that was tried once; its id."""
    from tasks import main  # noqa: F401 declares the actors

    query = "select enqueue(%s, %s, null, %s, %s) as id"
    values = [actor, policies[actor].queue, Jsonb(args), args.get("event_id")]
    task = one(running.conn.execute(query, values))["id"]
    lease = take_lease([task], policies[actor])
    with transaction() as conn:
        outbox.dead_letter(conn, [task], lease.token, reason, keep=policies[actor].keep)
        if policies[actor].keep:
            outbox.retry(conn, [task], lease.token, reason, 1000, counts=True)
    return int(running.dead_letters()[-1]["id"])


def dead_mail(running: Running, state: str = "pending") -> tuple[int, UUID]:
    """A dead letter of an e-mail about a booking: its id, and the mail's."""
    booking = running.sale.hold("alice")
    with transaction() as conn:
        conn.execute(
            "select notify_buyers(event_id, array[id], 'confirmed') from bookings where id = %s",
            [booking],
        )
        conn.execute("delete from outbox where actor = 'send_email'")
        conn.execute("update emails set state = %s", [state])
        email = one(conn.execute("select id from emails"))["id"]
    return dead_letter(running, "send_email", email_id=str(email)), email


def audited(running: Running) -> list[tuple[Any, ...]]:
    rows = running.conn.execute("select * from audit_log where action like 'dead%%' order by id")
    return [(r["actor"], r["action"], r["detail"]["dead_letter"]) for r in rows]


def ids(answer: Answer) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [letter["id"] for letter in answer.json]


def test_it_tells_what_it_concerns(running: Running) -> None:
    letter, _ = dead_mail(running)
    booking = one(running.conn.execute("select * from bookings"))
    (found,) = running.dead_letters()
    assert found["id"] == letter
    assert (found["event_id"], found["booking_id"], found["buyer_id"]) == (
        booking["event_id"],
        booking["id"],
        booking["buyer_id"],
    )


def test_the_request_is_the_trace_of_all_that_follows(running: Running, operator: Caller) -> None:
    """From the header to the task, to the tasks that it enqueues, to the letter."""
    booking = running.sale.hold("alice")
    buyer = running.booking(booking)["buyer_id"]
    alice = Caller(operator.client, token_of(buyer), buyer)
    path = f"/v1/events/{running.sale.event}/bookings/{booking}/payment"
    answer = alice.post(
        path,
        {"payment_method": "pm_card_visa"},
        key="k",
        headers={"X-Request-Id": "request-seven"},
    )
    assert answer.status_code == 202, answer.text
    assert [task["trace"] for task in running.tasks()] == ["request-seven"]
    running.catcher.misbehave(reject_rate=1, reply="550")
    with running.work():
        wait_until(running.dead_letters)
    assert running.dead_letters()[0]["trace"] == "request-seven"


def test_a_task_without_a_cause_is_the_cause_of_what_it_enqueues(running: Running) -> None:
    from tasks.durable.middleware import bind_ids

    query = "select enqueue(%s, 'maintenance', null, '{}') as id"
    task = one(running.conn.execute(query, [PURGE]))["id"]
    bind_ids(take_lease([task], policies[PURGE]))
    try:
        with transaction(f"task:{PURGE}") as conn:
            conn.execute("select enqueue('probe_gateway', 'payments', null, '{}')")
    finally:
        bind_trace(None)
    assert [t["trace"] for t in running.tasks("probe_gateway")] == [f"task-{task}"]


def test_operators_find_them(running: Running, operator: Caller) -> None:
    event, booking = running.sale.event, str(running.sale.hold("alice"))
    buyer = running.booking(UUID(booking))["buyer_id"]
    first = dead_letter(running, "probe_gateway", "Away: connection refused", account_id=1)
    second = dead_letter(running, "advance", event_id=event, booking_id=booking)
    third = dead_letter(running, PURGE, "TypeError: 100% wrong", booking_id=OTHER)
    path = "/v1/dead-letters"
    assert ids(operator.get(path)) == [third, second, first]
    assert ids(operator.get(f"{path}?actor=advance")) == [second]
    assert ids(operator.get(f"{path}?event_id={event}")) == [second]
    assert ids(operator.get(f"{path}?booking_id={OTHER}")) == [third]
    assert ids(operator.get(f"{path}?buyer_id={buyer}")) == [second]
    assert ids(operator.get(f"{path}?reason=REFUSED")) == [first]
    assert ids(operator.get(f"{path}?reason=100%25 wrong")) == [third]
    assert ids(operator.get(f"{path}?older_than=60")) == []
    running.conn.execute(
        "update dead_letters set died_at = now() - interval '61 s' where id = %s", [first]
    )
    assert ids(operator.get(f"{path}?older_than=60")) == [first]
    assert ids(operator.get(f"{path}?newer_than=60")) == [third, second]
    assert ids(operator.get(f"{path}?state=resolved")) == []
    page = operator.get(f"{path}?limit=2&newer_than=3600")
    assert ids(page) == [third, second]
    following = page.headers["Link"].partition(">")[0].lstrip("<")
    assert ids(operator.get(following)) == [first]


def test_organisers_do_not_see_them(running: Running, operator: Caller) -> None:
    from db.accounts import api_keys

    with transaction() as conn:
        key = api_keys.add_key(conn, "organiser", "till", api_keys.add_organisation(conn, "Opera"))
    till = Caller(operator.client, key)
    letter = dead_letter(running, PURGE, booking_id=OTHER)
    for path in ("dead-letters", f"dead-letters/{letter}", "tasks", "audit", "payments-in-doubt"):
        assert till.get(f"/v1/{path}").status_code == 403
    assert till.post(f"/v1/dead-letters/{letter}/retry").status_code == 403
    assert till.post("/v1/dead-letters/retry", {"limit": 1}).status_code == 403


def test_one_is_inspected_with_its_history(running: Running, operator: Caller) -> None:
    letter = dead_letter(running, PURGE, booking_id=OTHER)
    found = operator.get(f"/v1/dead-letters/{letter}").json
    (attempt,) = found["errors"]
    assert (attempt["kind"], attempt["error"], attempt["claims"]) == ("failed", "Broken: it is", 1)
    assert attempt["worker"]
    assert operator.get("/v1/dead-letters/99").status_code == 404


def test_retrying_twice_is_retrying_once(running: Running, operator: Caller) -> None:
    letter, email = dead_mail(running)
    again = operator.post(f"/v1/dead-letters/{letter}/retry").json
    assert again["outcome"] == "retried"
    (task,) = running.tasks("send_email")
    assert (task["id"], task["retry_of"]) == (again["task_id"], letter)
    assert (task["claims"], task["failures"]) == (0, 0)
    second = operator.post(f"/v1/dead-letters/{letter}/retry")
    assert (second.status_code, second.json["conflict_reason"]) == (409, "already_resolved")
    assert len(running.tasks("send_email")) == 1
    with running.work():
        wait_until(lambda: not running.tasks("send_email"))
    sent = "select state from emails where id = %s"
    assert one(running.conn.execute(sent, [email]))["state"] == "sent"
    (found,) = running.dead_letters()
    assert (found["resolution"], found["retried_as"]) == ("retried", task["id"])
    assert found["resolved_by"] == audited(running)[0][0]
    assert [act[1:] for act in audited(running)] == [("dead letter retried", letter)]


def test_a_mail_that_was_refused_is_sent_when_it_is_retried(running: Running) -> None:
    letter, email = dead_mail(running, "failed")
    with transaction("operator:1") as conn:
        dead_letters.retry(conn, letter)
    with running.work():
        wait_until(lambda: not running.tasks("send_email"))
    sent = "select state from emails where id = %s"
    assert one(running.conn.execute(sent, [email]))["state"] == "sent"


def test_a_retry_that_dies_as_well_names_the_first(running: Running) -> None:
    letter = dead_letter(running, PURGE, booking_id=OTHER)
    with transaction("operator:1") as conn:
        task = dead_letters.retry(conn, letter)["task_id"]
    lease = take_lease([task], policies[PURGE])
    with transaction() as conn:
        outbox.dead_letter(conn, [task], lease.token, "again", keep=False)
    assert [found["retry_of"] for found in running.dead_letters()] == [None, letter]


def test_a_task_of_which_there_is_one_is_not_doubled(running: Running) -> None:
    """The same thing was enqueued again meanwhile: it is told to run once more."""
    letter = dead_letter(running, "probe_gateway", account_id=1)
    running.conn.execute("update dead_letters set key = '1'")
    running.conn.execute("select enqueue('probe_gateway', 'payments', '1', '{}')")
    with transaction("operator:1") as conn:
        outcome = dead_letters.retry(conn, letter)
    (task,) = running.tasks("probe_gateway")
    assert outcome["task_id"] == task["id"]


def test_one_whose_task_still_lives_runs_at_once(running: Running, operator: Caller) -> None:
    booking = running.sale.hold("alice")
    letter = dead_letter(running, "advance", event_id=running.sale.event, booking_id=str(booking))
    assert operator.get(f"/v1/dead-letters/{letter}").json["lives"]
    answer = operator.post(f"/v1/dead-letters/{letter}/retry").json
    assert answer["outcome"] == "hastened"
    with running.work():
        wait_until(lambda: not running.tasks())
    (found,) = running.dead_letters()
    assert (found["resolution"], found["resolved_by"]) == ("done after all", None)


def test_many_are_retried(running: Running, operator: Caller) -> None:
    letters = [dead_letter(running, PURGE, booking_id=OTHER) for _ in range(3)]
    other = dead_letter(running, "probe_gateway", account_id=1)
    spoiled = one(
        running.conn.execute(
            "insert into dead_letters (task_id, actor, queue, args, reason, claims, errors,"
            " created_at) values (0, 'drain', 'drain', '{}', 'spoiled', 1, '[]', now())"
            " returning id"
        )
    )["id"]
    path = "/v1/dead-letters/retry"
    done = operator.post(path, {"actor": PURGE, "limit": 2}).json
    assert [one["id"] for one in done["retried"]] == letters[:2]
    done = operator.post(path, {"limit": 10}).json
    assert [one["id"] for one in done["retried"]] == [letters[2], other]
    assert [one["id"] for one in done["refused"]] == [spoiled]
    assert len(audited(running)) == 4
    assert operator.post(path, {"limit": 10}).json["retried"] == []


def test_discarding_needs_a_reason_and_ends_it(running: Running, operator: Caller) -> None:
    letter, email = dead_mail(running)
    path = f"/v1/dead-letters/{letter}/discard"
    assert operator.post(path, {}).status_code == 422
    done = operator.post(path, {"reason": "told by phone"})
    assert (done.status_code, done.json["resolution"]) == (200, "discarded: told by phone")
    mail = one(running.conn.execute("select * from emails where id = %s", [email]))
    assert (mail["state"], mail["last_error"]) == ("failed", "discarded: told by phone")
    assert operator.post(path, {"reason": "again"}).json["conflict_reason"] == "already_resolved"
    assert operator.post(f"/v1/dead-letters/{letter}/retry").status_code == 409
    assert [act[1:] for act in audited(running)] == [("dead letter discarded", letter)]
    assert [v.name for v in violations(running.conn)] == []


def test_money_is_not_discarded(running: Running) -> None:
    """The letter stays open, and its task alive, until the payment is at an end."""
    booking = running.sale.hold("alice")
    running.pay(booking)
    lease = running.lease()
    with lease.transaction() as conn:
        outbox.dead_letter(conn, lease.ids, lease.token, "Broken", keep=True)
        outbox.retry(conn, lease.ids, lease.token, "Broken", 1000, counts=True)
    (letter,) = running.dead_letters()
    assert letter["booking_id"] == booking
    with (
        transaction("operator:1") as conn,
        pytest.raises(Conflict, match="a retry brings it to its end"),
    ):
        dead_letters.discard(conn, letter["id"], "I do not care")
    assert running.tasks()
    assert running.dead_letters()[0]["resolved_at"] is None
    with transaction("operator:1") as conn:
        dead_letters.retry(conn, letter["id"])
    with running.work():
        running.wait_for(booking, "confirmed")
    running.check()


def test_a_live_task_that_nothing_depends_on_ends_with_its_letter(running: Running) -> None:
    booking = running.sale.hold("alice")
    letter = dead_letter(running, "advance", event_id=running.sale.event, booking_id=str(booking))
    with transaction("operator:1") as conn:
        dead_letters.discard(conn, letter, "never paid")
    assert running.tasks() == []


def test_a_task_that_died_twice_has_one_letter_that_knows_both(running: Running) -> None:
    booking = running.sale.hold("alice")
    letter = dead_letter(running, "advance", event_id=running.sale.event, booking_id=str(booking))
    running.conn.execute("update outbox set run_at = now() where actor = 'advance'")
    lease = running.lease()
    with transaction() as conn:
        outbox.dead_letter(conn, lease.ids, lease.token, "Worse: it was", keep=True)
    (found,) = running.dead_letters()
    assert (found["id"], found["reason"], found["failures"]) == (letter, "Worse: it was", 2)
    assert [entry["error"] for entry in found["errors"]] == ["Broken: it is", "Worse: it was"]


def test_a_long_history_keeps_its_beginning(running: Running) -> None:
    query = """
        with recursive h(n, history) as (
            select 0, '[]'::jsonb
            union all select n + 1, add_attempt(history, 'failed', n::text, 1, 'w') from h
            where n < 150)
        select history from h order by n desc limit 1"""
    history = one(running.conn.execute(query))["history"]
    numbers = [int(entry["error"]) for entry in history]
    assert numbers == [*range(10), *range(60, 150)]


def test_waiting_for_the_same_thing_is_one_entry(running: Running) -> None:
    query = """
        select add_attempt(add_attempt(add_attempt('[]', 'later', 'busy', 1, 'w'),
            'later', 'busy', 1, 'w'), 'later', 'other', 1, 'w') as history"""
    history = one(running.conn.execute(query))["history"]
    assert [(entry["error"], entry.get("times")) for entry in history] == [
        ("busy", 2),
        ("other", None),
    ]


def test_tasks_are_listed(running: Running, operator: Caller) -> None:
    from tasks import main  # noqa: F401 declares the actors

    for actor in (PURGE, PURGE, "probe_gateway"):
        running.conn.execute(
            "select enqueue(%s, %s, null, '{}', 7)", [actor, policies[actor].queue]
        )
    due, leased, failing = (
        task["id"] for actor in (PURGE, "probe_gateway") for task in running.tasks(actor)
    )
    take_lease([leased], policies[PURGE])
    lease = take_lease([failing], policies["probe_gateway"])
    with transaction() as conn:
        outbox.retry(conn, [failing], lease.token, "why", 10**6, counts=True)
    assert ids(operator.get("/v1/tasks")) == [due, leased, failing]
    assert ids(operator.get("/v1/tasks?state=due")) == [due]
    assert ids(operator.get(f"/v1/tasks?state=leased&actor={PURGE}&event_id=7")) == [leased]
    assert ids(operator.get("/v1/tasks?state=waiting")) == [failing]
    (task,) = operator.get("/v1/tasks?state=failing").json
    assert (task["id"], task["last_error"], task["failures"]) == (failing, "why", 1)
    page = operator.get("/v1/tasks?limit=2")
    following = page.headers["Link"].partition(">")[0].lstrip("<")
    assert ids(operator.get(following)) == [failing]


def test_payments_in_doubt_and_mails_in_trouble(running: Running, operator: Caller) -> None:
    booking = running.sale.hold("alice")
    payment = running.pay(booking)
    assert operator.get("/v1/payments-in-doubt").json == []
    (doubt,) = operator.get("/v1/payments-in-doubt?older_than=0").json
    assert (doubt["id"], doubt["booking_id"]) == (str(payment), str(booking))
    assert doubt["task_id"] == running.tasks()[0]["id"]
    with running.work():
        running.wait_for(booking, "confirmed")
        wait_until(lambda: not running.tasks("send_email"))
    assert operator.get("/v1/payments-in-doubt?older_than=0").json == []
    assert operator.get("/v1/emails-in-trouble").json == []
    running.conn.execute("delete from outbox")
    running.conn.execute("update emails set state = 'failed', sent_at = null, last_error = 'no'")
    (email,) = running.conn.execute("select id from emails").fetchall()
    letter = dead_letter(running, "send_email", email_id=str(email["id"]))
    (mail,) = operator.get("/v1/emails-in-trouble").json
    assert (mail["id"], mail["last_error"]) == (str(email["id"]), "no")
    operator.post(f"/v1/dead-letters/{letter}/discard", {"reason": "wrong address"})
    (act,) = operator.get("/v1/audit?action=dead letter discarded").json
    assert act["detail"]["reason"] == "wrong address"


def test_the_console_does_it_too(running: Running, database_url: str, redis_url: str) -> None:
    console = Console({**os.environ, **environment(database_url, redis_url)})
    first, second = (dead_letter(running, PURGE, booking_id=OTHER) for _ in range(2))
    listed = console("dead-letter", "list", "--actor", PURGE)
    assert (listed.stdout.count("Broken: it is"), listed.returncode) == (2, 0), listed.stderr
    assert console("dead-letter", "list", "--actor", "advance").stdout == ""
    shown = json.loads(console("dead-letter", "show", str(first)).stdout)
    assert shown["errors"][0]["error"] == "Broken: it is"
    assert "retried as task" in console("dead-letter", "retry", str(first)).stdout
    again = console("dead-letter", "retry", str(first))
    assert (again.returncode, again.stderr) == (1, "It was resolved before: retried.\n")
    assert console("dead-letter", "discard", str(second), "--reason", "old").returncode == 0
    assert PURGE in console("task", "list", "--state", "due").stdout
    actors = {name for name, _, _ in audited(running)}
    assert len(actors) == 1
    assert actors.pop().startswith("console:")
    third = dead_letter(running, PURGE, booking_id=OTHER)
    assert f"{third}  retried" in console("dead-letter", "retry", "--all", "--limit", "9").stdout


@pytest.mark.processes
def test_the_console_says_how_each_actor_is_retried(configured: dict[str, str]) -> None:
    from tasks import main  # noqa: F401 declares the actors

    console = Console({**os.environ, **configured})
    table = console("actors").stdout
    for name in ("advance", "send_email", "refund", "cancel_event"):
        (line,) = (line for line in table.splitlines() if line.startswith(f"{name} "))
        assert policies[name].queue in line
        assert ("dead letter, retried" in line) == policies[name].keep
