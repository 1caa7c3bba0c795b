"""The audit log is appended to and never changed; whatever is changed beside that is found."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from db.accounts import accounts, audit_log
from db.accounts.audit_log import Head, audit
from db.connections import Conn, one, transaction
from db.maintenance import housekeeping
from tasks import clock
from tests.support.programs import Console
from tests.support.theatre import another

OPERA, CIRCUS = 1, 2


def act(conn: Conn, action: str = "tried", organisation_id: int | None = OPERA, **more: Any) -> int:
    audit(conn, action, None, {"n": {"from": 1, "to": 2}}, organisation_id=organisation_id, **more)
    return int(one(conn.execute("select max(id) as id from audit_log"))["id"])


def chain(conn: Conn) -> None:
    while audit_log.chain_acts(conn, 100):
        pass


@contextmanager
def superuser(conn: Conn) -> Iterator[None]:
    """What a role can do that triggers do not stop."""
    conn.execute("set session_replication_role = replica")
    yield
    conn.execute("reset session_replication_role")


def findings(conn: Conn) -> list[tuple[int, str]]:
    return [(row["act_id"], row["finding"]) for row in audit_log.verify_acts(conn)]


def links(conn: Conn) -> dict[int, list[int]]:
    rows = conn.execute("select * from audit_chain order by organisation_id, number").fetchall()
    assert [row["number"] for row in rows] == [
        n for chain in {row["organisation_id"] for row in rows}
        for n in range(1, 1 + sum(row["organisation_id"] == chain for row in rows))
    ]  # fmt: skip
    by: dict[int, list[int]] = {}
    for row in rows:
        by.setdefault(row["organisation_id"], []).append(row["act_id"])
    return by


@pytest.fixture
def buyer(conn: Conn) -> int:
    return accounts.add_account(conn, "alice@example.org", "Alice", None)


def test_each_organisation_has_a_chain_and_the_platform_has_one(conn: Conn) -> None:
    acts = [act(conn, organisation_id=who) for who in (OPERA, CIRCUS, None, OPERA)]
    assert audit_log.chain_acts(conn, 3) == 3
    assert audit_log.chain_acts(conn, 3) == 1
    assert links(conn) == {0: [acts[2]], OPERA: [acts[0], acts[3]], CIRCUS: [acts[1]]}
    assert findings(conn) == []


def test_an_act_that_commits_late_is_chained_after_those_that_did_not_wait(conn: Conn) -> None:
    """A transaction that stays open holds nothing up either."""
    with another(conn) as late:
        late.autocommit = False
        first = act(late)
        second = act(conn)
        chain(conn)
        assert links(conn) == {OPERA: [second]}
        late.commit()
    chain(conn)
    assert links(conn) == {OPERA: [second, first]}
    assert findings(conn) == []


def test_two_jobs_chain_each_act_once(conn: Conn) -> None:
    acts = [act(conn) for _ in range(4)]
    with another(conn) as other:
        other.autocommit = False
        assert audit_log.chain_acts(other, 2) == 2
        assert audit_log.chain_acts(conn, 10) == 0, "the other is at it"
        other.commit()
    chain(conn)
    assert links(conn) == {OPERA: acts}


def test_an_act_that_was_rolled_back_is_nowhere(conn: Conn) -> None:
    with pytest.raises(ZeroDivisionError), conn.transaction():
        act(conn)
        raise ZeroDivisionError
    second = act(conn)
    chain(conn)
    assert links(conn) == {OPERA: [second]}


@pytest.mark.parametrize("table", ["log", "chain", "personal", "unchained", "keys"])
@pytest.mark.parametrize("how", ["update", "delete", "truncate"])
def test_the_log_is_append_only(conn: Conn, buyer: int, table: str, how: str) -> None:
    act(conn, account_id=buyer, personal={"email": "alice@example.org"})
    chain(conn)
    act(conn)
    name = "account_keys" if table == "keys" else f"audit_{table}"
    column = "account_id" if table == "keys" else "act_id" if table != "log" else "actor"
    statement = {
        "update": f"update {name} set {column} = {column}",
        "delete": f"delete from {name}",
        "truncate": f"truncate {name} cascade",
    }[how]
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        conn.execute(statement.encode())


CHANGES = {
    "another actor": "update audit_log set actor = 'another' where id = {middle}",
    "another time": "update audit_log set at = at - interval '1 s' where id = {middle}",
    "another detail": "update audit_log set detail = '{{}}' where id = {middle}",
    "another organisation": "update audit_log set organisation_id = 2 where id = {middle}",
    "another hash": "update audit_chain set hash = sha256('') where act_id = {middle}",
}


@pytest.mark.parametrize("how", CHANGES)
def test_an_act_that_was_changed_is_found(conn: Conn, how: str) -> None:
    acts = [act(conn) for _ in range(3)]
    chain(conn)
    with superuser(conn):
        conn.execute(CHANGES[how].format(middle=acts[1]).encode())
    assert (acts[1], "changed") in findings(conn)


def test_a_change_with_its_own_link_made_anew_is_found_in_the_next(conn: Conn) -> None:
    acts = [act(conn) for _ in range(3)]
    chain(conn)
    with superuser(conn):
        conn.execute("update audit_log set actor = 'another' where id = %s", [acts[1]])
        conn.execute(
            """update audit_chain c set hash = link_act(b.hash, c.number, a)
               from audit_chain b, audit_log a
               where c.number = 2 and b.number = 1 and a.id = c.act_id"""
        )
    assert findings(conn) == [(acts[2], "changed")]


def test_an_act_that_was_deleted_is_found(conn: Conn) -> None:
    acts = [act(conn) for _ in range(4)]
    chain(conn)
    with superuser(conn):
        conn.execute("delete from audit_log where id = %s", [acts[1]])
    assert findings(conn) == [(acts[1], "act_gone")]
    with superuser(conn):
        conn.execute("delete from audit_chain where act_id = %s", [acts[1]])
    assert findings(conn) == [(acts[2], "links_gone")]


def test_a_beginning_that_was_deleted_is_found(conn: Conn) -> None:
    acts = [act(conn) for _ in range(3)]
    chain(conn)
    with superuser(conn):
        conn.execute("delete from audit_chain where number = 1")
        conn.execute("delete from audit_log where id = %s", [acts[0]])
    assert findings(conn) == [(acts[1], "links_gone")]


def test_an_act_that_was_added_in_the_middle_is_found(conn: Conn) -> None:
    """Without a link; with one that the job has made; and with one between two others."""
    conn.execute("alter table audit_log alter id set generated by default")
    add = """insert into audit_log (id, at, actor, action, organisation_id)
        values (%s, now() - %s * interval '1 min', 'another', 'never done', 1)"""
    act(conn)
    conn.execute("select nextval('audit_log_id_seq') from generate_series(1, 10)")
    last = act(conn)
    chain(conn)
    with superuser(conn):
        conn.execute(add, [last - 5, 60])
    assert findings(conn) == [(last - 5, "not_chained")]
    conn.execute(add, [last - 4, 60])
    chain(conn)
    assert (last - 4, "out_of_order") in findings(conn)
    with superuser(conn):
        conn.execute("update audit_chain set number = number + 1 where number > 2")
        conn.execute("delete from audit_chain where act_id = %s", [last - 4])
        conn.execute("update audit_chain set number = 3 where act_id = %s", [last])
        conn.execute(
            """insert into audit_chain (organisation_id, number, act_id, hash)
               select 1, 2, a.id, link_act(b.hash, 2, a) from audit_chain b, audit_log a
               where b.number = 1 and a.id = %s""",
            [last - 4],
        )
    assert (last, "changed") in findings(conn)
    conn.execute("alter table audit_log alter id set generated always")


def test_personal_values_that_were_changed_or_deleted_are_found(conn: Conn, buyer: int) -> None:
    first = act(conn, account_id=buyer, personal={"email": "alice@example.org"})
    second = act(conn, account_id=buyer, personal={"email": "alice@example.com"})
    chain(conn)
    assert findings(conn) == []
    assert "example" not in str(conn.execute("select * from audit_log").fetchall())
    with superuser(conn):
        conn.execute("update audit_personal set personal = '{}' where act_id = %s", [first])
        conn.execute("delete from audit_personal where act_id = %s", [second])
    assert findings(conn) == [(first, "personal_changed"), (second, "personal_gone")]


def test_values_of_an_erased_account_go_and_the_chain_stays(conn: Conn, buyer: int) -> None:
    one_act = act(conn, account_id=buyer, personal={"email": "alice@example.org"})
    chain(conn)
    conn.execute("update accounts set erased_at = now() where id = %s", [buyer])
    conn.execute("delete from audit_personal where account_id = %s", [buyer])
    conn.execute("delete from account_keys where account_id = %s", [buyer])
    later = act(conn, account_id=buyer, personal={"email": "alice@example.org"})
    chain(conn)
    assert findings(conn) == []
    assert "example" not in str(conn.execute("select * from audit_personal").fetchall())
    assert [
        (row["id"], row["erased"], row["detail"]) for row in audit_log.list_acts(conn, limit=9)
    ] == [
        (later, False, {"n": {"from": 1, "to": 2}}),
        (one_act, True, {"n": {"from": 1, "to": 2}}),
    ]


def test_old_acts_are_purged_from_the_beginning_and_an_act_says_so(
    configured: dict[str, str], conn: Conn
) -> None:
    with superuser(conn):
        for age in (1200, 1150, 1101, 1000):
            conn.execute(
                """insert into audit_log (actor, action, organisation_id, at)
                   values ('tests', 'tried', 1, now() - %s * interval '1 day')""",
                [age],
            )
        conn.execute("insert into audit_unchained select id from audit_log")
    assert purge(conn) == 0, "they are not chained"
    chain(conn)
    noted = [Head(OPERA, 3, ""), Head(OPERA, 4, head(conn)["hash"])]
    assert purge(conn) == 3
    chain(conn)
    assert findings(conn) == []
    assert [audit_log.is_kept(conn, each) for each in noted] == [True, True]
    assert [row["action"] for row in audit_log.list_acts_of(conn, OPERA, limit=9)] == [
        "acts purged",
        "tried",
    ]
    with superuser(conn):
        conn.execute("delete from audit_chain where number = 4")
    assert findings(conn) != []


def purge(conn: Conn) -> int:
    with transaction() as batch:
        return housekeeping.purge_batch(batch, "audit_log", 10)


def head(conn: Conn) -> dict[str, Any]:
    (found,) = audit_log.list_heads(conn, OPERA)
    return found


@pytest.mark.own_database
def test_the_clock_chains_each_second(configured: dict[str, str], conn: Conn) -> None:
    only = act(conn)
    clock.declare_jobs()
    clock.run_due(["chain_acts"])
    assert links(conn) == {OPERA: [only]}


@pytest.mark.processes
def test_the_console_verifies_and_knows_heads_of_earlier(
    console: Console, conn: Conn, tmp_path: Path
) -> None:
    acts = [act(conn) for _ in range(3)]
    chain(conn)
    good = console("audit", "verify")
    assert (good.returncode, good.stderr) == (0, "")
    heads = tmp_path / "heads"
    heads.write_text(good.stdout)
    assert good.stdout.split() == ["1", "3", head(conn)["hash"]]
    act(conn)
    chain(conn)
    assert console("audit", "verify", "--heads", str(heads)).returncode == 0
    with superuser(conn):  # the end, which no chain can tell
        conn.execute("delete from audit_chain where number > 2")
        conn.execute("delete from audit_log where id >= %s", [acts[2]])
    assert console("audit", "verify").returncode == 0
    shorter = console("audit", "verify", "--heads", str(heads))
    assert shorter.returncode == 1
    assert "organisation 1: link 3 is not as noted" in shorter.stderr
    with superuser(conn):
        conn.execute("update audit_log set actor = 'another' where id = %s", [acts[1]])
    changed = console("audit", "verify")
    assert changed.returncode == 1
    assert f"organisation 1: link 2, act {acts[1]}: changed" in changed.stderr
    assert "tried" in console("audit", "list", "--organisation-id", "1").stdout
