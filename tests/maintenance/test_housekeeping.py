"""What is old is purged, what is not stays; months are made ahead and dropped beside those who read
and write; days are summed up."""

from datetime import date
from uuid import UUID

import psycopg
import pytest

from db.connections import Conn, one, session, transaction
from db.maintenance import housekeeping
from tasks import clock
from tests.support.running import Running
from tests.support.theatre import another, build_evening, stage_every_state
from tests.support.waiting import wait_until

OLD = {
    "idempotency_keys": """
        insert into idempotency_keys (principal, route, key, request_sha256, status, response,
            created_at)
        select 'buyer:1', 'POST', n::text, '', 201, '{}', now() - h * interval '1 hour'
        from (values (1, 24), (2, 26), (3, 27), (4, 28)) v (n, h)""",
    "notification_inbox": """
        insert into notification_inbox (id, type, payload, received_at)
        select n, '', '{}', now() - n * interval '1 day'
        from unnest(array[59, 61, 62, 63]) n""",
    "audit_log": """
        with acts as (
            insert into audit_log (actor, action, at)
            select '', '', now() - n * interval '1 day'
            from unnest(array[1103, 1102, 1101, 1099]) n returning 1)
        select count(*) from acts; select chain_acts(10)""",
    "dead_letters": """
        insert into dead_letters (task_id, actor, queue, args, reason, claims, errors, created_at,
            died_at, resolved_at, resolution)
        select n, '', '', '{}', '', 1, '[]', now() - interval '999 d', now() - interval '999 d',
            case when n > 0 then now() - n * interval '1 day' end, case when n > 0 then 'done' end
        from unnest(array[0, 181, 182, 183]) n""",
    "mailboxes": """
        insert into mailboxes (mailbox, last_day)
        select n, (now() at time zone 'utc')::date - n from unnest(array[2, 3, 4, 5]) n""",
    "emails": """
        insert into emails (buyer_id, template, state, created_at, sent_at, event_id, booking_id)
        select 1, 'code', case when n = 89 then 'pending' else 'sent' end,
            now() - interval '1 day' * case when n = 88 then 88 else 91 end,
            case when n <> 89 then now() end, 1, case when n = 90 then gen_random_uuid() end
        from unnest(array[88, 89, 90, 91, 92, 93]) n""",
    "plan_imports": """
        with o as (insert into organisations (name) values ('Opera') returning id),
        v as (insert into venues (organisation_id, name, time_zone)
              select id, 'Opera', 'Europe/Berlin' from o returning id, organisation_id)
        insert into plan_imports (organisation_id, venue_id, strict, guess, unrelated, slot, state,
            failure, requested_by, finished_at)
        select organisation_id, id, false, true, false, 1, 'failed', '{}', '',
            now() - n * interval '1 day'
        from v, unnest(array[29, 31, 32, 33]) n""",
    "availability_snapshots": """
        insert into availability_snapshots (event_id, number, plan_version_id, free, seen_at)
        select 1, n, 1, '', now() - n * interval '1 minute' from unnest(array[59, 61, 62, 63]) n""",
    "sessions": """
        with a as (insert into accounts default values returning id)
        insert into sessions (account_id, carrier, name, authenticated_by, expires_at)
        select id, 'bearer', 'old', 'code', now() - n * interval '1 day'
        from a, unnest(array[29, 31, 32, 33]) n""",
    "mailed_codes": """
        with a as (insert into accounts default values returning id)
        insert into mailed_codes (request_sha256, purpose, account_id, mailbox, code_sha256,
            created_at)
        select n::text::bytea, 'sign_in', id, 1, '', now() - n * interval '1 hour'
        from a, unnest(array[23, 25, 26, 27]) n""",
    "passkey_challenges": """
        insert into passkey_challenges (challenge_sha256, created_at)
        select n::text::bytea, now() - n * interval '1 hour'
        from unnest(array[23, 25, 26, 27]) n""",
    "address_changes": """
        with a as (
            insert into accounts (created_at) select now() - n * interval '1 day'
            from unnest(array[6, 8, 9, 10]) n returning id, created_at)
        insert into address_changes (account_id, old_email, new_email, created_at)
        select id, 'old@usher.example', 'new@usher.example', created_at from a""",
    "personal_exports": """
        with a as (
            insert into accounts (created_at) select now() - n * interval '1 day'
            from unnest(array[6, 8, 9, 10]) n returning id, created_at)
        insert into personal_exports (account_id, finished_at) select id, created_at from a""",
}
KEPT = {"emails": 3, "audit_log": 3}
"""Two acts say that acts were purged, one for each batch."""


def count(conn: Conn, table: str) -> int:
    return int(one(conn.execute(f"select count(*) as n from {table}".encode()))["n"])


def test_there_is_something_old_of_everything_that_is_purged(configured: dict[str, str]) -> None:
    """Holds have tests of their own: test_purged_holds.py."""
    assert housekeeping.kinds() == [*OLD, "holds"]


@pytest.mark.parametrize("kind", OLD)
def test_what_is_old_is_purged_in_batches(
    configured: dict[str, str], conn: Conn, kind: str
) -> None:
    conn.execute(OLD[kind].encode())
    purged = list[int]()
    while not purged or purged[-1]:
        with transaction() as batch:
            purged.append(housekeeping.purge_batch(batch, kind, 2))
    assert purged == [2, 1, 0]
    assert count(conn, kind) == KEPT.get(kind, 1)


def test_a_worker_purges_what_the_clock_asked_for(running: Running) -> None:
    running.conn.execute(OLD["notification_inbox"].encode())
    clock.declare_jobs()
    clock.run_due(["purge"])
    with running.work():
        wait_until(lambda: not running.tasks("purge"))
    query = "select last_result from jobs where name = 'purge'"
    result = one(running.conn.execute(query))["last_result"]
    assert result == dict.fromkeys([*OLD, "holds"], 0) | {"notification_inbox": 3}


def partitions(conn: Conn, table: str = "state_log") -> dict[str, str]:
    rows = conn.execute("select name, state from list_partitions(%s)", [table])
    return {row["name"]: row["state"] for row in rows}


def make(conn: Conn, month: str, table: str = "state_log") -> str:
    conn.execute("select make_partition(%s, %s)", [table, f"{month[:4]}-{month[4:]}-01"])
    return f"{table}_{month}"


def drop_old() -> list[str]:
    with transaction() as conn:
        old = housekeeping.list_old_partitions(conn)
    for partition in old:
        with session() as conn:
            housekeeping.drop_partition(conn, partition)
    return [partition.name for partition in old]


def test_months_are_made_ahead(conn: Conn) -> None:
    months = one(
        conn.execute("""
            select array_agg('state_log_' || to_char(m, 'YYYYMM')) as names from generate_series(
                now() at time zone 'utc', now() at time zone 'utc' + interval '3 months',
                '1 month') m""")
    )
    assert set(months["names"]) <= partitions(conn).keys()
    feed = {name.replace("state_log", "feed_messages") for name in months["names"]}
    assert feed <= partitions(conn, "feed_messages").keys()
    assert one(conn.execute("select ensure_partitions(5) as made"))["made"] == 4
    assert one(conn.execute("select ensure_partitions(5) as made"))["made"] == 0


def test_a_month_is_made_beside_those_who_write_and_read(
    conn: Conn, every_state: dict[str, UUID]
) -> None:
    with another(conn) as writer:
        writer.execute(
            "update bookings set state = 'expired', ended_at = now() where state = 'held'"
        )
        writer.execute("select * from state_log")
        conn.execute("set lock_timeout = '1s'")
        name = make(conn, "203001")
    assert partitions(conn)[name] == "attached"


def test_each_month_has_the_rows_of_its_month_alone(conn: Conn) -> None:
    conn.execute("set timezone = 'America/New_York'")
    name = make(conn, "203001")
    bound = """
        select pg_get_expr(relpartbound, oid) as bound from pg_class where relname = %s"""
    conn.execute("set timezone = 'UTC'")
    text = one(conn.execute(bound, [name]))["bound"]
    assert text == "FOR VALUES FROM ('2030-01-01 00:00:00+00') TO ('2030-02-01 00:00:00+00')"


def test_old_months_are_dropped(configured: dict[str, str], conn: Conn) -> None:
    old = [make(conn, "202001"), make(conn, "202002", "archived_bookings")]
    young = make(conn, "202401", "archived_bookings")
    assert drop_old() == [old[0]]
    conn.execute("alter table archived_bookings detach partition archived_bookings_202002")
    assert partitions(conn, "archived_bookings") == {old[1]: "detached", young: "attached"}


def test_archives_are_kept_for_their_time(
    configured: dict[str, str], conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, young = (make(conn, month, "archived_entries") for month in ("201001", "202401"))
    assert drop_old() == [old]
    assert partitions(conn, "archived_entries") == {young: "attached"}


def test_the_feed_is_kept_for_a_month(configured: dict[str, str], conn: Conn) -> None:
    last = one(conn.execute("select to_char(now() - interval '28 days', 'YYYYMM') as month"))
    old, young = (make(conn, month, "feed_messages") for month in ("202001", last["month"]))
    assert drop_old() == [old]
    assert young in partitions(conn, "feed_messages")


def test_the_log_of_an_event_that_is_not_archived_is_kept(
    configured: dict[str, str], conn: Conn
) -> None:
    build_evening(conn)
    old, older = make(conn, "202003"), make(conn, "202001")
    conn.execute("update events set created_at = '2020-03-31 23:00+00'")
    assert drop_old() == [older]
    assert old in partitions(conn)
    conn.execute(
        "update events set state = 'closed', archive_month = '2020-04-01', archived_at = now()"
    )
    assert drop_old() == [old]


def test_a_month_is_dropped_beside_those_who_write_and_read(
    configured: dict[str, str], conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They never wait; whoever drops it waits for them, for so long, and goes on another time."""
    monkeypatch.setattr(housekeeping, "DETACH_TIMEOUT", "300ms")
    name = make(conn, "202001")
    with another(conn) as busy:
        busy.execute("select * from state_log")
        with pytest.raises(psycopg.errors.QueryCanceled):
            drop_old()
        conn.execute("set lock_timeout = '1s'")
        stage_every_state(conn)
        conn.execute("select * from state_log")
    assert partitions(conn)[name] == "detaching"
    conn.execute("update events set created_at = now()")
    assert drop_old() == [name]
    assert name not in partitions(conn)


def test_whoever_died_after_detaching_is_gone_on_for(
    configured: dict[str, str], conn: Conn
) -> None:
    name = make(conn, "202001")
    conn.execute(f"alter table state_log detach partition {name}".encode())
    assert partitions(conn)[name] == "detached"
    assert drop_old() == [name]


def test_the_log_cannot_be_truncated(conn: Conn, every_state: dict[str, UUID]) -> None:
    make(conn, "203001")
    conn.execute("select ensure_partitions()")
    for table in ("state_log", *partitions(conn)):
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            conn.execute(f"truncate {table}".encode())
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        conn.execute("truncate bookings, state_log cascade")


def test_a_day_is_summed_up(
    configured: dict[str, str], conn: Conn, every_state: dict[str, UUID]
) -> None:
    conn.execute("update refunds set state = 'succeeded'")
    today = one(conn.execute("select (now() at time zone 'utc')::date as day"))["day"]
    for _ in range(2):  # once more is no more
        with transaction() as day:
            assert housekeeping.sum_up_day(day, today) == 1
    row = one(conn.execute("select * from daily_sales"))
    confirmed = [
        name for name in ("confirmed", "frozen", "cancelled", "free") if name in every_state
    ]
    assert (row["day"], row["bookings"], row["seats"]) == (today, len(confirmed), 8)
    assert (row["sold"], row["refunds"], row["refunded"]) == (31500, 1, 10500)
    with transaction() as day:
        assert housekeeping.sum_up_day(day, date(2020, 1, 1)) == 0


@pytest.mark.faults("F10")
def test_a_day_does_not_count_what_came_unexpected_and_went_back(
    configured: dict[str, str], conn: Conn
) -> None:
    """It was never sold: the day would have refunds without sales."""
    theatre = build_evening(conn)
    theatre.confirm(theatre.hold("alice"))
    late = theatre.hold("bob")
    theatre.authorise(late)
    theatre.release(late)
    theatre.record(late, "failed", 10500)
    conn.execute("select refund_unexpected(event_id, id, 'late_money') from payments"
                 " where state = 'failed'")  # fmt: skip
    conn.execute("update refunds set state = 'succeeded'")
    today = one(conn.execute("select (now() at time zone 'utc')::date as day"))["day"]
    with transaction() as day:
        assert housekeeping.sum_up_day(day, today) == 1
    row = one(conn.execute("select * from daily_sales"))
    assert (row["sold"], row["refunds"], row["refunded"]) == (10500, 0, 0)


def test_missed_days_are_summed_up_one_by_one(running: Running) -> None:
    clock.declare_jobs()
    running.conn.execute("update jobs set next_at = next_at - interval '2 days' - interval '1 s'")
    for _ in range(4):
        clock.run_due(["statistics"])
    keys = [task["key"] for task in running.tasks("sum_up_day")]
    days = [date.fromisoformat(key) for key in keys]
    assert [(days[0] - day).days for day in days] == [0, -1, -2]
    with running.work():
        wait_until(lambda: not running.tasks("sum_up_day"))
