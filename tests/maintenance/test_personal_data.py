"""What is kept of a buyer is exported whole, and erased whole: also from the archive."""

from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from db.accounts import audit_log
from db.connections import Conn, one, transaction
from db.maintenance import personal_data
from db.maintenance.personal_columns import ERASED
from tests.support.archiving import move_all
from tests.support.every_object import EveryObject
from tests.support.world import Caller, Sale, backstage

NAME, ADDRESS = "Zerlina Quux", "zerlina.quux@example.org"
MARK = f"{NAME} {ADDRESS}"
YES = {"understood": True}


def dump(conn: Conn) -> str:
    """All rows of all tables, as a dump of the database has them."""
    tables = conn.execute(
        """select oid::regclass::text as name from pg_class
           where relnamespace = 'public'::regnamespace and relkind = 'r'"""
    ).fetchall()
    parts = []
    for table in tables:
        with conn.cursor().copy(f"copy {table['name']} to stdout".encode()) as copy:
            parts.append(f"== {table['name']}\n" + b"".join(map(bytes, copy)).decode())
    return "\n".join(parts)


def traces(conn: Conn) -> list[str]:
    """Lines of a dump that name the buyer, also as a part of an address or in bytes."""
    hidden = (NAME.encode().hex(), ADDRESS.encode().hex(), "quux", "zerlina")
    return [line for line in dump(conn).splitlines() if any(h in line.lower() for h in hidden)]


@pytest.fixture
def zerlina(
    every_object: EveryObject, tosca: Sale, alice: Caller, opera: Caller, conn: Conn
) -> Caller:
    """alice has another name, and whatever can hold it does."""
    conn.execute("update buyers set name = %s, email = %s where id = %s", [NAME, ADDRESS, alice.id])
    path = every_object.fill(f"{tosca.path}/bookings/{{booking_id}}")
    corrected = opera.call("PUT", f"{path}/address", {"email": f"at.{ADDRESS}"})
    assert corrected.status_code == 200, corrected.text
    mark(conn, alice.id, UUID(every_object.ids["booking_id"]))
    backstage(tosca, conn).number_receipts()
    return alice


def mark(conn: Conn, account: int, booking: UUID) -> None:
    """Write the buyer's name wherever rows of the buyer can hold it."""
    values = {"account": account, "booking": booking, "mark": MARK, "json": Jsonb({"was": MARK})}
    for statement in MARKS.split(";"):
        conn.execute(statement.encode(), values)


MARKS = """
    update accounts set password_hash = %(mark)s, blocked_at = now(), blocked_reason = %(mark)s
    where id = %(account)s;
    update sessions set name = %(mark)s where account_id = %(account)s;
    update emails set context = %(json)s, last_error = %(mark)s where buyer_id = %(account)s;
    insert into emails (buyer_id, template, context) values (%(account)s, 'sign_in', %(json)s);
    update payments set params = %(json)s, next_action = %(json)s, client_secret = %(mark)s,
        failure_message = %(mark)s, address_hash = convert_to(%(mark)s, 'UTF8'),
        card_fingerprint = %(mark)s, card_country = %(mark)s, card_checks = %(json)s,
        risk_message = %(mark)s where booking_id = %(booking)s;
    update refunds set reason = %(mark)s, params = %(json)s, failure_message = %(mark)s,
        state = 'succeeded' where booking_id = %(booking)s;
    insert into refunds (payment_id, event_id, booking_id, amount, currency, reason, state,
        settled_at, settlement)
    select id, event_id, booking_id, 1, currency, %(mark)s, 'failed', now(), %(mark)s from payments
    where booking_id = %(booking)s;
    insert into offline_payments (payment_id, gateway_account_id, reference, amount, currency,
        received_at, recorded_by)
    select id, gateway_account_id, %(mark)s, amount, currency, now(), 'organiser:1' from payments
    where booking_id = %(booking)s;
    insert into offline_refunds (refund_id, how, recorded_by)
    select id, %(mark)s, 'organiser:1' from refunds where booking_id = %(booking)s;
    insert into notification_inbox (id, type, payment_id, payload)
    select 'evt_1', 'charge.succeeded', id, %(json)s from payments where booking_id = %(booking)s;
    insert into dead_letters (task_id, actor, queue, args, reason, claims, errors, created_at,
        resolved_at, resolution, buyer_id, booking_id)
    values (9, 'send_email', 'mail', '{}', %(mark)s, 1, jsonb_build_array(%(mark)s::text), now(),
        now(), %(mark)s, %(account)s, %(booking)s);
    insert into idempotency_keys (principal, route, key, request_sha256, status, response)
    values ('buyer:' || %(account)s, 'POST /v1/x', '1', '', 201, %(json)s);
    select audit('tried', null, '{}', null, %(account)s, %(json)s)"""


def is_over(conn: Conn) -> None:
    """The events were long ago."""
    conn.execute(
        """update events set on_sale_at = now() - interval '200 d',
               off_sale_at = now() - interval '100 d', starts_at = now() - interval '99 d',
               lobby_opens_at = null, lobby_closes_at = null"""
    )


def test_the_name_stands_in_every_column_that_is_erased(zerlina: Caller, conn: Conn) -> None:
    """So the test below misses none."""
    silent = set()
    for column in ERASED.keys() - {
        "account_keys.key",
        "buyers.locale",
        "idempotency_keys.principal",
    }:
        table, name = column.split(".")
        query = f"select from {table} where {name}::text ilike %s or {name}::text like %s"
        found = conn.execute(query.encode(), ["%quux%", f"%{NAME.encode().hex()}%"]).fetchall()
        silent |= set() if found or table.startswith("archived") else {column}
    assert silent == set()


def test_no_trace_of_a_buyer_is_left_in_a_dump(zerlina: Caller, conn: Conn) -> None:
    assert len(traces(conn)) > 10
    is_over(conn)
    answer = zerlina.post("/v1/me/erasure", YES)
    assert (answer.status_code, answer.json["state"]) == (202, "erased"), answer.text
    assert traces(conn) == []
    while audit_log.chain_acts(conn, 1000):
        pass
    assert audit_log.verify_acts(conn) == []
    assert zerlina.get("/v1/me").status_code in (401, 404)
    assert (
        one(conn.execute("select name from buyers where id = %s", [zerlina.id]))["name"] == "erased"
    )


def test_figures_stay(zerlina: Caller, opera: Caller, tosca: Sale, conn: Conn) -> None:
    is_over(conn)
    before = opera.get(f"{tosca.path}/reports/revenue").json
    assert zerlina.post("/v1/me/erasure", YES).json["state"] == "erased"
    assert opera.get(f"{tosca.path}/reports/revenue").json == before
    bookings = one(
        conn.execute("select count(*) as n from bookings where buyer_id = %s", [zerlina.id])
    )
    assert bookings["n"] == 1


def test_no_trace_is_left_in_the_archive_and_none_comes_back_from_it(
    zerlina: Caller, tosca: Sale, conn: Conn
) -> None:
    evening = backstage(tosca, conn)
    is_over(conn)
    conn.execute("update emails set state = 'sent', sent_at = now()")
    done = "update dead_letters set resolved_at = now(), resolution = 'done'"
    conn.execute(f"{done} where resolved_at is null".encode())
    conn.execute("delete from outbox")
    move_all(evening)
    (kept,) = conn.execute("select event_id, id from archived_bookings").fetchall()
    assert any("archived" in part and "quux" in part.lower() for part in dump(conn).split("== "))
    assert zerlina.post("/v1/me/erasure", YES).json["state"] == "erased"
    assert traces(conn) == []
    conn.execute("select restore_booking(%s, %s)", [kept["event_id"], kept["id"]])
    assert one(conn.execute("select count(*) as n from bookings"))["n"] == 1
    assert traces(conn) == []


def test_an_account_that_has_the_address_later_is_another(zerlina: Caller, conn: Conn) -> None:
    is_over(conn)
    zerlina.post("/v1/me/erasure", YES)
    made = Caller(zerlina.client).post("/v1/accounts", {"email": ADDRESS, "name": NAME})
    assert made.status_code == 201
    assert made.json["id"] != zerlina.id


@pytest.mark.parametrize(
    ("why", "statement"),
    [
        ("ticket_valid", "update events set starts_at = now() + interval '1 h'"),
        ("money_owed", "update refunds set state = 'failed', retried_by = null"),
        ("money_owed", "update refunds set state = 'pending' where settled_at is null"),
        ("payment_under_way", "update payments set state = 'unknown'"),
        (
            "dispute_open",
            """insert into disputes (gateway_ref, payment_id, event_id, booking_id, state, reason,
                   amount, currency)
               select 'dp_1', p.id, p.event_id, p.booking_id, 'needs_response', 'fraudulent', 1,
                   p.currency from payments p join bookings b on b.payment_id = p.id""",
        ),
    ],
)
def test_what_is_under_way_is_ended_first(
    zerlina: Caller, conn: Conn, why: str, statement: str
) -> None:
    """The clock erases as soon as it has."""
    is_over(conn)
    saved = {t: conn.execute(f"select * from {t}".encode()).fetchall() for t in ("payments",)}
    conn.execute("set session_replication_role = replica")
    conn.execute(statement.encode())
    conn.execute("reset session_replication_role")
    answer = zerlina.post("/v1/me/erasure", YES)
    assert (answer.status_code, answer.json["state"]) == (202, "postponed")
    assert answer.json["because"] == [why]
    assert zerlina.get("/v1/me/erasure").json["because"] == [why]
    assert zerlina.get("/v1/me").status_code == 200, "the account goes on until then"
    assert erase_due() == 0
    is_over(conn)
    conn.execute("set session_replication_role = replica")
    conn.execute("update refunds set state = 'succeeded', settled_at = null, settlement = null")
    conn.execute("update payments set state = %s", [saved["payments"][0]["state"]])
    conn.execute("delete from disputes")
    conn.execute("reset session_replication_role")
    assert erase_due() == 1
    assert traces(conn) == []


def erase_due() -> int:
    with transaction("clock:erase_accounts") as conn:
        return personal_data.erase_due(conn, 10)


def test_a_hold_and_a_place_in_a_queue_are_under_way(
    tosca: Sale, alice: Caller, bob: Caller, conn: Conn
) -> None:
    tosca.book(alice, conn)
    assert alice.post("/v1/me/erasure", YES).json["because"] == ["booking_under_way"]
    assert tosca.join(bob).status_code == 201
    assert bob.post("/v1/me/erasure", YES).json["because"] == ["waiting_in_a_queue"]


def test_an_erasure_that_waits_can_be_taken_back(tosca: Sale, alice: Caller, conn: Conn) -> None:
    tosca.book(alice, conn)
    assert alice.get("/v1/me/erasure").json["state"] == "none"
    alice.post("/v1/me/erasure", YES)
    assert alice.delete("/v1/me/erasure").status_code == 204
    assert alice.get("/v1/me/erasure").json["state"] == "none"
    conn.execute("update bookings set state = 'cancelled', ended_at = now()")
    assert erase_due() == 0


def test_an_operator_erases_and_an_organisation_cannot(
    alice: Caller, operator: Caller, opera: Caller, conn: Conn
) -> None:
    path = f"/v1/accounts/{alice.id}/erasure"
    assert opera.post(path, YES).status_code == 403
    assert operator.post("/v1/accounts/999/erasure", YES).status_code == 404
    assert operator.post(path, YES).json["state"] == "erased"
    assert operator.post(path, YES).json["state"] == "erased", "again changes nothing"
    acts = conn.execute("select actor from audit_log where action = 'account erased'").fetchall()
    assert [act["actor"].split(":")[0] for act in acts] == ["operator"]
    assert operator.get(f"/v1/accounts/{alice.id}/personal-data").status_code == 404


def test_a_person_gets_all_that_is_kept(zerlina: Caller, operator: Caller, conn: Conn) -> None:
    document = zerlina.get("/v1/me/personal-data").json
    assert document["person"]["email"] == ADDRESS
    (booking,) = document["bookings"]
    assert booking["tickets"] and booking["payments"] and booking["emails"]
    assert document["other_addresses"][0]["email"] == f"at.{ADDRESS}"
    assert document["next"] is None
    assert not {"params", "card_fingerprint"} & booking["payments"][0].keys()
    same = operator.get(f"/v1/accounts/{zerlina.id}/personal-data").json
    assert {**same, "acts": []} == {**document, "acts": []}
    (act,) = conn.execute(
        """select account_id from audit_log
           where action = 'personal data read' and actor ~ 'operator'"""
    ).fetchall()
    assert act["account_id"] == zerlina.id


def test_an_export_of_many_bookings_comes_in_parts(
    tosca: Sale, alice: Caller, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_data, "BOOKINGS_AT_ONCE", 2)
    own = [tosca.book(alice, conn, seats=[f"2-{n}"])["id"] for n in (1, 2, 3)]
    first = alice.get("/v1/me/personal-data").json
    second = alice.get(f"/v1/me/personal-data?starting_after={first['next']}").json
    both = [b["booking"]["id"] for part in (first, second) for b in part["bookings"]]
    assert (both, second["next"]) == (own, None)
