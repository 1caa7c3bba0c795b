"""Holds that ended without an attempt to pay are purged after some days, whole; what was more than
a hold keeps everything, and reports go on counting."""

from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest

from db.connections import Conn, many, one, transaction
from db.maintenance import health, housekeeping, reports
from db.maintenance.invariants import violations
from db.payments import payments
from tests.support.archiving import end, move_all
from tests.support.theatre import Theatre, another, build_evening

pytestmark = pytest.mark.faults("5 kB")

TABLES = """
select c.oid::regclass::text as name from pg_class c
where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace order by 1
"""


@pytest.fixture
def sale(configured: dict[str, str], conn: Conn) -> Theatre:
    return build_evening(conn)


def cancel(sale: Theatre, booking: UUID) -> None:
    """The buyer cancels."""
    query = "select cancel_booking(event_id, id, buyer_id) from bookings where id = %s"
    sale.conn.execute(query, [booking])


def pass_days(sale: Theatre, days: float = 4) -> None:
    """So long ago everything ended, and mails and tasks are done."""
    sale.conn.execute("update emails set state = 'sent', sent_at = now() where state = 'pending'")
    sale.conn.execute("delete from outbox")
    sale.conn.execute("delete from lane_wakes")
    ago = "make_interval(secs => 86400 * %s)"
    sale.conn.execute(f"update bookings set ended_at = ended_at - {ago}".encode(), [days])
    sale.conn.execute(f"update buyer_seats set unpaid_at = unpaid_at - {ago}".encode(), [days])


def purge(limit: int = 100) -> int:
    with transaction() as conn:
        return housekeeping.purge_batch(conn, "holds", limit)


def traces(conn: Conn, booking: UUID) -> dict[str, int]:
    """In how many rows of each table the id of a booking stands."""
    found = {}
    for table in [row["name"] for row in conn.execute(TABLES)]:
        query = f"select count(*) as n from {table} t where to_jsonb(t)::text like %s"
        found[table] = int(one(conn.execute(query.encode(), [f"%{booking}%"]))["n"])
    return {table: rows for table, rows in found.items() if rows}


def bytes_of(conn: Conn) -> int:
    """Of all rows of all tables, without their indexes."""
    sizes = [f"select sum(pg_column_size(t)) as n from {row['name']} t"
             for row in conn.execute(TABLES)]  # fmt: skip
    query = f"select sum(n)::bigint as n from ({' union all '.join(sizes)}) s"
    return int(one(conn.execute(query.encode()))["n"])


@pytest.mark.parametrize("how", [cancel, lambda sale, booking: sale.expire(booking)])
def test_a_hold_leaves_nothing_after_its_time(
    sale: Theatre, how: Callable[[Theatre, UUID], None]
) -> None:
    """But one line for all of an event, which says how many there were."""
    sale.add_buyer("alice")
    before = bytes_of(sale.conn)
    booking = sale.hold("alice", 4)
    how(sale, booking)
    pass_days(sale)
    rows = traces(sale.conn, booking)
    assert rows["bookings"] == rows["entries"] == 1
    assert rows["booking_items"] == 4
    assert sum(count for table, count in rows.items() if table.startswith("state_log")) == 2
    assert bytes_of(sale.conn) - before > 800
    assert purge() == 1
    assert traces(sale.conn, booking) == {}
    kept = one(sale.conn.execute("select * from purged_holds"))
    assert (kept["bookings"], kept["seats"]) == (1, 4)
    size = int(one(sale.conn.execute("select pg_column_size(h) as n from purged_holds h"))["n"])
    assert bytes_of(sale.conn) - before <= size + 100  # the lane has moved on
    assert many(sale.conn.execute("select from buyer_seats")) == []
    assert violations(sale.conn) == []


def test_an_archive_that_does_not_end_keeps_no_other_events_holds(sale: Theatre) -> None:
    other = build_evening(sale.conn)
    holds = [one_sale.hold(name) for one_sale, name in ((sale, "alice"), (other, "bob"))]
    for hold in holds:
        sale.expire(hold)
    pass_days(sale)
    sale.conn.execute(
        "update events set state = 'closed', archive_month = '2020-02-01' where id = %s",
        [sale.event],
    )
    assert purge(limit=1) == 1
    assert traces(sale.conn, holds[1]) == {}


def decline(sale: Theatre, booking: UUID) -> None:
    sale.pay(booking)
    assert payments.reopen_booking(sale.conn, sale.record(booking, "failed"))
    sale.expire(booking)
    assert sale.state_of(booking) == "expired"


def give_back(sale: Theatre, booking: UUID) -> None:
    sale.confirm(booking)
    sale.number_receipts()
    sale.cancel(booking)


def wait_for_mail(sale: Theatre, booking: UUID) -> None:
    sale.expire(booking)
    sale.conn.execute("update emails set state = 'pending', sent_at = null")


def ask_for_a_person(sale: Theatre, booking: UUID) -> None:
    cancel(sale, booking)
    query = """insert into dead_letters (task_id, actor, queue, args, event_id, booking_id, reason,
        claims, errors, created_at) values (1, 'x', 'x', '{}', %s, %s, '', 1, '[]', now())"""
    sale.conn.execute(query, [sale.event, booking])


@pytest.mark.parametrize(
    "how", [decline, give_back, ask_for_a_person, Theatre.confirm, lambda sale, booking: None]
)
def test_what_was_tried_to_be_paid_or_is_not_over_stays(
    sale: Theatre, how: Callable[[Theatre, UUID], object]
) -> None:
    booking = sale.hold("alice")
    how(sale, booking)
    pass_days(sale)
    before = traces(sale.conn, booking)
    assert purge() == 0
    assert traces(sale.conn, booking) == before


def test_a_hold_stays_for_its_time_and_until_its_mail_is_sent(sale: Theatre) -> None:
    booking = sale.hold("alice")
    sale.expire(booking)
    pass_days(sale, 2.9)
    assert purge() == 0
    pass_days(sale, 0.2)
    wait_for_mail(sale, booking)
    assert purge() == 0
    sale.conn.execute("update emails set state = 'sent', sent_at = now()")
    assert purge() == 1


def test_batches_take_the_oldest_first_and_leave_what_is_locked(sale: Theatre) -> None:
    bookings = [sale.hold(name) for name in ("alice", "bob", "carol")]
    for booking in bookings:
        cancel(sale, booking)
        pass_days(sale)
    with another(sale.conn) as busy:
        busy.execute("select from bookings where id = %s for update", [bookings[0]])
        assert purge() == 2
    left = [row["id"] for row in sale.conn.execute("select id from bookings")]
    assert left == bookings[:1]
    assert [purge(1), purge(1)] == [1, 0]


def test_the_log_of_what_was_more_than_a_hold_cannot_be_deleted(sale: Theatre) -> None:
    """Even where its rows were deleted by hand; nor that of a hold that is there."""
    paid, hold = sale.hold("alice"), sale.hold("bob")
    sale.confirm(paid)
    cancel(sale, hold)
    sale.conn.execute("set session_replication_role = replica")
    sale.conn.execute("delete from bookings where id = %s", [paid])
    sale.conn.execute("set session_replication_role = origin")
    for booking in (paid, hold):
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            sale.conn.execute("delete from state_log where id = %s", [booking])
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        sale.conn.execute("delete from state_log where noun = 'payment'")


def test_an_event_that_is_being_archived_takes_its_holds_along(sale: Theatre) -> None:
    first, second = sale.hold("alice"), sale.hold("bob")
    cancel(sale, first)
    pass_days(sale)
    assert purge() == 1
    cancel(sale, second)
    end(sale)
    pass_days(sale)
    move_all(sale)
    assert purge() == 0
    kept = one(sale.conn.execute("select document from archived_events"))["document"]
    assert [line["bookings"] for line in kept["purged_holds"]] == [1]
    assert many(sale.conn.execute("select from purged_holds")) == []
    assert sum(traces(sale.conn, second).values()) > 0


def test_reports_and_metrics_go_on_counting(sale: Theatre) -> None:
    for name in ("alice", "bob"):
        cancel(sale, sale.hold(name))
    sale.confirm(sale.hold("carol"))
    pass_days(sale)

    def counted() -> tuple[dict[str, float], int]:
        gauges = health.read_gauges(sale.conn)
        with transaction() as conn:
            waits = reports.run_report(conn, "waits", sale.event)[1]
        states = {g.labels["state"]: g.value for g in gauges if g.name == "bookings"}
        return states, sum(row["entries"] for row in waits)

    states, entries = counted()
    assert states == {"cancelled": 2, "confirmed": 1}
    assert entries == 3
    assert purge() == 2
    assert counted() == (states, entries)


def test_a_buyer_may_hold_again_after_the_purge(sale: Theatre) -> None:
    cancel(sale, sale.hold("alice", 8))
    pass_days(sale)
    assert purge() == 1
    again = sale.hold("alice", 8)
    sale.confirm(again)
    pass_days(sale)
    assert (purge(), sale.state_of(again)) == (0, "confirmed")
    assert violations(sale.conn) == []
