"""A buyer whose name stands wherever it can, and where it is found in a dump of the database."""

from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from db.connections import Conn
from tests.support.every_object import EveryObject
from tests.support.world import Caller, Sale, backstage

NAME, ADDRESS = "Zerlina Quux", "zerlina.quux@example.org"
MARK = f"{NAME} {ADDRESS}"


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
    proven = "update sessions set authenticated_by = 'code' where account_id = %s"
    conn.execute(proven, [alice.id])  # a moment ago, so that she may erase
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
    insert into memberships (account_id, organisation_id, role, ended_at)
    select %(account)s, min(id), 'door', now() from organisations;
    insert into identities (organisation_id, issuer, subject, membership_id)
    select organisation_id, 'https://login.example', %(mark)s, id from memberships
    where account_id = %(account)s;
    update sessions set name = %(mark)s where account_id = %(account)s;
    insert into passkeys (account_id, credential_id, public_key, sign_count, name)
    values (%(account)s, convert_to(%(mark)s, 'UTF8'), convert_to(%(mark)s, 'UTF8'), 0, %(mark)s);
    insert into personal_exports (account_id, finished_at)
    values (%(account)s, now() - interval '2 days');
    insert into personal_export_parts (account_id, part, document)
    values (%(account)s, 1, %(json)s);
    insert into address_changes (account_id, old_email, new_email)
    select id, email, 'new.' || email from buyers where id = %(account)s;
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
    insert into transfers (event_id, booking_id, payment_id, gateway_account_id, reference, amount,
        currency, surplus, decision, how, decided_at, decided_by, recorded_by)
    select event_id, booking_id, id, gateway_account_id, %(mark)s, 1, currency, 1, 'kept', %(mark)s,
        now(), 'organiser:1', 'organiser:1' from payments where booking_id = %(booking)s;
    insert into booking_notes (event_id, booking_id, note, written_by)
    select event_id, id, %(mark)s, 'organiser:1' from bookings where id = %(booking)s;
    insert into booking_tags (event_id, booking_id, tags)
    select event_id, id, array[%(mark)s::text] from bookings where id = %(booking)s;
    insert into booking_names (event_id, booking_id, name)
    select event_id, id, %(mark)s from bookings where id = %(booking)s;
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
