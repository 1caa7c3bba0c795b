"""A mailbox gets so many mails and no more, whoever makes accounts for it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from db.connections import Conn, autocommit, one
from db.mail import emails
from tests.support.running import Running
from tests.support.theatre import BALCONY, Theatre, another, build_evening, is_waited_for
from tests.support.waiting import wait_until


@pytest.fixture
def evening(configured: dict[str, str], conn: Conn) -> Theatre:
    return build_evening(conn)


def doubt(theatre: Theatre, *names: str) -> None:
    """Nobody has proved yet to read the mails of these buyers."""
    query = """
        update accounts set verified_at = null
        where id in (select id from buyers where name = any (%s))"""
    theatre.conn.execute(query, [list(names)])


def tell(theatre: Theatre, name: str, template: str, many: int = 1) -> list[str]:
    """So many mails to a buyer, each about another booking; their ids."""
    query = """
        insert into emails (event_id, booking_id, buyer_id, template)
        select %s, uuid7(), %s, %s from generate_series(1, %s) returning id::text"""
    values = [theatre.event, theatre.add_buyer(name), template, many]
    return [row["id"] for row in theatre.conn.execute(query, values)]


def try_all(theatre: Theatre, ids: list[str]) -> int:
    """The mailer tries to send them; how many of all mails were let go so far."""
    with autocommit() as conn:
        emails.admit(conn, ids)
    query = "select count(*) as n from emails where admitted_at is not null"
    return int(one(theatre.conn.execute(query))["n"])


def later(theatre: Theatre, interval: str) -> None:
    """So much time goes by."""
    query = """
        update mailboxes set sent = array(
            select t - %s::interval from unnest(sent) with ordinality u(t, n) order by n)"""
    theatre.conn.execute(query, [interval])


@pytest.mark.faults("H4")
def test_three_mails_in_half_a_minute_to_an_address_that_is_not_verified(evening: Theatre) -> None:
    ids = tell(evening, "mallory", "confirmed", 156)
    doubt(evening, "mallory")
    with autocommit() as conn:
        waits = list(emails.admit(conn, ids).values())
    assert len(waits) == 156
    assert waits.count(0) == 3
    assert all(29 < wait <= 30 for wait in waits if wait)


@pytest.mark.faults("H4")
def test_ten_an_hour_and_twenty_a_day(evening: Theatre) -> None:
    """Tickets are late then, and not lost."""
    ids = tell(evening, "mallory", "confirmed", 50)
    doubt(evening, "mallory")
    seen = []
    for passes in ("31 s", "31 s", "31 s", "1 h", "31 s", "31 s", "31 s", "2 h", "1 day", "31 s"):
        seen.append(try_all(evening, ids))
        later(evening, passes)
    assert seen == [3, 6, 9, 10, 13, 16, 19, 20, 20, 23]


@pytest.mark.faults("H4")
def test_notices_that_no_one_needs_are_left_out(evening: Theatre) -> None:
    ids = tell(evening, "mallory", "cancelled", 40)
    doubt(evening, "mallory")
    assert try_all(evening, ids) == 3
    later(evening, "31 s")
    assert try_all(evening, ids) == 3
    states = evening.conn.execute("select state, count(*) as n from emails group by 1 order by 1")
    assert states.fetchall() == [{"state": "pending", "n": 3}, {"state": "skipped", "n": 37}]


@pytest.mark.faults("H4")
def test_one_mailbox_has_one_limit_under_all_its_addresses(evening: Theatre) -> None:
    names = ["eve", "eve+1", "EVE+2", "e.ve", "e.v.e+tickets"]
    ids = [id for name in names for id in tell(evening, name, "confirmed", 2)]
    doubt(evening, *names)
    assert try_all(evening, ids) == 3
    other = tell(evening, "adam", "confirmed", 2)
    doubt(evening, "adam")
    assert try_all(evening, other) == 5


@pytest.mark.faults("H4")
def test_tickets_do_not_keep_out_the_code_that_proves_the_address(evening: Theatre) -> None:
    ids = tell(evening, "mallory", "confirmed", 50)
    doubt(evening, "mallory")
    for _ in range(4):
        try_all(evening, ids)
        later(evening, "31 s")
    (code,) = tell(evening, "mallory", "sign_in")
    before = try_all(evening, ids)
    assert try_all(evening, [code]) == before + 1


@pytest.mark.faults("H4")
def test_codes_are_bounded_for_every_mailbox(evening: Theatre) -> None:
    seen = []
    for _ in range(12):
        seen.append(try_all(evening, tell(evening, "alice", "sign_in")))
        later(evening, "1 min")
    assert max(seen) == 6
    later(evening, "1 h")
    assert try_all(evening, tell(evening, "alice", "sign_in")) == 7


@pytest.mark.faults("H4")
def test_who_proved_to_read_the_mail_gets_it(evening: Theatre) -> None:
    assert try_all(evening, tell(evening, "alice", "confirmed", 15)) == 15
    assert try_all(evening, tell(evening, "alice", "cancelled", 15)) == 20
    later(evening, "31 s")


def test_a_mail_that_the_server_put_off_counts_once(evening: Theatre) -> None:
    ids = tell(evening, "mallory", "confirmed", 3)
    doubt(evening, "mallory")
    assert [try_all(evening, ids) for _ in range(5)] == [3] * 5
    assert len(one(evening.conn.execute("select sent from mailboxes"))["sent"]) == 3


def test_two_mailers_share_the_limit(evening: Theatre) -> None:
    first, second = (tell(evening, "mallory", "confirmed", 3) for _ in range(2))
    doubt(evening, "mallory")
    with another(evening.conn) as other:
        assert list(emails.admit(other, first).values()) == [0, 0, 0]
        with ThreadPoolExecutor() as threads:
            mailer = threads.submit(try_all, evening, second)
            wait_until(lambda: is_waited_for(other) or mailer.done())
            other.commit()
    assert mailer.result() == 3


@pytest.mark.faults("H4")
@pytest.mark.processes
def test_a_third_person_gets_three_mails_and_no_advertisement(running: Running) -> None:
    """Mallory makes an account for the address, named as an advertisement, and books on and on."""
    query = "update buyers set name = 'Win at https://casino.example' where name = 'victim'"
    for _ in range(8):
        running.sale.hold("victim", 1, category=BALCONY)
    doubt(running.sale, "victim")
    running.conn.execute(query)
    with running.work():
        wait_until(lambda: len(running.catcher.mails()) >= 3)
        wait_until(lambda: all(t["errors"] for t in running.tasks("send_email")))
    caught = running.catcher.mails("victim@usher.example")
    assert len(caught) == 3
    assert not any("casino" in mail.as_string() for mail in caught)
    assert len(running.tasks("send_email")) == 5
    running.check()
