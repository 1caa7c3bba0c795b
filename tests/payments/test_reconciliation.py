"""What the gateway has and what we have are made to differ, found, and repaired or reported.

The dashboard is played over HTTP, with Stripe's own client; what we have is altered in the tables.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from db.connections import only, transaction
from db.payments import reconciliations
from db.runtime.errors import InvalidRequest
from ops.console import __main__ as console
from tests.support import archiving
from tests.support.notifying import tell
from tests.support.paying import DISPUTED, PRICE, approved, capture, confirmed, fail
from tests.support.refunding import ask, books, carry_out, given_back, refund
from tests.support.running import Running
from tests.support.waiting import wait_until
from tests.support.world import Caller, seller
from web.app import create_app

INTENTS = "GET /v1/payment_intents"
AT_WORK = "select from outbox where actor <> 'remind'"
LOSE_TASKS = "delete from outbox where queue = 'payments'"
AGE = "update {} set updated_at = updated_at - interval '1 hour'"


def dashboard() -> Any:
    """Stripe's client, as somebody else uses it who has the account."""
    from tasks.gateways.stripe import client

    return client.client().v1


def age(running: Running) -> None:
    """Nothing is so young that it might be under way."""
    for table in ("payments", "refunds", "disputes"):
        running.conn.execute(AGE.format(table).encode())


def start(running: Running) -> int:
    """A run over the last hour, begun."""
    age(running)
    now = datetime.now(UTC)
    with transaction("operator:1") as conn:
        (run,) = reconciliations.start(conn, now - timedelta(hours=1), now + timedelta(minutes=1))
    return run


def is_done(running: Running, run: int) -> bool:
    return bool(reconciliations.find_run(running.conn, run)["state"] == "finished")


def reconcile(running: Running) -> dict[str, Any]:
    """Run until all that it has sent on its way is done; what the run says of itself."""
    run = start(running)
    with running.work():
        wait_until(lambda: is_done(running, run))
        wait_until(lambda: not running.conn.execute(AT_WORK).fetchall())
    return reconciliations.find_run(running.conn, run)


def found(running: Running, run: dict[str, Any]) -> list[str]:
    """The kinds of difference that a run saw."""
    rows = reconciliations.list_differences(running.conn, run["id"], starting_after=0, limit=99)
    return sorted(row["kind"] for row in rows)


def totals(run: dict[str, Any]) -> list[int]:
    """Captured here and there, refunded here and there."""
    row = only(run["totals"])
    return [
        row[f"{what}_{side}"] for what in ("captured", "refunded") for side in ("here", "there")
    ]


def expect_nothing(running: Running) -> None:
    """The next run finds both sides alike, and nothing is left open."""
    run = reconcile(running)
    assert found(running, run) == []
    for row in run["totals"]:
        assert row["captured_here"] == row["captured_there"]
        assert row["refunded_here"] == row["refunded_there"]
    assert (
        reconciliations.list_differences(running.conn, open=True, starting_after=0, limit=9) == []
    )
    assert [letter for letter in running.dead_letters() if not letter["resolved_at"]] == []
    running.check()


def expect_letter(running: Running, kind: str) -> dict[str, Any]:
    """A run reports a difference, once, however often it is seen; the letter."""
    for _ in range(2):
        assert found(running, reconcile(running)) == [kind]
    (letter,) = running.dead_letters()
    assert letter["resolved_at"] is None
    assert letter["reason"].startswith(f"{kind} ")
    return letter


def expect_gone(running: Running) -> None:
    """What was reported has been seen to: the next run closes its letter."""
    expect_nothing(running)
    (letter,) = running.dead_letters()
    assert letter["resolution"].startswith("gone, says reconciliation")


def test_two_sides_that_agree(running: Running) -> None:
    carry_out(running, ask(running, confirmed(running), amount=1000)["id"])
    intent = dashboard().payment_intents.create({"amount": 777, "currency": "eur"})
    assert intent.id
    run = reconcile(running)
    assert (run["checked"], run["foreign_objects"], run["differences"]) == (3, 1, 0)
    assert totals(run) == [PRICE, PRICE, 1000, 1000]


def test_a_refund_of_the_dashboard_is_adopted(running: Running) -> None:
    booking = confirmed(running)
    payment = running.payment(running.booking(booking)["payment_id"])
    made = dashboard().refunds.create({"payment_intent": payment["gateway_ref"], "amount": 4000})
    run = reconcile(running)
    assert (found(running, run), run["repairs"]) == (["refund_unknown"], 1)
    (row,) = reconciliations.list_differences(running.conn, run["id"], starting_after=0, limit=9)
    assert row["there"]["payment_gateway_id"] == payment["gateway_ref"]  # the API shows it whole
    assert totals(run) == [PRICE, PRICE, 0, 4000]
    (row,) = books(running, booking)["refunds"]
    assert (row["gateway_ref"], row["amount"], row["state"]) == (made.id, 4000, "succeeded")
    assert (row["cause"], row["requested_by"], row["seats"]) == ("dashboard", "gateway", [])
    assert running.booking(booking)["state"] == "confirmed"
    assert running.seats(booking) == ["sold", "sold"]
    assert "40.00 EUR goes back" in str(running.catcher.mails("alice@usher.example")[0]["Subject"])
    expect_nothing(running)


def test_so_it_is_when_we_are_told(running: Running) -> None:
    """And not a second time when it is told again, or reconciled."""
    anybody = Caller(create_app().test_client())
    booking = confirmed(running)
    payment = running.payment(running.booking(booking)["payment_id"])
    dashboard().refunds.create({"payment_intent": payment["gateway_ref"]})
    with running.work():
        for _ in range(2):
            tell(anybody)
            wait_until(lambda: not running.tasks("adopt_refund"))
    assert books(running, booking)["refunded"] == PRICE
    expect_nothing(running)


def test_one_that_leaves_no_room_for_ours_waits_for_it(running: Running) -> None:
    """Ours fails at the gateway, for want of money, and a person is called; it is not adopted
    before, since no more may be given back than was taken."""
    booking = confirmed(running)
    payment = running.payment(running.booking(booking)["payment_id"])
    ours = ask(running, booking, amount=PRICE)["id"]
    running.conn.execute(
        "update outbox set run_at = now() + interval '1 day' where actor = 'refund'"
    )
    made = dashboard().refunds.create({"payment_intent": payment["gateway_ref"]})
    ids = {"event_id": running.sale.event, "booking_id": str(booking)}
    ids |= {"payment_id": str(payment["id"]), "gateway_refund_id": made.id}
    running.sale.enqueue("adopt_refund", "payments", made.id, **ids)
    with running.work():
        wait_until(running.dead_letters)
        assert "is adopted automatically" in running.dead_letters()[0]["reason"]
        running.conn.execute("update outbox set run_at = now(), resend_at = now()")
        wait_until(lambda: refund(running, ours)["state"] == "failed")
        running.conn.execute("update outbox set run_at = now(), resend_at = now()")
        wait_until(lambda: not running.tasks("adopt_refund"))
    states = sorted((r["cause"], r["state"]) for r in books(running, booking)["refunds"])
    assert states == [("asked", "failed"), ("dashboard", "succeeded")]
    assert given_back(running, booking) == PRICE
    running.check()


def test_a_refund_that_is_pending_is_followed_to_its_end(running: Running) -> None:
    booking = confirmed(running, card="pm_card_pendingRefund")
    payment = running.payment(running.booking(booking)["payment_id"])
    made = dashboard().refunds.create({"payment_intent": payment["gateway_ref"], "amount": 500})
    run = start(running)
    with running.work():
        wait_until(lambda: is_done(running, run) and books(running, booking)["refunds"])
        row = books(running, booking)["refunds"][0]
        assert (row["state"], row["gateway_ref"]) == ("pending", made.id)
        running.sandbox.settle_refund(made.id, "succeeded")
        running.conn.execute("update outbox set run_at = now(), resend_at = now()")
        wait_until(lambda: not running.tasks("refund"))
    expect_nothing(running)


def test_a_refund_whose_failure_we_were_not_told(running: Running) -> None:
    booking = confirmed(running)
    ours = ask(running, booking)["id"]
    carry_out(running, ours)
    running.sandbox.settle_refund(refund(running, ours)["gateway_ref"], "failed")
    run = reconcile(running)
    assert found(running, run) == ["refund_behind"]
    assert refund(running, ours)["state"] == "failed"
    assert books(running, booking)["owed"] == PRICE
    running.check()


def test_a_refund_whose_task_was_lost(running: Running) -> None:
    booking = confirmed(running)
    ours = ask(running, booking)["id"]
    running.conn.execute(LOSE_TASKS)
    assert found(running, reconcile(running)) == ["refund_forgotten"]
    assert refund(running, ours)["state"] == "succeeded"
    assert given_back(running, booking) == PRICE
    expect_nothing(running)


def test_a_payment_that_was_captured_past_us(running: Running) -> None:
    """Its task is lost, too: it is looked at, and confirmed."""
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    capture(running, payment)
    run = reconcile(running)
    assert (found(running, run), run["repairs"]) == (["payment_behind"], 1)
    assert running.booking(booking)["state"] == "confirmed"
    expect_nothing(running)


def test_a_payment_whose_reply_and_task_were_lost(running: Running) -> None:
    """We do not even know what it is called there."""
    booking = running.sale.hold("alice")
    payment = running.pay(booking)
    params = running.payment(payment)["params"]
    dashboard().payment_intents.create(params, {"idempotency_key": f"{payment}:1"})
    running.conn.execute(LOSE_TASKS)
    running.conn.execute("update payments set first_sent_at = created_at")
    assert found(running, reconcile(running)) == ["payment_behind"]
    assert running.booking(booking)["state"] == "confirmed"
    assert len(running.intents(booking)) == 1
    expect_nothing(running)


def test_a_payment_that_was_never_received_and_its_task_lost(running: Running) -> None:
    booking = running.sale.hold("alice")
    running.pay(booking)
    running.conn.execute(LOSE_TASKS)
    running.conn.execute("update payments set first_sent_at = created_at")
    assert found(running, reconcile(running)) == ["payment_forgotten"]
    assert running.booking(booking)["state"] == "confirmed"
    expect_nothing(running)


def test_money_for_a_payment_that_we_gave_up(running: Running) -> None:
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    capture(running, payment)
    fail(running, booking, payment)
    assert found(running, reconcile(running)) == ["payment_goes_on"]
    assert given_back(running, booking) == PRICE
    assert running.payment(payment)["refunded"] == PRICE
    expect_nothing(running)


def test_money_for_a_payment_that_we_hold_to_be_cancelled(running: Running) -> None:
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    capture(running, payment)
    running.conn.execute("update payments set state = 'voided' where id = %s", [payment])
    running.conn.execute("update bookings set state = 'held', payment_id = null")
    assert found(running, reconcile(running)) == ["payment_goes_on"]
    assert given_back(running, booking) == PRICE
    expect_nothing(running)


def test_a_reservation_for_a_booking_that_has_ended(running: Running) -> None:
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    running.conn.execute("update payments set state = 'authorised' where id = %s", [payment])
    running.sale.release(booking)
    running.conn.execute("delete from outbox where actor = 'advance'")
    assert found(running, reconcile(running)) == ["payment_behind"]
    assert running.payment(payment)["state"] == "voided"
    expect_nothing(running)


def test_money_for_a_booking_that_has_ended_goes_back(running: Running) -> None:
    booking = confirmed(running)
    with running.conn.transaction():
        running.conn.execute("update tickets set state = 'void', voided_at = now()")
        running.conn.execute("select release_seats(%s, %s)", [running.sale.event, [booking]])
        running.conn.execute("update bookings set state = 'cancelled', ended_at = now()")
    assert found(running, reconcile(running)) == ["late_money"]
    assert given_back(running, booking) == PRICE
    subjects = [str(mail["Subject"]) for mail in running.catcher.mails("alice@usher.example")]
    assert subjects[0] == "We return 105.00 EUR for Evening"
    expect_nothing(running)


def test_a_capture_that_the_gateway_says_was_cancelled(running: Running) -> None:
    booking = running.sale.hold("alice")
    running.pay(booking)
    from tasks import bookings as saga

    lease = running.lease()
    saga.authorise(lease, (saga.next_step(lease) or pytest.fail("nothing to do"))[1])
    dashboard().payment_intents.cancel(running.intents(booking)[0]["id"])
    running.conn.execute("update payments set state = 'captured', captured = amount")
    query = "select confirm_booking(event_id, id, payment_id) from bookings"
    running.conn.execute(query)
    running.sale.finish("advance", booking)
    letter = expect_letter(running, "capture_missing")
    assert letter["booking_id"] == booking
    assert letter["args"]["there"]["state"] == "voided"


@pytest.mark.parametrize("known", [True, False], ids=["marked", "foreign"])
def test_a_payment_that_is_in_no_table(running: Running, known: bool) -> None:
    """With our marks it is somebody's money that we lost; without, another's business."""
    marks = {"metadata": {"payment_id": str(uuid4()), "booking_id": str(uuid4())}} if known else {}
    params = {"amount": 5000, "currency": "eur", "confirm": True, "payment_method": "pm_card_visa"}
    params |= {"payment_method_types": ["card"], **marks}
    intent = dashboard().payment_intents.create(params)
    if not known:
        run = reconcile(running)
        assert (run["foreign_objects"], found(running, run)) == (1, [])
        return
    old_enough(running)
    expect_letter(running, "unknown_payment")
    dashboard().refunds.create({"payment_intent": intent.id})
    run = reconcile(running)
    assert found(running, run) == []
    (letter,) = running.dead_letters()
    assert letter["resolution"].startswith("gone, says reconciliation")


def old_enough(running: Running) -> None:
    """The gateway's own times cannot be altered; so what counts as young is."""
    running.conn.execute(
        "create or replace function is_young(p_at timestamptz) returns boolean language sql"
        " as 'select false'"
    )


def test_a_payment_that_the_gateway_has_forgotten(running: Running) -> None:
    """As when the key of another account was put in. It comes back when the right one is."""
    booking = confirmed(running)
    was = running.payment(running.booking(booking)["payment_id"])["gateway_ref"]
    marks = {"metadata": {"payment_id": ""}}
    dashboard().payment_intents.update(was, marks)
    running.conn.execute("update payments set gateway_ref = 'pi_nowhere'")
    expect_letter(running, "payment_missing")
    (row,) = running.conn.execute("select here from reconciliation_differences").fetchall()
    assert row["here"]["gateway_id"] == "pi_nowhere"
    running.conn.execute("update payments set gateway_ref = %s", [was])
    expect_gone(running)


def test_a_refund_that_the_gateway_has_forgotten(running: Running) -> None:
    booking = confirmed(running)
    ours = ask(running, booking, amount=700)["id"]
    carry_out(running, ours)
    was = refund(running, ours)["gateway_ref"]
    running.conn.execute("update refunds set gateway_ref = 're_nowhere'")
    run = start(running)
    with running.work():
        wait_until(lambda: is_done(running, run))
    assert "refund_missing" in found(running, reconciliations.find_run(running.conn, run))
    running.conn.execute(LOSE_TASKS)
    running.conn.execute("delete from emails where refund_id <> %s", [ours])
    running.conn.execute("delete from refunds where id <> %s", [ours])
    running.conn.execute("update refunds set gateway_ref = %s", [was])
    reconcile(running)
    expect_nothing(running)


def test_a_dispute_that_we_were_not_told_of(running: Running) -> None:
    booking = confirmed(running, card=DISPUTED)
    assert found(running, reconcile(running)) == ["dispute_behind"]
    assert running.booking(booking)["state"] == "frozen"
    (row,) = running.conn.execute("select gateway_ref from disputes").fetchall()
    running.sandbox.close_dispute(row["gateway_ref"], "won")
    assert found(running, reconcile(running)) == ["dispute_behind"]
    assert running.booking(booking)["state"] == "confirmed"
    expect_nothing(running)


def test_a_dispute_that_the_gateway_has_forgotten(running: Running) -> None:
    booking = confirmed(running)
    running.sale.dispute(booking)
    age(running)
    expect_letter(running, "dispute_missing")


def test_what_somebody_works_on_is_no_difference(running: Running) -> None:
    """The task that would mend it is there already, or it is too young to tell."""
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    capture(running, payment)
    ids = {"event_id": running.sale.event, "booking_id": str(booking)}
    running.sale.enqueue("advance", "payments", str(booking), **ids)
    running.conn.execute("update outbox set run_at = now() + interval '1 day', resend_at = run_at")
    run = start(running)
    with running.work():
        wait_until(lambda: is_done(running, run))
    assert found(running, reconciliations.find_run(running.conn, run)) == []
    running.conn.execute(LOSE_TASKS)
    assert found(running, reconcile(running)) == ["payment_behind"]


def test_a_repair_that_does_not_help_calls_a_person(running: Running) -> None:
    """A booking that does not know of its payment any more: its task finds nothing to do."""
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    capture(running, payment)
    forget = "update bookings set state = 'held', payment_id = null where id = %s"
    running.conn.execute(forget, [booking])
    for repairs in (1, 1, 0, 0):
        run = reconcile(running)
        assert (found(running, run), run["repairs"]) == (["payment_behind"], repairs)
    (letter,) = running.dead_letters()
    assert "The repair, advance, was done and did not help" in letter["reason"]
    actions = running.conn.execute("select action from audit_log order by id").fetchall()
    assert [row["action"] for row in actions] == [
        "difference repaired", "difference repaired", "difference reported"]  # fmt: skip


def test_a_letter_that_was_closed_by_hand_is_not_written_again(running: Running) -> None:
    """Until the difference becomes another."""
    booking = confirmed(running)
    running.sale.dispute(booking)
    reconcile(running)
    running.conn.execute("update dead_letters set resolved_at = now(), resolution = 'we know'")
    assert found(running, reconcile(running)) == ["dispute_missing"]
    assert len(running.dead_letters()) == 1
    running.conn.execute("update disputes set amount = 1")
    reconcile(running)
    assert len(running.dead_letters()) == 2


@pytest.fixture
def pages_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.gateways.stripe import lists

    monkeypatch.setattr(lists, "PAGE", 2)


def test_a_run_goes_on_where_it_was_stopped(running: Running, pages_of_two: None) -> None:
    """Between any two pages; each thing is looked at once."""
    from tasks import reconciliation
    from tasks.durable.leases import MovedOn

    for name in ("alice", "bob", "charlie", "dora", "eve"):
        confirmed(running, name)
    running.conn.execute(LOSE_TASKS)
    run = start(running)
    lease = running.lease("reconcile")
    for _ in range(2):
        at = reconciliations.get_run(running.conn, run)
        reconciliation.take_page(lease, at)
    with pytest.raises(MovedOn):
        reconciliation.take_page(lease, at)
    assert reconciliations.find_run(running.conn, run)["checked"] == 4
    running.conn.execute("update outbox set lease_until = now() where actor = 'reconcile'")
    with running.work():
        wait_until(lambda: is_done(running, run))
    done = reconciliations.find_run(running.conn, run)
    assert (done["checked"], done["differences"]) == (5, 0)
    assert totals(done) == [5 * PRICE, 5 * PRICE, 0, 0]


def test_the_gateways_limit_is_waited_out(running: Running, pages_of_two: None) -> None:
    for name in ("alice", "bob", "charlie"):
        confirmed(running, name)
    running.sandbox.limits(endpoint_rate=1)
    try:
        run = reconcile(running)
    finally:
        running.sandbox.limits(endpoint_rate=0)
    assert (run["checked"], run["differences"]) == (3, 0)
    assert running.sandbox.calls()["counts"][INTENTS]["429"] > 0
    assert running.dead_letters() == []


def test_what_was_asked_so_far_is_a_page_where_others_go_first(running: Running) -> None:
    """Ours are asked for one by one: each goes on from where the one before had no turn."""
    from tasks import reconciliation
    from tasks.durable.leases import TryLater

    for name in ("alice", "bob", "charlie"):
        confirmed(running, name)
    running.conn.execute(LOSE_TASKS)
    run = start(running)
    running.conn.execute("update reconciliations set phase = 'our payments'")
    lease = running.lease("reconcile")
    asked: list[str] = []

    def find(_: reconciliations.Run, gateway_ref: str) -> None:
        if len(asked) in (0, 2):
            asked.append("no turn")
            raise TryLater(1, "others go first")
        asked.append(gateway_ref)

    at = reconciliations.get_run(running.conn, run)
    with pytest.raises(TryLater):
        reconciliation.ask_for_ours(lease, at, find)
    page, missing = reconciliation.ask_for_ours(lease, at, find)
    assert (len(missing), page.next_cursor) == (1, missing[0])
    with lease.transaction() as conn:
        assert reconciliations.take_page(conn, at, page, missing)
    at = reconciliations.get_run(running.conn, run)
    page, rest = reconciliation.ask_for_ours(lease, at, find)
    assert (len({*missing, *rest}), page.next_cursor) == (3, None)


def test_accounts_that_are_one_at_the_gateway_are_one_run(running: Running) -> None:
    """Each organisation has a row; the installation has one account at Stripe."""
    confirmed(running)
    running.conn.execute("insert into organisations (name) values ('Circus')")
    running.conn.execute(
        "insert into gateway_accounts (organisation_id, provider) select id, 'stripe'"
        " from organisations"
    )
    assert reconcile(running)["checked"] == 1
    assert running.conn.execute("select count(*) as n from reconciliations").fetchall() == [
        {"n": 1}
    ]


def test_the_clock_begins_no_second_run_beside_one(running: Running) -> None:
    with transaction("clock") as conn:
        (first,) = reconciliations.start_recent(conn)
        assert reconciliations.start_recent(conn) == []
        (other,) = reconciliations.start_days(conn)
    running.conn.execute("delete from outbox where key = %s", [str(first)])
    with transaction("clock") as conn:
        assert len(reconciliations.start_recent(conn)) == 1
    states = [reconciliations.find_run(running.conn, id)["state"] for id in (first, other)]
    assert states == ["abandoned", "running"]


def test_operators_see_runs_and_differences(running: Running) -> None:
    app = create_app()
    operator, opera = seller(app, "operator", None), seller(app, "organiser", "Opera")
    running.sale.dispute(confirmed(running))
    first, second = (reconcile(running)["id"] for _ in range(2))
    path = "/v1/reconciliations"
    page = operator.get(f"{path}?limit=1")
    assert [run["id"] for run in page.json] == [second]
    assert page.json[0]["totals"][0]["captured_there"] == PRICE
    following = page.headers["Link"].split(">")[0].lstrip("<")
    assert [run["id"] for run in operator.get(following).json] == [first]
    assert operator.get(f"{path}/{first}").json["dead_letters"] == 1
    for url in (f"{path}/{first}/differences", f"{path}/differences?open=true"):
        (row,) = operator.get(url).json
        assert (row["kind"], row["found_by"], row["seen_by"]) == ("dispute_missing", first, second)
        assert (row["here"]["amount"], row["there"]) == (PRICE, None)
    assert operator.get(f"{path}/99/differences").status_code == 404
    assert opera.get(path).status_code == 403
    metrics = operator.get("/metrics").text
    labels = 'kind="dispute_missing",state="reported"'
    assert f"usher_reconciliation_differences{{{labels}}} 1.0" in metrics
    assert "usher_reconciliation_age_seconds " in metrics


def test_the_console_begins_a_run_and_shows_it(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    booking = confirmed(running)
    payment = running.payment(running.booking(booking)["payment_id"])
    dashboard().refunds.create({"payment_intent": payment["gateway_ref"], "amount": 1000})
    age(running)
    with running.work():
        wanted = console.read_command(["reconcile", "--from", "2020-01-01", "--to", "2099-01-01"])
        wanted.run(wanted)
        shown = capsys.readouterr().out
        wait_until(lambda: not running.tasks("adopt_refund"))
    assert "2 compared, 0 not Usher's, 1 different, 1 sent to be repaired, 0 reported" in shown
    assert "EUR captured: here 10500, there 10500, diff 0" in shown
    assert "EUR refunded: here 0, there 1000, diff 1000" in shown
    assert "refund_unknown" in shown
    wanted = console.read_command(["reconciliations"])
    wanted.run(wanted)
    assert "1 different" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("since", "until"), [("2020-01-02", "2020-01-01"), ("2099-01-01", "2099-01-02")]
)
def test_a_window_in_which_nothing_can_be(running: Running, since: str, until: str) -> None:
    wanted = console.read_command(["reconcile", "--from", since, "--to", until])
    with pytest.raises(InvalidRequest, match="must begin before it ends, and in the past"):
        wanted.run(wanted)
    assert reconciliations.list_runs(running.conn, 0, 9) == []


def test_a_window_from_before_there_were_times(running: Running) -> None:
    """The gateway has none before 1970, and our ids neither."""
    confirmed(running)
    age(running)
    running.sandbox.reset()
    with transaction("operator:1") as conn:
        (run,) = reconciliations.start(conn, datetime(1, 1, 1, tzinfo=UTC), datetime.now(UTC))
    with running.work():
        wait_until(lambda: is_done(running, run))
    assert found(running, reconciliations.find_run(running.conn, run)) == ["payment_missing"]


def test_what_is_archived_is_no_difference(running: Running) -> None:
    """Nobody is told to give its money back."""
    confirmed(running)
    archiving.end(running.sale)
    archiving.move_all(running.sale)
    run = reconcile(running)
    assert found(running, run) == [] and running.dead_letters() == []
    assert run["totals"] == []
