"""What is kept of a buyer is exported whole, and erased whole: also from the archive."""

import json
from typing import Any

import pytest

from db.accounts import audit_log
from db.connections import Conn, one, transaction
from db.maintenance import housekeeping, personal_data
from db.maintenance.personal_columns import ERASED
from tests.support.archiving import move_all
from tests.support.personal import ADDRESS, NAME, dump, traces
from tests.support.programs import Console
from tests.support.world import Caller, Sale, backstage

YES = {"understood": True}


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


def test_what_comes_in_after_an_erasure_is_swept(zerlina: Caller, conn: Conn) -> None:
    """A notification of the gateway that was late; looked for again and again, ever more seldom."""
    is_over(conn)
    zerlina.post("/v1/me/erasure", YES)
    conn.execute(
        """insert into notification_inbox (id, type, payment_id, payload)
           select 'evt_2', 'charge.updated', id, '{"name": "Zerlina Quux"}' from payments""",
    )
    assert len(traces(conn)) == 1
    assert sweep(conn) == 0, "an hour later"
    conn.execute("update erasures set sweep_at = now() - interval '1 s'")
    assert sweep(conn) == 1
    assert traces(conn) == []
    conn.execute("update erasures set sweep_at = now(), erased_at = now() - interval '3 days'")
    assert sweep(conn) == 1
    next_sweep = "select sweep_at between now() + '71 h' and now() + '73 h' as well from erasures"
    assert one(conn.execute(next_sweep))["well"]
    conn.execute("update erasures set sweep_at = now(), erased_at = now() - interval '91 days'")
    assert sweep(conn) == 1
    assert one(conn.execute("select sweep_at from erasures"))["sweep_at"] is None


def sweep(conn: Conn) -> int:
    return personal_data.sweep_erased(conn, 10)


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
    tosca: Sale, alice: Caller, bob: Caller, operator: Caller, conn: Conn
) -> None:
    tosca.book(alice, conn)
    assert alice.post("/v1/me/erasure", YES).json["because"] == ["booking_under_way"]
    assert tosca.join(bob).status_code == 201
    assert bob.post("/v1/me/erasure", YES).json["because"] == ["waiting_in_a_queue"]
    waiting = {each["account_id"]: each["because"] for each in operator.get("/v1/erasures").json}
    assert waiting == {alice.id: ["booking_under_way"], bob.id: ["waiting_in_a_queue"]}


def test_who_works_in_an_organisation_leaves_it_first(alice: Caller, conn: Conn) -> None:
    conn.execute("insert into memberships (account_id, role) values (%s, 'operator')", [alice.id])
    assert alice.post("/v1/me/erasure", YES).json["because"] == ["member"]
    conn.execute("update memberships set ended_at = now()")
    assert erase_due() == 1


def test_an_erasure_that_waits_can_be_taken_back(tosca: Sale, alice: Caller, conn: Conn) -> None:
    tosca.book(alice, conn)
    assert alice.get("/v1/me/erasure").json["state"] == "none"
    alice.post("/v1/me/erasure", YES)
    assert alice.delete("/v1/me/erasure").status_code == 204
    assert alice.get("/v1/me/erasure").json["state"] == "none"
    conn.execute("update bookings set state = 'cancelled', ended_at = now()")
    assert erase_due() == 0


def test_a_stolen_session_erases_nothing(anybody: Caller, conn: Conn) -> None:
    body = {"email": "dora@example.org", "name": "Dora", "password": "correct horse"}
    dora = Caller(anybody.client, anybody.post("/v1/accounts", body).json["token"])
    for wrong in ({}, {"current_password": "wrong horse"}):
        assert dora.post("/v1/me/erasure", YES | wrong).status_code == 403
    assert dora.get("/v1/me/erasure").json["state"] == "none"
    answer = dora.post("/v1/me/erasure", YES | {"current_password": body["password"]})
    assert (answer.status_code, answer.json["state"]) == (202, "erased")


def test_a_closed_account_is_erased_after_a_month(alice: Caller, bob: Caller, conn: Conn) -> None:
    closed = "update accounts set closed_at = now() - %s * interval '1 day' where id = %s"
    conn.execute(closed, [29, alice.id])
    conn.execute(closed, [31, bob.id])
    assert erase_due() == 1
    (left,) = conn.execute("select id from accounts where erased_at is null").fetchall()
    assert left["id"] == alice.id


def test_a_closed_account_that_is_opened_again_is_not_erased(
    tosca: Sale, alice: Caller, operator: Caller, conn: Conn
) -> None:
    tosca.book(alice, conn)
    conn.execute(
        "update accounts set closed_at = now() - interval '31 d' where id = %s", [alice.id]
    )
    assert erase_due() == 0, "a booking is under way"
    assert len(operator.get("/v1/erasures").json) == 1
    assert operator.post(f"/v1/accounts/{alice.id}/reopening").status_code == 200
    conn.execute("update bookings set state = 'cancelled', ended_at = now()")
    assert erase_due() == 0
    assert operator.get("/v1/erasures").json == []


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
    monkeypatch.setattr(personal_data, "AT_ONCE", 2)
    own = [tosca.book(alice, conn, seats=[f"2-{n}"])["id"] for n in (1, 2, 3)]
    first = alice.get("/v1/me/personal-data").json
    second = alice.get(f"/v1/me/personal-data?starting_after={first['next']}").json
    both = [b["booking"]["id"] for part in (first, second) for b in part["bookings"]]
    assert (both, second["next"]) == (own, None)


def test_how_a_person_signs_in_is_exported(zerlina: Caller) -> None:
    document = zerlina.get("/v1/me/personal-data").json
    assert NAME in document["passkeys"][0]["name"] + document["sessions"][0]["name"]
    assert document["memberships"][0]["role"] == "door"
    assert NAME in document["identities"][0]["subject"]
    assert not any("account_id" in row or "public_key" in row for row in document["passkeys"])


def pages(who: Caller) -> list[dict[str, Any]]:
    """All documents of a person."""
    found, query = [], ""
    while True:
        answer = who.get(f"/v1/me/personal-data{query}")
        assert answer.status_code == 200, answer.text
        found.append(answer.json)
        if answer.json["next"] is None:
            return found
        query = f"?starting_after={answer.json['next']}"


def test_each_document_is_bounded_and_all_of_them_miss_nothing(
    zerlina: Caller, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever there is much of."""
    conn.execute(
        """insert into emails (buyer_id, template, state, sent_at)
           select %s, 'sign_in', 'sent', now() from generate_series(1, 9)""",
        [zerlina.id],
    )
    for _ in range(5):
        zerlina.get("/v1/me/personal-data")  # which is an act
    (whole,) = pages(zerlina)
    monkeypatch.setattr(personal_data, "AT_ONCE", 4)
    parts = pages(zerlina)
    for name in ("bookings", "receipts", "other_addresses", "other_mails", "acts"):
        gathered = [row for part in parts for row in part[name]]
        assert all(len(part[name]) <= 4 for part in parts), name
        assert gathered[: len(whole[name])] == whole[name], name
    assert [bool(part["sessions"]) for part in parts] == [True] + [False] * (len(parts) - 1)
    for wrong in ("acts:x", "bookings:7", "acts:", "mails:1", "1", "acts:" + "9" * 30):
        answer = zerlina.get(f"/v1/me/personal-data?starting_after={wrong}")
        assert answer.status_code == 422, wrong


def write(account_id: int) -> None:
    while True:
        with transaction() as own:
            if not personal_data.write_export_part(own, account_id):
                return


def test_a_large_export_is_written_by_a_task_and_its_person_is_told(
    zerlina: Caller, bob: Caller, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_data, "AT_ONCE", 2)
    path = "/v1/me/personal-data/export"
    conn.execute("delete from personal_exports")
    assert zerlina.get(path).json["state"] == "none"
    assert zerlina.get(f"{path}/document").json["conflict_reason"] == "export_not_ready"
    asked = zerlina.post(path)
    assert (asked.status_code, asked.json["state"], asked.json["links"]) == (202, "writing", [])
    task = "select args, queue from outbox where actor = 'write_export'"
    assert one(conn.execute(task)) == {"args": {"account_id": zerlina.id}, "queue": "maintenance"}
    with transaction() as own:
        assert personal_data.write_export_part(own, zerlina.id)
    assert zerlina.get(f"{path}/document").status_code == 409, "it is not whole"
    expected = pages(zerlina)
    write(zerlina.id)
    ready = zerlina.get(path).json
    assert (ready["state"], ready["parts"]) == ("ready", len(ready["links"]))
    parts = [zerlina.get(link).json for link in ready["links"]]
    assert parts[0]["person"]["email"] == ADDRESS and parts[-1]["next"] is None
    for name in ("bookings", "receipts", "other_mails"):
        assert [r for p in parts for r in p[name]] == [r for p in expected for r in p[name]]
    mailed = "select count(*) as n from emails where template = 'export_ready' and buyer_id = %s"
    assert one(conn.execute(mailed, [zerlina.id]))["n"] == 1
    assert zerlina.get(f"{path}/document?part={ready['parts'] + 1}").status_code == 422
    assert bob.get(ready["links"][0]).status_code == 409, "another person's"
    assert zerlina.post(path).json["requested_at"] == asked.json["requested_at"]
    conn.execute("update personal_exports set finished_at = finished_at - interval '25 h'")
    assert zerlina.post(path).json["state"] == "writing", "another day, another one"


def test_an_export_is_erased_with_its_person_and_after_a_week(
    zerlina: Caller, alice: Caller, conn: Conn
) -> None:
    zerlina.post("/v1/me/personal-data/export")
    write(zerlina.id)
    is_over(conn)
    assert any("personal_export_parts" in part and "quux" in part.lower()
               for part in dump(conn).split("== "))  # fmt: skip
    conn.execute("update personal_exports set finished_at = now() - interval '6 days'")
    with transaction() as own:
        assert housekeeping.purge_batch(own, "personal_exports", 10) == 0
    assert zerlina.post("/v1/me/erasure", YES).json["state"] == "erased"
    assert traces(conn) == []
    conn.execute("insert into personal_exports (account_id) values (%s)", [zerlina.id])
    write(zerlina.id)
    assert conn.execute("select from personal_exports").fetchall() == []
    conn.execute(
        """insert into personal_exports (account_id, finished_at)
           values (%s, now() - interval '8 days')""",
        [alice.id],
    )
    with transaction() as own:
        assert housekeeping.purge_batch(own, "personal_exports", 10) == 1


@pytest.mark.processes
def test_the_console_exports_and_erases(zerlina: Caller, console: Console, conn: Conn) -> None:
    is_over(conn)
    account = str(zerlina.id)
    document = json.loads(console("account", "export", account).stdout)
    assert document["person"]["email"] == ADDRESS
    assert console("account", "erase", account).stdout == "erased\n"
    assert traces(conn) == []
    assert console("account", "export", account).returncode != 0
    acts = conn.execute("select actor from audit_log where action = 'account erased'").fetchall()
    assert [act["actor"].split(":")[0] for act in acts] == ["console"]
