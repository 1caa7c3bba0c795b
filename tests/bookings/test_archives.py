"""An event that is long over moves into the archive, all of it, once, whatever happens meanwhile;
and what comes late finds it there."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from db.bookings import archives
from db.bookings.archives import Piece
from db.bookings.bookings import list_bookings
from db.connections import Conn, autocommit, one, transaction
from db.maintenance import housekeeping, reports
from db.maintenance.invariants import violations
from db.payments import event_cancellations, refunds
from db.payments.notifications import Notification, take_notification
from db.runtime.errors import Conflict, NotFound
from tasks import clock
from tests.support.archiving import end, move, move_all
from tests.support.notifying import news
from tests.support.running import Running
from tests.support.theatre import Theatre, another, build_evening, is_waited_for
from tests.support.waiting import wait_until
from web.api.gateway_notifications import store

LIVE = ("bookings", "booking_items", "seats", "entries", "tickets", "payments", "refunds", "emails",
        "lanes", "lane_state", "buyer_seats")  # fmt: skip


@pytest.fixture
def sale(configured: dict[str, str], conn: Conn) -> Theatre:
    """Two sold, one of them free; one given back; one expired; one who got nothing; long ago."""
    sale = build_evening(conn)
    sale.confirm(sale.hold("alice"))
    sale.hold("bob", category=2)
    carol = sale.hold("carol")
    sale.confirm(carol)
    sale.cancel(carol)
    sale.expire(sale.hold("dave"))
    sale.join("erin", 2, 1)
    end(sale)
    return sale


def due(limit: int = 10) -> list[int]:
    with transaction() as conn:
        return archives.list_due(conn, limit)


def rows_of(conn: Conn, tables: tuple[str, ...] = LIVE) -> dict[str, list[str]]:
    """Every row of these tables, as text; what a trigger touches and time stamps left out."""
    found = {}
    for table in tables:
        query = f"select to_jsonb(t)::text as row from {table} t order by 1"
        found[table] = [row["row"] for row in conn.execute(query.encode())]
    return found


def count(conn: Conn, table: str) -> int:
    return int(one(conn.execute(f"select count(*) as n from {table}".encode()))["n"])


def booking_of(conn: Conn, name: str) -> UUID:
    query = """
        select k.id from (select id, buyer_id from bookings
            union all select id, buyer_id from archived_bookings) k
        join buyers b on b.id = k.buyer_id where b.name = %s"""
    return UUID(str(one(conn.execute(query, [name]))["id"]))


def test_all_of_an_event_moves(sale: Theatre) -> None:
    conn, before = sale.conn, rows_of(sale.conn)
    assert due() == [sale.event]
    move_all(sale)
    assert {table: rows for table, rows in rows_of(conn).items() if rows} == {}
    documents = {
        row["state"] + str(row["total"]): row
        for row in conn.execute("select * from archived_bookings").fetchall()
    }
    assert documents.keys() == {"confirmed10500", "confirmed0", "cancelled10500", "expired10500"}
    given_back = documents["cancelled10500"]
    assert (given_back["captured"], given_back["refunded"]) == (10500, 10500)
    document = documents["confirmed10500"]["document"]
    assert [len(document[part]) for part in ("items", "seats", "tickets", "payments")] == [
        2,
        2,
        2,
        1,
    ]
    assert document["entries"][0]["state"] == "booked"
    assert {(item["price_type"], item["area"]) for item in document["items"]} == {(1, 1)}
    assert [line["new_state"] for line in document["log"] if line["noun"] == "booking"] == [
        "held", "authorising", "secured", "confirmed"]  # fmt: skip
    assert count(conn, "archived_entries") == 1
    event = one(conn.execute("select * from archived_events"))
    seats = sum(len(row["document"]["seats"]) for row in documents.values())
    assert seats + len(event["document"]["seats"]) == len(before["seats"]) == 120
    assert due() == []
    assert move(sale).done, "once more does nothing"


def test_no_piece_leaves_anything_wrong_lost_or_double(sale: Theatre) -> None:
    conn = sale.conn
    bookings = count(conn, "bookings")
    moved = list[int]()
    while not (piece := move(sale, limit=1)).done:
        moved.append(piece.moved)
        assert violations(conn) == []
        assert count(conn, "bookings") + count(conn, "archived_bookings") == bookings
    assert moved == [1] * (bookings + 1), "and one who queued in vain"
    assert violations(conn) == []


def test_a_piece_that_is_rolled_back_has_moved_nothing(sale: Theatre) -> None:
    before = rows_of(sale.conn)
    with pytest.raises(ZeroDivisionError), transaction() as conn:
        archives.move_piece(conn, sale.event, 2)
        raise ZeroDivisionError
    assert rows_of(sale.conn) == before
    assert count(sale.conn, "archived_bookings") == 0


def test_an_event_is_archived_after_its_time(sale: Theatre) -> None:
    end(sale, days=89)
    assert due() == []
    assert move(sale) == Piece(moved=0, done=True, why=None)
    assert count(sale.conn, "bookings") == 4


OPEN = {
    "a booking has not ended": "update bookings set state = 'frozen' where state = 'confirmed'",
    "a payment has not ended": """
        insert into payments (event_id, booking_id, organisation_id, gateway_account_id, amount,
            currency, params)
        select event_id, id, organisation_id, gateway_account_id, 1, currency, '{}'
        from bookings where state = 'expired'""",
    "a refund is not paid": "update refunds set state = 'failed'",
    "a payment is disputed": """
        insert into disputes (gateway_ref, payment_id, event_id, booking_id, state, reason, amount,
            currency)
        select 'du_1', id, event_id, booking_id, 'warning_needs_response', '', 1, currency
        from payments limit 1""",
    "an e-mail is not sent": "update emails set state = 'pending', sent_at = null",
    "a receipt is not numbered": """
        insert into receipts_due (organisation_id, event_id, booking_id, occasion)
        select organisation_id, event_id, id, 'confirmed' from bookings""",
    "an entry is in the queue": """
        insert into entries (event_id, number, organisation_id, buyer_id, quantity,
            idempotency_key, request_sha256)
        select id, 99, 1, 99, 1, 'other', '' from events""",
    "the event is being cancelled": """
        insert into event_cancellations (event_id, reason, with_fees, requested_by)
        select id, 'rain', true, 'opera' from events""",
    "a difference is open": """
        with run as (
            insert into reconciliations (gateway_account_id, cause, requested_by, window_from,
                window_to)
            select id, 'recent', 'clock', now() - interval '1 h', now() from gateway_accounts
            returning *)
        insert into reconciliation_differences (gateway_account_id, kind, subject, made_at,
            event_id, found_by, seen_by)
        select r.gateway_account_id, 'amount', 'pi_1', now(), e.id, r.id, r.id
        from run r, events e""",
    "a task has to do": "select enqueue('advance', 'payments', 'x', '{}', id) from events",
    "a dead letter has to do": """
        insert into dead_letters (task_id, actor, queue, args, event_id, reason, claims, errors,
            created_at)
        select 1, 'advance', 'bookings', '{}', id, 'why', 1, '[]', now() from events""",
}


@pytest.mark.parametrize("why", OPEN)
def test_an_event_with_open_business_waits(sale: Theatre, why: str) -> None:
    sale.conn.execute(OPEN[why].encode())
    assert due() == []
    piece = move(sale)
    assert piece.why is not None and piece.why.startswith(why)
    assert (piece.moved, piece.done) == (0, False)
    assert count(sale.conn, "bookings") == 4


def test_what_is_archived_sells_no_more(sale: Theatre) -> None:
    assert move(sale, limit=1).moved == 1
    event = one(sale.conn.execute("select state, archived_at from events"))
    assert event == {"state": "closed", "archived_at": None}


def test_a_booking_comes_back_as_it_was(sale: Theatre) -> None:
    """Each with all that belongs to it; nothing of it stays in the archive."""
    conn = sale.conn
    tables = ("bookings", "booking_items", "tickets", "payments", "refunds", "emails")
    before = rows_of(conn, tables)
    bookings = [row["id"] for row in conn.execute("select id from bookings")]
    seats = "select seat, state, booking_id from seats where booking_id is not null order by seat"
    sold = conn.execute(seats).fetchall()
    move_all(sale)
    for booking in bookings:
        with transaction() as back:
            assert archives.restore_booking(back, sale.event, booking)
    assert violations(conn) == []
    assert rows_of(conn, tables) == before
    assert conn.execute(seats).fetchall() == sold
    assert count(conn, "archived_bookings") == count(conn, "archived_payments") == 0
    with transaction() as back:
        assert not archives.restore_booking(back, sale.event, bookings[0])
    move_all(sale)
    assert count(conn, "archived_bookings") == 4
    assert count(conn, "bookings") == count(conn, "seats") == 0


def test_every_table_that_belongs_to_a_booking_is_moved(conn: Conn) -> None:
    """Whatever refers to one that is."""
    query = """
        select distinct c.conrelid::regclass::text as table from pg_constraint c
        where c.contype = 'f' and c.confrelid = any (array(
            select of_table::regclass from archive_parts() where of_table <> 'seats'
            union all select 'bookings'::regclass))
        union
        select table_name from information_schema.columns
        where column_name = 'booking_id' and table_schema = 'public'"""
    referring = {row["table"] for row in conn.execute(query)}
    parts = {row["of_table"] for row in conn.execute("select of_table from archive_parts()")}
    elsewhere = {
        "reconciliation_differences",
        "receipts",
        "receipts_due",
        "bookings",
        "dead_letters",
        "archived_payments",
        "booking_addresses",  # an address is deleted and not archived
        "booking_names",  # as an address
        *("booking_terms", "bookings_to_index"),  # what is archived is not found by terms
        "reminded_holds",  # deleted a day after the deadline of its hold
    }
    assert {name for name in referring if not name.startswith("archived_payments")} <= (
        parts | elsewhere
    )


def test_what_belongs_to_a_booking_is_found_by_an_index(conn: Conn) -> None:
    """A table that is read to its end for each booking would make an archive of days."""
    conn.execute("set enable_seqscan = off")
    parts = conn.execute("select *, part_condition(of_event, condition) as found_by "
                         "from archive_parts()").fetchall()  # fmt: skip
    for part in parts:
        query = f"""explain select from bookings b, {part["of_table"]} x
            where b.event_id = 1 and b.id = gen_random_uuid() and {part["found_by"]}"""
        plan = "\n".join(row["QUERY PLAN"] for row in conn.execute(query.encode()))
        assert "Seq Scan" not in plan, f"{part['part']}: {plan}"


def dispute_news(payment: UUID) -> Notification:
    return news(type="charge.dispute.created", gateway_ref=f"pi_{payment}", object_id="du_1")


def payment_of(conn: Conn, booking: UUID) -> UUID:
    query = """
        select id from payments where booking_id = %(booking)s
        union select payment_id from archived_payments where booking_id = %(booking)s"""
    return UUID(str(one(conn.execute(query, {"booking": booking}))["id"]))


def test_late_news_brings_its_booking_back(sale: Theatre) -> None:
    conn, booking = sale.conn, booking_of(sale.conn, "alice")
    payment = payment_of(conn, booking)
    move_all(sale)
    about = dispute_news(payment)
    assert [store(about), store(about)] == ["news", "known"]
    (task,) = conn.execute("select * from outbox").fetchall()
    assert (task["actor"], task["args"]["payment_id"]) == ("look_at_dispute", str(payment))
    assert [row["id"] for row in conn.execute("select id from bookings")] == [booking]
    assert one(conn.execute("select payment_id from notification_inbox")) == {"payment_id": payment}
    assert violations(conn) == []
    assert due() == [] and "task" in str(move(sale).why)
    conn.execute("delete from outbox")
    assert due() == [sale.event]


def test_news_of_nobody_is_forgotten(sale: Theatre) -> None:
    move_all(sale)
    assert store(dispute_news(uuid4())) == "no_news"
    assert count(sale.conn, "bookings") == 0 and count(sale.conn, "notification_inbox") == 0


def test_late_news_of_another_account_brings_no_booking_back(sale: Theatre) -> None:
    """The same id, told with the secret of another account at the gateway."""
    payment = payment_of(sale.conn, booking_of(sale.conn, "alice"))
    move_all(sale)
    assert store(replace(dispute_news(payment), account="acct_other")) == "no_news"
    assert count(sale.conn, "bookings") == 0


@contextmanager
def in_thread(work: Any) -> Iterator[None]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_news_that_comes_while_its_booking_moves_waits_and_finds_it(sale: Theatre) -> None:
    payment = payment_of(sale.conn, booking_of(sale.conn, "alice"))

    with another(sale.conn) as mover:
        archives.move_piece(mover, sale.event, 500)
        with in_thread(lambda: store(dispute_news(payment))):
            wait_until(lambda: is_waited_for(mover))
            mover.commit()
    assert count(sale.conn, "bookings") == 1
    (task,) = sale.conn.execute("select actor from outbox").fetchall()
    assert task["actor"] == "look_at_dispute"


def test_an_event_does_not_move_while_news_is_being_written(sale: Theatre) -> None:
    payment, pieces = payment_of(sale.conn, booking_of(sale.conn, "alice")), list[Piece]()
    with another(sale.conn) as gateway:
        take_notification(gateway, dispute_news(payment))
        with in_thread(lambda: pieces.append(move(sale))):
            wait_until(lambda: is_waited_for(gateway))
            gateway.commit()
    assert [piece.why for piece in pieces] == ["a task has to do with it"]
    assert count(sale.conn, "archived_bookings") == 0


def test_buyers_still_see_what_was_archived(sale: Theatre) -> None:
    conn, booking = sale.conn, booking_of(sale.conn, "alice")
    query = "select buyer_id from bookings where id = %s"
    buyer = one(conn.execute(query, [booking]))["buyer_id"]
    (before,) = list_bookings(conn, buyer, None, 10)
    assert not before["archived"]
    move_all(sale)
    (after,) = list_bookings(conn, buyer, None, 10)
    assert after.pop("archived") and before.pop("archived") is False
    assert after == before
    assert list_bookings(conn, buyer, booking, 10) == []


def test_a_worker_archives_what_the_clock_found(running: Running) -> None:
    running.sale.confirm(running.sale.hold("alice"))
    end(running.sale)
    clock.declare_jobs()
    clock.run_due(["archive"])
    with running.work():
        wait_until(lambda: not running.tasks("archive_event"))
    assert count(running.conn, "bookings") == 0
    assert count(running.conn, "archived_bookings") == 1
    running.conn.execute("update jobs set next_at = now() where name = 'archive'")
    clock.run_due(["archive"])
    assert running.tasks("archive_event") == []


def asked_back(conn: Conn, scope: int | None, event: int, booking: UUID) -> dict[str, Any]:
    asked = {"tickets": None, "amount": None, "with_fees": True, "resell": True, "reason": "late"}
    return refunds.request_refund(conn, scope, event, booking, asked)


def test_money_of_an_archived_booking_can_be_given_back(sale: Theatre) -> None:
    conn, booking = sale.conn, booking_of(sale.conn, "alice")
    move_all(sale)
    with transaction("organiser:1") as asking:
        answer = asked_back(asking, 1, sale.event, booking)
    assert (answer["refund"]["amount"], answer["booking_state"]) == (10500, "cancelled")
    assert violations(conn) == []
    assert "refund" in str(move(sale).why)


def test_only_by_whoever_sold_it(sale: Theatre) -> None:
    booking = booking_of(sale.conn, "alice")
    move_all(sale)
    with pytest.raises(NotFound), transaction("organiser:2") as conn:
        asked_back(conn, 2, sale.event, booking)
    with pytest.raises(NotFound), transaction("organiser:2") as conn:
        refunds.list_refunds(conn, 2, sale.event, booking)
    assert count(sale.conn, "bookings") == 0


def test_the_books_of_an_archived_booking_can_be_read(sale: Theatre) -> None:
    conn, booking = sale.conn, booking_of(sale.conn, "carol")
    before = refunds.list_refunds(conn, 1, sale.event, booking)
    move_all(sale)
    with autocommit() as reader:
        assert refunds.list_refunds(reader, 1, sale.event, booking) == before
    assert count(conn, "bookings") == 0 and due() == []


@pytest.mark.parametrize("limit", [1, 500])
def test_an_event_in_the_archive_cannot_be_cancelled(sale: Theatre, limit: int) -> None:
    """Nobody's money would go back."""
    move(sale, limit)
    with pytest.raises(Conflict, match="archive"), transaction("organiser:1") as conn:
        event_cancellations.cancel_event(conn, 1, sale.event, "rain", with_fees=True)
    assert one(sale.conn.execute("select state from events")) == {"state": "closed"}


def bring_back(sale: Theatre, booking: UUID) -> None:
    with transaction("gateway") as conn:
        assert archives.restore_booking(conn, sale.event, booking)


def daily_sales(sale: Theatre) -> list[dict[str, Any]]:
    with transaction() as conn:
        housekeeping.sum_up_day(conn, datetime.now(UTC).date())
    return sale.conn.execute("select * from daily_sales").fetchall()


def test_what_comes_back_is_no_business_of_that_day(sale: Theatre) -> None:
    """Neither is what is in the archive business that never was."""
    before = daily_sales(sale)
    assert [(row["bookings"], row["refunds"]) for row in before] == [(3, 1)]
    carol = booking_of(sale.conn, "carol")
    move_all(sale)
    assert daily_sales(sale) == before
    sale.conn.execute("delete from daily_sales")
    sale.conn.execute("""
        update archived_bookings set document = document || jsonb_build_object('log', (
            select jsonb_agg(line || '{"at": "2020-01-15T00:00:00+00:00"}')
            from jsonb_array_elements(document -> 'log') line))""")
    drop_log(sale.conn)
    bring_back(sale, carol)
    assert daily_sales(sale) == []


def drop_log(conn: Conn) -> None:
    """Its months were long ago."""
    conn.execute("""
        do $$ begin
            execute (select string_agg('drop table ' || name, '; ')
                     from list_partitions('state_log'));
            perform ensure_partitions(0);
        end $$""")


def log_of(conn: Conn, booking: UUID) -> list[tuple[str, str]]:
    query = """
        select noun, new_state from archived_bookings,
            jsonb_populate_recordset(null::state_log, document -> 'log')
        where archived_bookings.id = %s and actor is distinct from 'archive' order by at"""
    return [(row["noun"], row["new_state"]) for row in conn.execute(query, [booking])]


def test_the_log_comes_back_and_goes_with_its_booking(sale: Theatre) -> None:
    """Also when its months were dropped meanwhile."""
    conn, carol = sale.conn, booking_of(sale.conn, "carol")
    move_all(sale)
    before = log_of(conn, carol)
    assert ("booking", "confirmed") in before
    document = "update archived_bookings set document = jsonb_set(document, '{log,0,at}', %s)"
    conn.execute(document.encode(), ['"2020-01-31T23:59:59.999999+00:00"'])
    drop_log(conn)
    for _ in range(2):
        bring_back(sale, carol)
        move_all(sale)
    assert log_of(conn, carol) == before
    assert "state_log_202001" in {
        row["name"] for row in conn.execute("select name from list_partitions('state_log')")
    }


def test_a_booking_comes_back_into_tables_that_changed_since(sale: Theatre) -> None:
    conn, alice = sale.conn, booking_of(sale.conn, "alice")
    move_all(sale)
    for table in ("bookings", "tickets"):
        conn.execute(f"alter table {table} add column is_new text not null default 'yes'".encode())
    conn.execute("alter table tickets drop column issued_at")
    bring_back(sale, alice)
    for table in ("bookings", "tickets"):
        rows = conn.execute(f"select distinct is_new from {table}".encode()).fetchall()
        assert rows == [{"is_new": "yes"}]


def test_no_report_leaves_out_what_is_archived(sale: Theatre) -> None:
    reports.check_complete(sale.conn, sale.event)
    move(sale, limit=1)
    with pytest.raises(Conflict, match="archive"):
        reports.check_complete(sale.conn, sale.event)
